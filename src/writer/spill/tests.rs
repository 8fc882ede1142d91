use super::{CHUNK_ROWS, Spill};
use crate::disk::SpoolDir;
use crate::model::reject::RejectedRow;

fn row(ordinal: u64, value: &str) -> RejectedRow {
    RejectedRow {
        ordinal,
        sheet: String::new(),
        row_number: ordinal + 2,
        errors: Vec::new(),
        raw_values: vec![value.to_owned()],
    }
}

#[test]
fn rows_come_back_in_order_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut spill = Spill::new(SpoolDir::new(dir.path(), None));
    let rows: Vec<RejectedRow> = (0..1_700).map(|at| row(at, "line\nbreak\0")).collect();
    for some in rows.chunks(7) {
        spill.push(some).unwrap();
    }
    assert_eq!(spill.n_rows(), 1_700);
    let mut spilled = spill.finish().unwrap();
    let mut back = Vec::new();
    loop {
        let chunk = spilled.chunk().unwrap();
        if chunk.is_empty() {
            break;
        }
        assert!(chunk.len() <= CHUNK_ROWS);
        back.extend(chunk);
    }
    assert_eq!(back, rows);
}

#[test]
fn no_row_makes_no_file() {
    let mut spill = Spill::new(SpoolDir::new("/nowhere", None));
    spill.push(&[]).unwrap();
    assert!(spill.finish().unwrap().chunk().unwrap().is_empty());
}
