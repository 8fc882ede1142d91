//! Shared strings beyond the bound on memory: in an unnamed file, whose room is paid for.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rowlift::decode::Decoded;
use rowlift::decode::error::{DeathCause, DecodeError};
use rowlift::decode::limits::Limits;
use rowlift::decode::sandbox::{Decoder, Sandbox};
use rowlift::decode::survey::{Survey, SurveyRequest};
use rowlift::disk::SpoolDir;
use tempfile::TempDir;

use super::package::Package;
use super::process::child;
use super::{decode, program, read_all, request, spool};

const MIB: u64 = 1 << 20;

/// Room for temporary files.
struct Disk {
    folder: TempDir,
    spool_dir: SpoolDir,
}

impl Disk {
    fn with_room(bytes_max: u64) -> Disk {
        let folder = TempDir::new().unwrap();
        let spool_dir = SpoolDir::new(folder.path(), Some(bytes_max));
        Disk { folder, spool_dir }
    }

    fn start(&self, bytes: &[u8], limits: &Limits) -> Decoder {
        self.run(program(), limits)
            .start(spool(bytes), &request())
            .unwrap()
    }

    fn survey(&self, bytes: &[u8], limits: &Limits) -> Survey {
        let request = SurveyRequest {
            format: None,
            sheet: String::new(),
            first_row: 1,
            n_rows: 50,
        };
        let sandbox = self.run(program(), limits);
        sandbox
            .survey(spool(bytes), &request)
            .unwrap()
            .read()
            .unwrap()
    }

    fn run<'s>(&'s self, program: &'s Path, limits: &'s Limits) -> Sandbox<'s> {
        Sandbox {
            program,
            limits,
            spool_dir: &self.spool_dir,
        }
    }
}

/// A workbook of `n_rows` rows with two strings each, and the bytes of the strings' part. The
/// second string of a row is that of another row, far away.
fn workbook(n_rows: usize) -> (Vec<u8>, u64) {
    let mut data = String::new();
    for row in 0..n_rows {
        let other = row * 7_919 % n_rows;
        write!(
            data,
            "<row><c t=\"s\"><v>{row}</v></c><c t=\"s\"><v>{other}</v></c></row>"
        )
        .unwrap();
    }
    let mut items = String::new();
    for row in 0..n_rows {
        write!(
            items,
            "<si><t>the text of row {row} &amp; nothing else</t></si>"
        )
        .unwrap();
    }
    let part = format!("<sst>{items}</sst>");
    let mut package = Package::new(&data);
    package.set("xl/sharedStrings.xml", &part);
    (package.bytes(), part.len() as u64)
}

fn in_memory(n_bytes: u64) -> Limits {
    Limits {
        shared_strings_memory_bytes_max: n_bytes,
        ..Limits::default()
    }
}

/// Limits that no other child has, and what tells it from the others.
fn marked(limits: Limits) -> (Limits, String) {
    static N_MARKS: AtomicU64 = AtomicU64::new(0);
    let n_marks = N_MARKS.fetch_add(1, Ordering::Relaxed);
    // The first two stay below 2^24.
    let seconds = 2_000_000 + u64::from(std::process::id()) + (n_marks << 24);
    let limits = Limits {
        child_cpu_seconds_min: seconds,
        ..limits
    };
    (limits, format!("\"child_cpu_seconds_min\":{seconds}"))
}

/// What the child may write to a file, bytes.
fn file_size_max(mark: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{}/limits", child(mark))).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max file size"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[3], words[4], "soft and hard");
    words[3].to_owned()
}

#[test]
fn strings_beyond_memory_come_back_from_a_file() {
    let (bytes, n_part) = workbook(20_000);
    let wanted = decode(&bytes).unwrap();
    assert_eq!(wanted.rows.len(), 19_999);
    for n_bytes in [0, 300_000] {
        let disk = Disk::with_room(64 * MIB);
        let (limits, mark) = marked(in_memory(n_bytes));
        let mut decoder = disk.start(&bytes, &limits);
        let Some(Decoded::Header(header)) = decoder.next().unwrap() else {
            panic!("the header comes first");
        };
        assert_eq!(header, wanted.header);
        // The child waits for room in its pipe: the rows are more than it takes.
        assert_eq!(disk.spool_dir.used_bytes(), n_part - n_bytes);
        assert_eq!(file_size_max(&mark), (n_part - n_bytes).to_string());
        let names = fs::read_dir(disk.folder.path()).unwrap().count();
        assert_eq!(names, 0, "the file has no name");
        drop(decoder);
        assert_eq!(disk.spool_dir.used_bytes(), 0);
        let sheet = read_all(disk.start(&bytes, &limits)).unwrap();
        assert_eq!(sheet, wanted);
        assert_eq!(disk.spool_dir.used_bytes(), 0);
    }
}

#[test]
fn without_room_they_stay_in_memory() {
    let (bytes, n_part) = workbook(20_000);
    let wanted = decode(&bytes).unwrap();
    let cases = [
        // As many as could be are there already, and half of the room is free.
        (2 * n_part, 0, n_part, n_part.to_string()),
        (2 * n_part - 2, 0, 0, "0".to_owned()),
        // All of them fit memory: nothing is asked for.
        (2 * n_part, n_part, 0, (512 * MIB).to_string()),
    ];
    for (room, n_bytes, n_taken, wanted_max) in cases {
        let disk = Disk::with_room(room);
        let (limits, mark) = marked(in_memory(n_bytes));
        let mut decoder = disk.start(&bytes, &limits);
        assert!(matches!(decoder.next(), Ok(Some(Decoded::Header(_)))));
        assert_eq!(disk.spool_dir.used_bytes(), n_taken);
        assert_eq!(file_size_max(&mark), wanted_max);
        drop(decoder);
        assert_eq!(read_all(disk.start(&bytes, &limits)).unwrap(), wanted);
    }
}

#[test]
fn a_survey_spills_as_well() {
    let (bytes, _) = workbook(20_000);
    let disk = Disk::with_room(64 * MIB);
    let wanted = disk.survey(&bytes, &Limits::default());
    assert_eq!(disk.survey(&bytes, &in_memory(0)), wanted);
    assert_eq!(disk.spool_dir.used_bytes(), 0);
}

#[test]
fn a_child_that_has_no_memory_for_its_strings_has_a_file() {
    // Together more than the address space; as long as may be, so that they take little time.
    let strings: Vec<String> = (0..6_500)
        .map(|number| format!("{number}{}", "x".repeat(32_000)))
        .collect();
    let mut package =
        Package::new("<row><c t=\"s\"><v>0</v></c></row><row><c t=\"s\"><v>6499</v></c></row>");
    let strings: Vec<&str> = strings.iter().map(String::as_str).collect();
    package.set_strings("6500", &strings);
    let bytes = package.bytes();
    let limits = Limits {
        inflate_ratio_max: u64::MAX,
        child_address_space_bytes: 192 * MIB,
        ..in_memory(MIB)
    };
    let disk = Disk::with_room(512 * MIB);
    let sheet = read_all(disk.start(&bytes, &limits)).unwrap();
    assert_eq!(sheet.rows[0].cells, [format!("text:{}", strings[6499])]);
    let full = Disk::with_room(256 * MIB);
    let error = read_all(full.start(&bytes, &limits)).err();
    let cause = DeathCause::MemoryLimit { bytes: 192 * MIB };
    assert_eq!(error, Some(DecodeError::DecoderDied { cause }));
    assert_eq!(full.spool_dir.used_bytes(), 0);
}

#[test]
fn a_program_that_asks_too_late_or_for_too_much_is_stopped() {
    let message = |kind: char, payload: &str| {
        format!("{kind}\\{:03o}\\000\\000\\000{payload}", payload.len())
    };
    let ask = |n_bytes: u64| message('D', &format!("{{\"n_bytes\":{n_bytes}}}"));
    let end = message('E', "{\"n_rows\":0}");
    let failure = message('F', "\"cancelled\"");
    let cases = [
        (ask(512 * MIB) + &failure, "cancelled"),
        (
            ask(512 * MIB + 1) + &failure,
            "more room than it may ask for",
        ),
        (ask(1) + &ask(1), "too late"),
        (ask(1) + &end, "do not add up"),
    ];
    let (bytes, _) = workbook(1);
    for (output, wanted) in cases {
        let disk = Disk::with_room(2048 * MIB);
        let script = script(disk.folder.path(), &output);
        let limits = Limits::default();
        let sandbox = disk.run(&script, &limits);
        let started = sandbox.start(spool(&bytes), &request());
        let error = started.and_then(read_all).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        assert_eq!(disk.spool_dir.used_bytes(), 0);
    }
}

/// A program that says `output`, whatever it is asked.
fn script(folder: &Path, output: &str) -> PathBuf {
    let path = folder.join("program");
    let mut file = fs::File::create(&path).unwrap();
    writeln!(file, "#!/bin/sh\nprintf '{output}'").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}
