//! Which file an import is of: noted in the ledger, and looked for among earlier imports.
//!
//! In: the hash of a file, as the caller announces it or once all of it is there. Out: the note,
//! the name of an earlier import of the same content into the same table, or DUPLICATE_FILE.
//! Bounded by [`RETRIES_MAX`] attempts after transient errors; whatever stops the import cuts a
//! question to the ledger short.
//!
//! Two imports of one file at the same time do not see each other before one of them has
//! succeeded: under REFUSE both may pass, and neither may name the other.

use std::future::Future;
use std::sync::Arc;

use crate::model::import::{Failure, Reason};
use crate::session::ending;
use crate::session::live::Live;
use crate::session::spec::{DuplicateFile, SourceSpec};
use crate::store::query::SameFile;
use crate::store::{Store, StoreError};
use crate::writer;

/// Attempts at a question to the ledger, after the first.
const RETRIES_MAX: u32 = 10;

impl Live {
    /// Before the first byte: what the announced hash tells.
    pub(super) async fn check_announced(&mut self) -> Result<(), Failure> {
        let SourceSpec::File(file) = &self.held.spec.source else {
            return Ok(());
        };
        let Some(announced) = file.sha256 else {
            return Ok(());
        };
        let noted = self.held.open.file_sha256;
        if noted.is_some_and(|noted| noted != announced) {
            // It was noted while this session took the import over: the next one is told.
            return Err(Failure::new(
                Reason::ImportBusy,
                "another session had the import a moment ago; send it again",
            ));
        }
        if self.held.spec.duplicate_file == DuplicateFile::Refuse {
            self.refuse_duplicate(announced).await?;
        }
        Ok(())
    }

    /// A file is complete and none of its rows is written: the ledger remembers which it is.
    pub(super) async fn on_received(&mut self, sha256: [u8; 32]) -> Result<(), Failure> {
        if self.held.open.file_sha256.is_none() {
            let key = self.registration.key();
            let note = |store: Arc<dyn Store>| async move { store.note_file(key, sha256).await };
            self.asked(note).await?;
            self.held.open.file_sha256 = Some(sha256);
        }
        if self.held.spec.duplicate_file == DuplicateFile::Refuse {
            self.refuse_duplicate(sha256).await?;
        }
        Ok(())
    }

    /// Fails the import if its file is in the table already. One that earlier sessions have begun
    /// to write goes on: it was first then.
    async fn refuse_duplicate(&mut self, sha256: [u8; 32]) -> Result<(), Failure> {
        self.look_for_duplicate(sha256).await?;
        let open = &self.held.open;
        let has_begun = open.committed_offset > 0 || !open.committed_ranges.is_empty();
        match &self.duplicate_of {
            Some(earlier) if !has_begun => Err(Failure::new(
                Reason::DuplicateFile,
                format!("import {earlier:?} has put this file into the table before"),
            )
            .with("import_id", earlier)),
            _ => Ok(()),
        }
    }

    /// Looks for an earlier import of the same file, unless one is known.
    pub(super) async fn look_for_duplicate(&mut self, sha256: [u8; 32]) -> Result<(), Failure> {
        if self.duplicate_of.is_some() {
            return Ok(());
        }
        let owner = self.call.caller.owner().to_owned();
        let tenant = self.held.open.tenant.clone();
        let table = self.held.table.name.to_string();
        let import_id = self.held.spec.import_id.clone();
        let look = |store: Arc<dyn Store>| {
            let (owner, tenant) = (owner.clone(), tenant.clone());
            let (table, import_id) = (table.clone(), import_id.clone());
            async move {
                let file = SameFile {
                    owner: &owner,
                    tenant: &tenant,
                    table: &table,
                    sha256,
                    import_id: &import_id,
                };
                store.earlier_import(file).await
            }
        };
        self.duplicate_of = self.asked(look).await?;
        Ok(())
    }

    /// Asks the ledger, and again after transient errors.
    pub(super) async fn asked<T, F>(
        &mut self,
        mut ask: impl FnMut(Arc<dyn Store>) -> F + Send,
    ) -> Result<T, Failure>
    where
        T: Send,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let mut n_failed = 0;
        loop {
            let store = Arc::clone(&self.sessions.store);
            match self.guarded(ask(store)).await? {
                Ok(answer) => return Ok(answer),
                Err(StoreError::Transient { .. }) if n_failed < RETRIES_MAX => {
                    let pause = writer::pause_after(n_failed);
                    n_failed += 1;
                    self.guarded(tokio::time::sleep(pause)).await?;
                }
                Err(error) => return Err(ending::failure_of(error)),
            }
        }
    }
}
