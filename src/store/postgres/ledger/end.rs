//! What the end of a session changes in the ledger.
//!
//! In: a session's outcome. Out: SQL whose only literals are numbers and hex digits, so that it goes
//! in one round trip with BEGIN and COMMIT; a failure may quote values, and goes as parameters, which
//! the server shows to nobody. Each statement looks at the fence by itself: where the first changes no
//! row, the other does not either. Pure.

use serde::Serialize;
use sqlx::postgres::PgArguments;

use crate::model::import::ImportOutcome;
use crate::store::SessionKey;

use super::super::arguments::{self, bigint};
use super::super::{checkpoint, literal};
use super::{Ledger, forget};

/// A statement, and its parameters if it has any.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) sql: String,
    pub(super) parameters: Option<PgArguments>,
}

/// Writes state and outcome into the import's row; returns a row, unless another session holds the
/// import.
pub(super) fn update(ledger: Ledger<'_>, key: SessionKey, outcome: &ImportOutcome) -> Update {
    let retention = format!(
        "coalesce(i.reject_retention_ms, {})",
        forget::milliseconds(ledger.retention.rejects)
    );
    let sha256 = Some(&outcome.file_sha256).filter(|sha256| !sha256.is_empty());
    let sha256 = literal::or_null(sha256.map(|sha256| literal::bytes(sha256)));
    let is_terminal = outcome.state.is_terminal();
    let end_time = if is_terminal {
        ", end_time = clock_timestamp()"
    } else {
        ""
    };
    let (failure, stored, parameters) = match &outcome.failure {
        None => {
            let stored = is_terminal.then(|| literal::text(&json(outcome)));
            (None, stored, None)
        }
        Some(failure) => {
            let mut texts = vec![json(failure), json(&failure.without_values())];
            if is_terminal {
                texts.extend([json(outcome), json(&outcome.without_values())]);
            }
            let mut parameters = PgArguments::default();
            for text in texts {
                arguments::add(&mut parameters, text);
            }
            let [failure, stored] = [("$1", "$2"), ("$3", "$4")].map(|(with, without)| {
                format!("CASE WHEN {retention} = 0 THEN {without}::text ELSE {with}::text END")
            });
            (
                Some(failure),
                is_terminal.then_some(stored),
                Some(parameters),
            )
        }
    };
    let sql = format!(
        "UPDATE rowlift.imports i SET state = {state}, outcome = {stored}, failure = {failure}, \
         write_method = {write_method}, file_sha256 = coalesce({sha256}, i.file_sha256), \
         update_time = clock_timestamp(), \
         expire_time = clock_timestamp() + {ids} * interval '1 millisecond', \
         rejects_expire_time = clock_timestamp() + {retention} * interval '1 millisecond'{end_time} \
         WHERE {held} RETURNING i.id",
        state = outcome.state.number(),
        stored = literal::or_null(stored),
        failure = literal::or_null(failure),
        write_method = outcome.write_method.number(),
        ids = forget::milliseconds(ledger.retention.ids),
        held = checkpoint::held(key),
    );
    Update { sql, parameters }
}

/// What becomes of the session behind [`update`]: an import that has ended has none.
pub(super) fn leave(key: SessionKey, outcome: &ImportOutcome) -> String {
    let SessionKey { import, epoch } = key;
    let (epoch, state) = (bigint(epoch), outcome.state.number());
    if outcome.state.is_terminal() {
        // Not that of a newer one: an import that failed without a row may be begun anew while its
        // end, whose answer was lost, is told again.
        return format!(
            "DELETE FROM rowlift.sessions WHERE import = {import} AND epoch <= {epoch} \
             AND EXISTS (SELECT FROM rowlift.imports i WHERE i.id = {import} \
             AND i.epoch = {epoch} AND i.state = {state})"
        );
    }
    // Given up for good: a heartbeat that is on its way does not renew it.
    let stats = &outcome.stats;
    format!(
        "UPDATE rowlift.sessions s SET lease_until = '-infinity', received_bytes = {}, \
         received_rows = {}, retries = {} WHERE s.import = {import} AND s.epoch = {epoch} \
         AND EXISTS (SELECT FROM rowlift.imports i WHERE {})",
        bigint(stats.received_bytes),
        bigint(stats.received_rows),
        bigint(stats.retries),
        checkpoint::held(key)
    )
}

/// As the ledger keeps it.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("outcomes and failures have text keys")
}
