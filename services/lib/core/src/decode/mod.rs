//! Bytes to an [`Event`]: JSON or Protobuf, with or without CloudEvents and a registry's prefix.
//!
//! A payload that can't be read is a [`Rejection`] with a reason, never a panic. Unknown fields are
//! ignored, and a missing optional is no error.

mod fast;
mod fields;
mod framing;
mod json;
mod rejection;
mod time;

pub use fields::Fields;
pub use framing::Format;
pub use rejection::{Rejection, RejectionReason};

pub(crate) use fast::special;

use crate::event::{Channel, Event, MAX_PAYLOAD_BYTES, Withdrawal};
use framing::Frame;

/// The headers of a record.
pub trait HeaderLookup {
    /// The last value under `name`; `None` where there is none or it is null.
    fn get(&self, name: &str) -> Option<&[u8]>;
}

/// No headers.
impl HeaderLookup for () {
    fn get(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}

/// Headers in order; the last of a name counts.
impl HeaderLookup for [(&str, &[u8])] {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.iter().rev().find(|(n, _)| *n == name)?;
        Some(value)
    }
}

impl<const N: usize> HeaderLookup for [(&str, &[u8]); N] {
    fn get(&self, name: &str) -> Option<&[u8]> {
        HeaderLookup::get(self.as_slice(), name)
    }
}

/// A record as read, apart from its headers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Incoming<'a> {
    /// The value's bytes; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The key's bytes, which name what a tombstone erases.
    pub key: Option<&'a [u8]>,
    /// The record's timestamp: milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
}

/// What is taken for granted where a record does not say.
#[derive(Clone, Copy, Debug)]
pub struct DecodeOptions {
    /// The payload's format where there is no `content-type` header.
    pub default_format: Format,
    /// The channel of events that name none, such as those of a topic of DMs.
    pub default_channel: Option<Channel>,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            default_format: Format::Json,
            default_channel: None,
        }
    }
}

/// Reads an event's fields out of Protobuf. Handed in, because the generated types live elsewhere.
pub type ProtobufDecoder = fn(&[u8]) -> Result<Fields<'static>, Rejection>;

/// What a record turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A message that was created or edited: it is scored.
    Event(Event<'a>),
    /// A message that is gone: its case can be closed.
    Withdrawal(Withdrawal<'a>),
}

/// Reads one record.
///
/// # Errors
/// It is no event; the reason says why, and the detail where, without quoting the payload.
pub fn decode<'a>(
    record: Incoming<'a>,
    headers: &(impl HeaderLookup + ?Sized),
    options: &DecodeOptions,
    protobuf: ProtobufDecoder,
) -> Result<Decoded<'a>, Rejection> {
    let Some(payload) = record.payload else {
        return fields::tombstone(record, headers).map(Decoded::Withdrawal);
    };
    if payload.is_empty() {
        return Err(Rejection::new(
            RejectionReason::Empty,
            "the payload has no bytes",
        ));
    }
    if payload.len() > MAX_PAYLOAD_BYTES {
        let detail = format!("{} bytes, more than {MAX_PAYLOAD_BYTES}", payload.len());
        return Err(Rejection::new(RejectionReason::TooLarge, detail));
    }
    let fields = match framing::frame(payload, headers, options.default_format)? {
        Frame::Json(body) => json::read(body, json::Shape::Event)?,
        Frame::CloudEvent(body) => json::read(body, json::Shape::CloudEvent)?,
        Frame::Protobuf(body) => protobuf(body)?,
    };
    fields.complete(record, headers, options)
}

#[cfg(test)]
mod tests;
