use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use super::SpillFile;
use crate::decode::error::DecodeError;
use crate::decode::xlsx::strings::piece::{Chunk, ChunkBuilder};

fn chunk(strings: &[&str]) -> Chunk {
    let mut builder = ChunkBuilder::default();
    for string in strings {
        builder.text.push_str(string);
        builder.end_string();
    }
    builder.take().unwrap()
}

#[test]
fn a_string_is_read_alone_or_with_its_chunk() {
    let mut file = SpillFile::over(tempfile::tempfile().unwrap(), 1000);
    let chunks = [chunk(&["", "ab", "ü", ""]), chunk(&["c"])];
    let spilled: Vec<_> = chunks
        .iter()
        .map(|chunk| file.write(chunk).unwrap().unwrap())
        .collect();
    let mut text = String::from("before");
    for (chunk, spilled) in chunks.iter().zip(&spilled) {
        assert_eq!(&spilled.read().unwrap(), chunk);
        for index in 0..chunk.parts().1.len() {
            spilled.read_string(index, &mut text).unwrap();
            assert_eq!(text, chunk.get(index));
        }
    }
}

#[test]
fn a_full_disk_and_a_full_room_take_nothing() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut file = SpillFile::over(full, 1000);
    assert!(file.write(&chunk(&["a"])).unwrap().is_none());
    let mut file = SpillFile::over(tempfile::tempfile().unwrap(), 10);
    assert!(file.write(&chunk(&["1234567"])).unwrap().is_none());
    assert!(file.write(&chunk(&["123456"])).unwrap().is_some());
    assert!(file.write(&chunk(&[""])).unwrap().is_none());
}

#[test]
fn another_content_is_told() {
    let is_told = |result: Result<(), DecodeError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, DecodeError::Io { .. }), "{error}");
    };
    let file = tempfile::tempfile().unwrap();
    let mut spill = SpillFile::over(file.try_clone().unwrap(), 1000);
    let spilled = spill.write(&chunk(&["ab", "cd"])).unwrap().unwrap();
    let mut text = String::new();
    // An end beyond the text, ends out of order, half a character, and nothing.
    for (bytes, at) in [(&[9][..], 4), (&[5], 0), (&[0xc3], 11)] {
        let mut before = [0];
        file.read_exact_at(&mut before, at).unwrap();
        file.write_all_at(bytes, at).unwrap();
        is_told(spilled.read().map(drop));
        is_told(spilled.read_string(1, &mut text));
        file.write_all_at(&before, at).unwrap();
    }
    spilled.read_string(1, &mut text).unwrap();
    assert_eq!(text, "cd");
    file.set_len(9).unwrap();
    is_told(spilled.read().map(drop));
    is_told(spilled.read_string(1, &mut text));
}
