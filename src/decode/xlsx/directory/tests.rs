use super::{Directory, Entry};
use crate::decode::error::DecodeError;
use crate::decode::limits::Limits;
use crate::decode::sheet::file::SharedFile;
use crate::decode::xlsx::fixture::{Package, file};

/// A zip of stored entries, byte by byte.
#[derive(Debug, Clone, Default)]
struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    n_entries: u16,
}

impl Zip {
    fn add(&mut self, name: &str, content: &[u8]) -> &mut Zip {
        let at = u32::try_from(self.bytes.len()).unwrap();
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let n_name = u16::try_from(name.len()).unwrap().to_le_bytes();
        self.bytes
            .extend(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0");
        self.bytes.extend([size, size].concat());
        self.bytes.extend([n_name, [0; 2]].concat());
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(content);
        self.list(name, at, content.len())
    }

    /// Lists an entry that may not be there.
    fn list(&mut self, name: &str, at: u32, size: usize) -> &mut Zip {
        let size = u32::try_from(size).unwrap().to_le_bytes();
        let n_name = u16::try_from(name.len()).unwrap().to_le_bytes();
        self.directory
            .extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0");
        self.directory.extend([size, size].concat());
        self.directory.extend(n_name);
        self.directory.extend([0; 12]);
        self.directory.extend(at.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.n_entries += 1;
        self
    }

    fn end(&self, at: u32, comment: &[u8]) -> Vec<u8> {
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend([self.n_entries.to_le_bytes(); 2].concat());
        end.extend(u32::try_from(self.directory.len()).unwrap().to_le_bytes());
        end.extend(at.to_le_bytes());
        end.extend(u16::try_from(comment.len()).unwrap().to_le_bytes());
        end.extend(comment);
        end
    }

    fn finish(&self) -> Vec<u8> {
        let at = u32::try_from(self.bytes.len()).unwrap();
        [&*self.bytes, &self.directory, &self.end(at, b"")].concat()
    }

    /// With the numbers in 64 bits.
    fn finish_64(&self) -> Vec<u8> {
        let at = u64::try_from(self.bytes.len()).unwrap();
        let size = u64::try_from(self.directory.len()).unwrap();
        let record_at = at + size;
        let n_entries = u64::from(self.n_entries);
        let mut bytes = [&*self.bytes, &self.directory].concat();
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend([0; 12]);
        for number in [n_entries, n_entries, size, at] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend(record_at.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        let mut end = self.end(u32::MAX, b"");
        end[8..20].fill(0xff);
        bytes.extend(end);
        bytes
    }
}

fn read(bytes: &[u8]) -> Result<Directory, DecodeError> {
    let file = SharedFile::new(file(bytes)).unwrap();
    Directory::read(&file, &Limits::default())
}

fn refusal(bytes: &[u8]) -> String {
    let error = read(bytes).unwrap_err();
    assert!(matches!(error, DecodeError::CorruptFile { .. }), "{error}");
    error.to_string()
}

#[test]
fn parts_are_found_by_name() {
    let mut zip = Zip::default();
    zip.add("xl/Workbook.xml", b"1")
        .add("a\\b.xml", b"")
        .add("/c", b"22");
    for bytes in [zip.finish(), zip.finish_64()] {
        let directory = read(&bytes).unwrap();
        let found = |name: &str| directory.find(name).map(|entry| entry.name.as_str());
        assert_eq!(found("xl/workbook.xml"), Some("xl/Workbook.xml"));
        assert_eq!(found("A/B.XML"), Some("a\\b.xml"));
        assert_eq!(found("c"), Some("/c"));
        assert_eq!(found("d"), None);
        let Entry {
            data_at,
            packed_bytes,
            ..
        } = directory.find("c").unwrap();
        assert_eq!(*packed_bytes, 2);
        let at = usize::try_from(*data_at).unwrap();
        assert_eq!(&bytes[at..at + 2], b"22");
    }
}

#[test]
fn a_comment_or_padding_at_the_end_is_no_fault() {
    let mut zip = Zip::default();
    zip.add("a", b"1");
    let at = u32::try_from(zip.bytes.len()).unwrap();
    let commented = [
        &*zip.bytes,
        &zip.directory,
        &zip.end(at, b"PK\x05\x06 is no end"),
    ]
    .concat();
    for bytes in [commented, [&*zip.finish(), &[0; 512]].concat()] {
        assert!(read(&bytes).unwrap().find("a").is_some());
    }
}

#[test]
fn two_entries_of_one_name_are_refused() {
    for names in [["a", "a"], ["xl/A", "xl/a"], ["xl/a", "xl\\a"], ["a", "/a"]] {
        let mut zip = Zip::default();
        for name in names {
            zip.add(name, b"1");
        }
        assert!(refusal(&zip.finish()).contains("twice"), "{names:?}");
    }
}

#[test]
fn entries_that_overlap_are_refused() {
    // One entry listed under its own name twice shares its bytes.
    let mut zip = Zip::default();
    zip.add("a", b"12345").list("a", 0, 5);
    assert!(refusal(&zip.finish()).contains("overlaps"));
    // The first says that it is longer than there is room before the second.
    let mut zip = Zip::default();
    zip.add("a", b"1").add("b", b"2");
    zip.directory[20] = 9;
    assert!(refusal(&zip.finish()).contains("overlaps"));
    // The last runs into the directory.
    let mut zip = Zip::default();
    zip.add("a", b"1");
    zip.directory[20] = 2;
    assert!(refusal(&zip.finish()).contains("overlaps"));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let mut whole = Zip::default();
    whole.add("a", b"1");
    let bytes = whole.finish();
    assert!(refusal(b"").contains("cut"));
    assert!(refusal(&[b"junk", &*bytes].concat()).contains("not where"));
    let mut renamed = bytes.clone();
    renamed[30] = b'b';
    assert!(refusal(&renamed).contains("says otherwise"));
    let mut method = bytes.clone();
    method[8] = 8;
    assert!(refusal(&method).contains("says otherwise"));
    let mut headless = bytes.clone();
    headless[0] = b'Q';
    assert!(refusal(&headless).contains("no header"));
    let mut zip = whole.clone();
    zip.n_entries = 2;
    assert!(refusal(&zip.finish()).contains("cut"));
    let mut zip = whole.clone();
    zip.n_entries = 0;
    assert!(refusal(&zip.finish()).contains("more entries"));
    let mut zip = whole.clone();
    zip.list("b", 1 << 30, 1);
    assert!(refusal(&zip.finish()).contains("beyond the end"));
    let mut far = whole.finish_64();
    let locator = far.len() - 22 - 20;
    far[locator + 8..locator + 16].fill(0xff);
    assert!(refusal(&far).contains("beyond the end"));
}

#[test]
fn too_many_entries_meet_their_limit() {
    let mut zip = Zip::default();
    for index in 0..11 {
        zip.add(&index.to_string(), b"");
    }
    let limits = Limits {
        zip_entries_max: 10,
        ..Limits::default()
    };
    for bytes in [zip.finish(), zip.finish_64()] {
        let file = SharedFile::new(file(&bytes)).unwrap();
        let error = Directory::read(&file, &limits).unwrap_err();
        assert_eq!(error, DecodeError::limit("zip_entries_max", 11, 10));
    }
}

#[test]
fn a_directory_cut_or_flipped_anywhere_never_panics() {
    let bytes = Package::new("").bytes();
    for at in 0..bytes.len() {
        assert!(read(&bytes[..at]).is_err(), "cut at {at}");
        let mut flipped = bytes.clone();
        flipped[at] ^= 0xff;
        // Either way is right: what matters shows where the parts are read.
        let _ = read(&flipped);
    }
}
