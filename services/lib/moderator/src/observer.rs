//! A lane's own doings as metrics and as a heartbeat.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tidegate_chassis::health::Heartbeat;
use tidegate_kafka::{Observer, observer::Stage};

use crate::metrics::LaneMetrics;

/// Hears a lane.
pub(crate) struct LaneObserver {
    metrics: Arc<Mutex<LaneMetrics>>,
    heartbeat: Option<Heartbeat>,
}

impl LaneObserver {
    /// Tells `metrics` and `heartbeat`.
    #[must_use]
    pub(crate) fn new(metrics: Arc<Mutex<LaneMetrics>>, heartbeat: Option<Heartbeat>) -> Self {
        Self { metrics, heartbeat }
    }

    fn with(&self, tell: impl FnOnce(&mut LaneMetrics)) {
        // Only this lane's thread takes the lock; a panic elsewhere can't leave it half changed.
        tell(
            &mut self
                .metrics
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
    }
}

impl Observer for LaneObserver {
    fn heartbeat(&mut self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.beat();
        }
    }

    fn committed(&mut self, _records: usize, _since_begin: Duration, commit: Duration) {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.with(|metrics| metrics.transaction_committed(commit, now));
    }

    fn aborted(&mut self, _reason: &str) {
        self.with(LaneMetrics::transaction_aborted);
    }

    fn rebuilt(&mut self, _reason: &str) {
        self.with(|metrics| metrics.producer_rebuilt());
    }

    fn assigned(&mut self, _partitions: usize, total: usize) {
        self.with(|metrics| metrics.rebalanced("assigned", total));
    }

    fn revoked(&mut self, _partitions: usize, total: usize, lost: bool) {
        self.with(|metrics| metrics.rebalanced(if lost { "lost" } else { "revoked" }, total));
    }

    fn waited(&mut self, stage: Stage, duration: Duration) {
        // `process` is told in finer stages by the pipeline, `commit` has a metric of its own.
        if matches!(stage, Stage::Read | Stage::Send | Stage::Backoff) {
            self.with(|metrics| metrics.stage(stage.as_str(), duration));
        }
    }
}
