use super::{Outcome, Rows, SheetInfo, Sink, SpillRoom};
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::protocol::write_header;
use crate::decode::survey::SheetEntry;
use crate::decode::{HeaderRow, SourceHeader};
use crate::model::cell::Cell;
use crate::model::frame::Frame;
use crate::model::import::FileFormat;

#[derive(Default)]
struct Taken {
    headers: Vec<SourceHeader>,
    rows: Vec<(u64, u64, Vec<String>)>,
    n_frames: usize,
}

impl Sink for Taken {
    fn header(&mut self, header: SourceHeader) -> Result<(), DecodeError> {
        self.headers.push(header);
        Ok(())
    }

    fn sheet(&mut self, entry: SheetEntry) -> Result<(), DecodeError> {
        panic!("no survey: {entry:?}")
    }

    fn spill_room(&mut self, n_bytes: u64) -> Result<Option<SpillRoom>, DecodeError> {
        panic!("nothing to spill: {n_bytes}")
    }

    fn rows(&mut self, frame: Frame) -> Result<(), DecodeError> {
        self.n_frames += 1;
        for row in frame.rows() {
            let cells = row.cells().map(|cell| cell.to_string()).collect();
            self.rows.push((row.ordinal, row.row_number, cells));
        }
        Ok(())
    }
}

fn assemble(
    header: HeaderRow,
    limits: &Limits,
    cells: &[(u32, u32, Cell<'_>)],
) -> (Taken, Result<Outcome, DecodeError>) {
    let mut taken = Taken::default();
    let sheet = SheetInfo {
        format: FileFormat::Xlsx,
        name: "Q3".to_owned(),
        is_hidden: false,
        n_rows_hint: Some(10),
    };
    let mut rows = Rows::new(&mut taken, sheet, header, limits);
    let fed = cells
        .iter()
        .try_for_each(|(row, column, cell)| rows.cell(*row, *column, *cell));
    let outcome = fed.and_then(|()| rows.finish());
    (taken, outcome)
}

fn text(row: u32, column: u32, text: &str) -> (u32, u32, Cell<'_>) {
    (row, column, Cell::Text(text))
}

#[test]
fn gaps_are_filled_and_blank_rows_left_out() {
    let cells = [
        text(0, 0, "title"),
        text(2, 1, "name"),
        text(2, 3, "age"),
        text(3, 0, "a"),
        text(3, 3, "b"),
        (4, 0, Cell::Empty),
        (4, 2, Cell::Text("")),
        text(9, 1, "c"),
        (9, 2, Cell::Empty),
    ];
    let (taken, outcome) = assemble(HeaderRow::Row(3), &Limits::default(), &cells);
    assert_eq!(outcome, Ok(Outcome::Read));
    let header = &taken.headers[0];
    assert_eq!(header.names, ["", "name", "", "age"]);
    assert_eq!(header.first_data_row_number, 4);
    assert_eq!(header.n_rows_hint, Some(7));
    assert!(header.has_header);
    let rows: Vec<_> = taken
        .rows
        .iter()
        .map(|(ordinal, number, cells)| (*ordinal, *number, cells.join("|")))
        .collect();
    assert_eq!(rows, [(0, 4, "a|||b".to_owned()), (6, 10, "|c".to_owned())]);
}

#[test]
fn without_a_header_data_begin_in_row_1() {
    let cells = [text(1, 0, "a")];
    let (taken, outcome) = assemble(HeaderRow::Absent, &Limits::default(), &cells);
    assert_eq!(outcome, Ok(Outcome::Read));
    assert!(!taken.headers[0].has_header);
    assert_eq!(taken.headers[0].names, [""; 0]);
    assert_eq!(taken.rows, [(1, 2, vec!["a".to_owned()])]);
}

#[test]
fn a_header_alone_is_a_sheet_of_no_rows() {
    let cells = [text(0, 0, "name")];
    let (taken, outcome) = assemble(HeaderRow::Row(1), &Limits::default(), &cells);
    assert_eq!(outcome, Ok(Outcome::Read));
    assert_eq!((taken.headers.len(), taken.rows.len()), (1, 0));
}

#[test]
fn a_sheet_of_blank_cells_hands_on_nothing() {
    let cells = [(0, 0, Cell::Empty), (5, 5, Cell::Text(""))];
    for header in [HeaderRow::Absent, HeaderRow::Row(1)] {
        let (taken, outcome) = assemble(header, &Limits::default(), &cells);
        assert_eq!(outcome, Ok(Outcome::NoContent));
        assert!(taken.headers.is_empty());
    }
}

#[test]
fn a_blank_header_row_is_no_header() {
    for cells in [[text(1, 0, "a")], [text(4, 0, "a")]] {
        let (_, outcome) = assemble(HeaderRow::Row(3), &Limits::default(), &cells);
        let Err(DecodeError::NoHeader { row: 3, .. }) = outcome else {
            panic!("{outcome:?}");
        };
    }
}

#[test]
fn cells_out_of_order_or_twice_are_refused() {
    let name = text(0, 0, "name");
    for second in [text(2, 2, "twice"), text(2, 1, "left"), text(1, 5, "above")] {
        let cells = [name, text(2, 2, "a"), second];
        let (_, outcome) = assemble(HeaderRow::Row(1), &Limits::default(), &cells);
        let Err(DecodeError::CorruptFile { .. }) = outcome else {
            panic!("{second:?}: {outcome:?}");
        };
    }
}

#[test]
fn limits_name_themselves() {
    let limits = Limits {
        columns_max: 3,
        sheet_rows_max: 4,
        ..Limits::default()
    };
    for (cell, limit) in [
        (text(1, 3, "a"), "columns_max"),
        (text(4, 0, "a"), "sheet_rows_max"),
    ] {
        let (_, outcome) = assemble(HeaderRow::Row(1), &limits, &[text(0, 0, "name"), cell]);
        assert_eq!(
            outcome,
            Err(DecodeError::limit(
                limit,
                if limit == "columns_max" { 4 } else { 5 },
                if limit == "columns_max" { 3 } else { 4 }
            ))
        );
    }
}

#[test]
fn a_row_beyond_its_bytes_is_refused() {
    let long = "x".repeat(1 << 20);
    let mut cells = vec![text(0, 0, "name")];
    cells.extend((0..40).map(|column| text(1, column, &long)));
    let (_, outcome) = assemble(HeaderRow::Row(1), &Limits::default(), &cells);
    assert!(outcome.unwrap_err().to_string().contains("row_bytes_max"));
}

#[test]
fn a_header_beyond_its_bytes_is_refused_and_any_other_fits_a_message() {
    // Each character takes six bytes there.
    let long = "\u{1}".repeat(1 << 20);
    let cells: Vec<_> = (0..9).map(|column| text(0, column, &long)).collect();
    let (_, outcome) = assemble(HeaderRow::Row(1), &Limits::default(), &cells);
    let complaint = outcome.unwrap_err().to_string();
    assert!(complaint.contains("header_bytes_max"), "{complaint}");
    let (taken, outcome) = assemble(HeaderRow::Row(1), &Limits::default(), &cells[1..]);
    assert_eq!(outcome, Ok(Outcome::Read));
    write_header(&mut std::io::sink(), &taken.headers[0]).unwrap();
}

#[test]
fn frames_are_cut_near_their_target() {
    let long = "x".repeat(1000);
    let mut cells = vec![text(0, 0, "name")];
    cells.extend((1..200).map(|row| text(row, 0, &long)));
    let (taken, outcome) = assemble(HeaderRow::Row(1), &Limits::default(), &cells);
    assert_eq!(outcome, Ok(Outcome::Read));
    assert_eq!(taken.rows.len(), 199);
    assert_eq!(taken.n_frames, 4);
}
