//! Typed rows, packed: what the mapping writes and the stores read.
//!
//! In: one [`Value`] for each mapped column, row by row. Out: the same, borrowed. Variable-length
//! values share one buffer, so a row costs no allocation of its own. Bounded by the batcher,
//! which closes a batch by rows and by [`RowBuffer::n_bytes`].

use std::ops::Range;

/// A value of a mapped column, in the form that its [`ColumnType`](super::table::ColumnType)
/// calls for.
///
/// The mapping guarantees: `Int` is in range of the column; `Text` fits its length and holds no
/// U+0000; `Decimal` is canonical (`-?digits[.digits]`, `NaN`, `Infinity`, `-Infinity`) and fits
/// precision and scale; enum labels exist; JSON parses; for types named `Other` it is text for
/// the type's input function, unchecked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Left to the column's default (a new row) or to what is there (an updated row).
    Unset,
    /// The column's default, in an updated row too; only where rows may be updated.
    Default,
    /// SQL NULL.
    Null,
    /// bool.
    Bool(bool),
    /// int2, int4, int8.
    Int(i64),
    /// float4, float8; a float4's value is that of the nearest f32.
    Float(f64),
    /// numeric, as canonical decimal text.
    Decimal(&'a str),
    /// text, varchar, char, enum, json, jsonb, and types named `Other`.
    Text(&'a str),
    /// bytea.
    Bytes(&'a [u8]),
    /// uuid, 16 bytes.
    Uuid([u8; 16]),
    /// date: days since 1970-01-01.
    Date(i32),
    /// time: microseconds since midnight, 0..=86_400_000_000.
    Time(i64),
    /// timestamp and timestamptz: microseconds since 1970-01-01T00:00:00, UTC for timestamptz.
    Timestamp(i64),
}

/// Rows of equal width.
#[derive(Debug, Clone, Default)]
pub struct RowBuffer {
    n_columns: usize,
    slots: Vec<Slot>,
    text: String,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Unset,
    Default,
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal(Span),
    Text(Span),
    Bytes(Span),
    Uuid(u32),
    Date(i32),
    Time(i64),
    Timestamp(i64),
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    length: u32,
}

/// One row of a [`RowBuffer`].
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    buffer: &'a RowBuffer,
    slots: &'a [Slot],
}

// === impl RowBuffer ===

impl RowBuffer {
    /// An empty buffer for rows of `n_columns` mapped columns.
    ///
    /// # Panics
    /// If `n_columns` is 0.
    pub fn new(n_columns: usize) -> RowBuffer {
        assert!(n_columns > 0, "a row has at least one mapped column");
        RowBuffer {
            n_columns,
            ..RowBuffer::default()
        }
    }

    /// An empty buffer with room for `n_rows` rows that are like those of this one.
    #[must_use]
    pub fn like(&self, n_rows: usize) -> RowBuffer {
        let n_before = self.n_rows().max(1);
        let share = |n_bytes: usize| n_bytes.div_ceil(n_before).saturating_mul(n_rows);
        RowBuffer {
            n_columns: self.n_columns,
            slots: Vec::with_capacity(n_rows.saturating_mul(self.n_columns)),
            text: String::with_capacity(share(self.text.len())),
            bytes: Vec::with_capacity(share(self.bytes.len())),
        }
    }

    /// Values in a row.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Complete rows.
    pub fn n_rows(&self) -> usize {
        self.slots.len().checked_div(self.n_columns).unwrap_or(0)
    }

    /// Bytes that the rows take up in memory.
    pub fn n_bytes(&self) -> usize {
        self.text.len() + self.bytes.len() + self.slots.len() * size_of::<Slot>()
    }

    /// Appends one value to the row under construction; `n_columns` of them make a row.
    ///
    /// # Panics
    /// If the buffer grows to 4 GiB.
    pub fn push(&mut self, value: Value<'_>) {
        let slot = match value {
            Value::Unset => Slot::Unset,
            Value::Default => Slot::Default,
            Value::Null => Slot::Null,
            Value::Bool(value) => Slot::Bool(value),
            Value::Int(value) => Slot::Int(value),
            Value::Float(value) => Slot::Float(value),
            Value::Decimal(text) => Slot::Decimal(self.store_text(text)),
            Value::Text(text) => Slot::Text(self.store_text(text)),
            Value::Bytes(bytes) => Slot::Bytes(self.store(bytes)),
            Value::Uuid(uuid) => Slot::Uuid(self.store(&uuid).start),
            Value::Date(days) => Slot::Date(days),
            Value::Time(micros) => Slot::Time(micros),
            Value::Timestamp(micros) => Slot::Timestamp(micros),
        };
        self.slots.push(slot);
    }

    /// Takes back the values of an incomplete row.
    pub fn discard_partial_row(&mut self) {
        let complete = self.n_rows() * self.n_columns;
        self.slots.truncate(complete);
    }

    /// The complete row at `index`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, index: usize) -> Row<'_> {
        let start = index * self.n_columns;
        Row {
            buffer: self,
            slots: &self.slots[start..start + self.n_columns],
        }
    }

    /// All complete rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        (0..self.n_rows()).map(|index| self.row(index))
    }

    fn store(&mut self, slice: &[u8]) -> Span {
        let span = Span::new(self.bytes.len(), slice.len());
        self.bytes.extend_from_slice(slice);
        span
    }

    fn store_text(&mut self, text: &str) -> Span {
        let span = Span::new(self.text.len(), text.len());
        self.text.push_str(text);
        span
    }

    fn slice(&self, span: Span) -> &[u8] {
        &self.bytes[span.range()]
    }

    fn text(&self, span: Span) -> &str {
        self.text.get(span.range()).expect("pushed as text")
    }
}

// === impl Span ===

impl Span {
    fn new(start: usize, length: usize) -> Span {
        Span {
            start: u32::try_from(start).expect("a batch is below 4 GiB"),
            length: u32::try_from(length).expect("a value is below 4 GiB"),
        }
    }

    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.length as usize
    }
}

// === impl Row ===

impl<'a> Row<'a> {
    /// Values in the row.
    pub fn n_columns(self) -> usize {
        self.slots.len()
    }

    /// The value of the mapped column at `index`.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn value(self, index: usize) -> Value<'a> {
        let buffer = self.buffer;
        match self.slots[index] {
            Slot::Unset => Value::Unset,
            Slot::Default => Value::Default,
            Slot::Null => Value::Null,
            Slot::Bool(value) => Value::Bool(value),
            Slot::Int(value) => Value::Int(value),
            Slot::Float(value) => Value::Float(value),
            Slot::Decimal(span) => Value::Decimal(buffer.text(span)),
            Slot::Text(span) => Value::Text(buffer.text(span)),
            Slot::Bytes(span) => Value::Bytes(buffer.slice(span)),
            Slot::Uuid(start) => {
                let slice = buffer.slice(Span { start, length: 16 });
                Value::Uuid(slice.try_into().expect("16 bytes were pushed"))
            }
            Slot::Date(days) => Value::Date(days),
            Slot::Time(micros) => Value::Time(micros),
            Slot::Timestamp(micros) => Value::Timestamp(micros),
        }
    }

    /// All values in the order of the mapped columns.
    pub fn values(self) -> impl ExactSizeIterator<Item = Value<'a>> {
        (0..self.slots.len()).map(move |index| self.value(index))
    }
}
