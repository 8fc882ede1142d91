use std::io::{Read, Seek, Write};
use std::thread;

use super::{Full, SpoolDir};
use crate::model::import::{Failure, Reason};

fn dir(bytes_max: u64) -> SpoolDir {
    SpoolDir::new(tempfile::env::temp_dir(), Some(bytes_max))
}

#[test]
fn files_share_the_room_and_give_it_back() {
    let dir = dir(100);
    let mut one = dir.file().unwrap();
    let mut other = dir.clone().file().unwrap();
    one.write_all(&[1; 60]).unwrap();
    other.write_all(&[2; 40]).unwrap();
    assert_eq!(dir.used_bytes(), 100);
    let error = other.write_all(&[2]).unwrap_err();
    assert_eq!(Full::of(&error), Some(Full::Now { limit: 100 }));
    drop(one);
    assert_eq!(dir.used_bytes(), 40);
    other.write_all(&[2; 60]).unwrap();
    // What was written before and after a refusal is all there.
    other.rewind().unwrap();
    let mut read = Vec::new();
    other.read_to_end(&mut read).unwrap();
    assert_eq!(read, [2; 100]);
    let (file, reservation) = other.into_parts();
    drop(file);
    assert_eq!(dir.used_bytes(), 100);
    drop(reservation);
    assert_eq!(dir.used_bytes(), 0);
}

#[test]
fn what_is_announced_takes_no_room() {
    let dir = dir(100);
    let mut file = dir.file().unwrap();
    file.check(80).unwrap();
    assert_eq!(dir.used_bytes(), 0);
    let mut second = dir.reservation();
    second.grow_to(50).unwrap();
    second.grow_to(10).unwrap();
    assert_eq!(dir.used_bytes(), 50);
    file.check(50).unwrap();
    assert_eq!(file.check(51), Err(Full::Now { limit: 100 }));
    // What is there already needs no more.
    file.write_all(&[0; 30]).unwrap();
    file.check(50).unwrap();
    second.shrink_to(20);
    file.check(80).unwrap();
    assert_eq!(dir.used_bytes(), 50);
}

#[test]
fn files_of_one_holder_have_to_fit_together() {
    let dir = dir(100);
    let one = dir.for_one();
    let mut held = one.file().unwrap();
    held.write_all(&[0; 60]).unwrap();
    let mut copy = one.clone().file().unwrap();
    let (value, limit) = (101, 100);
    assert_eq!(copy.check(41), Err(Full::Ever { value, limit }));
    let error = copy.write_all(&[0; 41]).unwrap_err();
    assert_eq!(Full::of(&error), Some(Full::Ever { value, limit }));
    // Another one has only to wait.
    assert_eq!(
        dir.for_one().reservation().grow_to(41),
        Err(Full::Now { limit })
    );
    assert_eq!(dir.file().unwrap().check(41), Err(Full::Now { limit }));
    drop(held);
    copy.write_all(&[0; 41]).unwrap();
    assert_eq!(dir.used_bytes(), 41);
}

#[test]
fn a_shared_file_is_the_same() {
    let dir = dir(100);
    let mut file = dir.file().unwrap();
    file.write_all(b"abc").unwrap();
    let mut shared = file.share().unwrap();
    shared.rewind().unwrap();
    let mut read = String::new();
    shared.read_to_string(&mut read).unwrap();
    assert_eq!((read.as_str(), dir.used_bytes()), ("abc", 3));
}

#[test]
fn what_never_fits_is_told_apart_from_what_does_not_fit_now() {
    let dir = dir(100);
    let file = dir.file().unwrap();
    let (value, limit) = (101, 100);
    assert_eq!(file.check(value), Err(Full::Ever { value, limit }));
    assert_eq!(dir.used_bytes(), 0);
    let reason = |full: Full| Failure::from(full).reason;
    assert_eq!(reason(Full::Ever { value, limit }), Reason::LimitExceeded);
    assert_eq!(reason(Full::Now { limit }), Reason::Overloaded);
}

#[test]
fn what_could_be_in_memory_leaves_half_of_the_room_free() {
    let dir = dir(100);
    let mut file = dir.file().unwrap();
    file.write_all(&[0; 20]).unwrap();
    let one = dir.for_one();
    assert!(one.spare(31).is_none());
    let spare = one.spare(30).unwrap();
    assert!(dir.spare(1).is_none());
    assert_eq!(dir.used_bytes(), 50);
    // It is its holder's as any other file is.
    let (value, limit) = (101, 100);
    assert_eq!(
        one.reservation().check(71),
        Err(Full::Ever { value, limit })
    );
    // The other half is for those who have no other place.
    file.write_all(&[0; 50]).unwrap();
    drop(spare);
    assert_eq!(dir.used_bytes(), 70);
    assert!(dir.spare(1).is_none());
    drop(file);
    let all = SpoolDir::new(dir.path(), None).spare(1 << 60);
    assert!(all.is_some());
}

#[test]
fn without_a_bound_it_is_counted_all_the_same() {
    let dir = SpoolDir::new(tempfile::env::temp_dir(), None);
    let mut reservation = dir.reservation();
    reservation.grow_to(1 << 60).unwrap();
    assert_eq!((dir.used_bytes(), dir.limit_bytes()), (1 << 60, None));
}

#[test]
fn threads_never_take_more_than_there_is() {
    let dir = dir(1000);
    let n_granted: u64 = thread::scope(|scope| {
        let takers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut held = dir.reservation();
                    let n_granted = (1..=1000).take_while(|n| held.grow_to(*n).is_ok()).count();
                    // Given back, it could be granted again.
                    std::mem::forget(held);
                    n_granted as u64
                })
            })
            .collect();
        takers.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert_eq!((n_granted, dir.used_bytes()), (1000, 1000));
}
