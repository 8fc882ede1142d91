//! The calls beside the import itself: one answer each, or pages of them.
//!
//! Every call is bounded by [`CALL_TIMEOUT`], except watching, which lasts as long as the import.
//! A refusal is a [`ClientError`]; pages are fetched one at a time, as the caller asks for them.

use std::io::{self, Write};
use std::time::Duration;

use tonic::{Request, Status};

use crate::client::ImportClient;
use crate::client::error::ClientError;
use crate::proto::{
    CancelImportRequest, DeleteImportRequest, ExportRejectedRowsRequest, FileFormat,
    GetImportRequest, GetTableRequest, ImportJob, ListImportsRequest, ListImportsResponse,
    ListRejectedRowsRequest, ListRejectedRowsResponse, ListTablesRequest, Table,
    WatchImportRequest,
};

/// How long one answer may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

impl ImportClient {
    /// All tables that the caller may import into.
    pub async fn tables(&self) -> Result<Vec<Table>, ClientError> {
        let mut tables = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListTablesRequest {
                page_token,
                ..ListTablesRequest::default()
            };
            let page = self
                .service()
                .list_tables(bounded(request))
                .await?
                .into_inner();
            tables.extend(page.tables);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(tables);
            }
        }
    }

    /// One table.
    pub async fn table(&self, name: &str) -> Result<Table, ClientError> {
        let request = GetTableRequest {
            table: name.to_owned(),
        };
        let response = self.service().get_table(bounded(request)).await?;
        present(response.into_inner().table, "a table")
    }

    /// A page of imports, newest first.
    pub async fn imports(
        &self,
        request: ListImportsRequest,
    ) -> Result<ListImportsResponse, ClientError> {
        Ok(self
            .service()
            .list_imports(bounded(request))
            .await?
            .into_inner())
    }

    /// One import.
    pub async fn import(&self, import_id: &str) -> Result<ImportJob, ClientError> {
        let request = GetImportRequest {
            import_id: import_id.to_owned(),
            ..GetImportRequest::default()
        };
        self.import_of(request).await
    }

    /// One import, of a tenant where the request names one.
    pub async fn import_of(&self, request: GetImportRequest) -> Result<ImportJob, ClientError> {
        let response = self.service().get_import(bounded(request)).await?;
        present(response.into_inner().job, "an import")
    }

    /// Tells the state of an import now and after every change, and returns the last one. Ends
    /// with the import, or with [`ClientError::Write`] once `on_change` cannot tell it any more.
    pub async fn watch(
        &self,
        import_id: &str,
        mut on_change: impl FnMut(&ImportJob) -> io::Result<()> + Send,
    ) -> Result<ImportJob, ClientError> {
        let request = WatchImportRequest {
            import_id: import_id.to_owned(),
            ..WatchImportRequest::default()
        };
        let mut changes = self.service().watch_import(request).await?.into_inner();
        let mut last = None;
        while let Some(response) = changes.message().await? {
            if let Some(job) = &response.job {
                on_change(job).map_err(|source| ClientError::Write { source })?;
            }
            last = response.job.or(last);
        }
        present(last, "an import")
    }

    /// Stops an import; harmless when repeated.
    pub async fn cancel(&self, import_id: &str, reason: &str) -> Result<ImportJob, ClientError> {
        let request = CancelImportRequest {
            import_id: import_id.to_owned(),
            reason: reason.to_owned(),
            ..CancelImportRequest::default()
        };
        let response = self.service().cancel_import(bounded(request)).await?;
        present(response.into_inner().job, "an import")
    }

    /// Wipes what an ended import keeps of its data; harmless when repeated. An empty `tenant` is
    /// not compared.
    pub async fn delete(&self, import_id: &str, tenant: &str) -> Result<ImportJob, ClientError> {
        let request = DeleteImportRequest {
            import_id: import_id.to_owned(),
            tenant: tenant.to_owned(),
        };
        let response = self.service().delete_import(bounded(request)).await?;
        present(response.into_inner().job, "an import")
    }

    /// A page of an import's rejected rows, in source order.
    pub async fn rejected_rows(
        &self,
        import_id: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<ListRejectedRowsResponse, ClientError> {
        let request = ListRejectedRowsRequest {
            import_id: import_id.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
            ..ListRejectedRowsRequest::default()
        };
        Ok(self
            .service()
            .list_rejected_rows(bounded(request))
            .await?
            .into_inner())
    }

    /// Writes an import's rejected rows as a file into `output`; the number of bytes written. Tells
    /// it of every part as well, of which there is one in ten seconds at least. Lasts as long as
    /// parts come; what was written is no file unless this ends well.
    pub async fn export_rejected_rows(
        &self,
        import_id: &str,
        format: FileFormat,
        output: &mut (impl Write + Send),
        mut on_bytes: impl FnMut(u64) + Send,
    ) -> Result<u64, ClientError> {
        let request = ExportRejectedRowsRequest {
            import_id: import_id.to_owned(),
            format: format.into(),
            ..ExportRejectedRowsRequest::default()
        };
        let mut parts = self
            .service()
            .export_rejected_rows(request)
            .await?
            .into_inner();
        let mut n_bytes = 0;
        while let Some(part) = parts.message().await? {
            output
                .write_all(&part.data)
                .map_err(|source| ClientError::Write { source })?;
            n_bytes += u64::try_from(part.data.len()).unwrap_or(u64::MAX);
            on_bytes(n_bytes);
        }
        Ok(n_bytes)
    }
}

fn bounded<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

/// What the contract says is always there.
fn present<T>(answer: Option<T>, what: &str) -> Result<T, ClientError> {
    answer.ok_or_else(|| Status::internal(format!("the server's answer lacks {what}")).into())
}
