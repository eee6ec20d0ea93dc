//! When a lane closes a batch, when it commits, and how patient it is.

use std::time::Duration;

/// How a lane works. The defaults fit a cluster near by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSettings {
    /// A batch is closed at this many records…
    pub batch_records: usize,
    /// …or this many bytes of keys, values and headers (one record may go beyond)…
    pub batch_bytes: usize,
    /// …or this long after its first record, if no other is waiting to be read.
    pub batch_linger: Duration,
    /// A transaction is committed at this many input records…
    pub commit_records: usize,
    /// …or so that verdicts are seen this long after their events, when work is all that takes time:
    /// its commit is to be done four fifths of this after the previous commit began, or after a
    /// pause after its first record; by what commits took before, half of this at most is kept for
    /// the commit. But a transaction stays open for as long as commits usually take, up
    /// to this.
    pub commit_interval: Duration,
    /// How long one wait for records may be; a request to stop is seen after it.
    pub poll_timeout: Duration,
    /// How long to wait before a failed call is made again, and after a first abort; it doubles
    /// with every failure in a row…
    pub backoff_min: Duration,
    /// …up to this.
    pub backoff_max: Duration,
    /// How long a lane that was asked to stop may take to finish; then it leaves its transaction
    /// to be aborted by the broker.
    pub stop_timeout: Duration,
}

impl Default for LaneSettings {
    fn default() -> Self {
        Self {
            batch_records: 1024,
            batch_bytes: 4 * 1024 * 1024,
            // Half a load kept the machine a twentieth busier with 5 ms than with 15, and verdicts
            // came no sooner.
            batch_linger: Duration::from_millis(10),
            commit_records: 10_000,
            commit_interval: Duration::from_millis(100),
            poll_timeout: Duration::from_millis(100),
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_secs(5),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

impl LaneSettings {
    /// Everything that is wrong, one message for each setting, by its name; empty when all is well.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let second = Duration::from_secs(1);
        [
            (self.batch_records > 0, "batch_records: must be at least 1"),
            (self.batch_bytes > 0, "batch_bytes: must be at least 1"),
            (
                self.commit_records > 0,
                "commit_records: must be at least 1",
            ),
            (
                self.batch_linger <= second,
                "batch_linger: must be at most 1s, every record waits as long",
            ),
            (
                self.commit_interval <= 10 * second,
                "commit_interval: must be at most 10s, every reader of the output waits as long",
            ),
            (
                (Duration::from_millis(1)..=second).contains(&self.poll_timeout),
                "poll_timeout: must be from 1ms to 1s",
            ),
            (
                !self.backoff_min.is_zero() && self.backoff_min <= self.backoff_max,
                "backoff_min: must be more than 0 and at most backoff_max",
            ),
            (
                self.backoff_max <= 60 * second,
                "backoff_max: must be at most 60s, an outage lasts as much longer",
            ),
        ]
        .into_iter()
        .filter(|(good, _)| !good)
        .map(|(_, message)| message.to_owned())
        .collect()
    }

    /// How long to wait after `failures` failures in a row.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.backoff_min
            .saturating_mul(factor)
            .min(self.backoff_max)
    }
}
