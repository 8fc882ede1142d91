use super::{Dialect, SAMPLE_BYTES, Sample};
use crate::decode::error::DecodeError;
use crate::decode::{CsvOptions, HeaderRow};

fn detect(input: &str, options: &CsvOptions, header: HeaderRow) -> u8 {
    let mut sample = Sample::new(options, header).unwrap();
    sample.extend(input.as_bytes());
    sample.dialect_of_all().delimiter
}

#[test]
fn the_delimiter_is_the_one_that_makes_equal_records() {
    let cases = [
        ("", b','),
        ("\n\n", b','),
        ("name\nAcme\n", b','),
        ("name\nAcme; Beta\n", b','),
        ("a,b\n1,2\n", b','),
        ("a;b\n1;2\n", b';'),
        ("a\tb\n1\t2\n", b'\t'),
        ("a|b\n1|2", b'|'),
        ("a;b", b';'),
        // Decimal commas beside semicolons.
        ("name;amount;city\nAcme;1,5;Oslo\nBeta;2,5;Bergen\n", b';'),
        // Text that holds the other delimiters.
        ("id,note\n1,a;b;c\n2,d|e\n3,f\tg\n", b','),
        ("id,a;b\n1,x;y\n2,z\n", b','),
        ("Name, first;Name, last;City\nA;B;C\nD;E;F\n", b';'),
        // Delimiters and line ends within quotes.
        ("\"a;x;y\",b\n\"1;2;3\",4\n\"5;\n;6\",7\n", b','),
        ("\"a,x\";b;c\n\"1\"\",,\";2;3\n", b';'),
        // Blank last cells cut away.
        ("a,b,c\n1\n2\n3,4\n", b','),
        // Mixed and old line ends.
        ("a;b\r1;2\r3;4\r", b';'),
        ("a;b\r\n1;2\n3;4\r\n", b';'),
        ("\n\na|b\n1|2\n", b'|'),
        // An export of rejected rows, as it is and as programs save it.
        (
            "a;b;c,rowlift_row_number,rowlift_errors\r\n1;2;3,4,x\r\n5;6;7,8,y\r\n",
            b',',
        ),
        (
            "a,b,c;\"rowlift_row_number\";\"rowlift_errors\"\n1,2,3;4;x\n",
            b';',
        ),
    ];
    for (input, expected) in cases {
        let options = CsvOptions::default();
        let header = HeaderRow::Row(if input.starts_with("\n\na") { 3 } else { 1 });
        for header in [header, HeaderRow::Absent] {
            let found = detect(input, &options, header);
            assert_eq!(found, expected, "{input:?}, {header:?}");
        }
    }
}

#[test]
fn the_header_decides_not_what_stands_before_it() {
    let input = "Report, of, all, sales\n\nname;net;gross\nAcme;1,2;3\nBeta;4,5;6\n";
    let found = detect(input, &CsvOptions::default(), HeaderRow::Row(3));
    assert_eq!(found, b';');
}

#[test]
fn what_is_declared_is_not_detected() {
    let options = CsvOptions {
        delimiter: Some(b':'),
        quote: Some(b'\''),
        encoding: None,
    };
    let mut sample = Sample::new(&options, HeaderRow::Row(1)).unwrap();
    assert_eq!(sample.extend(b"a,b,c\n"), 0);
    let expected = Dialect {
        delimiter: b':',
        quote: b'\'',
    };
    assert_eq!(sample.dialect(), Some(expected));
}

#[test]
fn a_quote_is_no_delimiter() {
    let options = CsvOptions {
        quote: Some(b'|'),
        ..CsvOptions::default()
    };
    let found = detect("|a|;|b|\n|c|;|d|\n", &options, HeaderRow::Row(1));
    assert_eq!(found, b';');
}

#[test]
fn a_dialect_that_cannot_be_is_refused() {
    let cases = [
        (Some(b'\n'), None),
        (Some(b'\r'), None),
        (Some(0), None),
        (Some(0xe9), None),
        (None, Some(b'\n')),
        (None, Some(0xff)),
        (Some(b'"'), None),
        (Some(b';'), Some(b';')),
    ];
    for (delimiter, quote) in cases {
        let options = CsvOptions {
            delimiter,
            quote,
            encoding: None,
        };
        let result = Sample::new(&options, HeaderRow::Row(1));
        assert!(
            matches!(result, Err(DecodeError::InvalidOption { .. })),
            "{delimiter:?}, {quote:?}"
        );
    }
}

#[test]
fn the_first_records_suffice() {
    let input = "a;b\n".to_owned() + &"1,0;2\n".repeat(3000);
    let mut sample = Sample::new(&CsvOptions::default(), HeaderRow::Row(1)).unwrap();
    let mut n_fed = 0;
    for byte in input.as_bytes().chunks(1) {
        sample.extend(byte);
        n_fed += 1;
        if let Some(dialect) = sample.dialect() {
            assert_eq!(dialect.delimiter, b';');
            assert!(n_fed < 100, "told after {n_fed} bytes");
            return;
        }
    }
    panic!("never told");
}

#[test]
fn the_sample_is_bounded_and_its_size_does_not_depend_on_chunks() {
    // No record ends within the sample.
    let input = "x;".repeat(SAMPLE_BYTES);
    for size in [1, 1000, input.len()] {
        let mut sample = Sample::new(&CsvOptions::default(), HeaderRow::Row(1)).unwrap();
        let mut n_taken = 0;
        for chunk in input.as_bytes().chunks(size) {
            n_taken += sample.extend(chunk);
            if let Some(dialect) = sample.dialect() {
                assert_eq!(dialect.delimiter, b';');
                break;
            }
        }
        assert_eq!(n_taken, SAMPLE_BYTES, "chunks of {size}");
        assert_eq!(sample.as_bytes(), &input.as_bytes()[..SAMPLE_BYTES]);
    }
}
