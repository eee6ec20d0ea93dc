//! Times: milliseconds since the Unix epoch inside, Protobuf's timestamps outside.

use prost_types::{Duration, Timestamp};

/// A second, a minute, an hour and a day in milliseconds.
pub const SECOND: i64 = 1_000;
/// A minute in milliseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// An hour in milliseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// A day in milliseconds.
pub const DAY: i64 = 24 * HOUR;

/// A point in time.
#[must_use]
pub fn timestamp(ms: i64) -> Timestamp {
    Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos: (ms.rem_euclid(1_000) * 1_000_000) as i32,
    }
}

/// Milliseconds since the Unix epoch; what is out of range becomes the nearest that fits.
#[must_use]
pub fn millis(time: &Timestamp) -> i64 {
    time.seconds
        .saturating_mul(1_000)
        .saturating_add(i64::from(time.nanos) / 1_000_000)
}

/// Milliseconds of an optional point in time.
#[must_use]
pub fn millis_of(time: Option<&Timestamp>) -> Option<i64> {
    time.map(millis)
}

/// A length of time in milliseconds.
#[must_use]
pub fn duration_millis(duration: &Duration) -> i64 {
    duration
        .seconds
        .saturating_mul(1_000)
        .saturating_add(i64::from(duration.nanos) / 1_000_000)
}
