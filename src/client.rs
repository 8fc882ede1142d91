//! The Rust client that the command line and the tests use.
//!
//! In: an import's header and a file or a stream of messages. Out: every event, in order, to a
//! callback, then the [`FinishedImport`] or a [`ClientError`]. The upload is a stream that the
//! connection pulls as far as the server's windows allow, while the events are read beside it:
//! neither waits for the other, and an error that comes while the upload still runs is what is
//! returned. In memory are at most two chunks and what the windows hold. Dropping a call ends its
//! upload without a finish and resets it: the server suspends the import.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use futures::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use crate::client::credentials::{Bearer, Credentials};
use crate::client::error::ClientError;
use crate::client::resume::Retries;
use crate::client::upload::{Part, Upload};
use crate::proto::import_request::Payload;
use crate::proto::import_response::Event;
use crate::proto::import_service_client::ImportServiceClient;
use crate::proto::{
    Accepted, DuplicateFilePolicy, ImportHeader, ImportRequest, ImportResponse, ImportResult,
    import_header,
};

mod calls;
pub mod credentials;
pub mod error;
mod files;
pub mod json;
pub mod messages;
pub mod resume;
mod upload;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection on which nothing moves is asked for a sign of life this often.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Without the sign of life for so long the connection is given up.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(15);
/// The server holds a call to its deadline; this much later the client stops waiting for it.
const DEADLINE_SLACK: Duration = Duration::from_secs(2);
/// Bytes of a file in one message.
const CHUNK_BYTES: usize = 256 << 10;

/// The generated client, with credentials.
pub type Service = ImportServiceClient<InterceptedService<Channel, Bearer>>;

/// A connection to a server; clones share it.
#[derive(Debug, Clone)]
pub struct ImportClient {
    service: Service,
}

/// How a call is made, beside what it says.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// Sent as grpc-timeout; `None`: no deadline.
    pub timeout: Option<Duration>,
    /// Bytes of a file in one message; at least 1.
    pub chunk_bytes: usize,
    /// [`ImportClient::import_path_resuming`]: further tries.
    pub retries: Retries,
}

/// An import that ended with OK.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedImport {
    /// What the server said first.
    pub accepted: Accepted,
    /// What it said last.
    pub result: ImportResult,
}

impl Default for CallOptions {
    fn default() -> CallOptions {
        CallOptions {
            timeout: None,
            chunk_bytes: CHUNK_BYTES,
            retries: Retries::default(),
        }
    }
}

// === impl ImportClient ===

impl ImportClient {
    /// Connects to `addr`, a host with a port; `http://` may precede it.
    pub async fn connect(addr: &str) -> Result<ImportClient, ClientError> {
        ImportClient::connect_with(addr, &Credentials::default()).await
    }

    /// The same with credentials; `https://` speaks TLS.
    pub async fn connect_with(
        addr: &str,
        credentials: &Credentials,
    ) -> Result<ImportClient, ClientError> {
        let uri = if addr.contains("://") {
            addr.to_owned()
        } else {
            format!("http://{addr}")
        };
        let wrong = || ClientError::Address {
            addr: addr.to_owned(),
        };
        let is_tls = uri.starts_with("https://");
        if !is_tls && !uri.starts_with("http://") {
            return Err(wrong());
        }
        let mut endpoint = Endpoint::from_shared(uri).map_err(|_| wrong())?;
        if is_tls {
            let tls = endpoint.tls_config(credentials.tls()?);
            endpoint = tls.map_err(|source| ClientError::Connect {
                addr: addr.to_owned(),
                source,
            })?;
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        let channel = endpoint
            .connect()
            .await
            .map_err(|source| ClientError::Connect {
                addr: addr.to_owned(),
                source,
            })?;
        Ok(ImportClient {
            service: ImportServiceClient::with_interceptor(channel, credentials.bearer()?),
        })
    }

    /// The generated client, for the calls that need no more than that.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// Imports a file on disk. `header` needs a file source; its total_bytes, and the finish's
    /// size and SHA-256, are filled in here.
    pub async fn import_path(
        &self,
        mut header: ImportHeader,
        path: &Path,
        options: &CallOptions,
        on_event: impl FnMut(&Event) + Send,
    ) -> Result<FinishedImport, ClientError> {
        let (file, _) = open_for(&mut header, path).await?;
        self.import_file(header, file, options, on_event).await
    }

    /// Imports what `reader` yields, from byte 0 on: header, chunks with offset and CRC, finish
    /// with size and SHA-256. A reader that fails ends the stream without finish, so that the
    /// import can be resumed.
    pub async fn import_file(
        &self,
        header: ImportHeader,
        reader: impl Read + Send + 'static,
        options: &CallOptions,
        on_event: impl FnMut(&Event) + Send,
    ) -> Result<FinishedImport, ClientError> {
        let (upload, read_error) = Upload::new(reader, options.chunk_bytes);
        let parts = upload.into_stream().map(|part| match part {
            Part::Chunk(chunk) => messages::request(Payload::Chunk(chunk)),
            Part::Finish(finish) => messages::request(Payload::Finish(finish)),
        });
        let first = messages::request(Payload::Header(header));
        let outcome = self
            .import_messages(messages::first(first).chain(parts), options, on_event)
            .await;
        match read_error.take() {
            Some(source) => Err(ClientError::Read { source }),
            None => outcome,
        }
    }

    /// Sends `messages` as they are and reads the events beside them.
    pub async fn import_messages(
        &self,
        messages: impl Stream<Item = ImportRequest> + Send + 'static,
        options: &CallOptions,
        mut on_event: impl FnMut(&Event) + Send,
    ) -> Result<FinishedImport, ClientError> {
        let mut seen = Seen::default();
        let (messages, _cut) = cut_on_drop(messages);
        let call = Box::pin(async {
            let request = request_with_deadline(messages, options);
            let response = self.service().import(request).await?;
            read_events(response.into_inner(), &mut seen, &mut on_event).await
        });
        let failed = match within(options, call).await {
            Some(Ok(())) => None,
            Some(Err(status)) => Some(status),
            None => return Err(ClientError::Deadline),
        };
        match (failed, seen.accepted, seen.result) {
            (None, Some(accepted), Some(result)) => Ok(FinishedImport { accepted, result }),
            (None, _, _) => Err(ClientError::NoResult),
            (Some(status), _, result) => Err(ClientError::Status {
                status: Box::new(status),
                result: result.map(Box::new),
            }),
        }
    }
}

/// What has been read of a call's events.
#[derive(Debug, Default)]
struct Seen {
    accepted: Option<Accepted>,
    result: Option<ImportResult>,
}

async fn read_events(
    mut events: Streaming<ImportResponse>,
    seen: &mut Seen,
    on_event: &mut (impl FnMut(&Event) + Send),
) -> Result<(), Status> {
    while let Some(response) = events.message().await? {
        // An event that this client does not know yet.
        let Some(event) = response.event else {
            continue;
        };
        on_event(&event);
        match event {
            Event::Accepted(accepted) => seen.accepted = Some(accepted),
            Event::Result(result) => seen.result = Some(result),
            Event::Ack(_) | Event::Progress(_) | Event::RejectedRow(_) | Event::Draining(_) => {}
        }
    }
    Ok(())
}

/// The messages, until the guard is dropped. A call's upload belongs to the connection, which goes
/// on sending it when the call is dropped: only its end lets the stream be reset.
fn cut_on_drop<S: Stream>(messages: S) -> (impl Stream<Item = S::Item> + use<S>, DropGuard) {
    let dropped = CancellationToken::new();
    let messages = messages.take_until(dropped.clone().cancelled_owned());
    (messages, dropped.drop_guard())
}

fn request_with_deadline<T>(message: T, options: &CallOptions) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(timeout) = options.timeout {
        request.set_timeout(timeout);
    }
    request
}

/// Waits a little longer than the call's deadline; `None`: in vain.
async fn within<T>(options: &CallOptions, call: impl Future<Output = T>) -> Option<T> {
    let Some(timeout) = options.timeout else {
        return Some(call.await);
    };
    tokio::time::timeout(timeout.saturating_add(DEADLINE_SLACK), call)
        .await
        .ok()
}

fn open(path: &Path) -> Result<(File, Option<i64>), ClientError> {
    let open = || {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(std::io::ErrorKind::IsADirectory.into());
        }
        // A pipe has no size.
        let n_bytes = metadata.is_file().then_some(metadata.len());
        Ok((file, n_bytes.and_then(|n| i64::try_from(n).ok())))
    };
    open().map_err(|source| ClientError::Open {
        path: path.to_owned(),
        source,
    })
}

/// Opens the file that `header` is of, and fills in what the header can say of it. Also whether the
/// file can be read again: a pipe cannot.
async fn open_for(header: &mut ImportHeader, path: &Path) -> Result<(File, bool), ClientError> {
    let (file, n_bytes) = open(path)?;
    // An id that is used again may be of another file, and a file that is refused as a duplicate need not
    // be sent: the server compares at once.
    let announces =
        !header.import_id.is_empty() || header.duplicate_file() == DuplicateFilePolicy::Refuse;
    if let Some(import_header::Source::File(source)) = &mut header.source {
        source.total_bytes = n_bytes;
        if announces && source.sha256.is_empty() && n_bytes.is_some() {
            source.sha256 = sha256_of(path).await?;
        }
    }
    Ok((file, n_bytes.is_some()))
}

/// SHA-256 of a file, read on a blocking thread.
async fn sha256_of(path: &Path) -> Result<Vec<u8>, ClientError> {
    let read = path.to_owned();
    let hash = move || -> std::io::Result<Vec<u8>> {
        let mut hasher = Sha256::new();
        let mut file = File::open(read)?;
        let mut piece = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hasher.finalize().to_vec()),
                n_bytes => hasher.update(&piece[..n_bytes]),
            }
        }
    };
    let hashed = tokio::task::spawn_blocking(hash).await;
    hashed
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(|source| ClientError::Open {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests;
