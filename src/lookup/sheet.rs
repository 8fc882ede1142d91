//! One sheet of a file: its header, guessed or given, and the first rows below it.
//!
//! In: a surveyed sheet. Out: an [`InspectedSheet`]. Pure; bounded by the survey.

use crate::decode::HeaderRow;
use crate::decode::error::DecodeError;
use crate::decode::survey::SurveyedSheet;
use crate::mapping::guess::{self, Known};
use crate::model::frame::{Frame, FrameBuilder, FrameRow};

/// A sheet as it is told.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectedSheet {
    /// Empty for CSV.
    pub name: String,
    /// The program hides it.
    pub is_hidden: bool,
    /// The row of the header as [`HeaderRow`] counts; 0: there is none.
    pub header_row: u64,
    /// The header's cells as text, from column A on.
    pub header: Vec<String>,
    /// The first rows with content below the header; their ordinals count from the row behind it.
    pub samples: Frame,
}

impl InspectedSheet {
    /// What is known of `sheet`, with up to `n_samples` rows. NO_HEADER where the header was given
    /// and an import, which would read this sheet, finds none there.
    pub(super) fn of(
        sheet: SurveyedSheet,
        header: Option<HeaderRow>,
        known: &Known<'_>,
        n_samples: usize,
    ) -> Result<InspectedSheet, DecodeError> {
        let rows: Vec<FrameRow<'_>> = sheet.rows.iter().flat_map(Frame::rows).collect();
        let ordinal = match header {
            None | Some(HeaderRow::Any) => guess::header_row(&rows, known),
            Some(HeaderRow::Absent) => None,
            Some(HeaderRow::Row(row)) => Some(u64::from(row).saturating_sub(1)),
        };
        let found = ordinal.and_then(|ordinal| rows.iter().find(|row| row.ordinal == ordinal));
        if let (Some(HeaderRow::Row(row)), None, true) = (header, found, sheet.entry.is_read) {
            return Err(DecodeError::NoHeader {
                row,
                why: if rows.is_empty() {
                    "no row from there on holds data".to_owned()
                } else {
                    "the row is blank".to_owned()
                },
            });
        }
        let header_row = found.map_or(0, |row| row.ordinal + 1);
        let names = found.into_iter().flat_map(FrameRow::cells);
        Ok(InspectedSheet {
            header: names.map(|cell| cell.to_string()).collect(),
            header_row,
            samples: samples(&rows, header_row, n_samples),
            name: sheet.entry.name,
            is_hidden: sheet.entry.is_hidden,
        })
    }
}

/// The first rows from the ordinal `first` on, counted from there.
fn samples(rows: &[FrameRow<'_>], first: u64, n_samples: usize) -> Frame {
    let mut builder = FrameBuilder::new();
    let below = rows.iter().filter(|row| row.ordinal >= first);
    for row in below.take(n_samples) {
        builder.begin_row(row.ordinal - first, row.row_number, "");
        for cell in row.cells() {
            builder.push(cell);
        }
        builder.end_row();
    }
    builder.take()
}
