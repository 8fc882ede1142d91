//! The imports that a stored ledger holds.
//!
//! In: an import's id. Out: the header and messages that it was begun with, and what of them is to
//! be in the table at its end. Never change what is here without writing the ledgers anew.

use std::fmt::Write as _;
use std::time::Duration;

use rowlift::config::Config;
use rowlift::proto::import_request::Payload;
use rowlift::proto::{self, CommitMode, ErrorPolicy};

use crate::support::service::{file_header, finish, rows, rows_header};

/// Rows of each import.
pub(super) const N_ROWS: usize = 200;
/// Of these, the ones that are rejected.
pub(super) const N_REJECTED: usize = 8;
/// Rows of a batch.
const BATCH_ROWS: usize = 20;
/// Bytes of a chunk: a few batches.
const CHUNK_BYTES: usize = 1_500;

/// The target, on PostgreSQL and SQLite.
pub(super) const PEOPLE: &str = "create table people (
    name varchar(60) not null,
    email varchar(60) unique,
    age integer check (age >= 0)
)";

/// A file of which the caller sent a part.
pub(super) const SUSPENDED_FILE: &str = "suspended-file";
/// The same, whose service died.
pub(super) const RUNNING_FILE: &str = "running-file";
/// Rows of which the caller sent a part.
pub(super) const SUSPENDED_ROWS: &str = "suspended-rows";
/// A file that is in, but for its bad rows.
pub(super) const SUCCEEDED_FILE: &str = "succeeded-file";
/// The same in one transaction.
pub(super) const SUCCEEDED_ATOMIC: &str = "succeeded-atomic";
/// A file whose first bad row ended it.
pub(super) const FAILED_ATOMIC: &str = "failed-atomic";
/// A file of which a part is in, and the rest is not wanted.
pub(super) const CANCELLED_FILE: &str = "cancelled-file";

/// Small batches, and nothing is ever forgotten: stored ledgers grow old.
pub(super) fn configure(config: &mut Config) {
    config.batch_rows_first = BATCH_ROWS;
    config.batch_rows_max = BATCH_ROWS;
    config.id_retention = Duration::from_hours(36_500 * 24);
    config.reject_retention = config.id_retention;
}

/// The header that the import of this id was begun with.
pub(super) fn header(id: &str) -> proto::ImportHeader {
    let header = match id {
        SUSPENDED_ROWS => rows_header(id, "people", &["name", "email", "age"]),
        _ => file_header(id, "people"),
    };
    proto::ImportHeader {
        commit_mode: match id {
            SUCCEEDED_ATOMIC | FAILED_ATOMIC => CommitMode::Atomic.into(),
            _ => CommitMode::PerBatch.into(),
        },
        error_policy: match id {
            FAILED_ATOMIC => ErrorPolicy::Abort.into(),
            _ => ErrorPolicy::SkipRow.into(),
        },
        ..header
    }
}

/// Name, email and age of each row.
fn people(id: &str) -> impl Iterator<Item = [String; 3]> + '_ {
    (0..N_ROWS).map(move |row| {
        let age = match row % 50 {
            // The database refuses it.
            7 => "-1".to_owned(),
            // No number at all.
            8 if id != SUSPENDED_ROWS => "x".to_owned(),
            8 => "-2".to_owned(),
            age => age.to_string(),
        };
        [
            format!("{id} number {row:03}"),
            format!("{row:03}@{id}"),
            age,
        ]
    })
}

/// The file, whole.
pub(super) fn file(id: &str) -> Vec<u8> {
    let mut file = "name,email,age\n".to_owned();
    for [name, email, age] in people(id) {
        writeln!(file, "{name},{email},{age}").unwrap();
    }
    file.into_bytes()
}

/// All messages after the header but the last one, in the order in which they are sent.
pub(super) fn messages(id: &str) -> Vec<Payload> {
    if id != SUSPENDED_ROWS {
        return crate::support::service::chunks(&file(id), CHUNK_BYTES);
    }
    let people: Vec<[String; 3]> = people(id).collect();
    let batch = |(at, some): (usize, &[[String; 3]])| {
        let some: Vec<Vec<Option<&str>>> = some
            .iter()
            .map(|row| row.iter().map(|text| Some(text.as_str())).collect())
            .collect();
        let some: Vec<&[Option<&str>]> = some.iter().map(Vec::as_slice).collect();
        let Payload::Rows(mut batch) = rows(&some) else {
            unreachable!("rows are rows")
        };
        batch.offset = Some(i64::try_from(at * BATCH_ROWS).unwrap());
        Payload::Rows(batch)
    };
    people.chunks(BATCH_ROWS).enumerate().map(batch).collect()
}

/// The import from its header to its end.
pub(super) fn whole(header: proto::ImportHeader) -> Vec<Payload> {
    let rest = messages(&header.import_id.clone());
    let mut all = vec![Payload::Header(header)];
    all.extend(rest);
    all.push(finish());
    all
}

/// The emails that are in the table once the import is.
pub(super) fn good_emails(id: &str) -> Vec<String> {
    let is_good = |[_, _, age]: &[String; 3]| age.parse::<u32>().is_ok();
    let good = people(id).filter(is_good).map(|[_, email, _]| email);
    good.collect()
}
