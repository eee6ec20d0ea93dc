//! Times as senders write them: RFC 3339, or seconds or milliseconds since the Unix epoch.

use ::time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Numbers below this are seconds (until the year 5138), others milliseconds (since March 1973).
const FIRST_MILLISECONDS: u64 = 100_000_000_000;

/// An RFC 3339 text, in milliseconds since the epoch.
pub(super) fn from_text(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// A number, in milliseconds since the epoch.
pub(super) fn from_number(number: i64) -> i64 {
    if number.unsigned_abs() < FIRST_MILLISECONDS {
        number * 1000
    } else {
        number
    }
}
