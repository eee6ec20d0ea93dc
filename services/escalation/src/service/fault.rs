//! A refusal as a caller sees it: a code, a reason in capitals, a sentence, and details (AIP-193).

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::error::DOMAIN;

/// An error on its way to a caller. It never quotes what the caller sent.
#[derive(Debug)]
pub(crate) struct Fault {
    code: Code,
    reason: &'static str,
    message: String,
    details: ErrorDetails,
}

impl Fault {
    /// A refusal; `reason` is in capitals with underscores.
    pub(crate) fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: ErrorDetails::with_error_info(reason, DOMAIN, []),
        }
    }

    /// A field of the request is wrong; `what` completes "FIELD …".
    pub(crate) fn field(field: &str, what: impl Into<String>) -> Self {
        let what = what.into();
        let mut fault = Self::new(
            Code::InvalidArgument,
            "INVALID_FIELD",
            format!("{field} {what}"),
        );
        fault.details.add_bad_request_violation(field, what);
        fault
    }

    /// The same call may be made again after this time.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.details.set_retry_info(Some(wait));
        self
    }

    /// As tonic answers.
    pub(crate) fn into_status(self) -> Status {
        let mut status = Status::with_error_details(self.code, self.message, self.details);
        // For the log line: the details are bytes by now.
        if let Ok(reason) = self.reason.parse() {
            status.metadata_mut().insert(REASON, reason);
        }
        status
    }
}

/// The trailer that repeats the reason in plain text.
pub(crate) const REASON: &str = "tidegate-reason";

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        fault.into_status()
    }
}
