//! An event's fields out of JSON, borrowed from the payload wherever no escape forces a copy.
//!
//! Read by hand rather than derived for two reasons: the field at which reading failed is known
//! without quoting the payload, and an `Option<Cow<str>>` borrows.

use std::{borrow::Cow, cell::Cell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};

use super::{Fields, Rejection, RejectionReason, fast, time};
use crate::event::{Author, MAX_CONTEXT_ENTRIES, MAX_NESTING};

/// What the outermost object is.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Event,
    /// A structured CloudEvent: the event is under `data`, and the attributes fill what it lacks.
    CloudEvent,
}

/// Reads a whole payload.
pub(super) fn read(body: &[u8], shape: Shape) -> Result<Fields<'_>, Rejection> {
    if matches!(shape, Shape::Event)
        && let Ok(text) = std::str::from_utf8(body)
        && let Some(fields) = fast::read(text)
    {
        return Ok(fields);
    }
    read_thoroughly(body, shape)
}

/// Reads any payload, and says what is wrong with one that is no event.
pub(super) fn read_thoroughly(body: &[u8], shape: Shape) -> Result<Fields<'_>, Rejection> {
    check_nesting(body)?;
    let text = std::str::from_utf8(body).map_err(|error| {
        let detail = format!("not UTF-8 from byte {}", error.valid_up_to());
        Rejection::new(RejectionReason::InvalidUtf8, detail)
    })?;
    let progress = Progress::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Reader {
        shape,
        progress: &progress,
    }
    .deserialize(&mut deserializer)
    .and_then(|fields| deserializer.end().map(|()| fields))
    .map_err(|error| progress.explain(&error))
}

/// Brackets are counted first, which is cheap: only a payload with many is looked at closely.
fn check_nesting(body: &[u8]) -> Result<(), Rejection> {
    let opening = body
        .iter()
        .filter(|byte| matches!(byte, b'{' | b'['))
        .count();
    if opening <= MAX_NESTING || depth(body) <= MAX_NESTING {
        return Ok(());
    }
    let detail = format!("lists and objects nest deeper than {MAX_NESTING}");
    Err(Rejection::new(RejectionReason::TooDeep, detail))
}

fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// How far reading has come: what a failure is explained with.
#[derive(Default)]
struct Progress {
    field: Cell<&'static str>,
    is_invalid_time: Cell<bool>,
}

impl Progress {
    fn explain(&self, error: &serde_json::Error) -> Rejection {
        let (line, column) = (error.line(), error.column());
        let (reason, field) = match (error.is_data(), self.field.get()) {
            (false, _) => {
                let detail = format!("not JSON at line {line}, column {column}");
                return Rejection::new(RejectionReason::InvalidJson, detail);
            }
            (true, "") => {
                return Rejection::new(RejectionReason::WrongType, "the payload is not an object");
            }
            (true, field) if self.is_invalid_time.get() => (RejectionReason::InvalidTime, field),
            (true, field) => (RejectionReason::WrongType, field),
        };
        let detail = format!("field `{field}`, at line {line}, column {column}");
        Rejection::new(reason, detail)
    }
}

#[derive(Clone, Copy)]
struct Reader<'p> {
    shape: Shape,
    progress: &'p Progress,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Fields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fields<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Fields<'de>, A::Error> {
        match self.shape {
            Shape::Event => self.event(map),
            Shape::CloudEvent => self.envelope(map),
        }
    }
}

impl Reader<'_> {
    fn event<'de, A: MapAccess<'de>>(&self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(Str(key)) = map.next_key()? {
            let map = &mut map;
            match &*key {
                "id" => fields.id = self.text("id", map)?,
                "kind" => fields.kind = self.text("kind", map)?,
                "platform" => fields.platform = self.text("platform", map)?,
                "brand" => fields.brand = self.text("brand", map)?,
                "channel" => fields.channel = self.text("channel", map)?,
                "conversation_id" => fields.conversation_id = self.text("conversation_id", map)?,
                "parent_id" => fields.parent_id = self.text("parent_id", map)?,
                "post_id" => fields.post_id = self.text("post_id", map)?,
                "text" => fields.text = self.text("text", map)?,
                "lang" => fields.lang = self.text("lang", map)?,
                "created_at" => fields.created_at_ms = self.time("created_at", map)?,
                "author" => fields.author = self.value("author", map)?.unwrap_or_default(),
                "context" => {
                    let context: Option<Context<'de>> = self.value("context", map)?;
                    fields.context = context.unwrap_or_default().0;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }

    fn envelope<'de, A: MapAccess<'de>>(&self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let (mut id, mut kind, mut time) = (None, None, None);
        let mut fields = None;
        while let Some(Str(key)) = map.next_key()? {
            match &*key {
                "id" => id = self.text("id", &mut map)?,
                "type" => kind = self.text("type", &mut map)?,
                "time" => time = self.time("time", &mut map)?,
                "data" => {
                    self.progress.field.set("data");
                    let shape = Shape::Event;
                    fields = Some(map.next_value_seed(Reader { shape, ..*self })?);
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let mut fields: Fields<'de> = fields.unwrap_or_default();
        fields.id = fields.id.or(id);
        fields.created_at_ms = fields.created_at_ms.or(time);
        fields.fill_from_type(kind.as_deref().unwrap_or_default());
        Ok(fields)
    }

    fn value<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
        &self,
        field: &'static str,
        map: &mut A,
    ) -> Result<Option<T>, A::Error> {
        self.progress.field.set(field);
        map.next_value()
    }

    fn text<'de, A: MapAccess<'de>>(
        &self,
        field: &'static str,
        map: &mut A,
    ) -> Result<Option<Cow<'de, str>>, A::Error> {
        Ok(self.value(field, map)?.map(|Str(text)| text))
    }

    fn time<'de, A: MapAccess<'de>>(
        &self,
        field: &'static str,
        map: &mut A,
    ) -> Result<Option<i64>, A::Error> {
        let time = self.value(field, map)?;
        self.progress
            .is_invalid_time
            .set(matches!(time, Some(Time(None))));
        match time {
            Some(Time(None)) => Err(A::Error::custom("not a time")),
            Some(Time(time)) => Ok(time),
            None => Ok(None),
        }
    }
}

/// A text, borrowed unless it holds an escape.
struct Str<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Str<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StrVisitor;

        impl<'de> Visitor<'de> for StrVisitor {
            type Value = Str<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(StrVisitor)
    }
}

/// Milliseconds since the epoch; `None` where a text is no time.
struct Time(Option<i64>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeVisitor;

        impl Visitor<'_> for TimeVisitor {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time")
            }

            fn visit_str<E>(self, text: &str) -> Result<Time, E> {
                Ok(Time(time::from_text(text)))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Time, E> {
                Ok(Time(Some(time::from_number(number))))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Time, E> {
                Ok(Time(i64::try_from(number).ok().map(time::from_number)))
            }
        }

        deserializer.deserialize_any(TimeVisitor)
    }
}

impl<'de> Deserialize<'de> for Author<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AuthorVisitor;

        impl<'de> Visitor<'de> for AuthorVisitor {
            type Value = Author<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Author<'de>, A::Error> {
                let mut author = Author::default();
                while let Some(Str(key)) = map.next_key()? {
                    match &*key {
                        "id" => author.id = map.next_value::<Option<_>>()?.map(|Str(id)| id),
                        "name" => {
                            author.name = map.next_value::<Option<_>>()?.map(|Str(name)| name)
                        }
                        "followers" => author.followers = map.next_value()?,
                        "is_creator" => {
                            author.is_creator = map.next_value::<Option<_>>()?.unwrap_or_default();
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(author)
            }
        }

        deserializer.deserialize_map(AuthorVisitor)
    }
}

/// The string map; numbers and truth values are taken as their text, nulls as absent.
#[derive(Default)]
struct Context<'de>(Vec<(Cow<'de, str>, Cow<'de, str>)>);

impl<'de> Deserialize<'de> for Context<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContextVisitor;

        impl<'de> Visitor<'de> for ContextVisitor {
            type Value = Context<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Context<'de>, A::Error> {
                let mut entries: Vec<(Cow<'de, str>, Cow<'de, str>)> = Vec::new();
                while let Some((Str(key), value)) = map.next_entry::<_, Option<Scalar<'de>>>()? {
                    let Some(Scalar(value)) = value else { continue };
                    // One more than the limit is enough to refuse it.
                    if entries.len() > MAX_CONTEXT_ENTRIES {
                        continue;
                    }
                    match entries.iter_mut().find(|(name, _)| *name == key) {
                        Some((_, earlier)) => *earlier = value,
                        None => entries.push((key, value)),
                    }
                }
                Ok(Context(entries))
            }
        }

        deserializer.deserialize_map(ContextVisitor)
    }
}

struct Scalar<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;

        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, number or truth value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Cow::Owned(text.to_owned())))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Cow::Borrowed(if value { "true" } else { "false" })))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Cow::Owned(number.to_string())))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Cow::Owned(number.to_string())))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Cow::Owned(number.to_string())))
            }
        }

        deserializer.deserialize_any(ScalarVisitor)
    }
}
