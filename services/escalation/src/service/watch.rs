//! Cases as they change. A stream asks the store when its watcher has room, and takes the last
//! change of each case: a slow watcher costs no memory, misses no case, and is cut off by the age
//! of its connection like any other.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use tidegate_proto::escalation::v1::{WatchCasesRequest, WatchCasesResponse};
use tonic::{Code, Status};

use super::{Answers, Asked, Context, fault::Fault};
use crate::{
    Filter,
    auth::Identity,
    limits::Held,
    metrics::{self, Counted},
    store::Change,
    times,
};

/// Changes that are asked for at a time.
const BATCH: usize = 256;
/// Cases that are remembered as sent; when there are more, all count as sent.
const REMEMBERED: usize = 100_000;

struct Watching {
    context: Context,
    identity: Identity,
    filter: Filter,
    /// What a resume token is bound to.
    binding: [u8; 8],
    /// Everything up to this number was sent.
    after: i64,
    /// Changes not yet sent, the next one last, and what was looked at with them.
    pending: Vec<Change>,
    looked_at: i64,
    /// The watcher may know cases older than this, from a list or from an earlier stream.
    since_ms: i64,
    sent: HashSet<String>,
    is_first: bool,
    last_said: Instant,
    last_checked: Instant,
    newest: tokio::sync::watch::Receiver<i64>,
    _held: [Held; 2],
    _counted: Counted,
}

/// Begins a stream.
pub(super) async fn stream(
    context: Context,
    asked: Asked<WatchCasesRequest>,
    filter: Filter,
) -> Result<Answers<WatchCasesResponse>, Status> {
    let held = context.limits.stream(&asked.caller().agent)?;
    let binding = binding(context.store.id(), &asked.message.filter);
    // Before the first look, so that no change falls between.
    let newest = context.store.newest();
    let now = context.store.poll_newest().await?;
    let after = match asked.message.resume_token.as_str() {
        "" => now,
        token => read(token, binding)?,
    };
    if after > now {
        // The database was put back to an earlier state.
        return Err(Fault::new(
            Code::OutOfRange,
            "RESUME_TOKEN_AHEAD",
            "the store knows less than this resume_token: list the cases again, and watch from now",
        )
        .into());
    }
    let since_ms = (context.clock)();
    let watching = Watching {
        identity: asked.identity,
        filter,
        binding,
        after,
        pending: Vec::new(),
        looked_at: after,
        since_ms,
        sent: HashSet::new(),
        is_first: true,
        last_said: Instant::now(),
        last_checked: Instant::now(),
        newest,
        _held: held,
        _counted: metrics::stream(),
        context,
    };
    let answers = futures_util::stream::unfold(Some(watching), |watching| async move {
        let mut watching = watching?;
        match watching.next().await {
            Ok(answer) => Some((Ok(answer), Some(watching))),
            // The stream ends with its error.
            Err(status) => Some((Err(status), None)),
        }
    });
    Ok(Box::pin(answers))
}

impl Watching {
    async fn next(&mut self) -> Result<WatchCasesResponse, Status> {
        // At once, so that the watcher knows from where on it misses nothing.
        if std::mem::take(&mut self.is_first) {
            return Ok(self.answer(None));
        }
        loop {
            if self.context.stop.is_cancelled() {
                return Err(stopping());
            }
            self.check().await?;
            while let Some(change) = self.pending.pop() {
                let sequence = change.sequence;
                let told = self.tell(change);
                // The last one of a look takes what was looked at after it along.
                self.after = if self.pending.is_empty() {
                    self.looked_at
                } else {
                    sequence
                };
                if let Some(answer) = told {
                    return Ok(self.answer(Some(answer)));
                }
            }
            self.newest.borrow_and_update();
            let found = self
                .context
                .store
                .changes(&self.identity.caller, &self.filter, self.after, BATCH)
                .await?;
            self.looked_at = found.newest;
            self.pending = found.changes;
            self.pending.reverse();
            if !self.pending.is_empty() {
                continue;
            }
            self.after = self.looked_at;
            if self.wait().await {
                return Ok(self.answer(None));
            }
        }
    }

    /// Waits for a change; true when it is time for a sign of life instead.
    async fn wait(&mut self) -> bool {
        let watch = &self.context.watch;
        let left = watch.sign_of_life.saturating_sub(self.last_said.elapsed());
        if left.is_zero() {
            return true;
        }
        tokio::select! {
            changed = self.newest.changed() => {
                // A store that is gone says so at the next look.
                if changed.is_err() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            () = tokio::time::sleep(left.min(watch.poll)) => {
                // Other processes' changes; an error shows at the next look as well.
                self.context.store.poll_newest().await.ok();
            }
            () = self.context.stop.cancelled() => {}
        }
        false
    }

    /// Now and then, whether the watcher may still watch, and what.
    async fn check(&mut self) -> Result<(), Status> {
        if self.last_checked.elapsed() < self.context.watch.sign_of_life.min(Duration::from_secs(5))
        {
            return Ok(());
        }
        self.last_checked = Instant::now();
        match self.context.callers.again(&self.identity).await {
            Ok(caller) => {
                self.identity.caller = caller;
                Ok(())
            }
            Err(denied) => {
                metrics::stream_ended("denied");
                Err(denied.into())
            }
        }
    }

    /// What the watcher is told of a change: nothing, if it can not know the case.
    fn tell(&mut self, change: Change) -> Option<(Change, bool)> {
        if change.fits {
            if self.sent.len() < REMEMBERED {
                self.sent.insert(change.case.name.clone());
            }
            return Some((change, false));
        }
        let was_sent = self.sent.remove(&change.case.name) || self.sent.len() >= REMEMBERED;
        let created = times::millis_of(change.case.create_time.as_ref());
        let may_be_known = created.is_none_or(|created| created <= self.since_ms);
        (was_sent || may_be_known).then_some((change, true))
    }

    fn answer(&mut self, told: Option<(Change, bool)>) -> WatchCasesResponse {
        self.last_said = Instant::now();
        let (case, left) = told.map_or((None, false), |(change, left)| (Some(change.case), left));
        WatchCasesResponse {
            case,
            left,
            resume_token: write(self.after, self.binding),
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if self.context.stop.is_cancelled() {
            metrics::stream_ended("shutdown");
        }
    }
}

pub(super) fn stopping() -> Status {
    Fault::new(
        Code::Unavailable,
        "STOPPING",
        "this process ends: go on with the resume_token at another one",
    )
    .retry_after(Duration::from_secs(1))
    .into_status()
}

/// A resume token is of no use with another filter or another database.
fn binding(store: &str, filter: &str) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(store);
    hash.update([0]);
    hash.update(filter);
    let hash = hash.finalize();
    std::array::from_fn(|index| hash[index])
}

fn write(after: i64, binding: [u8; 8]) -> String {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&after.to_be_bytes());
    bytes[8..].copy_from_slice(&binding);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read(token: &str, binding: [u8; 8]) -> Result<i64, Status> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let bytes: Option<[u8; 16]> = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes
        .filter(|bytes| bytes[8..] == binding)
        .map(|bytes| i64::from_be_bytes(std::array::from_fn(|index| bytes[index])))
        .filter(|after| *after >= 0)
        .ok_or_else(|| {
            Fault::new(
                Code::InvalidArgument,
                "BAD_RESUME_TOKEN",
                "resume_token is not one that a watch with this filter gave: watch from now",
            )
            .into_status()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_token_belongs_to_its_filter_and_its_store() {
        let ours = binding("store", "state = OPEN");
        let token = write(42, ours);
        assert_eq!(read(&token, ours).ok(), Some(42));
        for other in [binding("store", ""), binding("other", "state = OPEN")] {
            assert!(read(&token, other).is_err());
        }
        for wrong in ["", "x", &token[1..], &format!("{token}A"), &write(-1, ours)] {
            assert!(read(wrong, ours).is_err());
        }
    }
}
