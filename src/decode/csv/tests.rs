use std::fmt::Write as _;

use encoding_rs::{
    BIG5, Encoding, ISO_2022_JP, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252,
};
use proptest::prelude::*;

use super::CsvDecoder;
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::{CsvOptions, Decoded, FileOptions, HeaderRow, SourceHeader};
use crate::model::cell::Cell;
use crate::model::frame::{FRAME_BYTES_TARGET, Frame};
use crate::model::import::FileFormat;

mod limits;

/// A row as tests compare it: ordinal, row number, cells. Invalid text begins with `!`.
type Row = (u64, u64, Vec<String>);

#[derive(Debug, Clone, PartialEq)]
struct Read {
    header: SourceHeader,
    rows: Vec<Row>,
}

fn options(header: HeaderRow, csv: CsvOptions) -> FileOptions {
    FileOptions {
        format: None,
        sheet: String::new(),
        header,
        csv,
        compression: None,
    }
}

fn plain() -> FileOptions {
    options(HeaderRow::Row(1), CsvOptions::default())
}

fn encoded(encoding: &'static Encoding) -> FileOptions {
    let csv = CsvOptions {
        encoding: Some(encoding),
        ..CsvOptions::default()
    };
    options(HeaderRow::Row(1), csv)
}

fn rows_of(frame: &Frame) -> Vec<Row> {
    // What a child process would get is well-formed too.
    assert_eq!(Frame::parse(frame.as_bytes().to_vec()).as_ref(), Ok(frame));
    let rows = frame.rows().map(|row| {
        assert_eq!(row.sheet, "");
        let cells = row.cells().map(|cell| match cell {
            Cell::Empty => String::new(),
            Cell::Text(text) => {
                assert!(!text.is_empty() && !text.contains('\0'));
                text.to_owned()
            }
            Cell::InvalidText(text) => {
                assert!(text.contains('\u{fffd}') && !text.contains('\0'));
                format!("!{text}")
            }
            other => panic!("{other:?} in a CSV file"),
        });
        (row.ordinal, row.row_number, cells.collect())
    });
    rows.collect()
}

fn read_chunks<'a>(
    options: &FileOptions,
    limits: &Limits,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Read, DecodeError> {
    let (mut header, mut rows) = (None, Vec::new());
    let mut out = |decoded| match decoded {
        Decoded::Header(it) => assert_eq!(header.replace(it), None, "a second header"),
        Decoded::Rows(frame) => {
            assert!(frame.n_rows() > 0);
            rows.extend(rows_of(&frame));
        }
    };
    let mut decoder = CsvDecoder::new(options, limits)?;
    for chunk in chunks {
        decoder.feed(chunk, &mut out)?;
    }
    decoder.finish(&mut out)?;
    let header = header.expect("a header comes before the end");
    Ok(Read { header, rows })
}

/// Reads in chunks of several sizes, and as one, which must not differ.
fn read(options: &FileOptions, bytes: &[u8]) -> Result<Read, DecodeError> {
    let limits = Limits::default();
    let whole = read_chunks(options, &limits, [bytes]);
    for size in [1, 2, 3, 7] {
        let chunked = read_chunks(options, &limits, bytes.chunks(size));
        assert_eq!(chunked, whole, "chunks of {size}");
    }
    whole
}

fn row(ordinal: u64, row_number: u64, cells: &[&str]) -> Row {
    let cells = cells.iter().map(|&cell| cell.to_owned()).collect();
    (ordinal, row_number, cells)
}

#[test]
fn a_header_and_rows_come_out_with_their_places() {
    let read = read(&plain(), b"id,name\n1,Acme\n2,\"Beta, Inc\"\n").unwrap();
    let header = SourceHeader {
        format: FileFormat::Csv,
        sheet: String::new(),
        names: vec!["id".to_owned(), "name".to_owned()],
        is_hidden: false,
        header_row: 1,
        has_header: true,
        first_data_row_number: 2,
        n_rows_hint: None,
    };
    assert_eq!(read.header, header);
    let rows = [row(0, 2, &["1", "Acme"]), row(1, 3, &["2", "Beta, Inc"])];
    assert_eq!(read.rows, rows);
}

#[test]
fn ordinals_count_records_and_row_numbers_count_lines() {
    let input = "id,\"na\nme\"\r\n\r\n1,\"a\nb\r\nc\"\r,\n\"\",\"\"\n\n2,d\n3\n4,e,f,\n\n\n";
    let read = read(&plain(), input.as_bytes()).unwrap();
    assert_eq!(read.header.names, ["id", "na\nme"]);
    assert_eq!(read.header.first_data_row_number, 3);
    let rows = [
        // Ordinal 0 is the blank line 3.
        row(1, 4, &["1", "a\nb\r\nc"]),
        // Ordinals 2 and 3 hold empty cells only, 4 is blank.
        row(5, 10, &["2", "d"]),
        row(6, 11, &["3"]),
        row(7, 12, &["4", "e", "f", ""]),
    ];
    assert_eq!(read.rows, rows);
}

#[test]
fn cells_are_their_text() {
    let input = "a,b,c,d\n=\"00123\", x ,'=1+1,NULL\n\"\"\"q\"\"\",-0,1e400,\u{a0}\n";
    let read = read(&plain(), input.as_bytes()).unwrap();
    let rows = [
        row(0, 2, &["=\"00123\"", " x ", "'=1+1", "NULL"]),
        row(1, 3, &["\"q\"", "-0", "1e400", "\u{a0}"]),
    ];
    assert_eq!(read.rows, rows);
}

#[test]
fn the_header_stands_where_the_options_say() {
    let input = b"Sales\n\nid,name\n\n1,a\n";
    let cases = [
        (
            HeaderRow::Row(3),
            &["id", "name"][..],
            4,
            vec![row(1, 5, &["1", "a"])],
        ),
        (HeaderRow::Row(5), &["1", "a"], 6, vec![]),
        (
            HeaderRow::Row(1),
            &["Sales"],
            2,
            vec![row(1, 3, &["id", "name"]), row(3, 5, &["1", "a"])],
        ),
        (
            HeaderRow::Absent,
            &[],
            1,
            vec![
                row(0, 1, &["Sales"]),
                row(2, 3, &["id", "name"]),
                row(4, 5, &["1", "a"]),
            ],
        ),
    ];
    for (header, names, first, rows) in cases {
        let csv = CsvOptions::default();
        let read = read(&options(header, csv), input).unwrap();
        assert_eq!(read.header.names, names, "{header:?}");
        assert_eq!(read.header.has_header, header != HeaderRow::Absent);
        assert_eq!(read.header.first_data_row_number, first, "{header:?}");
        assert_eq!(read.rows, rows, "{header:?}");
    }
}

#[test]
fn a_file_without_its_header_row_is_refused() {
    let cases: [(&[u8], u32, &str); 6] = [
        (b"", 1, "the file is empty"),
        (b"\xef\xbb\xbf", 1, "the file is empty"),
        (b"\nid\n", 1, "the row is blank"),
        (b",,\n1,2,3\n", 1, "the row is blank"),
        (b"id\n1\n", 3, "the file has 2 rows"),
        (b"id\n\n1\n", 2, "the row is blank"),
    ];
    for (input, row, why) in cases {
        let options = options(HeaderRow::Row(row), CsvOptions::default());
        let why = why.to_owned();
        let expected = Err(DecodeError::NoHeader { row, why });
        assert_eq!(read(&options, input), expected, "{}", input.escape_ascii());
    }
}

#[test]
fn a_header_alone_and_no_rows_at_all_are_files() {
    for input in ["id,name", "id,name\n", "id,name\r\n\r\n\n"] {
        let read = read(&plain(), input.as_bytes()).unwrap();
        assert_eq!(read.header.names, ["id", "name"]);
        assert_eq!(read.rows, []);
    }
    let no_header = options(HeaderRow::Absent, CsvOptions::default());
    assert_eq!(read(&no_header, b"").unwrap().rows, []);
}

#[test]
fn encodings_are_told_by_mark_or_declared() {
    let text = "név;město\nŐri;Kraków\n";
    let expected = [row(0, 2, &["Őri", "Kraków"])];
    let utf_16le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf_16be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let marked = |mark: &[u8], content: &[u8]| [mark, content].concat();
    let cases = [
        (plain(), text.as_bytes().to_vec()),
        (plain(), marked(b"\xef\xbb\xbf", text.as_bytes())),
        (plain(), marked(b"\xff\xfe", &utf_16le)),
        (plain(), marked(b"\xfe\xff", &utf_16be)),
        (encoded(UTF_8), text.as_bytes().to_vec()),
        (encoded(UTF_16LE), utf_16le.clone()),
        (encoded(UTF_16BE), utf_16be.clone()),
        // The mark wins.
        (encoded(WINDOWS_1252), marked(b"\xff\xfe", &utf_16le)),
        (encoded(UTF_16BE), marked(b"\xef\xbb\xbf", text.as_bytes())),
    ];
    for (options, input) in cases {
        let read = read(&options, &input).unwrap();
        assert_eq!(read.header.names, ["név", "město"], "{options:?}");
        assert_eq!(read.rows, expected, "{options:?}");
    }
}

#[test]
fn declared_encodings_are_decoded() {
    let cases = [
        (WINDOWS_1252, "naïve,“quoted”\nÆ,€\n"),
        (SHIFT_JIS, "名前,住所\n表,ｿ－\n"),
        (BIG5, "名字,地址\n許功蓋,台北\n"),
        (ISO_2022_JP, "名前,住所\n東京,a\n"),
    ];
    for (encoding, text) in cases {
        let (bytes, _, unmappable) = encoding.encode(text);
        assert!(!unmappable && bytes != text.as_bytes());
        let read = read(&encoded(encoding), &bytes).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        assert_eq!(read.header.names, lines.next().unwrap());
        assert_eq!(read.rows, [row(0, 2, &lines.next().unwrap())]);
    }
}

#[test]
fn what_does_not_decode_is_invalid_in_its_cell_only() {
    let utf_16 = |units: &[u16]| units.iter().flat_map(|it| it.to_le_bytes()).collect();
    let (a, comma, line_end) = (0x61, 0x2c, 0x0a);
    let lone_surrogate: Vec<u8> = utf_16(&[
        0xfeff, a, comma, a, line_end, a, 0xd800, a, comma, a, line_end,
    ]);
    let mut cut_unit: Vec<u8> = utf_16(&[0xfeff, a, comma, a, line_end, a, comma, a]);
    cut_unit.push(0x61);
    let cases: [(FileOptions, &[u8], &[&str]); 9] = [
        (plain(), b"a,a\nM\xfcller,ok\n", &["!M\u{fffd}ller", "ok"]),
        (
            plain(),
            b"a,a\nok,\"M\xfcller\"\n",
            &["ok", "!M\u{fffd}ller"],
        ),
        (plain(), b"a,a\na\0b,ok\n", &["!a\u{fffd}b", "ok"]),
        (plain(), b"a,a\n\0,\xff\n", &["!\u{fffd}", "!\u{fffd}"]),
        // A sequence that the end of the cell or file cuts.
        (plain(), b"a,a\n\xe6\x9d,\xe6\x9d\xb1", &["!\u{fffd}", "東"]),
        (plain(), b"a,a\nok,\xe6\x9d", &["ok", "!\u{fffd}"]),
        // In other encodings; U+FFFD itself is text.
        (
            encoded(SHIFT_JIS),
            b"a,a\n\x81\xff,ok\n",
            &["!\u{fffd}\u{fffd}", "ok"],
        ),
        (plain(), &lone_surrogate, &["!a\u{fffd}a", "a"]),
        (plain(), &cut_unit, &["a", "!a\u{fffd}"]),
    ];
    for (options, input, cells) in cases {
        let read = read(&options, input).unwrap();
        let shown = input.escape_ascii();
        let found: Vec<String> = read.rows[0].2.clone();
        if options.csv.encoding.is_some() {
            // How many U+FFFD stand for a sequence is the encoding's business.
            let squeezed = |cell: &str| cell.replace("\u{fffd}\u{fffd}", "\u{fffd}");
            let found: Vec<String> = found.iter().map(|cell| squeezed(cell)).collect();
            let cells: Vec<String> = cells.iter().map(|cell| squeezed(cell)).collect();
            assert_eq!(found, cells, "{shown}");
        } else {
            assert_eq!(found, cells, "{shown}");
        }
    }
    let replacement: Vec<u8> = utf_16(&[0xfeff, a, line_end, 0xfffd, line_end]);
    assert_eq!(
        read(&plain(), &replacement).unwrap().rows[0].2,
        ["\u{fffd}"]
    );
    let replacement = read(&plain(), "a\n\u{fffd}\n".as_bytes()).unwrap();
    assert_eq!(replacement.rows[0].2, ["\u{fffd}"]);
}

#[test]
fn delimiter_and_quote_are_taken_as_declared() {
    let csv = CsvOptions {
        delimiter: Some(b'\t'),
        quote: Some(b'\''),
        encoding: None,
    };
    let options = options(HeaderRow::Row(1), csv);
    let read = read(&options, b"a,b\tc\n'x\ty'\t\"z\n").unwrap();
    assert_eq!(read.header.names, ["a,b", "c"]);
    assert_eq!(read.rows, [row(0, 2, &["x\ty", "\"z"])]);
}

#[test]
fn a_file_larger_than_the_sample_is_read_from_its_beginning() {
    let mut input = "id;note\n".to_owned();
    for n in 0..20_000 {
        writeln!(input, "{n};\"a, b\n{n}\"").unwrap();
    }
    let whole = read_chunks(&plain(), &Limits::default(), [input.as_bytes()]).unwrap();
    let chunked = read_chunks(&plain(), &Limits::default(), input.as_bytes().chunks(997));
    assert!(Ok(&whole) == chunked.as_ref());
    assert_eq!(whole.rows.len(), 20_000);
    for (index, (ordinal, row_number, cells)) in (0..).zip(&whole.rows) {
        assert_eq!((*ordinal, *row_number), (index, 2 + 2 * index));
        assert_eq!(*cells, [index.to_string(), format!("a, b\n{index}")]);
    }
}

#[test]
fn frames_are_cut_at_their_target() {
    let mut input = "id,note\n".to_owned();
    for n in 0..10_000 {
        writeln!(input, "{n},some text").unwrap();
    }
    let mut lengths = Vec::new();
    let mut out = |decoded| {
        if let Decoded::Rows(frame) = decoded {
            lengths.push(frame.as_bytes().len());
        }
    };
    let mut decoder = CsvDecoder::new(&plain(), &Limits::default()).unwrap();
    decoder.feed(input.as_bytes(), &mut out).unwrap();
    decoder.finish(&mut out).unwrap();
    let (last, full) = lengths.split_last().unwrap();
    assert!(full.len() > 3);
    for length in full {
        assert!((FRAME_BYTES_TARGET..FRAME_BYTES_TARGET + 100).contains(length));
    }
    assert!(*last < FRAME_BYTES_TARGET + 100);
}

#[test]
fn flush_hands_out_the_rows_that_are_complete() {
    let csv = CsvOptions {
        delimiter: Some(b','),
        ..CsvOptions::default()
    };
    let options = options(HeaderRow::Row(1), csv);
    let mut decoder = CsvDecoder::new(&options, &Limits::default()).unwrap();
    let mut rows = Vec::new();
    let steps: [(&[u8], &[Row]); 5] = [
        (b"id,name\n", &[]),
        (
            b"1,a\n2,b\n3,",
            &[row(0, 2, &["1", "a"]), row(1, 3, &["2", "b"])],
        ),
        (b"\"c", &[]),
        (b"\"\n4", &[row(2, 4, &["3", "c"])]),
        (b"", &[]),
    ];
    for (bytes, expected) in steps {
        let mut out = |decoded| {
            if let Decoded::Rows(frame) = decoded {
                rows.extend(rows_of(&frame));
            }
        };
        decoder.feed(bytes, &mut out).unwrap();
        decoder.flush(&mut out);
        assert_eq!(rows, expected);
        rows.clear();
    }
    let mut out = |decoded| {
        if let Decoded::Rows(frame) = decoded {
            rows.extend(rows_of(&frame));
        }
    };
    decoder.finish(&mut out).unwrap();
    assert_eq!(rows, [row(3, 5, &["4"])]);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let csv = CsvOptions {
        delimiter: Some(b'"'),
        ..CsvOptions::default()
    };
    let error = CsvDecoder::new(&options(HeaderRow::Row(1), csv), &Limits::default());
    assert!(matches!(error, Err(DecodeError::InvalidOption { .. })));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_chunks_do_not_matter(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        encoding in prop::sample::select(vec![None, Some(UTF_16LE), Some(SHIFT_JIS)]),
        size in 1usize..50,
    ) {
        let csv = CsvOptions { encoding, ..CsvOptions::default() };
        let options = options(HeaderRow::Row(1), csv);
        let limits = Limits::default();
        let whole = read_chunks(&options, &limits, [&bytes[..]]);
        prop_assert_eq!(read_chunks(&options, &limits, bytes.chunks(size)), whole);
    }
}
