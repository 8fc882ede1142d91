//! The client against scripted servers on loopback.

use std::io::{self, Cursor, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Request, Response, Status, Streaming};

use super::error::ClientError;
use super::{CallOptions, ImportClient, messages};
use crate::proto::import_request::Payload;
use crate::proto::import_response::Event;
use crate::proto::import_service_server::{ImportService, ImportServiceServer};
use crate::proto::{
    Accepted, Ack, FileChunk, Finish, ImportHeader, ImportRequest, ImportResponse, ImportResult,
    Progress,
};
use crate::shutdown::Tasks;

pub(super) type Requests = Streaming<ImportRequest>;
pub(super) type Events = mpsc::Sender<Result<ImportResponse, Status>>;

/// What a scripted server does with one call.
#[tonic::async_trait]
pub(super) trait Script: Send + Sync + 'static {
    async fn play(&self, requests: Requests, events: Events);
}

struct Scripted<S> {
    script: Arc<S>,
    tasks: Tasks,
}

macro_rules! unimplemented_calls {
    ($($name:ident($request:ty) -> $response:ty;)*) => {
        // As async_trait would write it: it does not see into macros.
        $(fn $name<'this, 'call>(
            &'this self,
            _: Request<$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<$response>, Status>> + Send + 'call>>
        where
            'this: 'call,
            Self: 'call,
        {
            Box::pin(async { Err(Status::unimplemented(stringify!($name))) })
        })*
    };
}

#[tonic::async_trait]
impl<S: Script> ImportService for Scripted<S> {
    type ImportStream = ReceiverStream<Result<ImportResponse, Status>>;
    type DecodeFileStream = BoxStream<'static, Result<crate::proto::DecodeFileResponse, Status>>;
    type WatchImportStream = BoxStream<'static, Result<crate::proto::WatchImportResponse, Status>>;
    type ExportRejectedRowsStream =
        BoxStream<'static, Result<crate::proto::ExportRejectedRowsResponse, Status>>;

    async fn import(
        &self,
        request: Request<Requests>,
    ) -> Result<Response<Self::ImportStream>, Status> {
        let (events, receiver) = mpsc::channel(1);
        let script = Arc::clone(&self.script);
        let requests = request.into_inner();
        self.tasks
            .spawn(async move { script.play(requests, events).await });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    unimplemented_calls! {
        import_rows(crate::proto::ImportRowsRequest) -> crate::proto::ImportRowsResponse;
        inspect_file(Streaming<crate::proto::InspectFileRequest>) -> crate::proto::InspectFileResponse;
        decode_file(Streaming<crate::proto::DecodeFileRequest>) -> Self::DecodeFileStream;
        get_import(crate::proto::GetImportRequest) -> crate::proto::GetImportResponse;
        list_imports(crate::proto::ListImportsRequest) -> crate::proto::ListImportsResponse;
        watch_import(crate::proto::WatchImportRequest) -> Self::WatchImportStream;
        cancel_import(crate::proto::CancelImportRequest) -> crate::proto::CancelImportResponse;
        delete_import(crate::proto::DeleteImportRequest) -> crate::proto::DeleteImportResponse;
        list_rejected_rows(crate::proto::ListRejectedRowsRequest) -> crate::proto::ListRejectedRowsResponse;
        export_rejected_rows(crate::proto::ExportRejectedRowsRequest) -> Self::ExportRejectedRowsStream;
        list_tables(crate::proto::ListTablesRequest) -> crate::proto::ListTablesResponse;
        get_table(crate::proto::GetTableRequest) -> crate::proto::GetTableResponse;
        get_server_info(crate::proto::GetServerInfoRequest) -> crate::proto::GetServerInfoResponse;
    }
}

pub(super) async fn connect_to(script: impl Script) -> ImportClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let tasks = Tasks::new();
    let service = ImportServiceServer::new(Scripted {
        script: Arc::new(script),
        tasks: tasks.clone(),
    });
    let server = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tasks.spawn(server);
    ImportClient::connect(&addr).await.unwrap()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "what a stream of responses is made of"
)]
pub(super) fn event(event: Event) -> Result<ImportResponse, Status> {
    Ok(ImportResponse { event: Some(event) })
}

/// Fails unless every chunk and the finish prove what was sent; answers with the number of chunks
/// as offset and the number of bytes as received.
struct Checking;

#[tonic::async_trait]
impl Script for Checking {
    async fn play(&self, mut requests: Requests, events: Events) {
        let mut bytes = Vec::new();
        let mut n_chunks = 0;
        let first = requests.message().await.unwrap().unwrap().payload;
        assert!(matches!(first, Some(Payload::Header(_))));
        events
            .send(event(Event::Accepted(Accepted::default())))
            .await
            .unwrap();
        while let Some(request) = requests.message().await.unwrap() {
            match request.payload.unwrap() {
                Payload::Chunk(FileChunk {
                    offset,
                    data,
                    crc32c,
                }) => {
                    assert_eq!(offset, Some(i64::try_from(bytes.len()).unwrap()));
                    assert_eq!(crc32c, Some(crc32c::crc32c(&data)));
                    bytes.extend_from_slice(&data);
                    n_chunks += 1;
                }
                Payload::Finish(Finish {
                    total_bytes,
                    sha256,
                    ..
                }) => {
                    assert_eq!(total_bytes, Some(i64::try_from(bytes.len()).unwrap()));
                    assert_eq!(sha256, Sha256::digest(&bytes).to_vec());
                    let result = ImportResult {
                        committed_offset: n_chunks,
                        ..ImportResult::default()
                    };
                    events.send(event(Event::Result(result))).await.unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_file_arrives_in_checked_chunks() {
    let client = connect_to(Checking).await;
    for (n_bytes, chunk_bytes, n_chunks) in
        [(0, 7, 0), (7, 7, 1), (50, 7, 8), (1_000_003, 4096, 245)]
    {
        let bytes: Vec<u8> = (0..n_bytes).map(|at: u32| at.to_le_bytes()[0]).collect();
        let options = CallOptions {
            chunk_bytes,
            ..CallOptions::default()
        };
        let finished = client
            .import_file(
                messages::file_header("t"),
                Cursor::new(bytes),
                &options,
                |_| (),
            )
            .await
            .unwrap();
        assert_eq!(finished.result.committed_offset, n_chunks);
    }
}

/// Sends more events than any window holds before it reads a request.
struct TalksFirst;

#[tonic::async_trait]
impl Script for TalksFirst {
    async fn play(&self, mut requests: Requests, events: Events) {
        let position = vec![7; 64 << 10];
        events
            .send(event(Event::Accepted(Accepted::default())))
            .await
            .unwrap();
        for _ in 0..200 {
            let ack = Ack {
                committed_position: position.clone(),
                ..Ack::default()
            };
            events.send(event(Event::Ack(ack))).await.unwrap();
        }
        while requests.message().await.unwrap().is_some() {}
        let result = ImportResult::default();
        events.send(event(Event::Result(result))).await.unwrap();
    }
}

#[tokio::test]
async fn events_are_read_while_the_upload_is_held_back() {
    let client = connect_to(TalksFirst).await;
    let mut n_acks = 0;
    let finished = client
        .import_file(
            messages::file_header("t"),
            io::repeat(1).take(32 << 20),
            &CallOptions::default(),
            |event| n_acks += usize::from(matches!(event, Event::Ack(_))),
        )
        .await;
    assert!(finished.is_ok(), "{finished:?}");
    assert_eq!(n_acks, 200);
}

/// Fails the call after the first chunk of an upload that never ends.
struct FailsEarly {
    with_result: bool,
}

#[tonic::async_trait]
impl Script for FailsEarly {
    async fn play(&self, mut requests: Requests, events: Events) {
        for _ in 0..2 {
            requests.message().await.unwrap();
        }
        if self.with_result {
            let result = ImportResult {
                import_id: String::from("a-1"),
                ..ImportResult::default()
            };
            events.send(event(Event::Result(result))).await.unwrap();
        }
        events
            .send(Err(Status::invalid_argument("not a workbook")))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_error_during_the_upload_is_what_is_returned() {
    for with_result in [false, true] {
        let client = connect_to(FailsEarly { with_result }).await;
        let error = client
            .import_file(
                messages::file_header("t"),
                io::repeat(1),
                &CallOptions::default(),
                |_| (),
            )
            .await
            .unwrap_err();
        let ClientError::Status { status, result } = error else {
            panic!("{error:?}");
        };
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "not a workbook");
        assert_eq!(
            result.map(|result| result.import_id),
            with_result.then(|| "a-1".to_owned())
        );
    }
}

/// Reads everything and ends with OK, but says nothing of a result.
struct EndsSilently;

#[tonic::async_trait]
impl Script for EndsSilently {
    async fn play(&self, mut requests: Requests, events: Events) {
        let progress = Progress::default();
        events
            .send(event(Event::Accepted(Accepted::default())))
            .await
            .unwrap();
        events.send(event(Event::Progress(progress))).await.unwrap();
        while requests.message().await.unwrap().is_some() {}
    }
}

#[tokio::test]
async fn ok_without_a_result_is_an_error() {
    let client = connect_to(EndsSilently).await;
    let messages = stream::iter([
        messages::request(Payload::Header(ImportHeader::default())),
        messages::packed_rows(Some(0), &[vec![Some("a"), None]]),
        messages::finish_rows(1),
    ]);
    let error = client
        .import_messages(messages, &CallOptions::default(), |_| ())
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::NoResult), "{error:?}");
}

/// Yields some bytes and then fails.
struct Breaks {
    left: usize,
}

impl Read for Breaks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("the disk is gone"));
        }
        let n_bytes = self.left.min(buffer.len());
        self.left -= n_bytes;
        Ok(n_bytes)
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_not_finished() {
    let client = connect_to(EndsSilently).await;
    let options = CallOptions {
        chunk_bytes: 1000,
        ..CallOptions::default()
    };
    let error = client
        .import_file(
            messages::file_header("t"),
            Breaks { left: 2500 },
            &options,
            |_| (),
        )
        .await
        .unwrap_err();
    let ClientError::Read { source } = error else {
        panic!("{error:?}");
    };
    assert_eq!(source.to_string(), "the disk is gone");
}

/// Accepts, reads, and tells when nothing comes any more.
struct Listens {
    ended: mpsc::Sender<()>,
}

#[tonic::async_trait]
impl Script for Listens {
    async fn play(&self, mut requests: Requests, events: Events) {
        events
            .send(event(Event::Accepted(Accepted::default())))
            .await
            .unwrap();
        while let Ok(Some(_)) = requests.message().await {}
        self.ended.send(()).await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_call_stops_its_upload() {
    let (ended, mut has_ended) = mpsc::channel(1);
    let client = connect_to(Listens { ended }).await;
    let (accepted, mut is_accepted) = mpsc::channel(1);
    let options = CallOptions::default();
    let call = client.import_file(messages::file_header("t"), io::repeat(1), &options, |_| {
        accepted.try_send(()).unwrap();
    });
    tokio::select! {
        ended = call => panic!("{ended:?}"),
        _ = is_accepted.recv() => {}
    }
    let ended = tokio::time::timeout(Duration::from_secs(5), has_ended.recv()).await;
    assert_eq!(ended, Ok(Some(())));
}

/// Never answers, but tells what deadline it was given by not ending.
struct Hangs;

#[tonic::async_trait]
impl Script for Hangs {
    async fn play(&self, _requests: Requests, events: Events) {
        events.closed().await;
    }
}

#[tokio::test]
async fn a_server_that_ignores_the_deadline_is_left() {
    let client = connect_to(Hangs).await;
    let options = CallOptions {
        timeout: Some(Duration::from_secs(1)),
        ..CallOptions::default()
    };
    let messages = stream::pending().boxed();
    let error = client
        .import_messages(messages, &options, |_| ())
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Deadline), "{error:?}");
}

#[tokio::test]
async fn addresses_that_cannot_work_are_named() {
    for addr in ["not an address", "ftp://x"] {
        let error = ImportClient::connect(addr).await.unwrap_err();
        assert!(matches!(error, ClientError::Address { .. }), "{error:?}");
        assert!(error.to_string().contains(addr), "{error}");
    }
    // Port 1 of loopback: nobody listens there.
    let error = ImportClient::connect("127.0.0.1:1").await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
}

#[test]
fn packed_rows_tell_null_from_empty() {
    let message = messages::packed_rows(None, &[vec![Some("ab"), None], vec![Some(""), Some("c")]]);
    let Some(Payload::PackedRows(packed)) = message.payload else {
        panic!("{message:?}");
    };
    assert_eq!(packed.row_count, 2);
    assert_eq!(packed.cells, "abc");
    assert_eq!(packed.cell_lengths, [2, -1, 0, 1]);
    assert_eq!(packed.crc32c, Some(crc32c::crc32c(b"abc")));
}
