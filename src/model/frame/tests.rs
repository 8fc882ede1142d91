use proptest::prelude::*;

use super::{Frame, FrameBuilder};
use crate::model::cell::{Cell, DateSystem};

const ALL_KINDS: [Cell<'static>; 22] = [
    Cell::Empty,
    Cell::Text("Ørsted 東京"),
    Cell::InvalidText("a\u{fffd}"),
    Cell::Number(-0.0),
    Cell::ZerosNumber {
        value: 1234.0,
        shown: "01234",
    },
    Cell::Bool(false),
    Cell::Bool(true),
    Cell::DateSerial {
        serial: 45000.5,
        system: DateSystem::Y1900,
    },
    Cell::DateSerial {
        serial: 43538.5,
        system: DateSystem::Y1904,
    },
    Cell::Duration(1.25),
    Cell::IsoDateTime("2024-02-29"),
    Cell::Error("#N/A"),
    Cell::FormulaWithoutValue,
    Cell::Null,
    Cell::Unset,
    Cell::Int(i64::MIN),
    Cell::Double(f64::MAX),
    Cell::Bytes(&[0, 255]),
    Cell::Decimal("1.10"),
    Cell::Date("2024-02-29"),
    Cell::Time("23:59:60"),
    Cell::Timestamp {
        seconds: -1,
        nanos: 999_999_999,
    },
];

fn frame_of_all_kinds() -> Frame {
    let mut builder = FrameBuilder::new();
    for ordinal in [7, 8] {
        builder.begin_row(ordinal, ordinal + 2, "Q3");
        for cell in ALL_KINDS {
            builder.push(cell);
        }
        builder.end_row();
    }
    builder.take()
}

#[test]
fn every_kind_of_cell_comes_back() {
    let frame = frame_of_all_kinds();
    let frame = Frame::parse(frame.as_bytes().to_vec()).unwrap();
    assert_eq!(frame.n_rows(), 2);
    for (row, ordinal) in frame.rows().zip([7, 8]) {
        assert_eq!(
            (row.ordinal, row.row_number, row.sheet),
            (ordinal, ordinal + 2, "Q3")
        );
        assert_eq!(row.cells().collect::<Vec<_>>(), ALL_KINDS);
        assert_eq!(frame.row_at(row.start).hash(), row.hash());
    }
}

#[test]
fn a_row_hash_depends_on_ordinal_and_cells_only() {
    let frame = frame_of_all_kinds();
    let hashes: Vec<u128> = frame.rows().map(|row| row.hash()).collect();
    assert_ne!(hashes[0], hashes[1]);

    let mut builder = FrameBuilder::new();
    builder.begin_row(7, 99, "elsewhere");
    for cell in ALL_KINDS {
        builder.push(cell);
    }
    builder.end_row();
    assert_eq!(builder.take().rows().next().unwrap().hash(), hashes[0]);
}

#[test]
fn a_discarded_row_leaves_no_trace() {
    let mut builder = FrameBuilder::new();
    builder.begin_row(0, 1, "");
    builder.push(Cell::Text("gone"));
    builder.discard_row();
    assert!(builder.is_empty());
    assert_eq!(builder.n_bytes(), 0);
}

#[test]
fn an_open_row_stays_when_the_closed_ones_are_taken() {
    let mut builder = FrameBuilder::new();
    assert_eq!(builder.take_closed(), Frame::default());
    builder.begin_row(0, 2, "");
    builder.push(Cell::Text("closed"));
    builder.end_row();
    builder.begin_row(1, 3, "");
    builder.push(Cell::Text("open"));
    let closed = builder.take_closed();
    assert_eq!((closed.n_rows(), builder.n_rows()), (1, 0));
    assert_eq!(closed.rows().next().unwrap().ordinal, 0);
    assert_eq!(builder.n_cells_in_row(), 1);
    builder.push(Cell::Empty);
    builder.end_row();
    let rest = Frame::parse(builder.take().as_bytes().to_vec()).unwrap();
    let row = rest.rows().next().unwrap();
    assert_eq!((row.ordinal, row.row_number), (1, 3));
    assert!(row.cells().eq([Cell::Text("open"), Cell::Empty]));
}

#[test]
fn a_frame_cut_anywhere_is_refused_or_shorter() {
    let whole = frame_of_all_kinds();
    for cut in 0..whole.as_bytes().len() {
        if let Ok(frame) = Frame::parse(whole.as_bytes()[..cut].to_vec()) {
            assert!(frame.n_rows() < 2, "cut at {cut}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(frame) = Frame::parse(bytes) {
            for row in frame.rows() {
                row.cells().for_each(drop);
            }
        }
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0usize..400, value in any::<u8>()) {
        let mut bytes = frame_of_all_kinds().as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = value;
        if let Ok(frame) = Frame::parse(bytes) {
            for row in frame.rows() {
                row.cells().for_each(drop);
            }
        }
    }
}
