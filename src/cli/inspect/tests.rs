use super::print;
use crate::cli::args::Command;
use crate::cli::terminal::Terminal;
use crate::cli::tests::{Captured, parse};
use crate::proto::value::Kind;
use crate::proto::{FileFormat, InspectFileResponse, MappingProposal, Row, Sheet, Value};

fn sheet(name: &str, hidden: bool, header_row_number: i32, header: &[&str]) -> Sheet {
    let value = Value {
        kind: Some(Kind::StringValue(String::from(
            "a text that is far too long for a screen",
        ))),
    };
    let row = Row {
        values: vec![value; header.len()],
        source_row_number: i64::from(header_row_number) + 1,
        ..Row::default()
    };
    Sheet {
        name: String::from(name),
        hidden,
        header_row_number,
        header: header.iter().map(|&name| String::from(name)).collect(),
        sample_rows: if header.is_empty() {
            Vec::new()
        } else {
            vec![row]
        },
    }
}

fn proposal(
    source_name: &str,
    target_column: &str,
    score: f64,
    source_index: i32,
) -> MappingProposal {
    MappingProposal {
        source_name: String::from(source_name),
        target_column: String::from(target_column),
        score,
        source_index,
    }
}

fn printed(line: &str, response: &InspectFileResponse) -> String {
    let Ok(Command::Inspect(args)) = parse(line) else {
        panic!("{line}");
    };
    let output = Captured::default();
    let mut terminal = Terminal::to(output.clone(), Captured::default());
    print(&args, response, &mut terminal).unwrap();
    output.text()
}

#[test]
fn sheets_mappings_and_the_next_step_are_shown() {
    let response = InspectFileResponse {
        format: FileFormat::Xlsx.into(),
        sheets: vec![
            sheet("Old\u{202e}", true, 1, &["x"]),
            sheet("Empty", false, 0, &[]),
            sheet("Data", false, 3, &["Firma", "name"]),
        ],
        mappings: vec![
            proposal("Firma", "", 0.0, 1),
            proposal("name", "name", 1.0, 2),
            proposal("Ort", "city", 0.9, 3),
        ],
        missing_columns: vec![String::from("code")],
        ..InspectFileResponse::default()
    };
    assert_eq!(
        printed("inspect f.xlsx --table t", &response),
        "f.xlsx: xlsx

Sheet \"Old\\u{202e}\", hidden: header in row 1
  row  x
  2    a text that is far too …

Sheet \"Empty\": no rows

Sheet \"Data\": header in row 3
  row  Firma                     name
  4    a text that is far too …  a text that is far too …

Into table t:
     header  column  match
  A  Firma           nothing near
  B  name    name    exact
  C  Ort     city    guess, 90 %
Column code needs a value, and no header is near.
A guess is not applied by itself: rename the header, or declare it as an alias in the server's configuration.

As it is, an import that adds rows would be refused: nothing is there for code.
"
    );
    let response = InspectFileResponse {
        missing_columns: Vec::new(),
        ..response
    };
    let text = printed("inspect f.xlsx --table t", &response);
    let command = "rowlift import f.xlsx --table t --header-row 3 --ignore-unmapped";
    assert!(
        text.ends_with(&format!(
            "\n\nTo import it without the guesses: {command}\n"
        )),
        "{text}"
    );
}

#[test]
fn without_a_table_nothing_is_mapped() {
    let response = InspectFileResponse {
        format: FileFormat::Csv.into(),
        sheets: vec![sheet("", false, 1, &["a"])],
        ..InspectFileResponse::default()
    };
    let text = printed("inspect f.csv", &response);
    assert!(
        text.starts_with("f.csv: csv\n\nRows: header in row 1\n"),
        "{text}"
    );
    assert!(
        !text.contains("table") && !text.contains("import"),
        "{text}"
    );
}
