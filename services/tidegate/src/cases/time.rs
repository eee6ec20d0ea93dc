//! Times for people: relative to now, and lengths such as `90m` or `2h30m`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

pub(super) fn millis(time: &Timestamp) -> i64 {
    time.seconds
        .saturating_mul(1_000)
        .saturating_add(i64::from(time.nanos) / 1_000_000)
}

pub(super) fn timestamp(ms: i64) -> Timestamp {
    Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos: (ms.rem_euclid(1_000) * 1_000_000) as i32,
    }
}

pub(super) fn proto(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos() as i32,
    }
}

/// `in 2h`, `5m ago`; empty if there is none.
pub(super) fn relative(time: Option<&Timestamp>, now_ms: i64) -> String {
    let Some(time) = time else {
        return String::new();
    };
    let away = millis(time) - now_ms;
    let length = short(away.unsigned_abs() / 1_000);
    if away >= 0 {
        format!("in {length}")
    } else {
        format!("{length} ago")
    }
}

/// Seconds in the largest unit that fits, with the next one where it matters.
pub(super) fn short(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..36_000 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        36_000..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Reads `90s`, `15m`, `2h`, `1d`, and sums of them.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| format!("{text:?}: give a length such as 15m or 2h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        let cases = [
            (5, "5s"),
            (90, "1m"),
            (5_400, "1h30m"),
            (90_000, "25h"),
            (400_000, "4d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(short(seconds), text);
        }
        assert_eq!(relative(Some(&timestamp(10_000)), 70_000), "1m ago");
        assert_eq!(relative(Some(&timestamp(70_000)), 10_000), "in 1m");
        assert_eq!(relative(None, 0), "");
    }

    #[test]
    fn a_length_that_cannot_be_read_says_how_to_write_one() {
        assert_eq!(length("2h30m"), Ok(Duration::from_secs(9_000)));
        assert!(length("soon").unwrap_err().contains("15m"));
    }
}
