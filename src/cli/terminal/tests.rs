use super::{Terminal, escape, escape_json};
use crate::cli::tests::Captured;

#[test]
fn what_a_terminal_would_act_on_is_escaped() {
    for (text, shown) in [
        ("plain, é ü 東京 \\", "plain, é ü 東京 \\"),
        ("two\nlines\r\tand a tab", "two\\nlines\\r\\tand a tab"),
        ("\u{1b}[31mred\u{7f}\u{9b}", "\\u{1b}[31mred\\u{7f}\\u{9b}"),
        ("invoice\u{202e}fdp.exe", "invoice\\u{202e}fdp.exe"),
        ("\u{2066}a\u{2069}\u{200f}", "\\u{2066}a\\u{2069}\\u{200f}"),
        ("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}"),
        ("👩\u{200d}🌾", "👩\u{200d}🌾"),
    ] {
        assert_eq!(escape(text), shown);
    }
}

#[test]
fn escaped_json_says_the_same() {
    let value = serde_json::json!({ "a": "x\u{202e}y\u{7f}\u{e0001}\n\u{1b}" });
    let json = value.to_string();
    let escaped = escape_json(&json);
    assert!(
        escaped
            .chars()
            .all(|character| character.is_ascii() && !character.is_control())
    );
    let parsed: serde_json::Value = serde_json::from_str(&escaped).unwrap();
    assert_eq!(parsed, value);
}

#[test]
fn results_and_remarks_go_different_ways() {
    let (output, notes) = (Captured::default(), Captured::default());
    let mut terminal = Terminal::to(output.clone(), notes.clone());
    terminal.line("a\u{202e}").unwrap();
    terminal.json("{}").unwrap();
    terminal.note("b\u{7}");
    assert_eq!(output.text(), "a\\u{202e}\n{}\n");
    assert_eq!(notes.text(), "b\\u{7}\n");
}
