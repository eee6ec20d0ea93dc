//! Durations written as people write them, for `#[serde(with = "tidegate_chassis::settings::duration")]`:
//! `100ms`, `30s`, `1h 30m`.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes a duration as `1m 30s`.
///
/// # Errors
/// Only those of the serializer.
pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*value))
}

/// Reads a duration with its unit; a bare number is refused, because its unit would be a guess.
///
/// # Errors
/// The text is not a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer).map_err(|_| D::Error::custom(WANTED))?;
    humantime::parse_duration(&text)
        .map_err(|_| D::Error::custom(format_args!("{WANTED}, not `{text}`")))
}

const WANTED: &str = "must be a duration with its unit, such as \"100ms\", \"30s\" or \"2h\"";
