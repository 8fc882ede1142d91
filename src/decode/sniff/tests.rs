use encoding_rs::{SHIFT_JIS, UTF_16LE};

use super::{Container, Head, SNIFF_BYTES, sniff};
use crate::decode::error::DecodeError;
use crate::decode::{CsvOptions, FileOptions, HeaderRow};
use crate::model::import::FileFormat;

const OLE2: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest";

fn declared(format: Option<FileFormat>) -> FileOptions {
    FileOptions {
        format,
        sheet: String::new(),
        header: HeaderRow::Row(1),
        csv: CsvOptions::default(),
        compression: None,
    }
}

fn utf_16le(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Bytes as a generator makes them, to stand for compressed or encrypted data.
fn noise(n_bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(n_bytes).collect()
}

#[test]
fn the_first_bytes_tell_the_container() {
    let utf_16_with_mark = [b"\xff\xfe".to_vec(), utf_16le("a;b\n1;2\n")].concat();
    let cases: [(&[u8], Container); 11] = [
        (b"PK\x03\x04rest", Container::Zip),
        (b"PK\x05\x06\0\0\0\0", Container::Zip),
        (OLE2, Container::Ole2),
        (b"", Container::Text),
        (b"PKW,name\n", Container::Text),
        (b"id,name\n1,Acme\n", Container::Text),
        (b"\xef\xbb\xbfid,name\n", Container::Text),
        (b"id,name\n1,M\xfcller\n", Container::Text),
        (b"id,name\n1,a\0b\n2,ok\n", Container::Text),
        (b"id,html\n1,<html>\n", Container::Text),
        (&utf_16_with_mark, Container::Text),
    ];
    for (bytes, expected) in cases {
        let found = sniff(Head::Whole(bytes), &declared(None));
        assert_eq!(found, Ok(Some(expected)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_no_table_is_refused_by_name() {
    let utf_16_html = [b"\xff\xfe".to_vec(), utf_16le("  <HTML><table>")].concat();
    let noise = noise(700);
    let cases: [(&[u8], &str); 14] = [
        (b"%PDF-1.7\n", "PDF"),
        (b"{\\rtf1", "RTF"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\xff\xfe\0\0a\0\0\0", "UTF-32"),
        (b"\x89PNG\r\n\x1a\nIHDR", "PNG"),
        (b"<html><body>", "HTML"),
        (b"\n  <!DocType html>", "HTML"),
        (b"\xef\xbb\xbf<?xml version=\"1.0\"?><Workbook>", "XML"),
        (b"<table><tr>", "HTML"),
        (&utf_16_html, "HTML"),
        (&utf_16le("id,name\n1,Acme\n"), "UTF-16 text without"),
        (b"\0\0\0\0\0\0\0\0", "binary"),
        (b"\x00\x01\x02\x03\xff\xfea,b\n", "binary"),
        (&noise, "binary"),
    ];
    for (bytes, name) in cases {
        for format in [None, Some(FileFormat::Xlsx), Some(FileFormat::Csv)] {
            let error = sniff(Head::Whole(bytes), &declared(format)).unwrap_err();
            let DecodeError::Unsupported { what } = &error else {
                panic!("{error}: {}", bytes.escape_ascii());
            };
            assert!(what.contains(name), "{what}: {}", bytes.escape_ascii());
            assert_eq!(what.contains("declared as"), format.is_some(), "{what}");
        }
    }
}

#[test]
fn a_declared_format_must_fit_the_content() {
    use Container::{Ole2, Text, Zip};
    let cases = [
        (FileFormat::Xlsx, "xlsx", [true, true, false]),
        (FileFormat::Xlsb, "xlsb", [true, true, false]),
        (FileFormat::Ods, "ods", [true, false, false]),
        (FileFormat::Xls, "xls", [false, true, false]),
        (FileFormat::Csv, "CSV", [false, false, true]),
    ];
    let contents = [
        (&b"PK\x03\x04rest"[..], Zip, "zip"),
        (OLE2, Ole2, "OLE 2"),
        (b"id,name\n", Text, "text"),
    ];
    for (format, format_name, fits) in cases {
        for ((bytes, container, content_name), fits) in contents.into_iter().zip(fits) {
            let result = sniff(Head::Whole(bytes), &declared(Some(format)));
            if fits {
                assert_eq!(result, Ok(Some(container)), "{format_name}");
            } else {
                let message = result.unwrap_err().to_string();
                assert!(message.contains(format_name), "{message}");
                assert!(message.contains(content_name), "{message}");
            }
        }
    }
}

#[test]
fn a_workbook_cut_within_its_magic_number_is_corrupt() {
    for magic in [b"PK\x03\x04".as_slice(), &OLE2[..8]] {
        for cut in 1..magic.len() {
            let head = Head::Whole(&magic[..cut]);
            for format in [None, Some(FileFormat::Xlsx)] {
                let result = sniff(head, &declared(format));
                assert!(matches!(result, Err(DecodeError::CorruptFile { .. })));
            }
        }
    }
    let text = sniff(Head::Whole(b"P"), &declared(Some(FileFormat::Csv)));
    assert_eq!(text, Ok(Some(Container::Text)));
}

#[test]
fn a_declared_encoding_explains_the_bytes() {
    let mut options = declared(None);
    options.csv.encoding = Some(UTF_16LE);
    let content = utf_16le("id,name\n1,東京\n");
    assert_eq!(
        sniff(Head::Whole(&content), &options),
        Ok(Some(Container::Text))
    );
    options.csv.encoding = Some(SHIFT_JIS);
    let (content, _, _) = SHIFT_JIS.encode("名前\n東京都\n");
    assert_eq!(
        sniff(Head::Whole(&content), &options),
        Ok(Some(Container::Text))
    );
}

#[test]
fn more_bytes_never_change_the_answer() {
    let text = "id,name\n1,Acme\n".repeat(200).into_bytes();
    let late_zeros = [text.clone(), vec![0; 5000]].concat();
    let zip = [b"PK\x03\x04".to_vec(), noise(3000)].concat();
    let html = ["  <html>".repeat(300).into_bytes()].concat();
    for content in [text, late_zeros, zip, html, noise(3000), OLE2.repeat(300)] {
        let answer = sniff(Head::Part(&content), &declared(None));
        assert_ne!(answer, Ok(None));
        for n_bytes in 0..=content.len() {
            let part = sniff(Head::Part(&content[..n_bytes]), &declared(None));
            if part == Ok(None) {
                assert!(n_bytes < SNIFF_BYTES);
            } else {
                assert_eq!(part, answer, "after {n_bytes}");
            }
        }
        assert_eq!(sniff(Head::Whole(&content), &declared(None)), answer);
    }
}
