use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Line, Place};

type Wait = Pin<Box<dyn Future<Output = Place> + Send>>;

fn wait(line: &Arc<Line>, import: i64, n_bytes: u64) -> Wait {
    let line = Arc::clone(line);
    let mut wait: Wait = Box::pin(async move { line.place(import, n_bytes).await });
    assert!(poll(&mut wait).is_none(), "there is no free place");
    wait
}

fn poll(wait: &mut Wait) -> Option<Place> {
    let mut context = Context::from_waker(Waker::noop());
    match wait.as_mut().poll(&mut context) {
        Poll::Ready(place) => Some(place),
        Poll::Pending => None,
    }
}

fn now(line: &Arc<Line>, import: i64, n_bytes: u64) -> Place {
    let wait = pin!(line.place(import, n_bytes));
    match wait.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(place) => place,
        Poll::Pending => panic!("a place is free"),
    }
}

/// Who is called, one after the other, each giving its place back at once.
fn order(mut first: Option<Place>, mut waits: Vec<(i64, Wait)>) -> Vec<i64> {
    let mut called = Vec::new();
    while !waits.is_empty() {
        drop(first.take());
        let place = waits.iter_mut().position(|(import, wait)| {
            first = poll(wait);
            called.extend(first.is_some().then_some(*import));
            first.is_some()
        });
        drop(waits.remove(place.expect("somebody is called")));
    }
    called
}

#[test]
fn an_import_that_begins_goes_before_what_large_ones_have_in_line() {
    let line = Arc::new(Line::new(1));
    let first = now(&line, 1, 100);
    let mut waits = vec![(1, wait(&line, 1, 100)), (1, wait(&line, 1, 100))];
    waits.push((2, wait(&line, 2, 100)));
    waits.push((2, wait(&line, 2, 100)));
    waits.push((3, wait(&line, 3, 1)));
    assert_eq!(order(Some(first), waits), [2, 3, 1, 2, 1]);
}

#[test]
fn who_writes_little_has_as_many_more_turns() {
    let line = Arc::new(Line::new(1));
    let first = now(&line, 1, 300);
    let mut waits: Vec<_> = (0..2).map(|_| (1, wait(&line, 1, 300))).collect();
    waits.extend((0..6).map(|_| (2, wait(&line, 2, 100))));
    assert_eq!(order(Some(first), waits), [2, 2, 2, 1, 2, 2, 2, 1]);
}

#[test]
fn who_was_away_has_saved_nothing_up() {
    let line = Arc::new(Line::new(1));
    drop(now(&line, 2, 1));
    for _ in 0..10 {
        drop(now(&line, 1, 100));
    }
    let first = now(&line, 1, 100);
    let mut waits: Vec<_> = (0..2).map(|_| (1, wait(&line, 1, 100))).collect();
    waits.extend((0..3).map(|_| (2, wait(&line, 2, 100))));
    assert_eq!(order(Some(first), waits), [2, 1, 2, 1, 2]);
}

#[test]
fn a_dropped_wait_leaves_the_line_and_its_place_to_the_next() {
    let line = Arc::new(Line::new(1));
    let first = now(&line, 1, 1);
    let left = wait(&line, 2, 1);
    let called = wait(&line, 2, 1);
    let mut last = wait(&line, 3, 1);
    drop(left);
    assert_eq!(line.n_waiting(), 2);
    // Called, and gone before it knew.
    drop(first);
    drop(called);
    let place = poll(&mut last);
    assert!(place.is_some(), "the place goes on");
    assert_eq!((line.n_waiting(), line.n_busy()), (0, 1));
    drop(place);
    assert_eq!(line.n_busy(), 0);
}

#[test]
fn turns_of_imports_that_are_over_are_forgotten() {
    let line = Arc::new(Line::new(1));
    for import in 0..3000 {
        drop(now(&line, import, 1));
    }
    assert!(line.state().next_turns.len() <= super::TURNS_MAX);
}
