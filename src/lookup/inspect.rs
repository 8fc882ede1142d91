//! What is in a file, and what an import would make of it.
//!
//! In: an [`InspectSpec`] and chunks. Out: an [`Inspection`], once the whole file has arrived and
//! its totals have been compared. Only the first rows of each sheet are read; of a CSV the rest
//! is hashed and forgotten. Bounded as a [`Survey`] is.

use std::cell::Cell;
use std::sync::Arc;

use futures::Stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::access::Caller;
use crate::decode::error::DecodeError;
use crate::decode::returned::Returned;
use crate::decode::sandbox::Sandbox;
use crate::decode::survey::{Sample, SheetEntry, Survey, SurveyRequest, SurveyedSheet};
use crate::decode::{Decoded, HeaderRow, SourceHeader};
use crate::lookup::receive::{Bounds, INPUTS_MAX, Input};
use crate::lookup::sheet::InspectedSheet;
use crate::lookup::stop::{Stop, StopOnDrop};
use crate::lookup::{Call, Lookups, Message, Place, caller_gone, wait_for};
use crate::mapping::conflict::ConflictSpec;
use crate::mapping::guess::{self, Known};
use crate::mapping::plain::faulty_row;
use crate::mapping::propose::{Proposal, propose};
use crate::mapping::{
    CellMode, ColumnRule, ColumnSource, EmptyAction, ImportContext, Mapping, MappingSpec,
    SourceColumns, UnmappedSource, Verdict,
};
use crate::model::frame::Frame;
use crate::model::import::{Failure, FileFormat, Reason};
use crate::model::layout::own_columns;
use crate::model::reject::{RejectedRow, SourceKind};
use crate::model::table::Table;
use crate::model::value::RowBuffer;
use crate::session::checks::{check_crc, check_file};
use crate::session::intake::{self, Intake};
use crate::session::spec::FileSpec;
use crate::session::{ending, open};

/// What a caller wants to know.
#[derive(Debug, Clone)]
pub struct InspectSpec {
    /// How to read the file; its own header row is not looked at.
    pub file: FileSpec,
    /// Where the header stands; `None`: guessed.
    pub header: Option<HeaderRow>,
    /// The table that the file is meant for; empty: none.
    pub table: String,
    /// Rows of each sheet that are wanted.
    pub n_samples: usize,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// By content.
    pub format: FileFormat,
    /// In the file's order.
    pub sheets: Vec<InspectedSheet>,
    /// The columns of the sheet that an import reads, and what each was probably meant for: its
    /// proposal and the column's name.
    pub proposals: Vec<(Proposal, Option<String>)>,
    /// Columns of the table that have to be fed, and that nothing is proposed for.
    pub missing_columns: Vec<String>,
    /// Sample rows of that sheet that an import with the proposed mapping rejects; without a
    /// table, those that any import does.
    pub rejected: Vec<RejectedRow>,
}

impl Lookups {
    /// Looks into the file that `messages` bring. Dropped, it stops.
    pub async fn inspect<S>(&self, call: Call, messages: S) -> Result<Inspection, Failure>
    where
        S: Stream<Item = Result<Message<InspectSpec>, Failure>> + Unpin + Send + 'static,
    {
        let caller_gone = CancellationToken::new();
        let bounds = Bounds {
            deadline: call.deadline,
            caller_gone: caller_gone.clone(),
        };
        let _caller_gone = caller_gone.drop_guard();
        let lookups = self.clone();
        // Among the tasks, so that a stop waits for it.
        let survey = lookups.survey(call.place, call.caller, bounds, messages);
        let task = self.tasks.spawn(survey.in_current_span());
        task.await
            .unwrap_or_else(|_| Err(ending::internal("", "a lookup was lost")))
    }

    async fn survey<S>(
        self,
        place: Place,
        caller: Arc<Caller>,
        bounds: Bounds,
        mut messages: S,
    ) -> Result<Inspection, Failure>
    where
        S: Stream<Item = Result<Message<InspectSpec>, Failure>> + Unpin + Send,
    {
        let header = |message| match message {
            Message::Header(spec) => Some(*spec),
            Message::Chunk(_) | Message::Finish(_) => None,
        };
        let header = open::first(&self.sessions.config, &mut messages, header);
        let spec = self.bounded(&bounds, "RECEIVING", header).await?;
        let table = self.table(&caller, &spec.table);
        let table = self.bounded(&bounds, "RECEIVING", table).await?;
        let stop = Arc::new(Stop::default());
        let _stop_on_drop = StopOnDrop(Arc::clone(&stop));
        let (input, inputs) = mpsc::channel(INPUTS_MAX);
        let surveying = Surveying {
            lookups: self.clone(),
            runtime: Handle::current(),
            stop,
            _place: place,
        };
        let look = move || inspection(surveying.run(&spec, inputs)?, &spec, table.as_ref());
        let thread = self.tasks.spawn_blocking(look);
        self.feed(&bounds, &mut messages, input, thread).await
    }

    async fn table(&self, caller: &Caller, name: &str) -> Result<Option<Arc<Table>>, Failure> {
        if name.is_empty() {
            return Ok(None);
        }
        let table = self.sessions.store.table(name).await;
        let table = table.map_err(ending::failure_of)?;
        if let Some(table) = table.and_then(|table| caller.view(&table)) {
            return Ok(Some(table));
        }
        let message = format!("table {name:?} does not exist or is not on the allow-list");
        Err(Failure::new(Reason::TableNotFound, message).with("table", name))
    }
}

/// The thread of a call.
struct Surveying {
    lookups: Lookups,
    runtime: Handle,
    stop: Arc<Stop>,
    _place: Place,
}

impl Surveying {
    fn run(self, spec: &InspectSpec, mut inputs: mpsc::Receiver<Input>) -> Result<Survey, Failure> {
        let config = &self.lookups.sessions.config;
        let mut file = spec.file.clone();
        // Every row is wanted, those above the header too.
        file.options.header = HeaderRow::Any;
        let request = request(spec);
        let mut sample = Sample::new(&request);
        let spool_dir = config.spool_dir.for_one();
        let mut intake = Intake::new(&file, &config.limits, &spool_dir);
        let totals = loop {
            match inputs.blocking_recv() {
                None => return Err(caller_gone()),
                Some(Input::Finish(totals)) => break totals,
                Some(Input::Chunk(data, crc32c)) => {
                    check_crc(&data, crc32c)?;
                    if sample.is_full() {
                        intake.skim(&data)?;
                        continue;
                    }
                    self.collect(&mut sample, |stopped, each| {
                        intake.feed(&data, stopped, each)?;
                        intake.flush(each)
                    })?;
                }
            }
        };
        check_file(&file, None, totals, &intake.received())?;
        let mut workbook = None;
        if !sample.is_full() {
            self.collect(&mut sample, |_, each| {
                workbook = intake.finish(each)?;
                Ok(())
            })?;
        }
        let Some((spooled, _)) = workbook else {
            return csv(sample.into_rows());
        };
        let lookups = &self.lookups;
        let pools = [&lookups.decoders, &lookups.sessions.decoders].map(Arc::clone);
        let wait = lookups.sessions.config.queue_wait;
        let _places = wait_for(&self.runtime, pools, wait, self.stop.token())?;
        let sandbox = Sandbox {
            program: &config.decoder_program,
            limits: &config.limits,
            spool_dir: &spool_dir,
        };
        // The child has the file until it is reaped, which is before its room is dropped.
        let (spooled, _room) = spooled.into_parts();
        let surveyor = sandbox.survey(spooled, &request)?;
        self.stop.hold(surveyor.killer());
        Ok(surveyor.read()?)
    }

    /// Takes the rows that a step yields, until there are enough: then the step is given up.
    fn collect(
        &self,
        sample: &mut Sample,
        step: impl FnOnce(&dyn Fn() -> bool, &mut dyn FnMut(Decoded)) -> Result<(), DecodeError>,
    ) -> Result<(), Failure> {
        let is_full = Cell::new(false);
        let stopped = || is_full.get() || self.stop.is_stopped();
        let collected = intake::collect(&stopped, step, |decoded| -> Result<(), DecodeError> {
            if let Decoded::Rows(frame) = decoded {
                sample.take(&frame);
                is_full.set(sample.is_full());
            }
            Ok(())
        });
        match collected {
            // What follows what was asked for does not matter.
            Err(_) if is_full.get() => Ok(()),
            collected => Ok(collected?),
        }
    }
}

/// Rows to look at for the header, and to show.
fn request(spec: &InspectSpec) -> SurveyRequest {
    let n_rows = match spec.header {
        None => guess::ROWS_MAX + spec.n_samples,
        Some(_) => 1 + spec.n_samples,
    };
    let first_row = match spec.header {
        Some(HeaderRow::Row(row)) => row,
        Some(HeaderRow::Absent | HeaderRow::Any) | None => 1,
    };
    SurveyRequest {
        format: spec.file.options.format,
        sheet: spec.file.options.sheet.clone(),
        first_row,
        n_rows: u32::try_from(n_rows).unwrap_or(u32::MAX),
    }
}

/// A CSV as a file of one sheet.
fn csv(rows: Vec<Frame>) -> Result<Survey, Failure> {
    if rows.is_empty() {
        let row = 1;
        let why = "no row holds data".to_owned();
        return Err(DecodeError::NoHeader { row, why }.into());
    }
    let entry = SheetEntry {
        format: FileFormat::Csv,
        name: String::new(),
        is_hidden: false,
        is_read: true,
    };
    Ok(Survey {
        format: FileFormat::Csv,
        sheets: vec![SurveyedSheet { entry, rows }],
    })
}

/// Puts together what is told.
fn inspection(
    survey: Survey,
    spec: &InspectSpec,
    table: Option<&Arc<Table>>,
) -> Result<Inspection, Failure> {
    let known = Known::new(table.map(|table| &**table));
    let format = survey.format;
    let read_at = survey.sheets.iter().position(|sheet| sheet.entry.is_read);
    let mut sheets = Vec::new();
    for sheet in survey.sheets {
        let sheet = InspectedSheet::of(sheet, spec.header, &known, spec.n_samples)?;
        sheets.push(sheet);
    }
    let mut inspection = Inspection {
        format,
        sheets,
        proposals: Vec::new(),
        missing_columns: Vec::new(),
        rejected: Vec::new(),
    };
    let Some(sheet) = read_at.map(|at| &inspection.sheets[at]) else {
        return Ok(inspection);
    };
    let Some(table) = table else {
        let rows = sheet.samples.rows();
        let faulty = rows.filter_map(|row| faulty_row(row, &sheet.name, &sheet.header));
        inspection.rejected = faulty.collect();
        return Ok(inspection);
    };
    let read = returned(sheet, format);
    let sheet = read.as_ref().unwrap_or(sheet);
    let source = SourceColumns {
        names: &sheet.header,
        has_header: sheet.header_row > 0,
        where_: "",
    };
    let proposals = propose(table, source, std::slice::from_ref(&sheet.samples));
    let is_fed = |column| proposals.iter().any(|it| it.table_column == Some(column));
    let columns = table.columns.iter().enumerate();
    let missing = columns.filter(|(index, column)| column.is_required() && !is_fed(*index));
    inspection.missing_columns = missing.map(|(_, column)| column.name.clone()).collect();
    inspection.rejected = rejected(spec, table, sheet, source, &proposals)?;
    let with_names = proposals.into_iter().map(|proposal| {
        let column = proposal.table_column;
        let name = column.map(|column| table.columns[column].name.clone());
        (proposal, name)
    });
    inspection.proposals = with_names.collect();
    Ok(inspection)
}

/// The sheet as an import reads it that is an export of rejected rows; `None`: it is none.
fn returned(sheet: &InspectedSheet, format: FileFormat) -> Option<InspectedSheet> {
    let mut header = SourceHeader {
        format,
        sheet: sheet.name.clone(),
        is_hidden: sheet.is_hidden,
        header_row: u32::try_from(sheet.header_row).unwrap_or(u32::MAX),
        names: sheet.header.clone(),
        has_header: sheet.header_row > 0,
        first_data_row_number: sheet.header_row + 1,
        n_rows_hint: None,
    };
    let returned = Returned::recognise(&mut header)?;
    header.names.truncate(own_columns(&header.names)?.start);
    Some(InspectedSheet {
        header: header.names,
        samples: returned.rows(&sheet.samples),
        ..sheet.clone()
    })
}

/// Sends the sample rows through the proposed mapping.
fn rejected(
    spec: &InspectSpec,
    table: &Arc<Table>,
    sheet: &InspectedSheet,
    source: SourceColumns<'_>,
    proposals: &[Proposal],
) -> Result<Vec<RejectedRow>, Failure> {
    let mut table = Table::clone(table);
    let mut columns = Vec::new();
    for proposal in proposals {
        let Some(column) = proposal.table_column else {
            continue;
        };
        columns.push(ColumnRule {
            source: ColumnSource::Position(proposal.source_index),
            target_column: table.columns[column].name.clone(),
            format: String::new(),
            on_empty: EmptyAction::Automatic,
            insert_only: false,
        });
    }
    let rows = sheet.samples.rows();
    if columns.is_empty() {
        let faulty = rows.filter_map(|row| faulty_row(row, &sheet.name, &sheet.header));
        return Ok(faulty.collect());
    }
    // What no column feeds is told by itself; the rows are looked at nevertheless.
    let is_fed = |name: &str| columns.iter().any(|rule| rule.target_column == name);
    for column in &mut table.columns {
        column.nullable |= !is_fed(&column.name);
    }
    let file = &spec.file;
    let mapping_spec = MappingSpec {
        columns,
        unmapped_source: UnmappedSource::Ignore,
        mode: CellMode::Cells,
        source_kind: SourceKind::File,
        null_tokens: file.null_tokens.clone(),
        time_zone: file.time_zone.clone(),
        decimal_separator: file.decimal_separator,
        date_order: file.date_order,
        context: ImportContext {
            sheet: sheet.name.clone(),
            ..ImportContext::default()
        },
        conflict: ConflictSpec::default(),
    };
    let mapping = Mapping::resolve(&Arc::new(table), &mapping_spec, source)?;
    let mut buffer = RowBuffer::new(mapping.effective().len());
    let verdicts = rows.map(|row| mapping.map_row(row, &mut buffer));
    let rejected = verdicts.filter_map(|verdict| match verdict {
        Verdict::Rejected(row) => Some(row),
        Verdict::Mapped | Verdict::Blank => None,
    });
    Ok(rejected.collect())
}
