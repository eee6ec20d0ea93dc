//! Who may pass: identity, role and limits of each call.

use std::sync::Arc;

use http::{Request, Response};
use tonic::{
    Code, Status,
    body::Body,
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use tower::BoxError;

use super::step::{Next, Step};
use crate::{
    auth::{Authenticator, Denied, roles::Method},
    limits::{Limits, TooMuch},
    metrics,
    service::fault::Fault,
};

/// The step.
pub(crate) struct Gate {
    pub(crate) callers: Authenticator,
    pub(crate) limits: Limits,
}

impl Step for Gate {
    async fn run(
        self: Arc<Self>,
        mut request: Request<Body>,
        mut next: impl Next,
    ) -> Result<Response<Body>, BoxError> {
        // Health and reflection are open; what nobody knows is told so.
        let Some(method) = Method::find(request.uri().path()) else {
            return next.call(request).await.map_err(Into::into);
        };
        let certificates = request
            .extensions()
            .get::<TlsConnectInfo<TcpConnectInfo>>()
            .and_then(TlsConnectInfo::peer_certs);
        let certificates = certificates.as_deref().map(Vec::as_slice);
        let identity = match self.callers.identify(request.headers(), certificates).await {
            Ok(identity) => identity,
            Err(denied) => return Ok(Status::from(denied).into_http()),
        };
        let role = identity.caller.role;
        if !method.allows(role) {
            metrics::refused("role");
            let message = format!(
                "the role {} may not call {}",
                role.as_str_name()
                    .trim_start_matches("ROLE_")
                    .to_lowercase(),
                method.short()
            );
            let fault = Fault::new(Code::PermissionDenied, "ROLE_MAY_NOT", message);
            return Ok(fault.into_status().into_http());
        }
        let held = match self.limits.call(&identity.caller.agent) {
            Ok(held) => held,
            Err(much) => return Ok(Status::from(much).into_http()),
        };
        request.extensions_mut().insert(identity);
        let answer = next.call(request).await.map_err(Into::into);
        drop(held);
        answer
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        let (label, code, reason, message) = match denied {
            Denied::Store(error) => return error.into(),
            Denied::Missing => (
                "missing",
                Code::Unauthenticated,
                "CREDENTIAL_MISSING",
                "send `authorization: Bearer TOKEN`, or a client certificate",
            ),
            Denied::Credential => (
                "credential",
                Code::Unauthenticated,
                "CREDENTIAL_INVALID",
                "this credential is not valid here",
            ),
            Denied::Expired => (
                "expired",
                Code::Unauthenticated,
                "CREDENTIAL_EXPIRED",
                "this token has expired: ask for a new one",
            ),
            Denied::Nobody => (
                "nobody",
                Code::Unauthenticated,
                "AGENT_UNKNOWN",
                "this credential is genuine, and names nobody who is known here: an admin can make the agent",
            ),
            Denied::Disabled => (
                "disabled",
                Code::PermissionDenied,
                "AGENT_DISABLED",
                "this agent may no longer call",
            ),
        };
        metrics::refused(label);
        Fault::new(code, reason, message).into_status()
    }
}

impl From<TooMuch> for Status {
    fn from(much: TooMuch) -> Self {
        let (label, reason, message, wait) = match much {
            TooMuch::Rate(wait) => (
                "rate",
                "TOO_MANY_CALLS",
                "you call too often: wait as long as RetryInfo says",
                Some(wait),
            ),
            TooMuch::InFlight => (
                "in_flight",
                "TOO_MANY_CALLS_AT_ONCE",
                "you have too many calls open: wait until one ends",
                None,
            ),
            TooMuch::Streams => (
                "streams",
                "TOO_MANY_STREAMS",
                "too many watch streams are open: close one",
                None,
            ),
        };
        metrics::refused(label);
        let mut fault = Fault::new(Code::ResourceExhausted, reason, message);
        if let Some(wait) = wait {
            fault = fault.retry_after(wait);
        }
        fault.into_status()
    }
}

impl From<crate::StoreError> for Status {
    fn from(error: crate::StoreError) -> Self {
        if error.code() == Code::Internal {
            tracing::error!(reason = error.reason(), %error, "the case store is damaged");
        }
        let mut fault = Fault::new(error.code(), error.reason(), error.to_string());
        if let Some(wait) = error.retry_after() {
            fault = fault.retry_after(wait);
        }
        fault.into_status()
    }
}
