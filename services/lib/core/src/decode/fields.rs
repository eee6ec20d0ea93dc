//! An event's fields as they were sent, and what makes them an event.

use std::borrow::Cow;

use super::{DecodeOptions, Decoded, HeaderLookup, Incoming, Rejection, RejectionReason, time};
use crate::{
    event::{
        Author, Channel, Event, Kind, MAX_CONTEXT_ENTRIES, MAX_NAME_BYTES, MAX_TEXT_BYTES,
        Withdrawal,
    },
    ids::{BrandId, EventId},
};

/// The fields of an event, of which any may be missing. JSON and Protobuf both end up here, so
/// that one set of rules holds for both.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Event`, before anything is checked")]
pub struct Fields<'a> {
    pub id: Option<Cow<'a, str>>,
    pub kind: Option<Cow<'a, str>>,
    pub platform: Option<Cow<'a, str>>,
    pub brand: Option<Cow<'a, str>>,
    pub channel: Option<Cow<'a, str>>,
    pub conversation_id: Option<Cow<'a, str>>,
    pub parent_id: Option<Cow<'a, str>>,
    pub post_id: Option<Cow<'a, str>>,
    pub author: Author<'a>,
    pub text: Option<Cow<'a, str>>,
    pub lang: Option<Cow<'a, str>>,
    pub created_at_ms: Option<i64>,
    pub context: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Fields<'a> {
    /// Checks the fields, and takes what is missing from the headers and the options.
    pub(super) fn complete(
        mut self,
        record: Incoming<'a>,
        headers: &(impl HeaderLookup + ?Sized),
        options: &DecodeOptions,
    ) -> Result<Decoded<'a>, Rejection> {
        self.fill_from(headers);
        self.check_sizes()?;
        let kind = self.kind()?;
        let channel = self.channel()?.or(options.default_channel);
        let id = EventId(self.id.ok_or_else(|| Rejection::missing("id"))?);
        if kind == Kind::Deleted {
            return Ok(Decoded::Withdrawal(Withdrawal {
                id,
                is_tombstone: false,
                platform: self.platform,
                brand: self.brand.map(BrandId),
                channel,
                conversation_id: self.conversation_id,
                at_ms: self.created_at_ms.or(record.timestamp_ms),
            }));
        }
        Ok(Decoded::Event(Event {
            id,
            kind,
            platform: self
                .platform
                .ok_or_else(|| Rejection::missing("platform"))?,
            brand: BrandId(self.brand.ok_or_else(|| Rejection::missing("brand"))?),
            channel: channel.ok_or_else(|| Rejection::missing("channel"))?,
            conversation_id: self.conversation_id,
            parent_id: self.parent_id,
            post_id: self.post_id,
            author: self.author,
            text: self.text.ok_or_else(|| Rejection::missing("text"))?,
            lang: self.lang,
            created_at_ms: self
                .created_at_ms
                .or(record.timestamp_ms)
                .ok_or_else(|| Rejection::missing("created_at"))?,
            recorded_at_ms: record.timestamp_ms,
            context: self.context,
        }))
    }

    /// Takes from a CloudEvent's headers what the body lacks.
    fn fill_from(&mut self, headers: &(impl HeaderLookup + ?Sized)) {
        let header = |name: &str| std::str::from_utf8(headers.get(name)?).ok();
        if self.id.is_none() {
            self.id = header("ce_id").map(|id| Cow::Owned(id.to_owned()));
        }
        if self.created_at_ms.is_none() {
            self.created_at_ms = header("ce_time").and_then(time::from_text);
        }
        if (self.kind.is_none() || self.channel.is_none())
            && let Some(name) = header("ce_type")
        {
            self.fill_from_type(name);
        }
    }

    /// Takes kind and channel from a CloudEvent's type, such as `com.example.comment.created`,
    /// where the body lacks them.
    pub(super) fn fill_from_type(&mut self, name: &str) {
        for part in name.split('.') {
            if let (None, Ok(kind)) = (&self.kind, part.parse::<Kind>()) {
                self.kind = Some(Cow::Borrowed(kind.as_str()));
            }
            if let (None, Ok(channel)) = (&self.channel, part.parse::<Channel>()) {
                self.channel = Some(Cow::Borrowed(channel.as_str()));
            }
        }
    }

    fn kind(&self) -> Result<Kind, Rejection> {
        let name = self.kind.as_deref().unwrap_or("created");
        name.parse().map_err(|_| {
            let detail = "field `kind` is none of created, edited, deleted";
            Rejection::new(RejectionReason::UnknownKind, detail)
        })
    }

    fn channel(&self) -> Result<Option<Channel>, Rejection> {
        let channel = self.channel.as_deref().map(str::parse).transpose();
        channel.map_err(|_| {
            let detail = "field `channel` is none of comment, dm, live";
            Rejection::new(RejectionReason::UnknownChannel, detail)
        })
    }

    fn check_sizes(&self) -> Result<(), Rejection> {
        let names = [
            ("id", &self.id),
            ("platform", &self.platform),
            ("brand", &self.brand),
            ("conversation_id", &self.conversation_id),
            ("parent_id", &self.parent_id),
            ("post_id", &self.post_id),
            ("author.id", &self.author.id),
            ("author.name", &self.author.name),
            ("lang", &self.lang),
        ];
        for (field, value) in names {
            at_most(
                field,
                value.as_ref().map_or(0, |value| value.len()),
                MAX_NAME_BYTES,
            )?;
        }
        at_most(
            "text",
            self.text.as_ref().map_or(0, |text| text.len()),
            MAX_TEXT_BYTES,
        )?;
        at_most("context", self.context.len(), MAX_CONTEXT_ENTRIES)
    }
}

/// What a record without a payload erases: its key says so.
pub(super) fn tombstone<'a>(
    record: Incoming<'a>,
    headers: &(impl HeaderLookup + ?Sized),
) -> Result<Withdrawal<'a>, Rejection> {
    let key = record
        .key
        .filter(|key| !key.is_empty())
        .map(String::from_utf8_lossy);
    let header = || {
        let id = std::str::from_utf8(headers.get("ce_id")?).ok()?;
        Some(Cow::Owned(id.to_owned()))
    };
    let id = key.clone().or_else(header).ok_or_else(|| {
        let detail = "a record without payload and without key names nothing to withdraw";
        Rejection::new(RejectionReason::MissingField, detail)
    })?;
    at_most("the key", id.len(), MAX_NAME_BYTES)?;
    Ok(Withdrawal {
        id: EventId(id),
        is_tombstone: true,
        platform: None,
        brand: None,
        channel: None,
        conversation_id: key,
        at_ms: record.timestamp_ms,
    })
}

fn at_most(field: &str, size: usize, limit: usize) -> Result<(), Rejection> {
    if size <= limit {
        return Ok(());
    }
    let detail = format!("field `{field}` has {size} bytes or entries, more than {limit}");
    Err(Rejection::new(RejectionReason::TooLarge, detail))
}
