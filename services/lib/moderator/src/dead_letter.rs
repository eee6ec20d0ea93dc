//! The headers that a dead letter has besides those it came with.

/// Before every header of this list.
pub const PREFIX: &str = "moderation.dlq.";
/// The topic it was read from.
pub const TOPIC: &str = "moderation.dlq.topic";
/// The partition it was read from.
pub const PARTITION: &str = "moderation.dlq.partition";
/// The offset it was read at.
pub const OFFSET: &str = "moderation.dlq.offset";
/// The timestamp it had: milliseconds since the Unix epoch.
pub const TIMESTAMP: &str = "moderation.dlq.timestamp";
/// Why it was refused, from a closed list.
pub const REASON: &str = "moderation.dlq.reason";
/// Which field, or where in the payload; never what the payload says.
pub const DETAIL: &str = "moderation.dlq.detail";
/// The stage that refused it.
pub const STAGE: &str = "moderation.dlq.stage";
/// The version of Tidegate that refused it.
pub const VERSION: &str = "moderation.dlq.version";
/// How often it was sent to its topic again. Stays on the record when it is.
pub const ATTEMPTS: &str = "moderation.dlq.attempts";
