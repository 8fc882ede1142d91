use std::fs::{self, File, OpenOptions};
use std::io::Read;

use super::Spool;
use crate::decode::error::DecodeError;

#[test]
fn what_was_written_is_read_from_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
    for size in [1, 1000, content.len()] {
        let mut spool = Spool::create(dir.path(), "workbook_bytes_max", 300_000).unwrap();
        for chunk in content.chunks(size) {
            spool.write(chunk).unwrap();
        }
        assert_eq!(spool.n_bytes(), 300_000);
        let mut read = Vec::new();
        spool.into_file().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == content, "chunks of {size}");
    }
}

#[test]
fn the_file_has_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::create(dir.path(), "workbook_bytes_max", 10).unwrap();
    spool.write(b"abc").unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let _file: File = spool.into_file().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_byte_beyond_the_limit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::create(dir.path(), "workbook_bytes_max", 10).unwrap();
    spool.write(&[1; 10]).unwrap();
    let error = spool.write(&[1]).unwrap_err();
    assert_eq!(error, DecodeError::limit("workbook_bytes_max", 11, 10));
}

#[test]
fn a_full_disk_is_told_as_such() {
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = Spool::over(full(), ("workbook_bytes_max", 1 << 30))
        .write(&vec![1; 1 << 20])
        .unwrap_err();
    assert!(matches!(error, DecodeError::DiskFull { .. }), "{error}");
    // The last bytes are written when the file is handed over.
    let mut spool = Spool::over(full(), ("workbook_bytes_max", 1 << 30));
    spool.write(b"abc").unwrap();
    let error = spool.into_file().unwrap_err();
    assert!(matches!(error, DecodeError::DiskFull { .. }), "{error}");
}

#[test]
fn a_missing_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = Spool::create(&dir.path().join("gone"), "workbook_bytes_max", 10).unwrap_err();
    assert!(matches!(error, DecodeError::Io { .. }), "{error}");
}
