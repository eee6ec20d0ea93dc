//! What a lane tells of itself, for metrics and readiness; nothing here is called for each record.

use std::time::Duration;

/// A part of a lane's work whose time is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Filling a batch, waiting for records included.
    Read,
    /// The processor's work on a batch.
    Process,
    /// Handing a batch's output to the producer.
    Send,
    /// Waiting for acknowledgements and for the commit.
    Commit,
    /// Waiting before something that failed is tried again.
    Backoff,
}

impl Stage {
    /// The name, for a metric's label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Process => "process",
            Self::Send => "send",
            Self::Commit => "commit",
            Self::Backoff => "backoff",
        }
    }
}

/// Hears what a lane does, on the lane's thread: every method must return soon.
#[expect(unused_variables, reason = "by default nobody listens")]
pub trait Observer {
    /// The loop turned: the lane is alive, whatever the cluster does.
    fn heartbeat(&mut self) {}

    /// A transaction with `records` input records was committed, `since_begin` after it was
    /// opened; the commit itself took `commit`, its retries included.
    fn committed(&mut self, records: usize, since_begin: Duration, commit: Duration) {}

    /// A transaction was undone; its records will be read again.
    fn aborted(&mut self, reason: &str) {}

    /// The producer was replaced.
    fn rebuilt(&mut self, reason: &str) {}

    /// Partitions were given to the lane; it now has `total`.
    fn assigned(&mut self, partitions: usize, total: usize) {}

    /// Partitions were taken from the lane; it now has `total`. `lost`: without being asked.
    fn revoked(&mut self, partitions: usize, total: usize, lost: bool) {}

    /// A batch, a commit or a backoff spent this long in `stage`.
    fn waited(&mut self, stage: Stage, duration: Duration) {}
}

/// Nobody listens.
impl Observer for () {}
