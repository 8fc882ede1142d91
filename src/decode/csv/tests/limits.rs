//! What is beyond a limit ends the file by the limit's name, and nothing grows meanwhile.

use super::{Read, plain, read_chunks};
use crate::decode::csv::CsvDecoder;
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;

/// What feeding `piece` again and again ends with, and after how many bytes.
fn exhaust(start: &[u8], piece: &[u8], limits: &Limits) -> (DecodeError, usize) {
    let mut decoder = CsvDecoder::new(&plain(), limits).unwrap();
    let mut out = |_| {};
    decoder.feed(start, &mut out).unwrap();
    let mut n_bytes = start.len();
    loop {
        n_bytes += piece.len();
        assert!(n_bytes < 64 << 20, "not bounded");
        if let Err(error) = decoder.feed(piece, &mut out) {
            return (error, n_bytes);
        }
    }
}

#[test]
fn every_limit_is_named_and_stops_the_file() {
    let limits = Limits {
        csv_bytes_max: 8 << 20,
        csv_cell_bytes_max: 1 << 20,
        csv_row_bytes_max: 4 << 20,
        columns_max: 100_000,
        ..Limits::default()
    };
    let x = "x".repeat(5000);
    let cells = format!("{},", "z".repeat(500)).repeat(10);
    // What a file begins with, and what then comes without end.
    let cases: [(&str, &str, &str, u64, &str); 6] = [
        ("a,b\n1,", &x, "csv_cell_bytes_max", 1 << 20, "on line 2"),
        (
            "a,b\n\n1,\"",
            "y\"\"y\n",
            "csv_cell_bytes_max",
            1 << 20,
            "quote opens on line 3",
        ),
        ("", &x, "csv_cell_bytes_max", 1 << 20, "on line 1"),
        (
            "a,b\n",
            &cells,
            "csv_row_bytes_max",
            4 << 20,
            "starts on line 2",
        ),
        ("", ",,,,,,,,", "columns_max", 100_000, "starts on line 1"),
        ("a,b\n", "1,2\n", "csv_bytes_max", 8 << 20, ""),
    ];
    for (start, piece, name, expected_bound, place) in cases {
        let piece = piece.repeat(1 + 4000 / piece.len());
        let (error, n_bytes) = exhaust(start.as_bytes(), piece.as_bytes(), &limits);
        let DecodeError::Limit {
            limit,
            value,
            bound,
            at,
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!((&**limit, *bound), (name, expected_bound));
        assert!(*value > *bound, "{error}");
        assert!(at.as_deref().unwrap_or_default().contains(place), "{error}");
        // Nothing is read beyond what the limit needs.
        assert!(n_bytes < (9 << 20), "{name} after {n_bytes}");
    }
}

#[test]
fn what_is_exactly_at_a_limit_passes() {
    let limits = Limits {
        csv_bytes_max: 40,
        csv_cell_bytes_max: 10,
        csv_row_bytes_max: 16,
        columns_max: 3,
        ..Limits::default()
    };
    let read = |input: &str| {
        let whole = read_chunks(&plain(), &limits, [input.as_bytes()]);
        let bytes = read_chunks(&plain(), &limits, input.as_bytes().chunks(1));
        let name = |result: Result<Read, DecodeError>| match result {
            Ok(_) => String::new(),
            Err(DecodeError::Limit { limit, .. }) => limit.into_owned(),
            Err(error) => panic!("{error}"),
        };
        let whole = name(whole);
        assert_eq!(name(bytes), whole, "{input:?}");
        whole
    };
    let cases = [
        ("a,b,c\n0123456789,012345,\n", ""),
        ("a,b,c\n\"0123456789\",012345,\n", ""),
        ("a,b,c\n0123456789a,,\n", "csv_cell_bytes_max"),
        ("a,b,c\n\"0123456\n\"\"ab\",,\n", "csv_cell_bytes_max"),
        ("a,b,c\n0123456789,0123456,\n", "csv_row_bytes_max"),
        ("a,b,c\n1,2,3,4\n", "columns_max"),
        ("a,b,c,d\n", "columns_max"),
        ("a\n01234567\n01234567\n01234567\n01234567\n01", ""),
        (
            "a\n01234567\n01234567\n01234567\n01234567\n012",
            "csv_bytes_max",
        ),
    ];
    for (input, expected) in cases {
        assert_eq!(read(input), expected, "{input:?}");
    }
}
