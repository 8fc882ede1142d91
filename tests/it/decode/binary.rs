//! xlsb files made in code, record by record.

use rowlift::decode::error::DecodeError;

use super::package::Package;
use super::{Sheet, decode, lines};

/// A record of type and content, MS-XLSB 2.1.4.
fn record(kind: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let [low, high] = [kind & 0x7f, kind >> 7].map(|part| u8::try_from(part).unwrap());
    if kind < 0x80 {
        bytes.push(low);
    } else {
        bytes.extend([low | 0x80, high]);
    }
    let mut length = content.len();
    loop {
        let part = u8::try_from(length & 0x7f).unwrap();
        length >>= 7;
        if length == 0 {
            bytes.push(part);
            break;
        }
        bytes.push(part | 0x80);
    }
    bytes.extend_from_slice(content);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut bytes = u32::try_from(units.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes
}

fn row(number: u32) -> Vec<u8> {
    record(0x0000, &[&number.to_le_bytes()[..], &[0; 12]].concat())
}

fn cell(kind: u16, column: u32, style: u32, value: &[u8]) -> Vec<u8> {
    let place = [column.to_le_bytes(), style.to_le_bytes()].concat();
    record(kind, &[&place, value].concat())
}

fn name(column: u32, value: &str) -> Vec<u8> {
    cell(0x0006, column, 0, &text(value))
}

/// A workbook of one sheet with these records between the begin and end of its data, and these
/// flags: bit 0 for 1904.
fn workbook(flags: u32, records: &[Vec<u8>]) -> Vec<u8> {
    let mut package = Package::new("");
    package.edit("_rels/.rels", "xl/workbook.xml", "xl/workbook.bin");
    package.edit(
        "[Content_Types].xml",
        "/xl/workbook.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
        "/xl/workbook.bin\" ContentType=\"application/vnd.ms-excel.sheet.binary.macroEnabled.main",
    );
    package.set(
        "xl/_rels/workbook.bin.rels",
        r#"<Relationships><Relationship Id="rId1" Type="x/worksheet" Target="worksheets/sheet1.bin"/>
        <Relationship Id="rId2" Type="x/styles" Target="styles.bin"/>
        <Relationship Id="rId3" Type="x/sharedStrings" Target="/xl/strings.bin"/></Relationships>"#,
    );
    let sheet = [&[0; 4][..], &1u32.to_le_bytes(), &text("rId1"), &text("A")].concat();
    let book = [
        record(0x0083, &[]),
        record(0x0099, &flags.to_le_bytes()),
        record(0x009c, &sheet),
        record(0x0090, &[]),
        record(0x0084, &[]),
    ];
    package.set_bytes("xl/workbook.bin", &book.concat());
    let zeros = [&164u16.to_le_bytes()[..], &text("00000")].concat();
    let formats = [0u16, 164, 14].map(|id| {
        let content = [&[0, 0][..], &id.to_le_bytes(), &[0; 12]].concat();
        record(0x002f, &content)
    });
    let styles = [
        record(0x0267, &1u32.to_le_bytes()),
        record(0x002c, &zeros),
        record(0x0268, &[]),
        record(0x0269, &3u32.to_le_bytes()),
        formats.concat(),
        record(0x026a, &[]),
    ];
    package.set_bytes("xl/styles.bin", &styles.concat());
    let strings = [
        record(0x009f, &[0xff; 8]),
        record(0x0013, &[&[0][..], &text("first")].concat()),
        // A lone surrogate.
        record(0x0013, &[0, 1, 0, 0, 0, 0x00, 0xd8]),
        record(0x00a0, &[]),
    ];
    package.set_bytes("xl/strings.bin", &strings.concat());
    let part = [
        record(0x0081, &[]),
        record(0x0094, &[0; 16]),
        record(0x0091, &[]),
        records.concat(),
        record(0x0092, &[]),
        record(0x0082, &[]),
    ];
    package.set_bytes("xl/worksheets/sheet1.bin", &part.concat());
    package.bytes()
}

fn decode_rows(records: &[Vec<u8>]) -> Result<Sheet, DecodeError> {
    let mut all = vec![row(0), name(0, "name")];
    all.extend_from_slice(records);
    decode(&workbook(0, &all))
}

#[test]
fn cells_of_every_kind_are_read() {
    let rich = [&[0][..], &text("rich")].concat();
    let sheet = decode_rows(&[
        row(1),
        cell(0x0005, 0, 1, &7.0f64.to_le_bytes()),
        // The error of a formula, a known and an unknown code.
        cell(0x000b, 1, 0, &[0x07, 0, 0]),
        cell(0x000b, 2, 0, &[0x2c, 0, 0]),
        // The same as constants.
        cell(0x0003, 3, 0, &[0x2a]),
        cell(0x0003, 4, 0, &[0x2c]),
        cell(0x003e, 5, 0, &rich),
        cell(0x0004, 6, 0, &[1]),
        cell(0x0001, 7, 0, &[]),
        // RK: 1234 as an integer, shifted by two bits, bit 1 set.
        cell(0x0002, 8, 1, &((1234u32 << 2) | 2).to_le_bytes()),
    ])
    .unwrap();
    assert_eq!(
        lines(&sheet),
        [
            "zeros:00007|error:#DIV/0!|error:#ERROR!|error:#N/A|error:#ERROR!|text:rich|bool:true||zeros:01234"
        ]
    );
}

#[test]
fn dates_are_counted_from_1900_or_1904() {
    for (flags, wanted) in [(0, "serial:7:Y1900"), (1, "serial:7:Y1904")] {
        let date = cell(0x0005, 0, 2, &7.0f64.to_le_bytes());
        let bytes = workbook(flags, &[row(0), name(0, "name"), row(1), date]);
        assert_eq!(lines(&decode(&bytes).unwrap()), [wanted]);
    }
}

#[test]
fn short_cells_stand_behind_the_one_before() {
    let style = 1u32.to_le_bytes();
    let short = |kind, value: &[u8]| record(kind, &[&style[..], value].concat());
    let sheet = decode_rows(&[
        row(1),
        short(0x000d, &((1234u32 << 2) | 2).to_le_bytes()),
        short(0x000c, &[]),
        short(0x000e, &[0x2a]),
        cell(0x0001, 4, 0, &[]),
        short(0x000f, &[1]),
        short(0x0010, &0.5f64.to_le_bytes()),
        short(0x0011, &text("short")),
        short(0x0012, &0u32.to_le_bytes()),
        short(0x0012, &1u32.to_le_bytes()),
    ])
    .unwrap();
    assert_eq!(
        lines(&sheet),
        ["zeros:01234||error:#N/A|||bool:true|number:0.5|text:short|text:first|invalid:\u{fffd}"]
    );
}

#[test]
fn broken_records_are_corrupt() {
    let number = 7.0f64.to_le_bytes();
    let cases: [&[Vec<u8>]; 9] = [
        &[row(1), cell(0x0005, 16_384, 0, &number)],
        &[row(1_048_576), cell(0x0005, 0, 0, &number)],
        &[row(0), cell(0x0005, 0, 0, &number)],
        &[
            row(1),
            cell(0x0005, 1, 0, &number),
            cell(0x0005, 0, 0, &number),
        ],
        &[row(1), cell(0x0005, 0, 0, &number[..4])],
        &[row(1), record(0x0002, &[0; 4])],
        // No such shared string.
        &[row(1), cell(0x0007, 0, 0, &9u32.to_le_bytes())],
        // A text that is longer than its record.
        &[row(1), cell(0x0006, 0, 0, &u32::MAX.to_le_bytes())],
        // A short cell that is too short.
        &[row(1), record(0x000d, &[0; 4])],
    ];
    for (index, records) in cases.iter().enumerate() {
        let error = decode_rows(records).unwrap_err();
        assert!(
            matches!(error, DecodeError::CorruptFile { .. }),
            "{index}: {error}"
        );
    }
    let long = record(0x0006, &vec![0; 2 << 20]);
    let error = decode_rows(&[row(1), long]).unwrap_err();
    assert!(error.to_string().contains("record_bytes_max"), "{error}");
}
