//! A span and a measurement for every call, from the request's head to the response's end.
//!
//! In: requests with or without W3C trace context. Out: the same requests inside a span of kind
//! SERVER, whose parent is the caller's; it ends with the response's trailers, or as CANCELLED
//! where nobody reads them. Only methods of ours: probes and reflection would drown them.

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use prost::Message;
use tonic::Code;
use tower::{Layer, Service};
use tracing::{Instrument, Span, field, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::client::error::code_name;
use crate::metrics::Metrics;
use crate::proto;

/// The layer.
#[derive(Debug, Clone)]
pub struct TraceLayer {
    metrics: Metrics,
}

/// The service of [`TraceLayer`].
#[derive(Debug, Clone)]
pub struct Traced<S> {
    inner: S,
    metrics: Metrics,
}

/// A response body that tells how the call ended.
#[derive(Debug)]
pub struct TracedBody<B> {
    inner: B,
    call: Option<TracedCall>,
}

/// A call that has not ended.
#[derive(Debug)]
struct TracedCall {
    span: Span,
    method: &'static str,
    begun: Instant,
    metrics: Metrics,
}

impl TraceLayer {
    /// Spans for everything, durations for these metrics.
    pub fn new(metrics: Metrics) -> TraceLayer {
        TraceLayer { metrics }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced {
            inner,
            metrics: self.metrics.clone(),
        }
    }
}

impl<S, B, R> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Body,
{
    type Response = Response<TracedBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = method(request.uri().path()).map(|method| TracedCall {
            span: span(method, request.headers()),
            method,
            begun: Instant::now(),
            metrics: self.metrics.clone(),
        });
        let span = call
            .as_ref()
            .map_or_else(Span::none, |call| call.span.clone());
        let response = span.in_scope(|| self.inner.call(request)).instrument(span);
        Box::pin(async move {
            let response = response.await?;
            let (head, inner) = response.into_parts();
            let mut body = TracedBody { inner, call };
            // Without a body the head has the trailers.
            if head.headers.contains_key("grpc-status") {
                body.end(code(&head.headers));
            }
            Ok(Response::from_parts(head, body))
        })
    }
}

/// Names of our methods, such as `rowlift.v1.ImportService/Import`.
static METHODS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let files = prost_types::FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET)
        .expect("the build compiled the descriptors");
    let mut names = Vec::new();
    for file in &files.file {
        for service in &file.service {
            let service_name = format!("{}.{}", file.package(), service.name());
            let methods = service.method.iter();
            names.extend(methods.map(|method| format!("{service_name}/{}", method.name())));
        }
    }
    names
});

/// The method that a request's path names, if it is one of ours.
fn method(path: &str) -> Option<&'static str> {
    let name = path.strip_prefix('/')?;
    METHODS
        .iter()
        .find(|method| method.as_str() == name)
        .map(String::as_str)
}

/// The server's span of a call.
fn span(method: &'static str, headers: &HeaderMap) -> Span {
    let span = info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.status_code = field::Empty,
        error.type = field::Empty,
        import.id = field::Empty,
        trace_id = field::Empty,
        span_id = field::Empty,
    );
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    // A span that nobody collects has no parent either.
    let _ = span.set_parent(parent);
    let context = span.context();
    let ids = context.span().span_context().clone();
    if ids.is_valid() {
        span.record("trace_id", field::display(ids.trace_id()));
        span.record("span_id", field::display(ids.span_id()));
    }
    span
}

fn code(trailers: &HeaderMap) -> Code {
    let status = trailers.get("grpc-status");
    status.map_or(Code::Unknown, |status| Code::from_bytes(status.as_bytes()))
}

impl TracedCall {
    fn end(self, code: Code) {
        let name = code_name(code);
        self.span.record("rpc.status_code", name);
        let is_ours = is_error(code);
        if is_ours {
            self.span.record("otel.status_code", "ERROR");
            self.span.record("error.type", name);
        }
        let error_type = is_ours.then_some(name);
        let took = self.begun.elapsed();
        self.metrics.rpc_ended(self.method, name, error_type, took);
    }
}

impl<B> TracedBody<B> {
    fn end(&mut self, code: Code) {
        if let Some(call) = self.call.take() {
            call.end(code);
        }
    }
}

impl<B> Drop for TracedBody<B> {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

impl<B> Body for TracedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let code = code(trailers);
                    self.end(code);
                }
            }
            Poll::Ready(Some(Err(_))) => self.end(Code::Internal),
            Poll::Ready(None) => self.end(Code::Unknown),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Whether a status says that the server failed, not its caller.
fn is_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
