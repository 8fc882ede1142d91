//! How a log line looks: one JSON object, or text for people.
//!
//! In: an event and the spans around it. Out: a line with time, level, target, message and fields,
//! and with the ids by which it is found: `trace_id`, `span_id` and `import_id`, as the spans have
//! them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The spans' fields that a line repeats, and the names that they have there.
const IDS: [(&str, &str); 3] = [
    ("trace_id", "trace_id"),
    ("span_id", "span_id"),
    ("import.id", "import_id"),
];

/// A format of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let ids = ids(context, event);
        match self {
            Lines::Json => write_json(&mut writer, event, fields, ids),
            Lines::Text => write_text(&mut writer, event, &fields, &ids),
        }
    }
}

/// The ids of the innermost spans that have them.
fn ids<S, N>(context: &FmtContext<'_, S, N>, event: &Event<'_>) -> BTreeMap<&'static str, Value>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let mut ids = BTreeMap::new();
    let spans = event
        .parent()
        .and_then(|id| context.span(id))
        .or_else(|| context.lookup_current())
        .into_iter()
        .flat_map(|span| span.scope());
    for span in spans {
        let extensions = span.extensions();
        // Written by `JsonFields`.
        let Some(fields) = extensions.get::<FormattedFields<N>>() else {
            continue;
        };
        let Ok(Value::Object(fields)) = serde_json::from_str(&fields.fields) else {
            continue;
        };
        for (field, name) in IDS {
            if let Some(value) = fields.get(field) {
                ids.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
    ids
}

fn write_json(
    writer: &mut Writer<'_>,
    event: &Event<'_>,
    fields: Fields,
    ids: BTreeMap<&'static str, Value>,
) -> fmt::Result {
    let metadata = event.metadata();
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time))?;
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), time.into());
    line.insert("level".to_owned(), metadata.level().as_str().into());
    line.insert("target".to_owned(), metadata.target().into());
    line.extend(ids.into_iter().map(|(name, id)| (name.to_owned(), id)));
    // What the event says itself comes before what surrounds it.
    line.extend(fields.values);
    writeln!(writer, "{}", Value::Object(line))
}

fn write_text(
    writer: &mut Writer<'_>,
    event: &Event<'_>,
    fields: &Fields,
    ids: &BTreeMap<&'static str, Value>,
) -> fmt::Result {
    let metadata = event.metadata();
    SystemTime.format_time(writer)?;
    write!(writer, " {:>5} {}:", metadata.level(), metadata.target())?;
    if let Some(Value::String(message)) = fields.values.get("message") {
        write!(writer, " {message}")?;
    }
    let own = fields.values.iter().filter(|(name, _)| *name != "message");
    let ids = ids
        .iter()
        .filter(|(name, _)| **name == "import_id" && !fields.values.contains_key("import_id"));
    for (name, value) in own {
        write!(writer, " {name}={value}")?;
    }
    for (name, value) in ids {
        write!(writer, " {name}={value}")?;
    }
    writeln!(writer)
}

/// The fields of an event.
#[derive(Debug, Default)]
struct Fields {
    values: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = IDS
            .into_iter()
            .find(|(own, _)| *own == field.name())
            .map_or(field.name(), |(_, name)| name);
        self.values.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}
