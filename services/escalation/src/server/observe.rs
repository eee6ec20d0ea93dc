//! What is seen of each call: how many, how they ended, how long they took; nothing of what they
//! were about.

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, Request, Response};
use tonic::{Code, body::Body};
use tower::{BoxError, load_shed::error::Overloaded};
use tracing::Instrument as _;

use super::step::{Next, Step};
use crate::{
    auth::roles::Method,
    metrics,
    service::fault::{Fault, REASON},
};

/// The step: the outermost one, so that nothing escapes it.
pub(crate) struct Observe;

impl Step for Observe {
    async fn run(
        self: Arc<Self>,
        request: Request<Body>,
        mut next: impl Next,
    ) -> Result<Response<Body>, BoxError> {
        let method = name(request.uri().path());
        let start = Instant::now();
        let in_flight = metrics::in_flight();
        let span = tracing::debug_span!(
            "call",
            method,
            trace_id = trace_id(request.headers()).unwrap_or_default()
        );
        let answer = async move {
            let answer = next.call(request).await.map_err(Into::into);
            let mut answer = answer.unwrap_or_else(answer_to);
            if let Some(fault) = transports(answer.headers()) {
                answer = fault.into_status().into_http();
            }
            let code = code(answer.headers());
            let reason = answer.headers_mut().remove(REASON);
            let reason = reason.as_ref().and_then(|reason| reason.to_str().ok());
            log(code, reason.unwrap_or_default(), start);
            metrics::called(method, code, start.elapsed());
            answer
        }
        .instrument(span)
        .await;
        drop(in_flight);
        Ok(answer)
    }
}

/// Few values, whatever callers ask for.
fn name(path: &str) -> &'static str {
    match Method::find(path) {
        Some(method) => method.short(),
        None if path.starts_with("/grpc.health.v1.Health/") => "Health",
        None if path.starts_with("/grpc.reflection.") => "ServerReflection",
        None => "unknown",
    }
}

/// The code of an answer that has no body. That of an answer with a body comes after it; by then it
/// is OK, or the stream says how it ended.
fn code(headers: &HeaderMap) -> Code {
    headers
        .get("grpc-status")
        .map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

fn log(code: Code, reason: &str, start: Instant) {
    let (code, millis) = (
        metrics::code_name(code),
        start.elapsed().as_secs_f64() * 1e3,
    );
    match code {
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" => {
            tracing::error!(code, reason, millis, "a call failed");
        }
        _ => tracing::trace!(code, reason, millis, "call"),
    }
}

/// The trace that a call belongs to (W3C `traceparent`), if it is one.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let id = text.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// What the transport itself says of a request that it does not hand on, told the way this service
/// tells it. Each answer of this service has a reason.
fn transports(headers: &HeaderMap) -> Option<Fault> {
    if headers.contains_key(REASON) {
        return None;
    }
    match code(headers) {
        // Invalid UTF-8, a wrong type, half a message.
        Code::Internal => Some(Fault::new(
            Code::InvalidArgument,
            "MALFORMED_REQUEST",
            "the request is not the message that this method takes",
        )),
        Code::OutOfRange => Some(Fault::new(
            Code::ResourceExhausted,
            "REQUEST_TOO_LARGE",
            "the request has more bytes than limits.message_bytes allows",
        )),
        _ => None,
    }
}

/// What a step said instead of an answer.
fn answer_to(error: BoxError) -> Response<Body> {
    let fault = if error.is::<Overloaded>() {
        metrics::refused("overload");
        Fault::new(
            Code::Unavailable,
            "OVERLOADED",
            "the service has as many calls as it can take: try again",
        )
        .retry_after(std::time::Duration::from_secs(1))
    } else {
        Fault::new(
            Code::Internal,
            "INTERNAL",
            "the call failed: this is a fault of the service",
        )
    };
    fault.into_status().into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_taken_from_a_traceparent_and_from_nothing_else() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            trace_id(&headers).map(str::to_owned)
        };
        let id = "0af7651916cd43dd8448eb211c80319c";
        let whole = format!("00-{id}-b7ad6b7169203331-01");
        assert_eq!(read(&whole).as_deref(), Some(id));
        assert_eq!(read("00-ana@example.org-b7ad6b7169203331-01"), None);
        assert_eq!(read("nonsense"), None);
    }

    #[test]
    fn a_path_that_nobody_knows_is_counted_under_one_name() {
        assert_eq!(name("/a/b"), "unknown");
        assert_eq!(
            name("/tidegate.escalation.v1.CaseService/GetCase"),
            "CaseService/GetCase"
        );
    }
}
