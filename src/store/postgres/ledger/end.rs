//! What the end of a session changes in the ledger.
//!
//! In: a session's outcome. Out: SQL whose only literals are numbers and hex digits, so that it goes
//! in one round trip with BEGIN and COMMIT; a failure may quote values, and goes as parameters, which
//! the server shows to nobody. Each statement looks at the fence by itself: where the first changes no
//! row, the other does not either. Pure.

use serde::Serialize;
use sqlx::postgres::PgArguments;

use crate::model::import::{Failure, ImportOutcome};
use crate::store::SessionKey;

use super::super::arguments::{self, bigint};
use super::super::literal;
use super::{Ledger, forget};

/// A statement, and its parameters if it has any.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) sql: String,
    pub(super) parameters: Option<PgArguments>,
}

/// How texts get into a statement.
enum Texts {
    Literals,
    Parameters(Vec<String>),
}

/// Writes state and outcome into the import's row; returns a row, unless another session holds the
/// import.
pub(super) fn update(ledger: Ledger<'_>, key: SessionKey, outcome: &ImportOutcome) -> Update {
    let mut texts = match &outcome.failure {
        None => Texts::Literals,
        Some(_) => Texts::Parameters(Vec::new()),
    };
    let retention = format!(
        "coalesce(i.reject_retention_ms, {})",
        forget::milliseconds(ledger.retention.rejects)
    );
    let sha256 = Some(&outcome.file_sha256).filter(|sha256| !sha256.is_empty());
    let sha256 = literal::or_null(sha256.map(|sha256| literal::bytes(sha256)));
    let (stored, end_time) = if outcome.state.is_terminal() {
        let stored = texts.kept(&retention, outcome, ImportOutcome::without_values);
        (stored, ", end_time = clock_timestamp()")
    } else {
        ("NULL".to_owned(), "")
    };
    let failure = outcome.failure.as_ref();
    let failure = failure.map(|it| texts.kept(&retention, it, Failure::without_values));
    let sql = format!(
        "UPDATE rowlift.imports i SET state = {state}, outcome = {stored}, failure = {failure}, \
         write_method = {write_method}, file_sha256 = coalesce({sha256}, i.file_sha256), \
         update_time = clock_timestamp(), \
         expire_time = clock_timestamp() + {ids} * interval '1 millisecond', \
         rejects_expire_time = clock_timestamp() + {retention} * interval '1 millisecond'{end_time} \
         WHERE {held} RETURNING i.id",
        state = outcome.state.number(),
        failure = literal::or_null(failure),
        write_method = outcome.write_method.number(),
        ids = forget::milliseconds(ledger.retention.ids),
        held = held(key),
    );
    Update {
        sql,
        parameters: texts.parameters(),
    }
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
        held(key)
    )
}

/// Whether the session `key` holds the import `i`.
fn held(key: SessionKey) -> String {
    let (import, epoch) = (key.import, bigint(key.epoch));
    format!(
        "i.id = {import} AND i.epoch = {epoch} AND NOT EXISTS (SELECT FROM rowlift.sessions n \
         WHERE n.import = i.id AND n.epoch > {epoch})"
    )
}

impl Texts {
    /// `value` as JSON, with its values only where they are kept at all.
    fn kept<T: Serialize>(
        &mut self,
        retention: &str,
        value: &T,
        without_values: impl Fn(&T) -> T,
    ) -> String {
        let (with, without) = (json(value), json(&without_values(value)));
        if with == without {
            return self.put(with);
        }
        let (with, without) = (self.put(with), self.put(without));
        format!("CASE WHEN {retention} = 0 THEN {without} ELSE {with} END")
    }

    fn put(&mut self, text: String) -> String {
        match self {
            Texts::Literals => literal::text(&text),
            Texts::Parameters(texts) => {
                texts.push(text);
                format!("${}::text", texts.len())
            }
        }
    }

    fn parameters(self) -> Option<PgArguments> {
        let Texts::Parameters(texts) = self else {
            return None;
        };
        let mut parameters = PgArguments::default();
        for text in texts {
            arguments::add(&mut parameters, text);
        }
        Some(parameters)
    }
}

/// As the ledger keeps it.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("outcomes and failures have text keys")
}
