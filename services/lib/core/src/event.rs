//! What a brand sends in: a comment, a message or a line of live chat, and what became of it.

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer};

use crate::{
    ids::{BrandId, EventId},
    names::closed_names,
};

/// The largest payload that is read, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 2 << 20;

/// The longest text that is taken, in bytes of UTF-8. 100,000 of the widest characters fit.
pub const MAX_TEXT_BYTES: usize = 512 << 10;

/// The longest identifier or name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 1 << 10;

/// How many entries `context` may have.
pub const MAX_CONTEXT_ENTRIES: usize = 128;

/// How deep the lists and objects of a JSON payload may nest.
pub const MAX_NESTING: usize = 32;

/// How far before its record an event may claim to be written, in milliseconds, without being
/// marked [`clock_ahead`](Event::clock_ahead): clocks differ a little.
pub const MAX_CLOCK_AHEAD_MS: i64 = 5 * 60 * 1000;

closed_names! {
    /// What happened to the message.
    Kind {
        /// It was written.
        Created = "created",
        /// It was changed, and is scored again.
        Edited = "edited",
        /// It was taken back.
        Deleted = "deleted",
    }
}

closed_names! {
    /// Where the message was written.
    Channel {
        /// Under a post, for all to see.
        Comment = "comment",
        /// To the brand alone.
        Dm = "dm",
        /// In a live stream's chat.
        Live = "live",
    }
}

/// Who wrote a message.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Author<'a> {
    /// The platform's id of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// The name shown. Personal: never logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    /// How many accounts follow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub followers: Option<u64>,
    /// Whether the platform marks it as a creator's.
    pub is_creator: bool,
}

/// Shows no name, so that no log line can.
impl fmt::Debug for Author<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Author").finish_non_exhaustive()
    }
}

/// A message that was created or edited. Borrows from the payload wherever it can.
///
/// Serialized, it is an event again, with `created_at` in milliseconds since the Unix epoch.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Event<'a> {
    /// The platform's id of the message.
    pub id: EventId<'a>,
    /// Created or edited.
    pub kind: Kind,
    /// The platform's name, such as `instagram`.
    pub platform: Cow<'a, str>,
    /// The brand it was written to.
    pub brand: BrandId<'a>,
    /// Where it was written.
    pub channel: Channel,
    /// The conversation, within which order is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<Cow<'a, str>>,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Cow<'a, str>>,
    /// The post that it stands under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_id: Option<Cow<'a, str>>,
    /// Who wrote it.
    pub author: Author<'a>,
    /// What was written, as it came. Personal: never logged.
    pub text: Cow<'a, str>,
    /// The language, as the sender names it (BCP 47).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lang: Option<Cow<'a, str>>,
    /// When it was written: milliseconds since the Unix epoch, as the sender says.
    #[serde(rename = "created_at")]
    pub created_at_ms: i64,
    /// When its record was stamped: milliseconds since the Unix epoch.
    #[serde(skip)]
    pub recorded_at_ms: Option<i64>,
    /// Whatever else the sender knows: `order_id`, `product_name`, `live_id`, `utm_*`, … In the
    /// order in which it came.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    pub context: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl Event<'_> {
    /// Whether it claims to be written later than it was recorded, by more than
    /// [`MAX_CLOCK_AHEAD_MS`].
    #[must_use]
    pub fn clock_ahead(&self) -> bool {
        self.recorded_at_ms.is_some_and(|recorded| {
            self.created_at_ms.saturating_sub(recorded) > MAX_CLOCK_AHEAD_MS
        })
    }

    /// The time from which deadlines run, in milliseconds since the Unix epoch: when it was
    /// written, or when it was recorded if the sender's clock is ahead.
    #[must_use]
    pub fn event_time_ms(&self) -> i64 {
        match self.recorded_at_ms {
            Some(recorded) if self.clock_ahead() => recorded,
            _ => self.created_at_ms,
        }
    }

    /// The value under `key` in the context.
    #[must_use]
    pub fn context(&self, key: &str) -> Option<&str> {
        let (_, value) = self.context.iter().find(|(name, _)| name == key)?;
        Some(value)
    }
}

/// Shows neither text nor author, so that no log line can.
impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("brand", &self.brand)
            .field("channel", &self.channel)
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// A message that is no longer there: deleted, or erased by a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal<'a> {
    /// The message's id; for a tombstone the record's key.
    pub id: EventId<'a>,
    /// Whether it was a record without a payload, which says nothing but its key.
    pub is_tombstone: bool,
    /// The platform's name.
    pub platform: Option<Cow<'a, str>>,
    /// The brand it was written to.
    pub brand: Option<BrandId<'a>>,
    /// Where it was written.
    pub channel: Option<Channel>,
    /// The conversation; for a tombstone the record's key.
    pub conversation_id: Option<Cow<'a, str>>,
    /// When it was withdrawn: milliseconds since the Unix epoch.
    pub at_ms: Option<i64>,
}

fn as_map<S: Serializer>(
    context: &[(Cow<'_, str>, Cow<'_, str>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(context.iter().map(|(key, value)| (key, value)))
}
