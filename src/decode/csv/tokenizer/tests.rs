use proptest::prelude::*;

use super::{RawCell, Records, Tokenizer, cell_end};
use crate::decode::csv::dialect::Dialect;
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;

/// Everything that a tokenizer tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Each with the line on which it starts.
    records: Vec<(u64, Vec<Vec<u8>>)>,
    next_line: u64,
}

impl Records for Told {
    fn begin(&mut self, line: u64) {
        self.records.push((line, Vec::new()));
    }

    fn cell(&mut self, cell: RawCell<'_>) -> Result<(), DecodeError> {
        let bytes = match cell {
            RawCell::Text(text) => {
                assert!(!text.contains('\0'));
                text.as_bytes()
            }
            RawCell::Bytes(bytes) => bytes,
        };
        let (_, cells) = self.records.last_mut().unwrap();
        cells.push(bytes.to_vec());
        Ok(())
    }

    fn end(&mut self, next_line: u64) -> Result<(), DecodeError> {
        self.next_line = next_line;
        Ok(())
    }
}

const COMMAS: Dialect = Dialect {
    delimiter: b',',
    quote: b'"',
};

fn tokenize<'a>(
    dialect: Dialect,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Told, DecodeError> {
    let mut told = Told::default();
    let mut tokenizer = Tokenizer::new(dialect, &Limits::default());
    for chunk in chunks {
        tokenizer.feed(chunk, &mut told)?;
    }
    tokenizer.finish(&mut told)?;
    Ok(told)
}

/// Records with content, as the csv crate reads them.
fn reference(dialect: Dialect, bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(dialect.delimiter)
        .quote(dialect.quote)
        .from_reader(bytes);
    let records = reader.byte_records().map(|record| {
        let record = record.unwrap();
        record.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()
    });
    records.filter(|cells| has_content(cells)).collect()
}

fn has_content(cells: &[Vec<u8>]) -> bool {
    cells.iter().any(|cell| !cell.is_empty())
}

/// Line ends, CRLF as one.
fn n_line_ends(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let n_line_ends = text.matches(['\r', '\n']).count();
    u64::try_from(n_line_ends).unwrap()
}

#[test]
fn quotes_line_ends_and_lines_are_read_as_the_rules_say() {
    // Each record as its line and its cells, joined by `|`.
    let cases: [(&str, &[(u64, &str)]); 21] = [
        ("", &[]),
        ("a", &[(1, "a")]),
        ("a,b\n", &[(1, "a|b")]),
        ("a,b\nc,d", &[(1, "a|b"), (2, "c|d")]),
        ("a,\n,b\n", &[(1, "a|"), (2, "|b")]),
        ("a,", &[(1, "a|")]),
        (
            "\na\n\n\nb\n",
            &[(1, ""), (2, "a"), (3, ""), (4, ""), (5, "b")],
        ),
        (
            "a\r\nb\rc\nd\r\r\n",
            &[(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "")],
        ),
        ("a\n\rb", &[(1, "a"), (2, ""), (3, "b")]),
        ("\"a,b\",c\n", &[(1, "a,b|c")]),
        ("\"a\"\"b\",\"\"\"\"\n", &[(1, "a\"b|\"")]),
        ("\"\",\"\"\n", &[(1, "|")]),
        ("\"a\"b\"c,d\n", &[(1, "ab\"c|d")]),
        ("a\"b,c\"\n", &[(1, "a\"b|c\"")]),
        (" \"a\"\n", &[(1, " \"a\"")]),
        ("\"a\nb\",c\nd\n", &[(1, "a\nb|c"), (3, "d")]),
        ("\"a\r\nb\rc\n\",d\r\ne", &[(1, "a\r\nb\rc\n|d"), (5, "e")]),
        ("\"a\r\"\"\nb\"\nc", &[(1, "a\r\"\nb"), (4, "c")]),
        ("x,\"a\r\",\"\n\"\nc", &[(1, "x|a\r|\n"), (4, "c")]),
        (
            "\"\n\n\"\n\n\"\n\",\"\n\"\nz",
            &[(1, "\n\n"), (4, ""), (5, "\n|\n"), (8, "z")],
        ),
        ("=\"00123\",'x\n", &[(1, "=\"00123\"|'x")]),
    ];
    for (input, expected) in cases {
        for size in 1..=input.len().max(1) {
            let told = tokenize(COMMAS, input.as_bytes().chunks(size)).unwrap();
            let found: Vec<(u64, String)> = told
                .records
                .iter()
                .map(|(line, cells)| (*line, String::from_utf8(cells.join(&b'|')).unwrap()))
                .collect();
            let found: Vec<(u64, &str)> = found.iter().map(|(line, it)| (*line, &**it)).collect();
            assert_eq!(found, expected, "{input:?} in chunks of {size}");
        }
    }
}

#[test]
fn an_unclosed_quote_is_corrupt_and_names_its_line() {
    let cases = [
        ("\"", 1),
        ("a\n\"b\n", 2),
        ("a\r\n\r\n\"b\nc\",\"d\n\n", 4),
        ("a\n\"b\"\"", 2),
        ("\"a\"\n\"b\r\nc\nd,", 2),
    ];
    for (input, line) in cases {
        for size in [1, 3, input.len()] {
            let error = tokenize(COMMAS, input.as_bytes().chunks(size)).unwrap_err();
            let what = format!("the quote that opens on line {line} never closes");
            assert_eq!(error, DecodeError::CorruptFile { what }, "{input:?}");
        }
    }
}

#[test]
fn cells_longer_than_a_window_come_whole() {
    let long = "x".repeat(100_000);
    let quoted = format!("\"{}\"", "y\n\"\"".repeat(30_000));
    let input = format!("{long},{quoted},z\nnext\n");
    let told = tokenize(COMMAS, [input.as_bytes()]).unwrap();
    let cells = &told.records[0].1;
    assert!(cells[0] == long.as_bytes());
    assert!(cells[1] == "y\n\"".repeat(30_000).as_bytes());
    assert_eq!(cells[2], b"z");
    assert_eq!(told.records[1], (30_002, vec![b"next".to_vec()]));
}

/// Bytes among which the ones that mean something are frequent.
fn csv_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(&b"a"[..]),
        2 => Just(&b"bc"[..]),
        3 => Just(&b","[..]),
        3 => Just(&b"\""[..]),
        2 => Just(&b"\n"[..]),
        2 => Just(&b"\r\n"[..]),
        1 => Just(&b"\r"[..]),
        1 => Just(&b";"[..]),
        1 => Just(&b"'"[..]),
        1 => Just("é東".as_bytes()),
        1 => Just(&b"\xff"[..]),
        1 => Just(&b"\0"[..]),
    ];
    prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

fn dialects() -> impl Strategy<Value = Dialect> {
    prop::sample::select(vec![
        (b',', b'"'),
        (b';', b'"'),
        (b',', b'\''),
        (b';', b'\''),
    ])
    .prop_map(|(delimiter, quote)| Dialect { delimiter, quote })
}

/// The input in chunks of the given lengths, in turn.
fn cut<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (chunk, rest) = bytes.split_at((*length).min(bytes.len()));
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn records_are_those_of_the_csv_crate(input in csv_bytes(), dialect in dialects()) {
        let (told, input) = match tokenize(dialect, [&input[..]]) {
            Ok(told) => (told, input),
            // The csv crate takes an unclosed quote as closed by the end: then that it is.
            Err(DecodeError::CorruptFile { .. }) => {
                let closed = [&input[..], &[dialect.quote]].concat();
                (tokenize(dialect, [&closed[..]]).unwrap(), closed)
            }
            Err(error) => panic!("{error}"),
        };
        let found: Vec<_> = told.records.into_iter().map(|(_, cells)| cells).collect();
        let found: Vec<_> = found.into_iter().filter(|cells| has_content(cells)).collect();
        prop_assert_eq!(found, reference(dialect, &input));
    }

    #[test]
    fn chunks_do_not_change_the_result(
        input in csv_bytes(),
        dialect in dialects(),
        lengths in prop::collection::vec(1usize..20, 1..8),
    ) {
        let whole = tokenize(dialect, [&input[..]]);
        prop_assert_eq!(&tokenize(dialect, cut(&input, &lengths)), &whole);
        prop_assert_eq!(&tokenize(dialect, input.chunks(1)), &whole);
    }

    #[test]
    fn every_physical_line_is_counted(input in csv_bytes()) {
        let input = [&input[..], b"\n"].concat();
        if let Ok(told) = tokenize(COMMAS, [&input[..]]) {
            prop_assert_eq!(told.next_line, n_line_ends(&input) + 1);
            // A record starts where the lines before it end.
            let lines: Vec<u64> = told.records.iter().map(|(line, _)| *line).collect();
            prop_assert_eq!(lines.first(), Some(&1));
            prop_assert!(lines.is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    fn a_cell_ends_at_the_first_byte_that_ends_one(
        // Neighbours of the needles, and bytes with the high bit, are what tricks with words miss.
        bytes in prop::collection::vec(
            prop_oneof![
                20 => any::<u8>(),
                1 => prop::sample::select(&b",\n\r+-\x0b\x0c\x0e\x09\xac\x8a\x8d"[..]),
            ],
            0..60,
        ),
    ) {
        let ends_cell = |byte: &u8| matches!(byte, b',' | b'\n' | b'\r');
        prop_assert_eq!(cell_end(b',', &bytes), bytes.iter().position(ends_cell));
    }
}
