//! The RPCs: convert, call, convert back.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::grpc::convert;
use crate::grpc::deadline::{deadline, within};
use crate::grpc::header::{FEATURES, import_id, number};
use crate::grpc::messages::Messages;
use crate::grpc::paging::{after, page_size, token};
use crate::grpc::status::{status, unimplemented};
use crate::model::import::{Failure, FileFormat, ImportState, Reason};
use crate::model::reject::RowErrorCode;
use crate::progress;
use crate::proto;
use crate::proto::import_service_server::ImportService;
use crate::session::{self, Call, Sessions, ending};
use crate::shutdown::Tasks;
use crate::store::ImportFilter;

/// Rejected rows that are read from the ledger at once.
const REJECTS_PIECE_ROWS: u32 = 100;
/// A page of rejected rows at most, bytes, unless its first row alone is larger: clients take
/// 4 MiB unless told otherwise.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// A stream of responses.
type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rowlift {
    sessions: Arc<Sessions>,
    tasks: Tasks,
    message_bytes_max: usize,
}

impl Rowlift {
    /// The service over what all sessions share. Import tasks run in `tasks`.
    pub fn new(sessions: Arc<Sessions>, tasks: Tasks, message_bytes_max: usize) -> Rowlift {
        Rowlift {
            sessions,
            tasks,
            message_bytes_max,
        }
    }

    /// Whose imports a call sees. Without an identity source everybody is the same owner.
    fn owner<T>(_request: &Request<T>) -> String {
        String::new()
    }

    async fn job(&self, owner: &str, id: &str) -> Result<proto::ImportJob, Failure> {
        let record = self.sessions.store.import(owner, &named_import(id)?).await;
        let record = record
            .map_err(ending::failure_of)?
            .ok_or_else(|| unknown_import(id))?;
        Ok(convert::job(&record))
    }

    async fn list_imports(
        &self,
        owner: &str,
        request: proto::ListImportsRequest,
    ) -> Result<proto::ListImportsResponse, Failure> {
        refuse_tenant(&request.tenant)?;
        let size = page_size(request.page_size)?;
        let state = number::<proto::State>("state", request.state)?;
        let query = format!(
            "imports {owner:?} {state:?} {:?} {:?}",
            request.table, request.labels
        );
        let before = after(&request.page_token, &query)?;
        let filter = ImportFilter {
            state: u8::try_from(i32::from(state))
                .ok()
                .and_then(ImportState::from_number),
            table: self.table_name(&request.table).await?,
            labels: request.labels,
            tenant: String::new(),
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

    async fn cancel(
        &self,
        owner: &str,
        request: proto::CancelImportRequest,
    ) -> Result<proto::CancelImportResponse, Failure> {
        refuse_tenant(&request.tenant)?;
        let id = named_import(&request.import_id)?;
        let reason: String = request.reason.chars().take(256).collect();
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
        self.sessions.registry.cancel(owner, &id);
        Ok(proto::CancelImportResponse {
            job: Some(convert::job(&record)),
        })
    }

    async fn rejected_rows(
        &self,
        owner: &str,
        request: proto::ListRejectedRowsRequest,
    ) -> Result<proto::ListRejectedRowsResponse, Failure> {
        refuse_tenant(&request.tenant)?;
        let id = named_import(&request.import_id)?;
        let size = page_size(request.page_size)?;
        let code = number::<proto::RowErrorCode>("code", request.code)?;
        let query = format!("rejects {owner:?} {id:?} {code:?}");
        let after = after(&request.page_token, &query)?;
        let code = u8::try_from(i32::from(code))
            .ok()
            .and_then(RowErrorCode::from_number);
        let mut page = proto::ListRejectedRowsResponse::default();
        let mut n_bytes = 0;
        let mut last = after;
        // In small pieces: a row may hold megabytes, and a page has a bound in bytes too.
        'page: loop {
            let left = size.saturating_sub(u32::try_from(page.rejected_rows.len()).unwrap_or(size));
            let limit = left.min(REJECTS_PIECE_ROWS);
            let store = &self.sessions.store;
            let piece = store.rejected_rows(owner, &id, code, last, limit).await;
            let piece = piece
                .map_err(ending::failure_of)?
                .ok_or_else(|| unknown_import(&id))?;
            page.total_size = convert::count(piece.total);
            let more = piece.more;
            for row in piece.rows {
                let ordinal = row.ordinal;
                let row = convert::rejected_row(row);
                n_bytes += row.encoded_len();
                if n_bytes > PAGE_BYTES_MAX && !page.rejected_rows.is_empty() {
                    break 'page;
                }
                page.rejected_rows.push(row);
                last = Some(ordinal);
            }
            if !more {
                return Ok(page);
            }
            if page.rejected_rows.len() >= size as usize {
                break;
            }
        }
        page.next_page_token = last.map(|last| token(last, &query)).unwrap_or_default();
        Ok(page)
    }

    async fn list_tables(
        &self,
        request: proto::ListTablesRequest,
    ) -> Result<proto::ListTablesResponse, Failure> {
        let size = page_size(request.page_size)? as usize;
        let query = format!("tables {:?}", request.schema);
        let start = after(&request.page_token, &query)?.unwrap_or(0);
        let tables = self
            .sessions
            .store
            .tables()
            .await
            .map_err(ending::failure_of)?;
        let schema = request.schema;
        let visible = tables
            .iter()
            .filter(|it| schema.is_empty() || it.name.schema == schema);
        let visible: Vec<_> = visible.collect();
        let start = usize::try_from(start)
            .unwrap_or(usize::MAX)
            .min(visible.len());
        let end = visible.len().min(start + size);
        let next_page_token = if end < visible.len() {
            token(end as u64, &query)
        } else {
            String::new()
        };
        let tables = visible[start..end]
            .iter()
            .map(|table| convert::table(table))
            .collect();
        Ok(proto::ListTablesResponse {
            tables,
            next_page_token,
        })
    }

    async fn table(&self, name: &str) -> Result<proto::GetTableResponse, Failure> {
        let table = self
            .sessions
            .store
            .table(name)
            .await
            .map_err(ending::failure_of)?;
        let table = table.ok_or_else(|| {
            let message = format!("table {name:?} does not exist or is not on the allow-list");
            Failure::new(Reason::TableNotFound, message).with("table", name)
        })?;
        Ok(proto::GetTableResponse {
            table: Some(convert::table(&table)),
        })
    }

    fn server_info(&self) -> proto::GetServerInfoResponse {
        let config = &self.sessions.config;
        let limits = &config.limits;
        proto::GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            formats: FileFormat::ALL
                .iter()
                .map(|format| i32::from(format.number()))
                .collect(),
            max_message_bytes: i32::try_from(self.message_bytes_max).unwrap_or(i32::MAX),
            max_file_bytes: convert::count(limits.workbook_bytes_max),
            max_row_count: convert::count(limits.sheet_rows_max),
            draining: self.sessions.admission.is_closed(),
            features: FEATURES.iter().map(|&feature| feature.to_owned()).collect(),
            max_rejected_row_count: convert::count(config.rejected_rows_max),
            limitations: crate::decode::LIMITATIONS
                .iter()
                .map(|&it| it.to_owned())
                .collect(),
            max_csv_bytes: convert::count(limits.csv_bytes_max),
        }
    }
}

#[tonic::async_trait]
impl ImportService for Rowlift {
    type ImportStream = Responses<proto::ImportResponse>;
    type DecodeFileStream = Responses<proto::DecodeFileResponse>;
    type WatchImportStream = Responses<proto::WatchImportResponse>;
    type ExportRejectedRowsStream = Responses<proto::ExportRejectedRowsResponse>;

    /// Before the head: INVALID_ARGUMENT (grpc-timeout), UNAVAILABLE (OVERLOADED, DRAINING).
    async fn import(
        &self,
        request: Request<Streaming<proto::ImportRequest>>,
    ) -> Result<Response<Self::ImportStream>, Status> {
        let deadline = deadline(request.metadata()).map_err(|failure| status(&failure))?;
        let ticket = self
            .sessions
            .admission
            .enter()
            .map_err(|failure| status(&failure))?;
        let caller_gone = CancellationToken::new();
        let (outbox, events) = progress::channel(caller_gone.clone());
        let owner = Self::owner(&request);
        let call = Call {
            ticket,
            owner,
            deadline,
            caller_gone,
        };
        let messages = Messages::new(request.into_inner());
        self.tasks.spawn(session::run(
            Arc::clone(&self.sessions),
            call,
            messages,
            outbox,
        ));
        let message_bytes_max = self.message_bytes_max;
        let responses = events.map(move |event| match event {
            Ok(event) => Ok(convert::event(event, message_bytes_max)),
            Err(failure) => Err(status(&failure)),
        });
        Ok(Response::new(Box::pin(responses)))
    }

    /// NOT_FOUND.
    async fn get_import(
        &self,
        request: Request<proto::GetImportRequest>,
    ) -> Result<Response<proto::GetImportResponse>, Status> {
        let owner = Self::owner(&request);
        let (metadata, _, request) = request.into_parts();
        within(&metadata, async {
            refuse_tenant(&request.tenant)?;
            let job = self.job(&owner, &request.import_id).await?;
            Ok(proto::GetImportResponse { job: Some(job) })
        })
        .await
    }

    /// INVALID_ARGUMENT (page size or token).
    async fn list_imports(
        &self,
        request: Request<proto::ListImportsRequest>,
    ) -> Result<Response<proto::ListImportsResponse>, Status> {
        let owner = Self::owner(&request);
        let (metadata, _, request) = request.into_parts();
        within(&metadata, Rowlift::list_imports(self, &owner, request)).await
    }

    /// NOT_FOUND, FAILED_PRECONDITION (WRONG_STATE).
    async fn cancel_import(
        &self,
        request: Request<proto::CancelImportRequest>,
    ) -> Result<Response<proto::CancelImportResponse>, Status> {
        let owner = Self::owner(&request);
        let (metadata, _, request) = request.into_parts();
        within(&metadata, self.cancel(&owner, request)).await
    }

    /// NOT_FOUND, INVALID_ARGUMENT (page size or token).
    async fn list_rejected_rows(
        &self,
        request: Request<proto::ListRejectedRowsRequest>,
    ) -> Result<Response<proto::ListRejectedRowsResponse>, Status> {
        let owner = Self::owner(&request);
        let (metadata, _, request) = request.into_parts();
        within(&metadata, self.rejected_rows(&owner, request)).await
    }

    /// INVALID_ARGUMENT (page size or token).
    async fn list_tables(
        &self,
        request: Request<proto::ListTablesRequest>,
    ) -> Result<Response<proto::ListTablesResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        within(&metadata, Rowlift::list_tables(self, request)).await
    }

    /// NOT_FOUND.
    async fn get_table(
        &self,
        request: Request<proto::GetTableRequest>,
    ) -> Result<Response<proto::GetTableResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        within(&metadata, self.table(&request.table)).await
    }

    /// No statuses of its own.
    async fn get_server_info(
        &self,
        request: Request<proto::GetServerInfoRequest>,
    ) -> Result<Response<proto::GetServerInfoResponse>, Status> {
        let (metadata, _, _) = request.into_parts();
        within(&metadata, async { Ok(self.server_info()) }).await
    }

    async fn import_rows(
        &self,
        _request: Request<proto::ImportRowsRequest>,
    ) -> Result<Response<proto::ImportRowsResponse>, Status> {
        Err(not_built("ImportRows"))
    }

    async fn inspect_file(
        &self,
        _request: Request<Streaming<proto::InspectFileRequest>>,
    ) -> Result<Response<proto::InspectFileResponse>, Status> {
        Err(not_built("InspectFile"))
    }

    async fn decode_file(
        &self,
        _request: Request<Streaming<proto::DecodeFileRequest>>,
    ) -> Result<Response<Self::DecodeFileStream>, Status> {
        Err(not_built("DecodeFile"))
    }

    async fn watch_import(
        &self,
        _request: Request<proto::WatchImportRequest>,
    ) -> Result<Response<Self::WatchImportStream>, Status> {
        Err(not_built("WatchImport"))
    }

    async fn delete_import(
        &self,
        _request: Request<proto::DeleteImportRequest>,
    ) -> Result<Response<proto::DeleteImportResponse>, Status> {
        Err(not_built("DeleteImport"))
    }

    async fn export_rejected_rows(
        &self,
        _request: Request<proto::ExportRejectedRowsRequest>,
    ) -> Result<Response<Self::ExportRejectedRowsStream>, Status> {
        Err(not_built("ExportRejectedRows"))
    }
}

fn not_built(rpc: &str) -> Status {
    status(&unimplemented(&format!("rowlift.v1.ImportService/{rpc}")))
}

/// An id that names an existing import; empty ones name none.
fn named_import(id: &str) -> Result<String, Failure> {
    if id.is_empty() {
        return Err(crate::grpc::status::invalid("import_id", "empty"));
    }
    import_id("import_id", id)
}

fn unknown_import(id: &str) -> Failure {
    Failure::new(
        Reason::ImportNotFound,
        format!("import {id:?} is not known"),
    )
    .with("import_id", id)
}

/// No import has a tenant yet, so none matches.
fn refuse_tenant(tenant: &str) -> Result<(), Failure> {
    if tenant.is_empty() {
        Ok(())
    } else {
        Err(unimplemented("tenant"))
    }
}
