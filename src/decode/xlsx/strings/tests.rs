use std::path::Path;

use super::{SharedStrings, StringsBounds};
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::sheet::rows::SpillRoom;
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

/// Beyond `memory_bytes_max` in memory strings go to a file, as many as `content` may have.
fn spilling(content: &str, memory_bytes_max: u64, dir: &Path) -> StringsBounds {
    let mut bounds = StringsBounds {
        memory_bytes_max,
        ..bounds()
    };
    bounds.spill = Some(SpillRoom {
        dir: dir.to_owned(),
        n_bytes: bounds.beyond_memory(&part(content.as_bytes())),
    });
    bounds
}

fn n_pieces_in_file(strings: &SharedStrings) -> usize {
    let is_spilled = |piece: &&super::Piece| matches!(piece, super::Piece::Spilled(_));
    strings.pieces.iter().filter(is_spilled).count()
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
    let content = numbered(100_000);
    let spilling = spilling(&content, 100_000, dir.path());
    let mut strings = start(&content, &spilling);
    for number in (0..n_strings).chain(shuffled(n_strings).step_by(97)) {
        let wanted = format!("string {number}");
        assert_eq!(strings.get(number).unwrap(), Some(wanted.as_str()));
    }
    assert_eq!(strings.get(n_strings).unwrap(), None);
    assert_eq!(n_pieces_in_file(&strings), strings.pieces.len() - 7);
    let n_files = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(n_files, 0, "the file has no name");
    strings.finish().unwrap();
    // A file that cannot be made is our fault, not the workbook's.
    let nowhere = super::tests::spilling(&content, 100_000, &dir.path().join("none"));
    let error = start(&content, &nowhere).finish().unwrap_err();
    assert!(matches!(error, DecodeError::Io { .. }), "{error}");
}

#[test]
fn strings_without_room_stay_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let content = numbered(100_000);
    for (n_bytes, n_wanted) in [(0, 0), (70_000, 4), (70_000_000, 98)] {
        let mut bounds = spilling(&content, 0, dir.path());
        let room = bounds.spill.as_mut().unwrap();
        room.n_bytes = n_bytes;
        let mut strings = start(&content, &bounds);
        for number in shuffled(100_000) {
            let wanted = format!("string {number}");
            assert_eq!(strings.get(number).unwrap(), Some(wanted.as_str()));
        }
        strings.get(100_000).unwrap();
        assert_eq!(n_pieces_in_file(&strings), n_wanted);
    }
}

#[test]
fn the_file_never_has_more_than_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("<si><t>{}</t></si>", "x".repeat(30_000)).repeat(20);
    let contents = [
        format!("<sst>{}</sst>", "<si/>".repeat(50_000)),
        format!("<sst>{}</sst>", "<si><t>a</t></si>".repeat(20_000)),
        format!("<sst>{long}</sst>"),
        format!("<sst>{}{long}</sst>", "<si/>".repeat(1023)),
    ];
    for content in &contents {
        for memory_bytes_max in [0, 1, 5_000, 100_000] {
            let bounds = spilling(content, memory_bytes_max, dir.path());
            let mut strings = start(content, &bounds);
            strings.get(u64::MAX).unwrap();
            let mut in_memory = strings.pieces.iter().filter_map(|piece| match piece {
                super::Piece::Memory(chunk) => Some(chunk.n_bytes()),
                super::Piece::Spilled(_) => None,
            });
            let n_in_memory: usize = in_memory.clone().sum();
            let n_last = in_memory.next_back().unwrap_or_default();
            // One piece may go beyond the bound, and none stays for want of room in the file.
            let n_max = usize::try_from(memory_bytes_max).unwrap() + n_last;
            assert!(n_in_memory < n_max.max(1), "{n_in_memory} of {n_max}");
        }
    }
}

#[test]
fn a_spilled_chunk_is_read_as_a_whole_once_it_is_asked_for_often() {
    let dir = tempfile::tempdir().unwrap();
    let content = numbered(200_000);
    let mut strings = start(&content, &spilling(&content, 0, dir.path()));
    strings.get(200_000).unwrap();
    assert!(n_pieces_in_file(&strings) > 128);
    let n_kept = |strings: &SharedStrings| strings.cache.n_kept();
    for number in shuffled(200_000).take(5000) {
        strings.get(number).unwrap();
    }
    assert!(n_kept(&strings) < 5, "{}", n_kept(&strings));
    for number in 0..64 * 1024 {
        let wanted = format!("string {number}");
        assert_eq!(strings.get(number).unwrap(), Some(wanted.as_str()));
    }
    assert_eq!(n_kept(&strings), 64);
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
