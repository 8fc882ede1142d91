//! Looking into a file without importing it.
//!
//! In: a file on disk and how to read it. Out: what is in it, or every row through a callback. As
//! for imports the upload is a stream that the connection pulls; in memory are two chunks and what
//! the windows hold. Dropping a call resets it once its upload is not held back any more: a server
//! whose rows nobody reads takes no chunks, and gives the call up after its idle timeout.

use std::io;
use std::path::Path;

use futures::{Stream, StreamExt};

use crate::client::error::ClientError;
use crate::client::upload::{Part, ReadError, Upload};
use crate::client::{
    CallOptions, ImportClient, cut_on_drop, messages, open, request_with_deadline, within,
};
use crate::proto::decode_file_response::Event;
use crate::proto::{
    DecodeFileRequest, FileSource, InspectFileRequest, InspectFileResponse, InspectHeader,
    decode_file_request, inspect_file_request,
};

impl ImportClient {
    /// Sends a file for inspection; nothing is written.
    pub async fn inspect_path(
        &self,
        header: InspectHeader,
        path: &Path,
        options: &CallOptions,
    ) -> Result<InspectFileResponse, ClientError> {
        use inspect_file_request::Payload;
        let to_request = |payload| InspectFileRequest {
            payload: Some(payload),
        };
        let (parts, read_error) = parts(path, options)?;
        let parts = parts.map(move |part| match part {
            Part::Chunk(chunk) => to_request(Payload::Chunk(chunk)),
            Part::Finish(finish) => to_request(Payload::Finish(finish)),
        });
        let messages = messages::first(to_request(Payload::Header(header))).chain(parts);
        let (messages, _cut) = cut_on_drop(messages);
        let call = async {
            let request = request_with_deadline(messages, options);
            let response = self.service().inspect_file(request).await?;
            Ok(response.into_inner())
        };
        outcome(within(options, call).await, &read_error)
    }

    /// Sends a file to be decoded; nothing is written. Every event goes to `on_event`, in order; an
    /// error of that ends the call.
    pub async fn decode_path(
        &self,
        source: FileSource,
        path: &Path,
        options: &CallOptions,
        mut on_event: impl FnMut(Event) -> io::Result<()> + Send,
    ) -> Result<(), ClientError> {
        use decode_file_request::Payload;
        let to_request = |payload| DecodeFileRequest {
            payload: Some(payload),
        };
        let (parts, read_error) = parts(path, options)?;
        let parts = parts.map(move |part| match part {
            Part::Chunk(chunk) => to_request(Payload::Chunk(chunk)),
            Part::Finish(finish) => to_request(Payload::Finish(finish)),
        });
        let messages = messages::first(to_request(Payload::File(source))).chain(parts);
        let (messages, cut) = cut_on_drop(messages);
        let call = Box::pin(async {
            let request = request_with_deadline(messages, options);
            let mut events = self.service().decode_file(request).await?.into_inner();
            while let Some(response) = events.message().await? {
                // An event that this client does not know yet is left out.
                let Some(event) = response.event else {
                    continue;
                };
                if let Err(source) = on_event(event) {
                    drop(cut);
                    // What the server has read lets it see the upload's end, and answer with that.
                    while let Ok(Some(_)) = events.message().await {}
                    return Err(ClientError::Write { source });
                }
            }
            Ok(())
        });
        outcome(within(options, call).await, &read_error)
    }
}

fn parts(
    path: &Path,
    options: &CallOptions,
) -> Result<(impl Stream<Item = Part> + Send + 'static, ReadError), ClientError> {
    let (file, _) = open(path)?;
    let (upload, read_error) = Upload::new(file, options.chunk_bytes);
    Ok((upload.into_stream(), read_error))
}

/// A file that could not be read is the reason, whatever the server says of its incomplete upload.
fn outcome<T>(
    called: Option<Result<T, ClientError>>,
    read_error: &ReadError,
) -> Result<T, ClientError> {
    match (read_error.take(), called) {
        (Some(source), _) => Err(ClientError::Read { source }),
        (None, Some(result)) => result,
        (None, None) => Err(ClientError::Deadline),
    }
}
