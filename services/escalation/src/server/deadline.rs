//! Deadlines: the caller's or the server's, whichever comes first, told as DEADLINE_EXCEEDED.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, Request, Response};
use tonic::{Code, body::Body};
use tower::BoxError;

use super::step::{Next, Step};
use crate::service::fault::Fault;

/// The longest wait of ClaimCase.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// When a call must have been answered; handlers that wait look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(pub(crate) Instant);

/// The step.
pub(crate) struct Deadlines {
    /// How long a call may take when its caller does not say.
    pub(crate) most: Duration,
}

impl Step for Deadlines {
    async fn run(
        self: Arc<Self>,
        mut request: Request<Body>,
        mut next: impl Next,
    ) -> Result<Response<Body>, BoxError> {
        let waits = request.uri().path().ends_with("/ClaimCase");
        let most = self.most + if waits { LONGEST_WAIT } else { Duration::ZERO };
        let given = match asked(request.headers()) {
            // The transport has a timer of its own for what the caller asked, and would tell it as
            // CANCELLED: this one must be the first.
            Some(asked) => most.min(asked - (asked / 20).min(Duration::from_millis(20))),
            None => most,
        };
        request
            .extensions_mut()
            .insert(Deadline(Instant::now() + given));
        // Dropping the call loses nothing: what changes the store was handed to its writer.
        match tokio::time::timeout(given, next.call(request)).await {
            Ok(answer) => answer.map_err(Into::into),
            Err(_) => Ok(Fault::new(
                Code::DeadlineExceeded,
                "DEADLINE_EXCEEDED",
                "the call took longer than it was allowed to; with the same request_id it can be repeated",
            )
            .into_status()
            .into_http()),
        }
    }
}

/// `grpc-timeout`: up to eight digits and a unit.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        asked(&headers)
    }

    #[test]
    fn the_callers_timeout_is_read_in_each_of_its_units() {
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("4S"), Some(Duration::from_secs(4)));
        assert_eq!(read("5m"), Some(Duration::from_millis(5)));
        assert_eq!(read("6u"), Some(Duration::from_micros(6)));
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
    }

    #[test]
    fn what_is_no_timeout_is_as_if_it_were_not_there() {
        for text in ["", "S", "5", "5s", "-5S", "+5S", "123456789S", "5 S"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
