use std::io;

use super::{DeathCause, DecodeError, shown};
use crate::model::import::{Failure, Reason};

fn one_of_each() -> Vec<(DecodeError, Reason)> {
    let died = |cause| DecodeError::DecoderDied { cause };
    vec![
        (DecodeError::corrupt("cut"), Reason::CorruptFile),
        (
            DecodeError::Encrypted {
                how: "agile".to_owned(),
            },
            Reason::EncryptedFile,
        ),
        (DecodeError::unsupported("a PDF"), Reason::UnsupportedFormat),
        (
            DecodeError::SheetNotFound {
                wanted: "Q5".to_owned(),
                available: vec!["Q1".to_owned(), "Q2".to_owned()],
            },
            Reason::SheetNotFound,
        ),
        (
            DecodeError::NoHeader {
                row: 1,
                why: "the file is empty".to_owned(),
            },
            Reason::NoHeader,
        ),
        (
            DecodeError::limit("columns_max", 20_000, 16_384),
            Reason::LimitExceeded,
        ),
        (
            died(DeathCause::CpuLimit { seconds: 60 }),
            Reason::LimitExceeded,
        ),
        (
            died(DeathCause::MemoryLimit { bytes: 1 << 30 }),
            Reason::LimitExceeded,
        ),
        (died(DeathCause::Signal { number: 9 }), Reason::Internal),
        (died(DeathCause::Signal { number: 25 }), Reason::Internal),
        (died(DeathCause::Signal { number: 11 }), Reason::CorruptFile),
        (died(DeathCause::Exit { code: 101 }), Reason::CorruptFile),
        (
            died(DeathCause::Protocol {
                what: "a frame".to_owned(),
            }),
            Reason::Internal,
        ),
        (
            DecodeError::io("write", &io::ErrorKind::StorageFull.into()),
            Reason::DiskFull,
        ),
        (
            DecodeError::io("write", &io::ErrorKind::BrokenPipe.into()),
            Reason::Internal,
        ),
        (
            DecodeError::InvalidOption {
                what: "delimiter".to_owned(),
            },
            Reason::InvalidOption,
        ),
        (DecodeError::Cancelled, Reason::CancelledByCaller),
    ]
}

#[test]
fn every_error_has_its_reason_and_survives_the_pipe() {
    for (error, reason) in one_of_each() {
        let json = serde_json::to_string(&error).unwrap();
        let back: DecodeError = serde_json::from_str(&json).unwrap();
        assert_eq!(back, error, "{json}");
        assert_eq!(Failure::from(error).reason, reason, "{json}");
    }
}

#[test]
fn a_limit_names_itself_the_value_and_the_bound() {
    let error = DecodeError::limit_at("csv_cell_bytes_max", 12, 10, "line 7".to_owned());
    assert_eq!(
        error.to_string(),
        "csv_cell_bytes_max exceeded: 12 is above 10, line 7"
    );
    let failure = Failure::from(error);
    assert_eq!(failure.metadata["limit"], "csv_cell_bytes_max");
    assert_eq!(failure.metadata["value"], "12");
    assert_eq!(failure.metadata["bound"], "10");
}

#[test]
fn sheet_names_are_escaped_cut_and_counted() {
    let error = DecodeError::SheetNotFound {
        wanted: "a\n\u{202e}b".to_owned(),
        available: (0..50).map(|n| format!("S{n}")).collect(),
    };
    let message = error.to_string();
    assert!(
        message.starts_with(r#"sheet "a\n\u{202e}b" not found, the file has "S0", "S1","#),
        "{message}"
    );
    assert!(message.ends_with("\"S19\" and 30 more"), "{message}");
    assert_eq!(shown(&"x".repeat(5000)).chars().count(), 257);
    assert_eq!(shown("O'Brien \0"), r"O'Brien \0");
}
