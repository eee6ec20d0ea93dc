//! Why a record can't be read as an event: a closed list, each with a name that stays.

use std::fmt;

use crate::names::closed_names;

closed_names! {
    /// Why a record was refused. The names are in headers of dead letters and in metrics.
    RejectionReason {
        /// There is a payload, but nothing in it.
        Empty = "empty",
        /// The payload has more than [`MAX_PAYLOAD_BYTES`](crate::event::MAX_PAYLOAD_BYTES), or a
        /// part of it is longer than its limit.
        TooLarge = "too_large",
        /// JSON nests deeper than [`MAX_NESTING`](crate::event::MAX_NESTING).
        TooDeep = "too_deep",
        /// JSON, but its bytes are not UTF-8.
        InvalidUtf8 = "invalid_utf8",
        /// Not JSON, or JSON that ends too early.
        InvalidJson = "invalid_json",
        /// Protobuf that ends too early.
        TruncatedProtobuf = "truncated_protobuf",
        /// Not Protobuf.
        InvalidProtobuf = "invalid_protobuf",
        /// The prefix of a schema registry that ends too early.
        InvalidPrefix = "invalid_prefix",
        /// The `content-type` header names something else than JSON or Protobuf.
        UnknownContentType = "unknown_content_type",
        /// A field that every event needs is not there.
        MissingField = "missing_field",
        /// A field holds something of another type, such as a number for a text.
        WrongType = "wrong_type",
        /// A time is neither RFC 3339 nor seconds or milliseconds since the epoch.
        InvalidTime = "invalid_time",
        /// `kind` is none of created, edited, deleted.
        UnknownKind = "unknown_kind",
        /// `channel` is none of comment, dm, live.
        UnknownChannel = "unknown_channel",
    }
}

/// A record that is no event: it goes to the dead letters, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Rejection {
    /// Why, from a closed list.
    pub reason: RejectionReason,
    /// Which field or where in the payload. Holds nothing that the payload said.
    pub detail: String,
}

impl Rejection {
    /// A rejection; `detail` must not quote the payload.
    #[must_use]
    pub fn new(reason: RejectionReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    pub(crate) fn missing(field: &str) -> Self {
        Self::new(
            RejectionReason::MissingField,
            format!("field `{field}` is missing"),
        )
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}
