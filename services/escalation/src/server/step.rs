//! A step that every call passes: one async function instead of a tower service written by hand.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::body::Body;
use tower::{BoxError, Layer, Service};

/// What comes after a step.
pub(crate) trait Next:
    Service<Request<Body>, Response = Response<Body>, Error: Into<BoxError>, Future: Send>
    + Send
    + 'static
{
}

impl<S> Next for S where
    S: Service<Request<Body>, Response = Response<Body>, Error: Into<BoxError>, Future: Send>
        + Send
        + 'static
{
}

/// Something that is done around each call.
pub(crate) trait Step: Send + Sync + 'static {
    /// Answers the call, by way of `next` or without it.
    fn run(
        self: Arc<Self>,
        request: Request<Body>,
        next: impl Next,
    ) -> impl Future<Output = Result<Response<Body>, BoxError>> + Send;
}

/// A step as a layer.
pub(crate) struct StepLayer<T>(pub(crate) Arc<T>);

/// A step with what comes after it.
pub(crate) struct Stepped<T, S> {
    step: Arc<T>,
    inner: S,
}

impl<T> Clone for StepLayer<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T, S: Clone> Clone for Stepped<T, S> {
    fn clone(&self) -> Self {
        Self {
            step: self.step.clone(),
            inner: self.inner.clone(),
        }
    }
}

impl<T, S> Layer<S> for StepLayer<T> {
    type Service = Stepped<T, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Stepped {
            step: self.0.clone(),
            inner,
        }
    }
}

impl<T: Step, S: Next + Clone> Service<Request<Body>> for Stepped<T, S> {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that is ready is used; its clone has yet to become so.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        Box::pin(self.step.clone().run(request, ready))
    }
}
