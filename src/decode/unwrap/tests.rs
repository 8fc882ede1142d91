use std::io::Write as _;

use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::{PIECE_BYTES, Unwrapper};
use crate::decode::Compression;
use crate::decode::error::DecodeError;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(content, 3).unwrap()
}

/// Like [`zstd`], with a checksum and a content size that a cut contradicts.
fn zstd_with_checksum(content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn unwrap_chunks<'a>(
    declared: Option<Compression>,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Vec<u8>, Option<Compression>), DecodeError> {
    let mut content = Vec::new();
    let mut sink = |piece: &[u8]| {
        assert!(!piece.is_empty() && piece.len() <= PIECE_BYTES);
        content.extend_from_slice(piece);
        Ok(())
    };
    let mut unwrapper = Unwrapper::new(declared);
    for chunk in chunks {
        unwrapper.feed(chunk, &mut sink)?;
    }
    let found = unwrapper.found();
    unwrapper.finish(&mut sink)?;
    Ok((content, found))
}

fn is_corrupt<T: std::fmt::Debug>(result: Result<T, DecodeError>) -> bool {
    matches!(result, Err(DecodeError::CorruptFile { .. }))
}

fn sample() -> Vec<u8> {
    (0..40_000u32)
        .flat_map(|n| format!("{n},{}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
        .collect()
}

#[test]
fn content_decides_and_the_size_of_chunks_does_not() {
    let plain = sample();
    let cases = [
        (plain.clone(), Compression::None),
        (gzip(&plain), Compression::Gzip),
        (zstd(&plain), Compression::Zstd),
        (zstd_with_checksum(&plain), Compression::Zstd),
    ];
    for (wrapped, expected) in cases {
        for size in [1, 2, 3, 7, 4096, wrapped.len()] {
            for declared in [None, Some(expected)] {
                let (content, found) = unwrap_chunks(declared, wrapped.chunks(size)).unwrap();
                assert!(content == plain, "{expected:?} in chunks of {size}");
                assert_eq!(found, Some(expected));
            }
        }
    }
}

#[test]
fn several_members_or_frames_are_one_file() {
    let cases = [
        [gzip(b"a,b\n"), gzip(b""), gzip(b"1,2\n")].concat(),
        [gzip(b"a,b\n"), gzip(b"1,2\n"), vec![0; 700]].concat(),
        [zstd(b"a,b\n"), zstd(b""), zstd(b"1,2\n")].concat(),
        // A skippable frame of three bytes comes first, as pzstd writes it.
        [
            b"\x50\x2a\x4d\x18\x03\x00\x00\x00xyz".to_vec(),
            zstd(b"a,b\n1,2\n"),
        ]
        .concat(),
    ];
    for (index, wrapped) in cases.iter().enumerate() {
        for size in [1, 5, wrapped.len()] {
            let (content, _) = unwrap_chunks(None, wrapped.chunks(size)).unwrap();
            assert_eq!(content, b"a,b\n1,2\n", "case {index}, chunks of {size}");
        }
    }
}

#[test]
fn a_file_cut_at_any_byte_is_corrupt() {
    let plain = b"id,name\n1,Acme\n2,Beta\n".repeat(20);
    for (wrapped, declared) in [
        (gzip(&plain), Compression::Gzip),
        (zstd(&plain), Compression::Zstd),
        (zstd_with_checksum(&plain), Compression::Zstd),
    ] {
        for cut in 0..wrapped.len() {
            let cut_file = &wrapped[..cut];
            let result = unwrap_chunks(Some(declared), [cut_file]);
            assert!(is_corrupt(result), "{declared:?} cut at {cut}");
            // Undeclared, too few bytes to tell are a plain file; whoever reads it decides.
            if cut >= 4 {
                assert!(is_corrupt(unwrap_chunks(None, [cut_file])), "cut at {cut}");
            }
        }
        let second_cut = [&wrapped[..], &wrapped[..wrapped.len() - 1]].concat();
        assert!(is_corrupt(unwrap_chunks(None, [&second_cut[..]])));
    }
}

#[test]
fn a_flipped_byte_is_found_by_the_checksum() {
    let plain = b"id,name\n1,Acme\n2,Beta\n".repeat(20);
    for wrapped in [gzip(&plain), zstd_with_checksum(&plain)] {
        let mut n_found = 0;
        // Past the header, whose time stamp and flags are not covered by the checksum.
        for at in 12..wrapped.len() {
            let mut wrapped = wrapped.clone();
            wrapped[at] ^= 0x10;
            // A flip in bits that mean nothing, such as padding, may leave the content right.
            match unwrap_chunks(None, [&wrapped[..]]) {
                Ok((content, _)) => assert!(content == plain, "flipped at {at}"),
                Err(DecodeError::CorruptFile { .. }) => n_found += 1,
                Err(error) => panic!("flipped at {at}: {error}"),
            }
        }
        assert!(
            n_found * 10 > (wrapped.len() - 12) * 9,
            "only {n_found} found"
        );
    }
}

#[test]
fn a_declared_compression_that_is_not_there_is_corrupt() {
    let cases: [(&[u8], Compression); 6] = [
        (b"a,b\n1,2\n", Compression::Gzip),
        (b"a,b\n1,2\n", Compression::Zstd),
        (b"", Compression::Gzip),
        (b"", Compression::Zstd),
        (&gzip(b"a"), Compression::Zstd),
        (&zstd(b"a"), Compression::Gzip),
    ];
    for (content, declared) in cases {
        let result = unwrap_chunks(Some(declared), [content]);
        assert!(is_corrupt(result), "{content:?} as {declared:?}");
    }
}

#[test]
fn a_file_declared_plain_stays_as_it_is() {
    let wrapped = gzip(b"a");
    let (content, found) = unwrap_chunks(Some(Compression::None), [&wrapped[..]]).unwrap();
    assert_eq!((content, found), (wrapped, Some(Compression::None)));
}

#[test]
fn files_shorter_than_a_magic_number_pass() {
    for content in [&b""[..], b"a", b"(", b"\x28\xb5", b"\x1f", b"P*M", b"Paris"] {
        let (unwrapped, _) = unwrap_chunks(None, content.chunks(1)).unwrap();
        assert_eq!(unwrapped, content);
    }
}

#[test]
fn garbage_after_the_last_member_is_corrupt() {
    for wrapped in [
        [gzip(b"a"), b"garbage".to_vec()].concat(),
        [gzip(b"a"), vec![0, 0, 1]].concat(),
        [zstd(b"a"), b"garbage".to_vec()].concat(),
    ] {
        for size in [1, wrapped.len()] {
            assert!(is_corrupt(unwrap_chunks(None, wrapped.chunks(size))));
        }
    }
}

#[test]
fn a_bomb_stops_at_the_limit_of_the_sink() {
    let zeros = vec![0; 64 << 20];
    for wrapped in [gzip(&zeros), zstd(&zeros)] {
        assert!(wrapped.len() < 100_000);
        let mut n_bytes = 0;
        let mut sink = |piece: &[u8]| {
            n_bytes += piece.len();
            if n_bytes > 1 << 20 {
                return Err(DecodeError::limit("csv_bytes_max", 0, 1 << 20));
            }
            Ok(())
        };
        let error = Unwrapper::new(None).feed(&wrapped, &mut sink).unwrap_err();
        assert!(matches!(error, DecodeError::Limit { .. }), "{error}");
        assert!(n_bytes <= (1 << 20) + PIECE_BYTES);
    }
}

#[test]
fn a_zstd_window_beyond_8_mib_is_refused() {
    let content = sample();
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&content).unwrap();
    let wrapped = encoder.finish().unwrap();
    let error = unwrap_chunks(None, [&wrapped[..]]).unwrap_err();
    assert_eq!(
        error,
        DecodeError::limit("zstd_window_bytes_max", 128 << 20, 8 << 20)
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        magic in prop::sample::select(vec![&b""[..], b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        size in 1usize..50,
    ) {
        let file = [magic, &bytes].concat();
        drop(unwrap_chunks(None, file.chunks(size)));
    }
}
