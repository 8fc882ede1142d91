use super::{SHEET_BYTES_MAX, Sample, SurveyRequest};
use crate::model::cell::Cell;
use crate::model::frame::{Frame, FrameBuilder};
use crate::model::import::FileFormat;

fn request(first_row: u32, n_rows: u32) -> SurveyRequest {
    SurveyRequest {
        format: Some(FileFormat::Csv),
        sheet: String::new(),
        first_row,
        n_rows,
    }
}

fn frame(ordinals: std::ops::Range<u64>, text: &str) -> Frame {
    let mut builder = FrameBuilder::new();
    for ordinal in ordinals {
        builder.begin_row(ordinal, ordinal + 1, "");
        builder.push(Cell::Text(text));
        builder.end_row();
    }
    builder.take()
}

fn ordinals(sample: Sample) -> Vec<u64> {
    let frames = sample.into_rows();
    let rows = frames.iter().flat_map(Frame::rows);
    rows.map(|row| row.ordinal).collect()
}

#[test]
fn rows_are_taken_from_the_first_that_is_wanted_up_to_the_number() {
    let mut sample = Sample::new(&request(4, 5));
    sample.take(&frame(0..2, "a"));
    sample.take(&frame(2..6, "a"));
    assert!(!sample.is_full());
    sample.take(&frame(6..20, "a"));
    assert!(sample.is_full());
    sample.take(&frame(20..30, "a"));
    assert_eq!(ordinals(sample), [3, 4, 5, 6, 7]);
}

#[test]
fn bytes_bound_a_sample_too() {
    let mut sample = Sample::new(&request(1, 1000));
    let text = "x".repeat(SHEET_BYTES_MAX / 4);
    sample.take(&frame(0..10, &text));
    assert!(sample.is_full());
    assert_eq!(ordinals(sample), [0, 1, 2, 3]);
}
