use super::{SharedStrings, StringsBounds};
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::xlsx::fixture::part;

fn bounds() -> StringsBounds {
    StringsBounds::new(&Limits::default())
}

fn start(content: &str, bounds: &StringsBounds) -> SharedStrings {
    SharedStrings::start(part(content.as_bytes()), bounds).unwrap()
}

fn numbered(n_strings: usize) -> String {
    let items: Vec<String> = (0..n_strings)
        .map(|number| format!("<si><t>string {number}</t></si>"))
        .collect();
    format!("<sst uniqueCount=\"7\">{}</sst>", items.concat())
}

/// Numbers below `n`, in an order of no kind.
fn shuffled(n: u64) -> impl Iterator<Item = u64> {
    (0..n).map(move |number| number * 7_919 % n)
}

#[test]
fn strings_are_found_in_any_order() {
    let mut strings = start(&numbered(5003), &bounds());
    for number in shuffled(5003).chain(0..5003).chain([5002, 0, 5002]) {
        let wanted = format!("string {number}");
        assert_eq!(strings.get(number).unwrap(), Some(wanted.as_str()));
    }
    assert_eq!(strings.get(5003).unwrap(), None);
    assert_eq!(strings.n_known(), 5003);
    assert_eq!(strings.get(u64::MAX).unwrap(), None);
    assert_eq!(strings.get(1).unwrap(), Some("string 1"));
    strings.finish().unwrap();
}

#[test]
fn every_way_to_write_a_string_is_read() {
    let content = "<?xml version=\"1.0\"?>\n<x:sst xmlns:x='y'>\n<x:si><x:t>a</x:t></x:si><si><t>b &amp; c</t></si>\
        <si/><si></si><si><t/></si><si><t> d </t></si><si><t xml:space=\"preserve\"> e </t></si>\
        <si><r><t>f</t></r><r><t>g</t></r><rPh><t>no</t></rPh></si><si><t>_x0041_</t></si><si><t>1\r\n2</t></si>\
        <si>\n<t>h</t>\n</si><!-- --><si><t><![CDATA[<i>]]></t></si><extLst><si><t>no</t></si></extLst></x:sst>";
    let wanted = [
        "a", "b & c", "", "", "", "d", " e ", "fg", "A", "1\n2", "h", "<i>",
    ];
    let mut strings = start(content, &bounds());
    for (index, wanted) in (0_u64..).zip(wanted) {
        assert_eq!(strings.get(index).unwrap(), Some(wanted));
    }
    assert_eq!(strings.get(12).unwrap(), None);
    let mut none = start("<sst/>", &bounds());
    assert_eq!(none.get(0).unwrap(), None);
}

#[test]
fn a_fault_is_told_to_those_who_need_what_is_behind_it() {
    let cut = format!(
        "{}<si><t>x</sst>",
        numbered(3000).trim_end_matches("</sst>")
    );
    for (content, n_strings) in [
        (cut.as_str(), 3000),
        ("<sst><si><t>a</t></si><x/></sst>", 1),
        ("<sst><si><t>a</t></si>", 1),
        ("<sst><si><t>a</t></si><si><t>&lol;</t></si></sst>", 1),
        ("<sst></sst><sst/>", 0),
        ("<worksheet/>", 0),
        ("", 0),
    ] {
        let mut strings = start(content, &bounds());
        for number in 0..n_strings {
            assert!(strings.get(number).unwrap().is_some(), "{number}");
        }
        if n_strings > 0 || !content.contains("</sst><sst") {
            let error = strings.finish().unwrap_err();
            assert!(matches!(error, DecodeError::CorruptFile { .. }), "{error}");
            assert!(error.to_string().contains("part.xml"), "{error}");
        }
    }
}

#[test]
fn strings_meet_their_limits() {
    let limit = |content: &str, bounds: &StringsBounds| {
        let error = start(content, bounds).finish().unwrap_err();
        let DecodeError::Limit { limit, .. } = error else {
            panic!("{error}");
        };
        limit
    };
    let few_bytes = StringsBounds {
        bytes_max: 10_000,
        ..bounds()
    };
    assert_eq!(
        limit(&numbered(1000), &few_bytes),
        "shared_strings_bytes_max"
    );
    // Empty strings take room as well.
    let empty = format!("<sst>{}</sst>", "<si/>".repeat(3000));
    assert_eq!(limit(&empty, &few_bytes), "shared_strings_bytes_max");
    let long = format!("<sst><si><t>{}</t></si></sst>", "x".repeat(200_000));
    assert_eq!(limit(&long, &bounds()), "cell_chars_max");
    let runs = format!(
        "<sst><si>{}</si></sst>",
        "<r><t>xxxxxxxxxx</t></r>".repeat(4000)
    );
    assert_eq!(limit(&runs, &bounds()), "cell_chars_max");
}

#[test]
fn spilled_strings_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let n_strings = 100_000;
    let spilling = StringsBounds {
        memory_bytes_max: 100_000,
        spill_dir: Some(dir.path().to_owned()),
        ..bounds()
    };
    let mut strings = start(&numbered(100_000), &spilling);
    for number in (0..n_strings).chain(shuffled(n_strings).step_by(97)) {
        let wanted = format!("string {number}");
        assert_eq!(strings.get(number).unwrap(), Some(wanted.as_str()));
    }
    assert_eq!(strings.get(n_strings).unwrap(), None);
    let n_files = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(n_files, 0, "the file has no name");
    strings.finish().unwrap();
    // A file that cannot be made is our fault, not the workbook's.
    let nowhere = StringsBounds {
        spill_dir: Some(dir.path().join("none")),
        ..spilling
    };
    let error = start(&numbered(100_000), &nowhere).finish().unwrap_err();
    assert!(matches!(error, DecodeError::Io { .. }), "{error}");
}

#[test]
fn a_table_can_be_dropped_at_any_time() {
    let content = numbered(50_000);
    drop(start(&content, &bounds()));
    let mut strings = start(&content, &bounds());
    strings.get(1).unwrap();
    drop(strings);
}

#[test]
fn a_failing_reader_lets_nobody_wait() {
    // The shared state is what a panic leaves behind: no ending but the one that is dropped.
    let shared = std::sync::Arc::new(super::Shared::default());
    let for_thread = std::sync::Arc::clone(&shared);
    let thread = std::thread::spawn(move || {
        let scanner = super::Scanner::new(part(numbered(5000).as_bytes()));
        let mut reader = super::Reader::new(scanner, &bounds());
        for_thread.run_with(|_| {
            reader.read(|_| true).unwrap();
            panic!("as wanted");
        });
    });
    let ending = shared.wait(0, |_| false);
    assert!(matches!(ending, Err(DecodeError::Io { .. })));
    assert!(thread.join().is_err());
}
