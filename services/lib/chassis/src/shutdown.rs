//! The way to a clean end: one signal asks for it, a second one forces it, a deadline bounds it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::{oneshot, watch};

use crate::exit::{Exit, Failure};
use crate::settings::{Mistakes, Validate, duration};

/// The section `[shutdown]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShutdownSettings {
    /// How long finishing may take once it was asked for. Keep it below the time that the
    /// orchestrator waits before it kills (30 s unless set).
    #[serde(with = "duration")]
    pub deadline: Duration,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(25),
        }
    }
}

impl Validate for ShutdownSettings {
    fn validate(&self, mistakes: &mut Mistakes) {
        let sensible = Duration::from_millis(100)..=Duration::from_secs(3600);
        mistakes.require(
            sensible.contains(&self.deadline),
            "deadline",
            "must be from 100ms to 1h",
        );
    }
}

/// A request to end, shared by all threads and tasks. Clones are the same request.
#[derive(Debug, Clone)]
pub struct Shutdown {
    reason: Arc<watch::Sender<Option<&'static str>>>,
    /// What plain threads sleep on.
    gate: Arc<(Mutex<()>, Condvar)>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A request that only [`Shutdown::request`] makes: for tests and for parts of a process.
    #[must_use]
    pub fn new() -> Self {
        let (sender, _) = watch::channel(None);
        Self {
            reason: Arc::new(sender),
            gate: Arc::default(),
        }
    }

    /// A request that SIGTERM or SIGINT makes. The second signal ends the process at once.
    ///
    /// # Errors
    /// The system refuses the handlers or the thread.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let asked = shutdown.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    let name = if signal == SIGTERM {
                        "SIGTERM"
                    } else {
                        "SIGINT"
                    };
                    if asked.is_requested() {
                        tracing::warn!(signal = name, "second signal: ending at once");
                        // Not `std::process::exit`: the exit handlers of C libraries may wait.
                        signal_hook::low_level::exit(128 + signal);
                    }
                    asked.request(name);
                }
            })?;
        Ok(shutdown)
    }

    /// Asks for the end. The first reason stays.
    pub fn request(&self, reason: &'static str) {
        let (lock, changed) = &*self.gate;
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_requested() {
            // Before anyone can act on it: the process may end before this thread's next step.
            tracing::info!(reason, "shutdown requested");
            self.reason.send_replace(Some(reason));
            changed.notify_all();
        }
        drop(guard);
    }

    /// True once the end was asked for. Cheap enough for each turn of a loop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.reason.borrow().is_some()
    }

    /// Why the end was asked for.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        *self.reason.borrow()
    }

    /// Blocks this thread until the end is asked for.
    pub fn wait(&self) {
        while !self.wait_for(Duration::from_secs(3600)) {}
    }

    /// Blocks this thread until the end is asked for, `limit` at most. True when it was: a loop
    /// may use this as its sleep.
    #[must_use]
    pub fn wait_for(&self, limit: Duration) -> bool {
        let (lock, changed) = &*self.gate;
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(guard, limit, |()| !self.is_requested());
        drop(waited);
        self.is_requested()
    }

    /// Waits, in async code, until the end is asked for.
    pub async fn requested(&self) {
        let mut changes = self.reason.subscribe();
        // It cannot fail: `self` keeps the sender.
        changes.wait_for(Option::is_some).await.ok();
    }
}

/// Runs `work` on a thread of its own until it ends by itself, or until `deadline` after the end
/// was asked for, and logs which of these it was. `work` watches `shutdown` and returns.
///
/// Call it from `main`, outside of any async runtime, and return the [`Exit`]: when the deadline
/// passes, the thread is left behind and ends with the process.
#[must_use]
pub fn run_to_completion(
    shutdown: &Shutdown,
    deadline: Duration,
    work: impl FnOnce() -> Result<(), Failure> + Send + 'static,
) -> Exit {
    let (sender, mut ended) = oneshot::channel();
    let waiting = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    // When `work` panics the sender is dropped, and the hook has logged the panic.
    let started = thread::Builder::new()
        .name("work".to_owned())
        .spawn(move || sender.send(work()).ok());
    let runtime = match waiting.and_then(|runtime| started.map(|_| runtime)) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "ended: a thread cannot be started");
            return Exit::Unavailable;
        }
    };
    let (asked_at, outcome) = runtime.block_on(async {
        tokio::select! {
            biased;
            result = &mut ended => (None, Some(result)),
            () = shutdown.requested() => {
                let asked_at = Instant::now();
                (Some(asked_at), tokio::time::timeout(deadline, &mut ended).await.ok())
            }
        }
    });
    let seconds = asked_at.map(|at| at.elapsed().as_secs_f64());
    match outcome {
        Some(Ok(Ok(()))) => {
            tracing::info!(reason = shutdown.reason(), seconds, "ended: clean");
            Exit::Clean
        }
        Some(Ok(Err(failure))) => {
            let code = failure.exit().code();
            tracing::error!(error = %failure, code, seconds, "ended: failed");
            failure.exit()
        }
        Some(Err(_)) => {
            tracing::error!(seconds, "ended: panicked");
            Exit::Software
        }
        None => {
            tracing::error!(seconds, "ended: deadline passed with work unfinished");
            Exit::Software
        }
    }
}
