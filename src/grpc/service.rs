//! The RPCs: convert, call, convert back.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use crate::access::Caller;
use crate::grpc::deadline::{deadline, earlier, within};
use crate::grpc::files::{self, FileMessages};
use crate::grpc::messages::Messages;
use crate::grpc::status::status;
use crate::grpc::{convert, export, import_rows, watch};
use crate::lookup::{self, LookupConfig, Lookups};
use crate::model::import::Failure;
use crate::progress;
use crate::proto;
use crate::proto::import_service_server::ImportService;
use crate::session::admission::Ticket;
use crate::session::places::Places;
use crate::session::{self, Call, Sessions};
use crate::shutdown::Tasks;

pub(in crate::grpc) mod imports;
pub(in crate::grpc) mod rejects;
mod tables;

/// InspectFile ends so long before its deadline, to tell where that found it.
const INSPECT_HEAD_START: Duration = Duration::from_millis(50);

/// A stream of responses.
type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rowlift {
    sessions: Arc<Sessions>,
    tasks: Tasks,
    message_bytes_max: usize,
    watches: Places,
    exports: Places,
    lookups: Lookups,
}

impl Rowlift {
    /// The service over what all sessions share. Import tasks run in `tasks`.
    pub fn new(
        sessions: Arc<Sessions>,
        tasks: Tasks,
        lookups: LookupConfig,
        message_bytes_max: usize,
    ) -> Rowlift {
        Rowlift {
            lookups: Lookups::new(Arc::clone(&sessions), tasks.clone(), lookups),
            sessions,
            tasks,
            message_bytes_max,
            watches: Places::new("watches", watch::WATCHES_MAX),
            exports: Places::new("exports", export::EXPORTS_MAX),
        }
    }

    /// A place for an import.
    fn admit(&self, caller: &Caller) -> Result<Ticket, Failure> {
        let ticket = self.sessions.admission.enter(caller);
        ticket.inspect_err(|failure| self.sessions.metrics.admission_refused(failure.reason))
    }

    /// A place to look into a file.
    fn lookup(
        &self,
        caller: Arc<Caller>,
        deadline: Option<Instant>,
    ) -> Result<lookup::Call, Failure> {
        let place = self.lookups.enter(&caller);
        let place =
            place.inspect_err(|failure| self.sessions.metrics.admission_refused(failure.reason))?;
        Ok(lookup::Call {
            place,
            caller,
            deadline,
        })
    }

    /// Whose imports a call sees. Without an identity source everybody is the same owner.
    fn owner<T>(request: &Request<T>) -> String {
        Self::caller(request).owner().to_owned()
    }

    /// Who calls, as the gate found out.
    fn caller<T>(request: &Request<T>) -> Arc<Caller> {
        let caller = request.extensions().get::<Arc<Caller>>();
        // Nobody comes past the gate; whoever did would have no rights.
        caller
            .cloned()
            .unwrap_or_else(|| Arc::new(Caller::nobody()))
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
        let caller = Self::caller(&request);
        let ticket = self.admit(&caller).map_err(|failure| status(&failure))?;
        let caller_gone = CancellationToken::new();
        let (outbox, events) = progress::channel(caller_gone.clone());
        let call = Call {
            ticket,
            caller,
            deadline,
            caller_gone,
        };
        let messages = Messages::new(request.into_inner());
        let session = session::run(Arc::clone(&self.sessions), call, messages, outbox);
        self.tasks.spawn(session.in_current_span());
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
            let job = self.job(&owner, request).await?;
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
        let caller = Self::caller(&request);
        let (metadata, _, request) = request.into_parts();
        within(&metadata, Rowlift::list_tables(self, &caller, request)).await
    }

    /// NOT_FOUND.
    async fn get_table(
        &self,
        request: Request<proto::GetTableRequest>,
    ) -> Result<Response<proto::GetTableResponse>, Status> {
        let caller = Self::caller(&request);
        let (metadata, _, request) = request.into_parts();
        within(&metadata, self.table(&caller, &request.table)).await
    }

    /// No statuses of its own.
    async fn get_server_info(
        &self,
        request: Request<proto::GetServerInfoRequest>,
    ) -> Result<Response<proto::GetServerInfoResponse>, Status> {
        let (metadata, _, _) = request.into_parts();
        within(&metadata, async { Ok(self.server_info()) }).await
    }

    /// INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, ABORTED, CANCELLED,
    /// UNAVAILABLE (OVERLOADED, DRAINING).
    async fn import_rows(
        &self,
        request: Request<proto::ImportRowsRequest>,
    ) -> Result<Response<proto::ImportRowsResponse>, Status> {
        let caller = Self::caller(&request);
        let (metadata, _, request) = request.into_parts();
        within(&metadata, async {
            let deadline = deadline(&metadata)?;
            import_rows::import_rows(&self.sessions, &self.tasks, caller, deadline, request).await
        })
        .await
    }

    /// INVALID_ARGUMENT, NOT_FOUND, OUT_OF_RANGE, ABORTED, RESOURCE_EXHAUSTED, UNAVAILABLE
    /// (OVERLOADED, DRAINING).
    async fn inspect_file(
        &self,
        request: Request<Streaming<proto::InspectFileRequest>>,
    ) -> Result<Response<proto::InspectFileResponse>, Status> {
        let caller = Self::caller(&request);
        let (metadata, _, messages) = request.into_parts();
        within(&metadata, async {
            let deadline = deadline(&metadata)?.map(|at| earlier(at, INSPECT_HEAD_START));
            let call = self.lookup(caller, deadline)?;
            let messages = FileMessages::new(messages);
            files::inspection(self.lookups.inspect(call, messages).await?)
        })
        .await
    }

    /// Before the head: INVALID_ARGUMENT (grpc-timeout), UNAVAILABLE (OVERLOADED, DRAINING).
    /// Later: INVALID_ARGUMENT, OUT_OF_RANGE, ABORTED, RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED.
    async fn decode_file(
        &self,
        request: Request<Streaming<proto::DecodeFileRequest>>,
    ) -> Result<Response<Self::DecodeFileStream>, Status> {
        let deadline = deadline(request.metadata()).map_err(|failure| status(&failure))?;
        let call = self.lookup(Self::caller(&request), deadline);
        let call = call.map_err(|failure| status(&failure))?;
        let messages = FileMessages::new(request.into_inner());
        let rows = self.lookups.decode(call, messages, files::responses());
        let responses = rows.map(|next| next.map_err(|failure| status(&failure)));
        Ok(Response::new(Box::pin(responses)))
    }

    /// Before the head: NOT_FOUND, INVALID_ARGUMENT, UNAVAILABLE (OVERLOADED, DRAINING). Later:
    /// NOT_FOUND, DEADLINE_EXCEEDED, UNAVAILABLE.
    async fn watch_import(
        &self,
        request: Request<proto::WatchImportRequest>,
    ) -> Result<Response<Self::WatchImportStream>, Status> {
        let caller = Self::caller(&request);
        let (metadata, _, request) = request.into_parts();
        let begun = within(&metadata, async {
            let deadline = deadline(&metadata)?;
            watch::begin(&self.sessions, &self.watches, &caller, deadline, &request).await
        });
        let responses = begun.await?.into_inner().map(|next| match next {
            Ok(record) => Ok(proto::WatchImportResponse {
                job: Some(convert::job(&record)),
            }),
            Err(failure) => Err(status(&failure)),
        });
        Ok(Response::new(Box::pin(responses)))
    }

    /// NOT_FOUND, FAILED_PRECONDITION (WRONG_STATE).
    async fn delete_import(
        &self,
        request: Request<proto::DeleteImportRequest>,
    ) -> Result<Response<proto::DeleteImportResponse>, Status> {
        let owner = Self::owner(&request);
        let (metadata, _, request) = request.into_parts();
        within(&metadata, self.delete(&owner, request)).await
    }

    /// Before the head: NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION (WRONG_STATE),
    /// RESOURCE_EXHAUSTED, UNAVAILABLE (OVERLOADED, DRAINING). Later: the same and
    /// DEADLINE_EXCEEDED.
    async fn export_rejected_rows(
        &self,
        request: Request<proto::ExportRejectedRowsRequest>,
    ) -> Result<Response<Self::ExportRejectedRowsStream>, Status> {
        let caller = Self::caller(&request);
        let (metadata, _, request) = request.into_parts();
        let begun = within(&metadata, async {
            let deadline = deadline(&metadata)?;
            let export = export::begin(&self.sessions, &self.exports, &caller, &request).await?;
            Ok((export, deadline))
        });
        let (export, deadline) = begun.await?.into_inner();
        let responses = export::responses(export, deadline, &self.tasks)
            .map(|next| next.map_err(|failure| status(&failure)));
        Ok(Response::new(Box::pin(responses)))
    }
}
