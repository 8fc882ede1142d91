//! What the ledger knows of imports: one, a page of them, and the requests to stop one or to wipe
//! what is kept of one.
//!
//! In: requests of the contract. Out: jobs as the ledger has them now, whichever server runs them.

use crate::grpc::convert;
use crate::grpc::header::{import_id, labels, number, tenant};
use crate::grpc::paging::{after, page_size, token};
use crate::grpc::service::Rowlift;
use crate::grpc::status::invalid;
use crate::model::import::{Failure, ImportRecord, ImportState, Reason};
use crate::proto;
use crate::session::ending;
use crate::store::query::ImportFilter;

impl Rowlift {
    pub(super) async fn job(
        &self,
        owner: &str,
        request: proto::GetImportRequest,
    ) -> Result<proto::ImportJob, Failure> {
        let id = named_import(&request.import_id)?;
        let tenant = tenant("tenant", request.tenant)?;
        let record = self.sessions.store.import(owner, &id).await;
        let record = record
            .map_err(ending::failure_of)?
            .filter(|record| is_of_tenant(record, &tenant))
            .ok_or_else(|| unknown_import(&id))?;
        Ok(convert::job(&record))
    }

    /// Refuses a call that names another tenant than the import's.
    pub(in crate::grpc) async fn check_tenant(
        &self,
        owner: &str,
        id: &str,
        named: String,
    ) -> Result<(), Failure> {
        let named = tenant("tenant", named)?;
        if named.is_empty() {
            return Ok(());
        }
        let record = self.sessions.store.import(owner, id).await;
        match record.map_err(ending::failure_of)? {
            Some(record) if is_of_tenant(&record, &named) => Ok(()),
            _ => Err(unknown_import(id)),
        }
    }

    pub(super) async fn delete(
        &self,
        owner: &str,
        request: proto::DeleteImportRequest,
    ) -> Result<proto::DeleteImportResponse, Failure> {
        let id = named_import(&request.import_id)?;
        self.check_tenant(owner, &id, request.tenant).await?;
        let record = self.sessions.store.delete_import(owner, &id).await;
        let record = record
            .map_err(ending::failure_of)?
            .ok_or_else(|| unknown_import(&id))?;
        if !record.state.is_terminal() {
            let message = format!("import {id:?} has not ended; cancel it first");
            return Err(Failure::new(Reason::WrongState, message)
                .with("state", format!("{:?}", record.state).to_uppercase()));
        }
        Ok(proto::DeleteImportResponse {
            job: Some(convert::job(&record)),
        })
    }

    pub(super) async fn list_imports(
        &self,
        owner: &str,
        request: proto::ListImportsRequest,
    ) -> Result<proto::ListImportsResponse, Failure> {
        let tenant = tenant("tenant", request.tenant)?;
        let size = page_size(request.page_size)?;
        let state = number::<proto::State>("state", request.state)?;
        let query = format!(
            "imports {owner:?} {state:?} {:?} {:?} {tenant:?}",
            request.table, request.labels
        );
        let before = after(&request.page_token, &query)?;
        let filter = ImportFilter {
            state: u8::try_from(i32::from(state))
                .ok()
                .and_then(ImportState::from_number),
            table: self.table_name(&request.table).await?,
            labels: labels("labels", request.labels)?,
            tenant,
            before: before.and_then(|id| i64::try_from(id).ok()),
            limit: size + 1,
        };
        let mut imports = self
            .sessions
            .store
            .imports(owner, &filter)
            .await
            .map_err(ending::failure_of)?;
        let more = imports.len() > size as usize;
        imports.truncate(size as usize);
        let last = imports.last().and_then(|(id, _)| u64::try_from(*id).ok());
        let next_page_token = match last {
            Some(last) if more => token(last, &query),
            _ => String::new(),
        };
        let jobs = imports
            .iter()
            .map(|(_, record)| convert::job(record))
            .collect();
        Ok(proto::ListImportsResponse {
            jobs,
            next_page_token,
        })
    }

    /// The full name of a table in a filter; one that is not visible filters everything out.
    async fn table_name(&self, name: &str) -> Result<String, Failure> {
        if name.is_empty() {
            return Ok(String::new());
        }
        let table = self
            .sessions
            .store
            .table(name)
            .await
            .map_err(ending::failure_of)?;
        Ok(table.map_or_else(|| name.to_owned(), |table| table.name.to_string()))
    }

    pub(super) async fn cancel(
        &self,
        owner: &str,
        request: proto::CancelImportRequest,
    ) -> Result<proto::CancelImportResponse, Failure> {
        let id = named_import(&request.import_id)?;
        self.check_tenant(owner, &id, request.tenant).await?;
        let reason: String = request.reason.chars().take(256).collect();
        // The session first: an ATOMIC import on SQLite holds the only writer while it runs, and
        // the ledger's answer waits for that.
        self.sessions.registry.cancel(owner, &id);
        let record = self
            .sessions
            .store
            .request_cancel(owner, &id, &reason)
            .await;
        let record = record
            .map_err(ending::failure_of)?
            .ok_or_else(|| unknown_import(&id))?;
        if matches!(record.state, ImportState::Succeeded | ImportState::Failed) {
            let message = format!("import {id:?} has ended already");
            return Err(Failure::new(Reason::WrongState, message)
                .with("state", format!("{:?}", record.state).to_uppercase()));
        }
        Ok(proto::CancelImportResponse {
            job: Some(convert::job(&record)),
        })
    }
}

/// An id that names an existing import; empty ones name none.
pub(in crate::grpc) fn named_import(id: &str) -> Result<String, Failure> {
    if id.is_empty() {
        return Err(invalid("import_id", "empty"));
    }
    import_id("import_id", id)
}

pub(in crate::grpc) fn unknown_import(id: &str) -> Failure {
    Failure::new(
        Reason::ImportNotFound,
        format!("import {id:?} is not known"),
    )
    .with("import_id", id)
}

/// Whether a call that names `tenant` may see the import; one that names none sees all.
pub(in crate::grpc) fn is_of_tenant(record: &ImportRecord, tenant: &str) -> bool {
    tenant.is_empty() || record.tenant == tenant
}
