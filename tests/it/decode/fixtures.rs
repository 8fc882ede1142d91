//! Files that other programs wrote: the same rows in every format.

use rowlift::decode::csv::CsvDecoder;
use rowlift::decode::error::DecodeError;
use rowlift::decode::limits::Limits;
use rowlift::decode::protocol::WorkbookRequest;
use rowlift::decode::{CsvOptions, Decoded, FileOptions, HeaderRow};
use rowlift::model::import::FileFormat;

use super::{Sheet, decode, decode_with, lines, request};

const FORMATS: [(&str, FileFormat); 4] = [
    ("xlsx", FileFormat::Xlsx),
    ("xlsb", FileFormat::Xlsb),
    ("xls", FileFormat::Xls),
    ("ods", FileFormat::Ods),
];

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!(
        "{}/tests/fixtures/{name}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

/// Cells as a format tells them. All formats agree but for these:
/// - xls and ods lose the format of zeros: calamine keeps of a number format only what is a date.
/// - ods stores dates as ISO 8601, and a time of day like elapsed time.
struct Expected {
    extension: &'static str,
}

impl Expected {
    fn date(&self, serial: &str, iso: &str) -> String {
        match self.extension {
            "ods" => format!("iso:{iso}"),
            _ => format!("serial:{serial}:Y1900"),
        }
    }

    fn time(&self, days: &str) -> String {
        match self.extension {
            "ods" => format!("duration:{days}"),
            _ => format!("serial:{days}:Y1900"),
        }
    }

    fn zeros(&self, shown: &str, value: &str) -> String {
        match self.extension {
            "xls" | "ods" => format!("number:{value}"),
            _ => format!("zeros:{shown}"),
        }
    }

    fn rows(&self) -> [String; 4] {
        [
            format!(
                "text:Ørsted & Søn|text:東京 \"quoted\", <b>|{}|{}|{}|duration:1.52083333333333|{}\
                 |number:13800138000|bool:true|number:0.075|number:1234.5|error:#DIV/0!|number:10|text:end",
                self.date("45351", "2024-02-29"),
                self.date("45351.5732638889", "2024-02-29T13:45:30"),
                self.time("0.395833333333333"),
                self.zeros("01234", "1234"),
            ),
            format!(
                "text:  padded  |text:two\nlines|{}|{}|{}|duration:0.0416666666666667|{}\
                 |number:447911123456|bool:false|number:0.5|number:-99.99|error:#N/A|text:ab",
                self.date("36525", "1999-12-31"),
                self.date("36525.9999884259", "1999-12-31T23:59:59"),
                self.time("0.999305555555556"),
                self.zeros("99501", "99501"),
            ),
            format!(
                "text:007||||||{}|||||number:2.5||text:x",
                self.zeros("00000", "0"),
            ),
            format!(
                "text:=text|text:'apostrophe|{}|{}|{}|duration:0||number:0.1|bool:true|number:1\
                 |number:0|number:0.333333333333333|bool:true",
                self.date("61", "1900-03-01"),
                self.date("50424.1348148148", "2038-01-19T03:14:08"),
                self.time("0.0000115740740740741"),
            ),
        ]
    }
}

#[test]
fn the_same_rows_come_from_all_formats() {
    for (extension, format) in FORMATS {
        let sheet = decode(&fixture(&format!("rows.{extension}"))).unwrap();
        assert_eq!(sheet.header.format, format);
        assert_eq!(sheet.header.sheet, "Data", "{extension}");
        assert_eq!(
            sheet.header.names.join(","),
            "name,note,joined,seen,opens,worked,zip,phone,active,share,price,ratio,total,last"
        );
        assert_eq!(sheet.header.n_rows_hint, Some(5), "{extension}");
        let numbers: Vec<_> = sheet
            .rows
            .iter()
            .map(|row| (row.ordinal, row.number))
            .collect();
        assert_eq!(numbers, [(0, 2), (1, 3), (3, 5), (4, 6)], "{extension}");
        for (found, wanted) in lines(&sheet).iter().zip(Expected { extension }.rows()) {
            assert_eq!(*found, wanted, "{extension}");
        }
    }
}

#[test]
fn the_same_rows_come_from_csv_as_texts() {
    let options = FileOptions {
        format: None,
        sheet: String::new(),
        header: HeaderRow::Row(1),
        csv: CsvOptions::default(),
        compression: None,
    };
    let mut decoder = CsvDecoder::new(&options, &Limits::default()).unwrap();
    let mut found = Vec::new();
    let mut out = |decoded| found.push(decoded);
    decoder.feed(&fixture("rows.csv"), &mut out).unwrap();
    decoder.finish(&mut out).unwrap();
    let [Decoded::Header(header), Decoded::Rows(frame)] = found.as_slice() else {
        panic!("{found:?}");
    };
    let workbook = decode(&fixture("rows.xlsx")).unwrap();
    assert_eq!(header.names, workbook.header.names);
    let rows: Vec<_> = frame.rows().collect();
    let ordinals: Vec<_> = rows.iter().map(|row| row.ordinal).collect();
    assert_eq!(ordinals, [0, 1, 3, 4]);
    for (row, wanted) in rows.iter().zip(&workbook.rows) {
        // Numbers and dates are as shown; texts, whole numbers and errors are the same.
        for (index, (cell, wanted)) in row.cells().zip(&wanted.cells).enumerate() {
            let wanted = wanted.split_once(':').map_or("", |(_, text)| text);
            match index {
                0 | 1 | 7 | 10 | 11 | 13 => assert_eq!(cell.to_string(), wanted),
                _ => assert_eq!(cell.to_string().is_empty(), wanted.is_empty(), "{index}"),
            }
        }
    }
}

#[test]
fn workbooks_of_1904_say_so() {
    for extension in ["xlsx", "xls", "ods"] {
        let sheet = decode(&fixture(&format!("dates_1904.{extension}"))).unwrap();
        let wanted = match extension {
            "ods" => "iso:2024-02-29|iso:2024-02-29T12:00:00",
            _ => "serial:43889:Y1904|serial:43889.5:Y1904",
        };
        assert_eq!(lines(&sheet), [wanted], "{extension}");
    }
}

#[test]
fn a_hidden_sheet_is_read_when_it_is_named() {
    for (extension, _) in FORMATS {
        let bytes = fixture(&format!("rows.{extension}"));
        let named = |sheet: &str| -> Result<Sheet, DecodeError> {
            let request = WorkbookRequest {
                sheet: sheet.to_owned(),
                ..request()
            };
            decode_with(&bytes, &request, &Limits::default())
        };
        let hidden = named("Hidden").unwrap();
        assert_eq!(hidden.header.names, ["not", "this"], "{extension}");
        assert_eq!(lines(&hidden), ["number:1|number:2"], "{extension}");
        assert_eq!(lines(&named("Notes").unwrap()), ["text:value"]);
        let missing = named("../../etc/x\n").unwrap_err();
        let DecodeError::SheetNotFound { available, .. } = &missing else {
            panic!("{missing}");
        };
        assert_eq!(available.join(","), "Hidden,Data,Notes", "{extension}");
    }
}

#[test]
fn formulas_that_nothing_has_computed_are_told() {
    let sheet = decode(&fixture("uncomputed.xlsx")).unwrap();
    assert_eq!(
        lines(&sheet),
        ["number:1|number:2|formula", "number:3||formula"]
    );
}

#[test]
fn encrypted_workbooks_are_told_as_such() {
    for extension in ["xlsx", "xls", "ods"] {
        let error = decode(&fixture(&format!("encrypted.{extension}"))).unwrap_err();
        assert!(matches!(error, DecodeError::Encrypted { .. }), "{error}");
    }
}

#[test]
fn a_workbook_cut_anywhere_is_corrupt() {
    for (extension, _) in FORMATS {
        let bytes = fixture(&format!("rows.{extension}"));
        let step = bytes.len() / 12;
        let cuts = [1, 2, 3, 4, 7, 8, 9].into_iter();
        for cut in cuts
            .chain((step..bytes.len()).step_by(step))
            .chain([bytes.len() - 1])
        {
            // The last sectors of an xls file need not hold anything.
            let result = decode(&bytes[..cut]);
            match result {
                Err(DecodeError::CorruptFile { .. }) => {}
                Ok(_) if extension == "xls" && cut + 512 > bytes.len() => {}
                other => panic!("{extension} cut at {cut}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_declared_format_has_to_be_that_of_the_content() {
    for (extension, format) in FORMATS {
        let bytes = fixture(&format!("rows.{extension}"));
        for (_, declared) in FORMATS {
            let request = WorkbookRequest {
                format: Some(declared),
                ..request()
            };
            let decoded = decode_with(&bytes, &request, &Limits::default());
            match decoded {
                Ok(_) => assert_eq!(declared, format),
                Err(error) => {
                    assert!(matches!(error, DecodeError::Unsupported { .. }), "{error}");
                    assert_ne!(declared, format);
                }
            }
        }
    }
}
