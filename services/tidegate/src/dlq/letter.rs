//! What the headers of a dead letter say.

use serde::Serialize;
use tidegate_moderator::dead_letter::{self as header};

/// A dead letter, by its headers.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Letter {
    /// Where it is now: `PARTITION:OFFSET` of the dead letters' topic.
    pub at: String,
    /// The topic it was read from.
    pub topic: String,
    /// The partition it was read from.
    pub partition: String,
    /// The offset it was read at.
    pub offset: String,
    /// Why, from a closed list.
    pub reason: String,
    /// Which field, or where in the payload.
    pub detail: String,
    /// Which version of Tidegate wrote it.
    pub version: String,
    /// How often it was redriven.
    pub attempts: u32,
    /// When it was read as a dead letter: milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
    /// Bytes of its payload.
    pub bytes: usize,
}

impl Letter {
    /// Reads the headers.
    pub(super) fn new<'h>(
        at: (i32, i64),
        timestamp_ms: Option<i64>,
        bytes: usize,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) -> Self {
        let at = format!("{}:{}", at.0, at.1);
        let mut letter = Self {
            at,
            timestamp_ms,
            bytes,
            ..Self::default()
        };
        for (name, value) in headers {
            let value = || String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            match name {
                header::TOPIC => letter.topic = value(),
                header::PARTITION => letter.partition = value(),
                header::OFFSET => letter.offset = value(),
                header::REASON => letter.reason = value(),
                header::DETAIL => letter.detail = value(),
                header::VERSION => letter.version = value(),
                header::ATTEMPTS => letter.attempts = value().parse().unwrap_or(0),
                _ => {}
            }
        }
        letter
    }

    /// One line for a person.
    #[must_use]
    pub(super) fn line(&self) -> String {
        format!(
            "{:<10} {:<22} {}[{}]@{}  {} bytes, attempts {}: {}",
            self.at,
            self.reason,
            self.topic,
            self.partition,
            self.offset,
            self.bytes,
            self.attempts,
            self.detail
        )
    }
}

/// Reads `PARTITION:OFFSET`.
///
/// # Errors
/// It is something else.
pub(super) fn position(text: &str) -> Result<(i32, i64), String> {
    text.split_once(':')
        .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)))
        .ok_or_else(|| "write it as PARTITION:OFFSET, such as 3:1204".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_a_dead_letter_are_read_and_others_are_ignored() {
        let headers: [(&str, Option<&[u8]>); 4] = [
            ("content-type", Some(b"application/json")),
            (header::TOPIC, Some(b"dms.v1")),
            (header::REASON, Some(b"invalid_json")),
            (header::ATTEMPTS, Some(b"2")),
        ];
        let letter = Letter::new((3, 41), Some(7), 10, headers.into_iter());
        assert_eq!((letter.topic.as_str(), letter.attempts), ("dms.v1", 2));
        assert!(letter.line().starts_with("3:41"));
    }

    #[test]
    fn a_position_needs_both_numbers() {
        assert_eq!(position("3:1204"), Ok((3, 1204)));
        assert!(position("3").is_err() && position("a:b").is_err());
    }
}
