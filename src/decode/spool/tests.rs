use std::fs::{self, OpenOptions};
use std::io::Read;

use super::Spool;
use crate::decode::error::DecodeError;
use crate::disk::{Full, SpoolDir, SpoolFile};

fn unbounded(dir: &tempfile::TempDir) -> SpoolDir {
    SpoolDir::new(dir.path(), None)
}

#[test]
fn what_was_written_is_read_from_the_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
    for size in [1, 1000, content.len()] {
        let mut spool = Spool::create(&unbounded(&dir), "workbook_bytes_max", 300_000).unwrap();
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
    let mut spool = Spool::create(&unbounded(&dir), "workbook_bytes_max", 10).unwrap();
    spool.write(b"abc").unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let _file: SpoolFile = spool.into_file().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_byte_beyond_the_limit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::create(&unbounded(&dir), "workbook_bytes_max", 10).unwrap();
    spool.write(&[1; 10]).unwrap();
    let error = spool.write(&[1]).unwrap_err();
    assert_eq!(error, DecodeError::limit("workbook_bytes_max", 11, 10));
}

#[test]
fn a_full_disk_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let full = || {
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        unbounded(&dir).adopt(file)
    };
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
    let gone = SpoolDir::new(dir.path().join("gone"), None);
    let error = Spool::create(&gone, "workbook_bytes_max", 10).unwrap_err();
    assert!(matches!(error, DecodeError::Io { .. }), "{error}");
}

#[test]
fn a_full_spool_is_told_as_such_at_the_latest_with_the_last_byte() {
    let dir = tempfile::tempdir().unwrap();
    let shared = SpoolDir::new(dir.path(), Some(1000));
    let create = || Spool::create(&shared, "workbook_bytes_max", 10_000).unwrap();
    let full = DecodeError::SpoolFull {
        full: Full::Now { limit: 1000 },
    };
    let mut one = create();
    one.check_room(600).unwrap();
    one.write(&[1; 600]).unwrap();
    let file = one.into_file().unwrap();
    assert_eq!(shared.used_bytes(), 600);
    let mut other = create();
    assert_eq!(other.check_room(500), Err(full.clone()));
    other.write(&[1; 500]).unwrap();
    assert_eq!(other.into_file().unwrap_err(), full);
    drop(file);
    assert_eq!(shared.used_bytes(), 0);
    // A file that is too large for its own limit is told that, and not that the spool is full.
    let mut large = Spool::create(&shared, "workbook_bytes_max", 10).unwrap();
    large.check_room(5000).unwrap();
    assert!(matches!(
        large.write(&[1; 11]),
        Err(DecodeError::Limit { .. })
    ));
}
