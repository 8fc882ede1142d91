use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{InflateBudget, Part};
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::sheet::file::SharedFile;
use crate::decode::xlsx::directory::{Directory, Entry};
use crate::decode::xlsx::fixture::file;

fn zip(content: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    zip.start_file("part", options).unwrap();
    zip.write_all(content).unwrap();
    zip.finish().unwrap().into_inner()
}

/// The whole part, after `change` has been made to its entry.
fn read_changed(
    bytes: &[u8],
    limits: &Limits,
    change: impl FnOnce(&mut Entry),
) -> Result<Vec<u8>, DecodeError> {
    let file = SharedFile::new(file(bytes)).unwrap();
    let directory = Directory::read(&file, limits)?;
    let mut entry = directory.find("part").unwrap().clone();
    change(&mut entry);
    let mut part = Part::open(&directory, &entry, &InflateBudget::new(limits))?;
    let mut content = Vec::new();
    let mut window = [0; 1000];
    loop {
        match part.read(&mut window)? {
            0 => return Ok(content),
            n_read => content.extend_from_slice(&window[..n_read]),
        }
    }
}

fn noise(n_bytes: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(n_bytes).collect()
}

#[test]
fn parts_come_out_as_they_went_in() {
    let limits = Limits::default();
    for content in [
        Vec::new(),
        b"a".to_vec(),
        noise(200_000),
        vec![b'x'; 300_000],
    ] {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let bytes = zip(&content, method);
            assert_eq!(read_changed(&bytes, &limits, |_| ()).unwrap(), content);
        }
    }
}

#[test]
fn sizes_and_checksums_that_lie_are_refused() {
    let limits = Limits::default();
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let bytes = zip(&noise(100_000), method);
        let complaint = |change: fn(&mut Entry)| {
            let error = read_changed(&bytes, &limits, change).unwrap_err();
            assert!(matches!(error, DecodeError::CorruptFile { .. }), "{error}");
            error.to_string()
        };
        assert!(complaint(|entry| entry.crc ^= 1).contains("checksum"));
        assert!(complaint(|entry| entry.inflated_bytes -= 1).contains("longer than"));
        assert!(complaint(|entry| entry.inflated_bytes += 1).contains("shorter than"));
        let cut = complaint(|entry| entry.packed_bytes -= 1);
        assert!(
            cut.contains("is cut") || cut.contains("shorter than"),
            "{cut}"
        );
        let long = complaint(|entry| entry.packed_bytes += 1);
        assert!(
            long.contains("goes on") || long.contains("longer than"),
            "{long}"
        );
    }
}

#[test]
fn what_cannot_be_unpacked_is_told() {
    let limits = Limits::default();
    let bytes = zip(&noise(1000), CompressionMethod::Deflated);
    let error = read_changed(&bytes, &limits, |entry| entry.method = 12).unwrap_err();
    assert!(error.to_string().contains("method 12"), "{error}");
    let error = read_changed(&bytes, &limits, |entry| entry.is_encrypted = true).unwrap_err();
    assert!(matches!(error, DecodeError::Encrypted { .. }), "{error}");
    let error = read_changed(&bytes, &limits, |entry| entry.data_at += 1).unwrap_err();
    assert!(matches!(error, DecodeError::CorruptFile { .. }), "{error}");
}

#[test]
fn inflating_meets_its_limits_while_it_goes_on() {
    let bytes = zip(&vec![0; 20 << 20], CompressionMethod::Deflated);
    let error = read_changed(&bytes, &Limits::default(), |_| ()).unwrap_err();
    let DecodeError::Limit { limit, value, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(limit, "inflate_ratio_max");
    assert!(value < 250, "it stops at the bound: {value}");
    let limits = Limits {
        inflate_ratio_max: 2000,
        inflated_bytes_max: 5 << 20,
        ..Limits::default()
    };
    let error = read_changed(&bytes, &limits, |_| ()).unwrap_err();
    assert!(error.to_string().contains("inflated_bytes_max"), "{error}");
    // A small part may have any ratio.
    let bytes = zip(&vec![0; 1 << 20], CompressionMethod::Deflated);
    assert!(read_changed(&bytes, &Limits::default(), |_| ()).is_ok());
}

#[test]
fn all_parts_count_together() {
    let bytes = zip(&noise(600_000), CompressionMethod::Deflated);
    let limits = Limits {
        inflated_bytes_max: 1_000_000,
        ..Limits::default()
    };
    let file = SharedFile::new(file(&bytes)).unwrap();
    let directory = Directory::read(&file, &limits).unwrap();
    let entry = directory.find("part").unwrap();
    let budget = InflateBudget::new(&limits);
    let mut window = vec![0; 64 << 10];
    let mut read = || Part::open(&directory, entry, &budget)?.skip_rest(&mut window);
    read().unwrap();
    let error = read().unwrap_err();
    assert!(error.to_string().contains("inflated_bytes_max"), "{error}");
}
