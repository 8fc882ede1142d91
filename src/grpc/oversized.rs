//! Rewrites the one status that tonic makes itself and that the contract names otherwise.
//!
//! A message over the limit is OUT_OF_RANGE in tonic, as a trailers-only response; callers are
//! told RESOURCE_EXHAUSTED, LIMIT_EXCEEDED. All other responses pass unchanged.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Code;
use tower::{Layer, Service};

use crate::grpc::status;

/// The layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct OversizedLayer;

/// The service of [`OversizedLayer`].
#[derive(Debug, Clone)]
pub struct Oversized<S> {
    inner: S,
}

impl<S> Layer<S> for OversizedLayer {
    type Service = Oversized<S>;

    fn layer(&self, inner: S) -> Oversized<S> {
        Oversized { inner }
    }
}

impl<S, B, R> Service<Request<B>> for Oversized<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let response = self.inner.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            let status = tonic::Status::from_header_map(response.headers());
            // Ours say why in their details; tonic's own has none.
            if let Some(status) = status
                && status.code() == Code::OutOfRange
                && status.details().is_empty()
            {
                let limit = status::status(&status::from_caller(&status));
                let headers = response.headers_mut();
                headers.remove("grpc-status");
                headers.remove("grpc-message");
                if limit.add_header(headers).is_err() {
                    headers.insert("grpc-status", http::HeaderValue::from_static("8"));
                }
            }
            Ok(response)
        })
    }
}
