//! Whether the process may get work (ready) and whether it should be restarted (not live).
//!
//! Ready is a set of named parts, each of which says so itself. Live is a set of heartbeats: a loop
//! beats once a turn, and a loop that stopped turning is dead whatever it says. Nothing here asks
//! the broker: an outage outside must not restart the fleet.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::shutdown::Shutdown;

/// The parts of a process that must be ready. Clones share the parts.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    parts: Arc<Mutex<BTreeMap<String, Option<String>>>>,
    shutdown: Option<Shutdown>,
}

/// One part's own switch. When it is dropped, the part is not ready any more.
#[derive(Debug)]
pub struct ReadyHandle {
    name: String,
    readiness: Readiness,
}

/// A named part and, where it is not well, the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The part's name, such as `models` or `lane-0`.
    pub part: String,
    /// True when the part is well.
    pub ok: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// True when every part is well.
    pub ok: bool,
    /// The parts, in the order of their names.
    pub parts: Vec<Part>,
}

impl Part {
    fn of((name, reason): (&String, &Option<String>)) -> Self {
        Self {
            part: name.clone(),
            ok: reason.is_none(),
            reason: reason.clone(),
        }
    }

    fn failing(name: &str, reason: &str) -> Self {
        Self::of((&name.to_owned(), &Some(reason.to_owned())))
    }
}

impl Report {
    fn of(parts: Vec<Part>) -> Self {
        let ok = parts.iter().all(|part| part.ok);
        Self { ok, parts }
    }

    /// The same answer with only the parts that are not well.
    #[must_use]
    pub fn only_failing(mut self) -> Self {
        self.parts.retain(|part| !part.ok);
        self
    }
}

impl Readiness {
    /// No parts yet, and so not ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and not ready any more once `shutdown` is requested: work then goes elsewhere
    /// while the process drains.
    #[must_use]
    pub fn until(shutdown: &Shutdown) -> Self {
        Self {
            shutdown: Some(shutdown.clone()),
            ..Self::default()
        }
    }

    /// Adds a part, which is not ready ("starting") until its handle says so.
    #[must_use]
    pub fn part(&self, name: impl Into<String>) -> ReadyHandle {
        let handle = ReadyHandle {
            name: name.into(),
            readiness: self.clone(),
        };
        handle.not_ready("starting");
        handle
    }

    /// The state of all parts. Without any part the process is not ready.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut parts: Vec<Part> = self.lock().iter().map(Part::of).collect();
        if parts.is_empty() {
            parts.push(Part::failing("process", "starting"));
        }
        if self.shutdown.as_ref().is_some_and(Shutdown::is_requested) {
            parts.push(Part::failing("shutdown", "draining"));
        }
        Report::of(parts)
    }

    /// True when there are parts, all of them are ready, and no end was asked for.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.report().ok
    }

    /// Sets a part's reason. True when that changed whether the part is ready.
    fn put(&self, name: &str, reason: Option<String>) -> bool {
        let is = reason.is_none();
        let was = self.lock().insert(name.to_owned(), reason);
        was.is_none_or(|was| was.is_none() != is)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        lock(&self.parts)
    }
}

impl ReadyHandle {
    /// The part is ready.
    pub fn ready(&self) {
        if self.readiness.put(&self.name, None) {
            tracing::info!(part = self.name, "ready");
        }
    }

    /// The part is not ready; the reason is for an operator, and short.
    pub fn not_ready(&self, reason: impl Into<String>) {
        let reason = reason.into();
        if self.readiness.put(&self.name, Some(reason.clone())) {
            tracing::info!(part = self.name, reason, "not ready");
        }
    }
}

impl Drop for ReadyHandle {
    fn drop(&mut self) {
        self.not_ready("ended");
    }
}

/// Time since some moment in the past; a test passes its own.
type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The loops of a process that must keep turning. Clones share the loops.
#[derive(Clone)]
pub struct Liveness {
    clock: Clock,
    beats: Arc<Mutex<BTreeMap<String, Beat>>>,
}

struct Beat {
    /// Milliseconds on the clock.
    last: Arc<AtomicU64>,
    max_age: Duration,
}

/// One loop's pulse.
pub struct Heartbeat {
    name: String,
    last: Arc<AtomicU64>,
    liveness: Liveness,
}

impl Default for Liveness {
    fn default() -> Self {
        let start = Instant::now();
        Self::with_clock(move || start.elapsed())
    }
}

impl Liveness {
    /// No loops yet, and so live.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a clock of the caller's, for tests.
    #[must_use]
    pub fn with_clock(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self {
            clock: Arc::new(clock),
            beats: Arc::default(),
        }
    }

    /// Adds a loop that promises to beat at least every `max_age`. It has just beaten.
    ///
    /// Take it as the loop starts, after slow preparation such as loading a model.
    #[must_use]
    pub fn heartbeat(&self, name: impl Into<String>, max_age: Duration) -> Heartbeat {
        let heartbeat = Heartbeat {
            name: name.into(),
            last: Arc::default(),
            liveness: self.clone(),
        };
        heartbeat.beat();
        let last = heartbeat.last.clone();
        lock(&self.beats).insert(heartbeat.name.clone(), Beat { last, max_age });
        heartbeat
    }

    /// The state of all loops.
    #[must_use]
    pub fn report(&self) -> Report {
        let now = millis((self.clock)());
        Report::of(
            lock(&self.beats)
                .iter()
                .map(|(name, beat)| {
                    let age = now.saturating_sub(beat.last.load(Ordering::Relaxed));
                    let max = millis(beat.max_age);
                    let late = (age > max)
                        .then(|| format!("last turn {age} ms ago, at most {max} ms allowed"));
                    Part::of((name, &late))
                })
                .collect(),
        )
    }
}

impl Heartbeat {
    /// The loop turned. Costs one clock reading and one store.
    pub fn beat(&self) {
        let now = millis((self.liveness.clock)());
        self.last.store(now, Ordering::Relaxed);
    }

    /// The loop ended as it should. A heartbeat that is merely dropped (its thread panicked) stays,
    /// grows old, and lets the process be restarted.
    pub fn finish(self) {
        lock(&self.liveness.beats).remove(&self.name);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A panic elsewhere leaves these maps whole: each change is a single call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
