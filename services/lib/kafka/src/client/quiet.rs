//! A warning that lasts is said once in ten seconds, not at every try.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(10);

/// Remembers when it last spoke.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    last: Option<Instant>,
}

impl Quiet {
    /// Logs a warning, unless one was logged a moment ago.
    pub(crate) fn warn(&mut self, message: impl FnOnce() -> String) {
        if self.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            self.last = Some(Instant::now());
            tracing::warn!("{}", message());
        }
    }
}
