//! Why something was not done, each with its gRPC code and a reason that programs can read.

use std::time::Duration;

use tonic::Code;

/// The domain of the reasons (AIP-193 `ErrorInfo`).
pub const DOMAIN: &str = "tidegate";

/// Makes the enum of refusals with code, reason and text of each.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident $({ $($field:ident: $type:ty),* })? => $code:ident, $reason:literal, $text:literal;)+) => {
        /// What was asked for cannot be done, and asking again the same way does not help.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum Refusal {
            $($(#[$doc])* #[error($text)] $name $({ $(
                /// What the sentence names.
                $field: $type
            ),* })?,)+
        }

        impl Refusal {
            /// The gRPC code.
            #[must_use]
            pub fn code(&self) -> Code {
                match self { $(Self::$name { .. } => Code::$code,)+ }
            }

            /// The reason, `UPPER_SNAKE`.
            #[must_use]
            pub fn reason(&self) -> &'static str {
                match self { $(Self::$name { .. } => $reason,)+ }
            }
        }
    };
}

refusals! {
    /// There is no such case, or it is in a queue that isn't the caller's.
    CaseNotFound => NotFound, "CASE_NOT_FOUND", "there is no such case in your queues";
    /// There is no such queue, or it isn't the caller's.
    QueueNotFound { queue: String } => NotFound, "QUEUE_NOT_FOUND", "there is no queue {queue:?} for you";
    /// There is no such agent.
    AgentNotFound { agent: String } => NotFound, "AGENT_NOT_FOUND", "there is no agent {agent:?}";
    /// The case changed since the caller read it.
    EtagMismatch { current: String } => Aborted, "ETAG_MISMATCH", "it has changed since you read it: read it again (its etag is now {current})";
    /// The same request id came with another request.
    RequestIdReused => InvalidArgument, "REQUEST_ID_REUSED", "this request_id was used for another request: use a new UUID for each";
    /// Somebody else has the case.
    AlreadyClaimed => FailedPrecondition, "ALREADY_CLAIMED", "another agent has this case: claim another one, or wait until its lease ends";
    /// The caller doesn't have the case, or no longer.
    LeaseGone => FailedPrecondition, "LEASE_GONE", "you don't have this case, or no longer: claim it again";
    /// The state of the case doesn't allow it.
    WrongState { state: &'static str, needs: &'static str } => FailedPrecondition, "WRONG_STATE", "the case is {state}: this needs {needs}";
    /// The caller decided it already.
    SameReviewer => FailedPrecondition, "SAME_REVIEWER", "you decided this case already: somebody else must look at it";
    /// The case is reserved for somebody else.
    Reserved => FailedPrecondition, "RESERVED", "this case is reserved for another agent: a lead can assign it";
    /// The caller doesn't read its language.
    OtherLanguage { language: String } => FailedPrecondition, "OTHER_LANGUAGE", "this case is in a language ({language}) that isn't among yours";
    /// The agent may not work there.
    NotGranted { agent: String, queue: String } => FailedPrecondition, "NOT_GRANTED", "{agent} is disabled or may not work {queue}: grant it the queue first";
    /// There is no open appeal.
    NoAppeal => FailedPrecondition, "NO_APPEAL", "there is no open appeal on this case";
    /// There is an appeal already.
    AppealExists => AlreadyExists, "APPEAL_EXISTS", "there is an appeal on this case already";
    /// A field is missing.
    Required { field: &'static str } => InvalidArgument, "REQUIRED", "{field} is required";
    /// A field is too long.
    TooLong { field: &'static str, limit: usize } => InvalidArgument, "TOO_LONG", "{field} may have at most {limit} bytes";
    /// A field's value is not usable.
    Invalid { field: &'static str, problem: String } => InvalidArgument, "INVALID", "{field}: {problem}";
    /// There are as many as there may be.
    TooMany { what: &'static str, limit: usize } => FailedPrecondition, "TOO_MANY", "a case may have at most {limit} {what}";
    /// The filter can't be read.
    BadFilter { at: usize, problem: String } => InvalidArgument, "BAD_FILTER", "the filter at byte {at}: {problem}";
    /// The order can't be read.
    BadOrder => InvalidArgument, "BAD_ORDER", "order_by is one of create_time, due_time, update_time, rank, each with an optional ` desc`";
    /// The page token doesn't belong to this request.
    BadPageToken => InvalidArgument, "BAD_PAGE_TOKEN", "page_token is not one that this request gave: start without one, and change nothing else while you go on";
    /// The page size is negative.
    BadPageSize => InvalidArgument, "BAD_PAGE_SIZE", "page_size must not be negative";
    /// Another process has read on from there.
    Overtaken { partition: String } => Aborted, "OVERTAKEN", "another process has read on from {partition}: go on from where it is";
    /// There is one already.
    AlreadyExists { what: String } => AlreadyExists, "ALREADY_EXISTS", "{what} exists already";
}

/// Why the store did not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database can't be reached, is full, or took too long: try again later. It may have been
    /// done; the same `request_id` tells.
    #[error("the case store cannot be reached or written now ({why}): try again")]
    Unavailable {
        /// What the database says, without any data.
        why: String,
    },
    /// The database holds something unexpected.
    #[error(
        "the case store holds something unexpected ({why}): look at the log, and restore it from a backup if need be"
    )]
    Broken {
        /// What, without any data.
        why: String,
    },
}

impl StoreError {
    /// The gRPC code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Unavailable { .. } => Code::Unavailable,
            Self::Broken { .. } => Code::Internal,
        }
    }

    /// The reason, `UPPER_SNAKE`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::Unavailable { .. } => "STORE_UNAVAILABLE",
            Self::Broken { .. } => "STORE_BROKEN",
        }
    }

    /// After how long a caller may try again, if that can help.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Unavailable { .. }).then_some(Duration::from_secs(1))
    }
}
