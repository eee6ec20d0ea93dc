//! Protobuf to the core's fields of an event.

use std::borrow::Cow;

use prost::Message;
use tidegate_core::{Channel, Kind, Rejection, RejectionReason, decode::Fields, event};

use crate::events::v1;

/// Reads an event; hand it to [`tidegate_core::decode()`].
///
/// # Errors
/// The bytes end too early or are no Protobuf. What the fields say is checked by the core.
pub fn decode_event(bytes: &[u8]) -> Result<Fields<'static>, Rejection> {
    let event = v1::Event::decode(bytes).map_err(|_| broken(bytes))?;
    let kind = match event.kind {
        0 => None,
        kind => Some(match v1::EventKind::try_from(kind) {
            Ok(v1::EventKind::Created) => Kind::Created.as_str(),
            Ok(v1::EventKind::Edited) => Kind::Edited.as_str(),
            Ok(v1::EventKind::Deleted) => Kind::Deleted.as_str(),
            // A number of a later version: the core knows no kind of this name, and says so.
            Ok(v1::EventKind::Unspecified) | Err(_) => "",
        }),
    };
    let channel = match event.channel {
        0 => None,
        channel => Some(match v1::Channel::try_from(channel) {
            Ok(v1::Channel::Comment) => Channel::Comment.as_str(),
            Ok(v1::Channel::Dm) => Channel::Dm.as_str(),
            Ok(v1::Channel::Live) => Channel::Live.as_str(),
            Ok(v1::Channel::Unspecified) | Err(_) => "",
        }),
    };
    let author = event
        .author
        .map_or_else(event::Author::default, |author| event::Author {
            id: author.id.map(Cow::Owned),
            name: author.name.map(Cow::Owned),
            followers: author.followers,
            is_creator: author.is_creator,
        });
    let context = event.context.into_iter();
    Ok(Fields {
        id: event.id.map(Cow::Owned),
        kind: kind.map(Cow::Borrowed),
        platform: event.platform.map(Cow::Owned),
        brand: event.brand.map(Cow::Owned),
        channel: channel.map(Cow::Borrowed),
        conversation_id: event.conversation_id.map(Cow::Owned),
        parent_id: event.parent_id.map(Cow::Owned),
        post_id: event.post_id.map(Cow::Owned),
        author,
        text: event.text.map(Cow::Owned),
        lang: event.lang.map(Cow::Owned),
        created_at_ms: event.created_at.map(milliseconds).transpose()?,
        context: context
            .map(|(key, value)| (Cow::Owned(key), Cow::Owned(value)))
            .collect(),
    })
}

fn milliseconds(time: prost_types::Timestamp) -> Result<i64, Rejection> {
    let nanos = i64::from(time.nanos);
    let ms = time.seconds.checked_mul(1_000);
    ms.and_then(|ms| ms.checked_add(nanos.div_euclid(1_000_000)))
        .ok_or_else(|| Rejection::new(RejectionReason::InvalidTime, "field `created_at`"))
}

/// Prost's error does not say which of the two it was, and its text may quote a field's value.
fn broken(bytes: &[u8]) -> Rejection {
    if is_truncated(bytes) {
        Rejection::new(
            RejectionReason::TruncatedProtobuf,
            "the bytes end inside a field",
        )
    } else {
        Rejection::new(RejectionReason::InvalidProtobuf, "the bytes are no event")
    }
}

/// Whether the outermost fields run past the end.
fn is_truncated(mut bytes: &[u8]) -> bool {
    use prost::encoding::{WireType, decode_key, decode_varint};
    /// A varint has at most ten bytes: one that fails with fewer left was cut.
    const MAX_VARINT: usize = 10;
    while !bytes.is_empty() {
        let left = bytes.len();
        let Ok((_, wire_type)) = decode_key(&mut bytes) else {
            return left < MAX_VARINT && bytes.is_empty();
        };
        let left = bytes.len();
        let skip = match wire_type {
            WireType::Varint => decode_varint(&mut bytes).map(|_| 0),
            WireType::LengthDelimited => decode_varint(&mut bytes),
            WireType::SixtyFourBit => Ok(8),
            WireType::ThirtyTwoBit => Ok(4),
            WireType::StartGroup | WireType::EndGroup => return false,
        };
        let Ok(skip) = skip else {
            return left < MAX_VARINT;
        };
        match usize::try_from(skip)
            .ok()
            .and_then(|skip| bytes.get(skip..))
        {
            Some(rest) => bytes = rest,
            None => return true,
        }
    }
    false
}
