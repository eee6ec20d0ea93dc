//! What surrounds an event's bytes: the content type, and the prefix of a schema registry.

use serde::{Deserialize, Serialize};

use super::{HeaderLookup, Rejection, RejectionReason};

/// How a payload is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON object.
    #[default]
    Json,
    /// `tidegate.events.v1.Event`.
    Protobuf,
}

/// A payload without its prefix, by what it is.
pub(super) enum Frame<'a> {
    Json(&'a [u8]),
    /// A structured CloudEvent: a JSON object with the event under `data`.
    CloudEvent(&'a [u8]),
    Protobuf(&'a [u8]),
}

pub(super) fn frame<'a>(
    payload: &'a [u8],
    headers: &(impl HeaderLookup + ?Sized),
    default: Format,
) -> Result<Frame<'a>, Rejection> {
    let format = match headers.get("content-type") {
        None => Some(default.into()),
        Some(value) => ContentType::parse(value),
    };
    match format {
        Some(ContentType::Json) => Ok(Frame::Json(without_schema_id(payload)?)),
        Some(ContentType::CloudEvent) => Ok(Frame::CloudEvent(without_schema_id(payload)?)),
        Some(ContentType::Protobuf) => Ok(Frame::Protobuf(without_message_index(payload)?)),
        None => Err(Rejection::new(
            RejectionReason::UnknownContentType,
            "the content-type header names neither JSON nor Protobuf",
        )),
    }
}

#[derive(Clone, Copy)]
enum ContentType {
    Json,
    CloudEvent,
    Protobuf,
}

impl From<Format> for ContentType {
    fn from(format: Format) -> Self {
        match format {
            Format::Json => Self::Json,
            Format::Protobuf => Self::Protobuf,
        }
    }
}

impl ContentType {
    /// Case and parameters such as `; charset=utf-8` don't matter.
    fn parse(value: &[u8]) -> Option<Self> {
        let essence = value.split(|byte| *byte == b';').next()?.trim_ascii();
        let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
        let ends = |suffix: &str| {
            essence
                .len()
                .checked_sub(suffix.len())
                .is_some_and(|start| essence[start..].eq_ignore_ascii_case(suffix.as_bytes()))
        };
        if is("application/json") {
            Some(Self::Json)
        } else if is("application/cloudevents+json") {
            Some(Self::CloudEvent)
        } else if is("text/json") || ends("+json") {
            Some(Self::Json)
        } else if is("application/protobuf")
            || is("application/x-protobuf")
            || is("application/vnd.google.protobuf")
            || ends("+protobuf")
            || ends("+proto")
        {
            Some(Self::Protobuf)
        } else {
            None
        }
    }
}

/// Takes off the Confluent wire format's prefix: a zero byte and the schema's id in four bytes.
/// Neither JSON nor Protobuf can begin with a zero byte.
fn without_schema_id(payload: &[u8]) -> Result<&[u8], Rejection> {
    match payload {
        [0, _, _, _, _, body @ ..] => Ok(body),
        [0, ..] => Err(invalid_prefix()),
        body => Ok(body),
    }
}

/// As [`without_schema_id`]; for Protobuf a list follows that says which message of the schema it
/// is: its length and its items as zigzag varints, `[0]` shortened to a single zero byte.
fn without_message_index(payload: &[u8]) -> Result<&[u8], Rejection> {
    if payload.first() != Some(&0) {
        return Ok(payload);
    }
    let mut body = without_schema_id(payload)?;
    let items = zigzag(varint(&mut body)?);
    if items < 0 || items > body.len() as i64 {
        return Err(invalid_prefix());
    }
    for _ in 0..items {
        varint(&mut body)?;
    }
    Ok(body)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Rejection> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(invalid_prefix)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(invalid_prefix())
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn invalid_prefix() -> Rejection {
    Rejection::new(
        RejectionReason::InvalidPrefix,
        "the schema registry's prefix is cut short",
    )
}
