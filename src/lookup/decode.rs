//! All rows of a file, as they are read.
//!
//! In: a [`FileSpec`], chunks, and what to make of what the decoder yields. Out: [`Rows`], a
//! stream of that, which ends without an error only when the whole file has been read and its
//! totals have been compared. Bounded by [`OUTPUTS_MAX`] items that the caller has not taken yet.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use crate::decode::Decoded;
use crate::decode::error::DecodeError;
use crate::decode::sandbox::Sandbox;
use crate::lookup::receive::{Bounds, INPUTS_MAX, Input};
use crate::lookup::stop::{Stop, StopOnDrop};
use crate::lookup::{Call, Lookups, Message, Place, caller_gone, wait_for};
use crate::model::frame::Frame;
use crate::model::import::Failure;
use crate::session::checks::{check_crc, check_file, check_rows};
use crate::session::intake::{self, Intake};
use crate::session::spec::FileSpec;
use crate::session::{ending, open};

/// Items between a call's thread and its caller.
const OUTPUTS_MAX: usize = 2;

/// Makes what the caller gets of what the decoder yields; on the call's thread.
pub type Convert<T> = Box<dyn FnMut(Decoded) -> Result<Vec<T>, Failure> + Send>;

/// What a caller gets. Dropped before its end, it stops the call.
#[derive(Debug)]
pub struct Rows<T> {
    items: mpsc::Receiver<T>,
    /// How the call ended; `None`: it has been told.
    end: Option<oneshot::Receiver<Result<(), Failure>>>,
    _caller_gone: DropGuard,
}

impl Lookups {
    /// Reads the file that `messages` bring.
    pub fn decode<S, T>(&self, call: Call, messages: S, convert: Convert<T>) -> Rows<T>
    where
        S: Stream<Item = Result<Message<FileSpec>, Failure>> + Unpin + Send + 'static,
        T: Send + 'static,
    {
        let (output, items) = mpsc::channel(OUTPUTS_MAX);
        let (told, end) = oneshot::channel();
        let caller_gone = CancellationToken::new();
        let bounds = Bounds {
            deadline: call.deadline,
            caller_gone: caller_gone.clone(),
        };
        let lookups = self.clone();
        let reading = async move {
            let place = call.place;
            let result = lookups.run(place, bounds, messages, convert, output).await;
            // Nobody may be left to be told.
            let _ = told.send(result);
        };
        self.tasks.spawn(reading.in_current_span());
        Rows {
            items,
            end: Some(end),
            _caller_gone: caller_gone.drop_guard(),
        }
    }

    async fn run<S, T>(
        self,
        place: Place,
        bounds: Bounds,
        mut messages: S,
        convert: Convert<T>,
        output: mpsc::Sender<T>,
    ) -> Result<(), Failure>
    where
        S: Stream<Item = Result<Message<FileSpec>, Failure>> + Unpin + Send,
        T: Send + 'static,
    {
        let header = |message| match message {
            Message::Header(file) => Some(*file),
            Message::Chunk(_) | Message::Finish(_) => None,
        };
        let header = open::first(&self.sessions.config, &mut messages, header);
        let file = self.bounded(&bounds, "RECEIVING", header).await?;
        let stop = Arc::new(Stop::default());
        let _stop_on_drop = StopOnDrop(Arc::clone(&stop));
        let (input, inputs) = mpsc::channel(INPUTS_MAX);
        let reading = Reading {
            lookups: self.clone(),
            runtime: Handle::current(),
            file,
            convert,
            output,
            stop,
            n_rows: 0,
            _place: place,
        };
        let thread = self.tasks.spawn_blocking(move || reading.run(inputs));
        self.feed(&bounds, &mut messages, input, thread).await
    }
}

/// The thread of a call.
struct Reading<T> {
    lookups: Lookups,
    runtime: Handle,
    file: FileSpec,
    convert: Convert<T>,
    output: mpsc::Sender<T>,
    stop: Arc<Stop>,
    /// One past the last ordinal with content.
    n_rows: u64,
    _place: Place,
}

impl<T> Reading<T> {
    fn run(mut self, mut inputs: mpsc::Receiver<Input>) -> Result<(), Failure> {
        let config = &self.lookups.sessions.config;
        let spool_dir = config.spool_dir.for_one();
        let mut intake = Intake::new(&self.file, &config.limits, &spool_dir);
        let totals = loop {
            let next = match inputs.try_recv() {
                Ok(input) => Some(input),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => {
                    // The caller is waited for: it may wait for the rows of what it has sent.
                    self.collect(|_, each| intake.flush(each))?;
                    inputs.blocking_recv()
                }
            };
            match next {
                None => return Err(caller_gone()),
                Some(Input::Finish(totals)) => break totals,
                Some(Input::Chunk(data, crc32c)) => {
                    check_crc(&data, crc32c)?;
                    self.collect(|stopped, each| intake.feed(&data, stopped, each))?;
                }
            }
        };
        check_file(&self.file, None, totals, &intake.received())?;
        let mut workbook = None;
        self.collect(|_, each| {
            workbook = intake.finish(each)?;
            Ok(())
        })?;
        if let Some((spooled, request)) = workbook {
            let lookups = self.lookups.clone();
            let config = &lookups.sessions.config;
            let pools = [&lookups.decoders, &lookups.sessions.decoders].map(Arc::clone);
            let wait = lookups.sessions.config.queue_wait;
            let _places = wait_for(&self.runtime, pools, wait, self.stop.token())?;
            let sandbox = Sandbox {
                program: &config.decoder_program,
                limits: &config.limits,
                spool_dir: &spool_dir,
            };
            // The child has the file until the decoder is dropped, which is before its room is.
            let (spooled, _room) = spooled.into_parts();
            let mut decoder = sandbox.start(spooled, &request)?;
            self.stop.hold(decoder.killer());
            while let Some(decoded) = decoder.next()? {
                self.take(decoded)?;
            }
        }
        check_rows(totals, self.n_rows)
    }

    fn collect(
        &mut self,
        step: impl FnOnce(&dyn Fn() -> bool, &mut dyn FnMut(Decoded)) -> Result<(), DecodeError>,
    ) -> Result<(), Failure> {
        let stop = Arc::clone(&self.stop);
        intake::collect(&|| stop.is_stopped(), step, |decoded| self.take(decoded))
    }

    /// Hands on what the decoder yields, once there is room.
    fn take(&mut self, decoded: Decoded) -> Result<(), Failure> {
        if let Decoded::Rows(frame) = &decoded {
            let last = Frame::rows(frame).last();
            self.n_rows = last.map_or(self.n_rows, |row| row.ordinal + 1);
        }
        for item in (self.convert)(decoded)? {
            let sent = async {
                let timeout = self.lookups.idle_timeout();
                tokio::select! {
                    // What is not sent is of no use: the call has ended.
                    () = self.stop.token().cancelled() => Err(caller_gone()),
                    sent = tokio::time::timeout(timeout, self.output.send(item)) => match sent {
                        Ok(Ok(())) => Ok(()),
                        Ok(Err(_)) => Err(caller_gone()),
                        Err(_) => Err(self.lookups.idle("no row was read")),
                    },
                }
            };
            self.runtime.block_on(sent)?;
        }
        Ok(())
    }
}

impl<T> Stream for Rows<T> {
    type Item = Result<T, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.items.poll_recv(cx) {
            Poll::Ready(Some(item)) => return Poll::Ready(Some(Ok(item))),
            Poll::Pending => return Poll::Pending,
            // The thread has ended; its call is about to.
            Poll::Ready(None) => {}
        }
        let Some(end) = &mut self.end else {
            return Poll::Ready(None);
        };
        let Poll::Ready(result) = Pin::new(end).poll(cx) else {
            return Poll::Pending;
        };
        self.end = None;
        let result = result.unwrap_or_else(|_| Err(ending::internal("", "a lookup was lost")));
        Poll::Ready(result.err().map(Err))
    }
}
