//! How a queue works, checked.

use prost_types::Duration;
use tidegate_proto::escalation::v1::Queue;

use crate::{
    calendar::Calendar,
    error::Refusal,
    times::{DAY, MINUTE, SECOND, duration_millis},
};

/// How long a lease lasts unless the queue says otherwise.
pub const LEASE_MS: i64 = 10 * MINUTE;
/// How long before a deadline a warning is given unless the queue says otherwise.
pub const WARN_MS: i64 = 15 * MINUTE;

/// A queue's settings, ready to be used.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// How long a lease lasts, in milliseconds.
    pub lease_ms: i64,
    /// How long before a deadline a warning is given, in milliseconds.
    pub warn_ms: i64,
    /// When deadlines run.
    pub calendar: Calendar,
    /// Where a case moves on breach; empty: nowhere.
    pub breach_queue: String,
    /// Whether grave decisions of high-risk cases want a second person.
    pub second_review: bool,
    /// How many cases a minute one rule or author may open; 0: any number.
    pub flood_limit: u32,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            lease_ms: LEASE_MS,
            warn_ms: WARN_MS,
            calendar: Calendar::default(),
            breach_queue: String::new(),
            second_review: false,
            flood_limit: 0,
        }
    }
}

impl QueueSettings {
    /// Checks a queue's settings.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] that says what is wrong.
    pub fn new(queue: &Queue) -> Result<Self, Refusal> {
        check_name("name", "queues/", &queue.name)?;
        if !queue.breach_queue.is_empty() {
            check_name("breach_queue", "queues/", &queue.breach_queue)?;
        }
        if queue.breach_queue == queue.name {
            return Err(Refusal::Invalid {
                field: "breach_queue",
                problem: "a queue cannot be its own: leave it empty to keep cases here".to_owned(),
            });
        }
        Ok(Self {
            lease_ms: span("lease", queue.lease.as_ref(), SECOND, DAY, LEASE_MS)?,
            warn_ms: span(
                "warn_before",
                queue.warn_before.as_ref(),
                0,
                30 * DAY,
                WARN_MS,
            )?,
            calendar: queue
                .calendar
                .as_ref()
                .map(Calendar::new)
                .transpose()?
                .unwrap_or_default(),
            breach_queue: queue.breach_queue.clone(),
            second_review: queue.second_review,
            flood_limit: queue.flood_limit,
        })
    }
}

/// Whether a resource name has its prefix and a short, plain last part.
///
/// # Errors
/// [`Refusal::Invalid`].
pub fn check_name(field: &'static str, prefix: &str, name: &str) -> Result<(), Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let last = name.strip_prefix(prefix).unwrap_or("");
    if last.is_empty() || last == "-" || last.len() > 63 || !last.chars().all(plain) {
        return Err(Refusal::Invalid {
            field,
            problem: format!(
                "{prefix}NAME is wanted, NAME being 1 to 63 ASCII letters, digits, `-`, `_` or `.`"
            ),
        });
    }
    Ok(())
}

fn span(
    field: &'static str,
    duration: Option<&Duration>,
    least: i64,
    most: i64,
    default: i64,
) -> Result<i64, Refusal> {
    let Some(ms) = duration.map(duration_millis) else {
        return Ok(default);
    };
    if (least..=most).contains(&ms) {
        Ok(ms)
    } else {
        Err(Refusal::Invalid {
            field,
            problem: format!(
                "{ms} ms is not within {} s to {} s",
                least / SECOND,
                most / SECOND
            ),
        })
    }
}
