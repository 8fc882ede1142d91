use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::{Code, Status};

use super::{Notice, Retries};
use crate::client::error::ClientError;
use crate::client::tests::{Events, Requests, Script, connect_to, event};
use crate::client::{CallOptions, ImportClient, messages};
use crate::proto::import_request::Payload;
use crate::proto::import_response::Event;
use crate::proto::{Accepted, ImportHeader, ImportResult};

/// Refuses some calls once it has read their header, then imports.
struct Refuses {
    with: Code,
    left: Mutex<u32>,
    headers: Mutex<Vec<ImportHeader>>,
}

#[tonic::async_trait]
impl Script for Arc<Refuses> {
    async fn play(&self, mut requests: Requests, events: Events) {
        let first = requests.message().await.unwrap().unwrap().payload;
        let Some(Payload::Header(header)) = first else {
            panic!("{first:?}");
        };
        let import_id = header.import_id.clone();
        self.headers.lock().unwrap().push(header);
        let accepted = Accepted {
            import_id: import_id.clone(),
            ..Accepted::default()
        };
        events.send(event(Event::Accepted(accepted))).await.unwrap();
        let refuse = {
            let mut left = self.left.lock().unwrap();
            let refuse = *left > 0;
            *left = left.saturating_sub(1);
            refuse
        };
        if refuse {
            events
                .send(Err(Status::new(self.with, "not now")))
                .await
                .unwrap();
            return;
        }
        while requests.message().await.unwrap().is_some() {}
        let result = ImportResult {
            import_id,
            ..ImportResult::default()
        };
        events.send(event(Event::Result(result))).await.unwrap();
    }
}

fn refuses(with: Code, left: u32) -> Arc<Refuses> {
    Arc::new(Refuses {
        with,
        left: Mutex::new(left),
        headers: Mutex::default(),
    })
}

fn options() -> CallOptions {
    CallOptions {
        retries: Retries {
            max: 3,
            pause_first: Duration::from_millis(2),
            pause_max: Duration::from_millis(8),
        },
        ..CallOptions::default()
    }
}

fn file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"name\nAnn\n").unwrap();
    file
}

async fn import(
    client: &ImportClient,
    options: &CallOptions,
) -> (Result<ImportResult, ClientError>, u32) {
    let file = file();
    let mut n_retries = 0;
    let finished = client
        .import_path_resuming(messages::file_header("t"), file.path(), options, |notice| {
            if let Notice::Retry(retry) = notice {
                n_retries += 1;
                assert_eq!(retry.number, n_retries);
            }
        })
        .await;
    (finished.map(|finished| finished.result), n_retries)
}

#[tokio::test]
async fn an_import_that_may_pass_is_taken_up_again_under_its_id() {
    let script = refuses(Code::Unavailable, 2);
    let client = connect_to(Arc::clone(&script)).await;
    let (result, n_retries) = import(&client, &options()).await;
    assert_eq!(n_retries, 2);
    let headers = script.headers.lock().unwrap();
    let resumes: Vec<bool> = headers.iter().map(|header| header.resume).collect();
    assert_eq!(resumes, [false, true, true]);
    let id = result.unwrap().import_id;
    assert_eq!(id.len(), 36);
    assert!(headers.iter().all(|header| header.import_id == id));
}

#[tokio::test]
async fn tries_are_bounded_in_number_and_time() {
    let script = refuses(Code::Unavailable, u32::MAX);
    let client = connect_to(Arc::clone(&script)).await;
    let (result, n_retries) = import(&client, &options()).await;
    assert_eq!(n_retries, 3);
    assert!(result.unwrap_err().may_pass());
    let mut hurried = options();
    hurried.timeout = Some(Duration::from_secs(20));
    hurried.retries.pause_first = Duration::from_mins(1);
    hurried.retries.pause_max = Duration::from_mins(1);
    let (result, n_retries) = import(&client, &hurried).await;
    assert_eq!(n_retries, 0);
    assert!(result.is_err());
}

#[tokio::test]
async fn what_will_not_pass_is_told_at_once() {
    for code in [Code::InvalidArgument, Code::Aborted, Code::Internal] {
        let client = connect_to(refuses(code, 1)).await;
        let (result, n_retries) = import(&client, &options()).await;
        assert_eq!(n_retries, 0, "{code:?}");
        assert!(result.is_err());
    }
}

#[test]
fn pauses_grow_to_their_bound() {
    let retries = Retries::default();
    for n_failed in 0..40 {
        let pause = retries.pause(n_failed);
        assert!(pause <= retries.pause_max, "{pause:?}");
        assert!(pause >= retries.pause_first / 2, "{pause:?}");
    }
}
