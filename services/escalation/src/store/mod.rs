//! Where cases are kept: one database, SQLite or PostgreSQL, written by one task per process.

mod page;

use std::sync::Arc;

use tidegate_proto::escalation::v1::{
    Agent, AuditEntry, Case, CreateCaseRequest, ErasureReceipt, Queue, Resolution, Subject,
    UpdateAgentRequest, UpdateQueueRequest, VerifyAuditResponse,
};
use tokio::sync::watch;

pub use page::{Order, OrderBy, Page, PageToken};

use crate::{Act, Caller, Filter, StoreError, times::DAY};

/// Says what time it is: milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_millis() as i64)
    })
}

/// How the store works.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `sqlite:PATH` or `postgres://…`. Secret: it may hold a password.
    pub url: String,
    /// How many connections read at once.
    pub readers: u32,
    /// How many commands one commit may hold.
    pub group: usize,
    /// How long closed cases that name an order are kept, in milliseconds.
    pub keep_transactional_ms: i64,
    /// How long other closed cases are kept, in milliseconds.
    pub keep_chat_ms: i64,
    /// How long answers are kept for repeated request ids, in milliseconds.
    pub keep_replies_ms: i64,
    /// Topics that hold what cases are made of, each with its retention in milliseconds (none:
    /// without limit): what an erasure's receipt names.
    pub topics: Vec<(String, Option<i64>)>,
}

impl StoreSettings {
    /// The defaults for a database.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            readers: 4,
            group: 256,
            keep_transactional_ms: 365 * DAY,
            keep_chat_ms: 183 * DAY,
            keep_replies_ms: DAY,
            topics: Vec::new(),
        }
    }
}

/// What came from the escalations topic.
pub enum Arrived {
    /// A case to open, or to bring up to date where the message has one. Name, state, etag and
    /// times of change are not looked at; `due_time` is the verdict's, and the queue's calendar is
    /// applied to what lies between it and `event.event_time`.
    Open(Box<Case>),
    /// The message is gone.
    Withdrawn {
        /// The platform's id of the message.
        event_id: String,
        /// The platform's name, if known.
        platform: Option<String>,
        /// The brand, if known.
        brand: Option<String>,
        /// The verdict's id.
        verdict_id: String,
    },
}

/// What became of what arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeReport {
    /// New cases.
    pub opened: u64,
    /// Cases whose message was edited.
    pub updated: u64,
    /// Closed cases that the edit of their message opened again.
    pub reopened: u64,
    /// Messages of a flood that an open case stands for.
    pub grouped: u64,
    /// Cases closed because their message is gone.
    pub withdrawn: u64,
    /// What was known already, or had no case to close.
    pub unchanged: u64,
}

/// A change of a case, as a watcher sees it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number in the audit trail: what a resume token holds.
    pub sequence: i64,
    /// The case as it is now; where it has gone to a queue that the caller does not see, its name
    /// alone.
    pub case: Case,
    /// Whether it fits the filter now, in a queue that the caller sees.
    pub fits: bool,
}

/// Changes after a number.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The changes, the oldest first, the last one of each case only.
    pub changes: Vec<Change>,
    /// Everything up to this number was looked at: go on after it.
    pub newest: i64,
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Leases that ended.
    pub expired: u64,
    /// Cases that returned from being on hold.
    pub returned: u64,
    /// Cases whose deadline is near, each with its queue: `(cases/…, queues/…)`.
    pub warned: Vec<(String, String)>,
    /// Cases whose deadline passed, each with the queue where it is now.
    pub breached: Vec<(String, String)>,
    /// Closed cases removed because they were old.
    pub removed: u64,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    newest: watch::Receiver<i64>,
}

fn not_yet<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable {
        why: "this build cannot do it yet".to_owned(),
    })
}

impl Store {
    /// Opens the database, and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be reached; [`StoreError::Broken`] if a newer
    /// version wrote it.
    pub async fn open(settings: &StoreSettings, clock: Clock) -> Result<Self, StoreError> {
        let _ = (settings, clock);
        not_yet()
    }

    /// A random name of this database, made with it: another database has another one.
    #[must_use]
    pub fn id(&self) -> &str {
        ""
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        not_yet()
    }

    /// Finishes what waits, and closes the database.
    pub async fn close(&self) {}

    /// Does something with a case. An empty `etag` is not checked; an empty `request_id` is not
    /// kept.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn act(
        &self,
        caller: &Caller,
        case: &str,
        act: Act,
        etag: &str,
        request_id: &str,
    ) -> Result<Case, StoreError> {
        let _ = (caller, case, act, etag, request_id);
        not_yet()
    }

    /// Claims the first case, by rank, that the caller may work; none if there is none. No queues:
    /// all that the caller may work.
    ///
    /// # Errors
    /// [`QueueNotFound`](crate::Refusal::QueueNotFound) for a queue that isn't the caller's.
    pub async fn claim_next(
        &self,
        caller: &Caller,
        queues: &[String],
        request_id: &str,
    ) -> Result<Option<Case>, StoreError> {
        let _ = (caller, queues, request_id);
        not_yet()
    }

    /// Opens a case that a person reported, or gives the one that the message has.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn create(
        &self,
        caller: &Caller,
        request: CreateCaseRequest,
    ) -> Result<Case, StoreError> {
        let _ = (caller, request);
        not_yet()
    }

    /// One case. That an agent saw it is an audit entry, written before this returns.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn get(&self, caller: &Caller, case: &str) -> Result<Case, StoreError> {
        let _ = (caller, case);
        not_yet()
    }

    /// One page of cases. That an agent saw them is an audit entry.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &Filter,
        order: Order,
        page: Page,
    ) -> Result<(Vec<Case>, Option<PageToken>), StoreError> {
        let _ = (caller, filter, order, page);
        not_yet()
    }

    /// How many cases a filter finds.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn count(&self, caller: &Caller, filter: &Filter) -> Result<i64, StoreError> {
        let _ = (caller, filter);
        not_yet()
    }

    /// What changed after a number, at most `limit` changes.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn changes(
        &self,
        caller: &Caller,
        filter: &Filter,
        after: i64,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let _ = (caller, filter, after, limit);
        not_yet()
    }

    /// The newest number that this process wrote or saw: wakes watchers. What other processes
    /// write shows after their next [`changes`](Self::changes), so poll as well.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<i64> {
        self.newest.clone()
    }

    /// The newest number in the database, by whichever process; wakes [`newest`](Self::newest).
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn poll_newest(&self) -> Result<i64, StoreError> {
        not_yet()
    }

    /// Stores what arrived with the offsets after it (topic, partition, next offset), all or
    /// nothing.
    ///
    /// # Errors
    /// That the store can't be reached; then nothing is stored.
    pub async fn intake(
        &self,
        arrived: Vec<Arrived>,
        offsets: &[(String, i32, i64)],
    ) -> Result<IntakeReport, StoreError> {
        let _ = (arrived, offsets);
        not_yet()
    }

    /// Where reading a topic goes on: partition and next offset.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn offsets(&self, topic: &str) -> Result<Vec<(i32, i64)>, StoreError> {
        let _ = topic;
        not_yet()
    }

    /// Returns cases whose lease or hold ended, warns of deadlines, moves what missed them, and
    /// removes what is old. To be called every second; does a bounded amount each time.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        not_yet()
    }

    /// Resolutions to publish, with their numbers, after a number.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn outbox(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Resolution)>, StoreError> {
        let _ = (after, limit);
        not_yet()
    }

    /// Forgets resolutions up to a number: they are published.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn outbox_published(&self, up_to: i64) -> Result<(), StoreError> {
        let _ = up_to;
        not_yet()
    }

    /// Whether `owner` may publish for the next `ms` milliseconds: one at a time may.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn outbox_lease(&self, owner: &str, ms: i64) -> Result<bool, StoreError> {
        let _ = (owner, ms);
        not_yet()
    }

    /// One page of the audit trail, the newest first.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn audit_list(
        &self,
        filter: &Filter,
        page: Page,
    ) -> Result<(Vec<AuditEntry>, Option<PageToken>), StoreError> {
        let _ = (filter, page);
        not_yet()
    }

    /// At most `limit` audit entries from a number on, the oldest first.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn audit_export(
        &self,
        from: i64,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let _ = (from, limit);
        not_yet()
    }

    /// Recomputes the chain. `known_hash`: one noted earlier that must be in it; empty: none.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn audit_verify(&self, known_hash: &[u8]) -> Result<VerifyAuditResponse, StoreError> {
        let _ = known_hash;
        not_yet()
    }

    /// A queue with its counts.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn queue_get(&self, caller: &Caller, queue: &str) -> Result<Queue, StoreError> {
        let _ = (caller, queue);
        not_yet()
    }

    /// One page of the queues that the caller sees, with their counts.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn queue_list(
        &self,
        caller: &Caller,
        page: Page,
    ) -> Result<(Vec<Queue>, Option<PageToken>), StoreError> {
        let _ = (caller, page);
        not_yet()
    }

    /// Makes a queue or changes its settings.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn queue_update(
        &self,
        caller: &Caller,
        request: UpdateQueueRequest,
    ) -> Result<Queue, StoreError> {
        let _ = (caller, request);
        not_yet()
    }

    /// An agent.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn agent_get(&self, agent: &str) -> Result<Agent, StoreError> {
        let _ = agent;
        not_yet()
    }

    /// One page of the agents.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn agent_list(
        &self,
        page: Page,
    ) -> Result<(Vec<Agent>, Option<PageToken>), StoreError> {
        let _ = page;
        not_yet()
    }

    /// Makes an agent or changes it.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn agent_update(
        &self,
        caller: &Caller,
        request: UpdateAgentRequest,
    ) -> Result<Agent, StoreError> {
        let _ = (caller, request);
        not_yet()
    }

    /// Keeps the hash (SHA-256) of an agent's new token; earlier tokens end.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn agent_rotate_token(
        &self,
        caller: &Caller,
        agent: &str,
        token_hash: &[u8],
    ) -> Result<(), StoreError> {
        let _ = (caller, agent, token_hash);
        not_yet()
    }

    /// The agent whose token has this hash (SHA-256), disabled or not.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn agent_by_token_hash(
        &self,
        token_hash: &[u8],
    ) -> Result<Option<Agent>, StoreError> {
        let _ = token_hash;
        not_yet()
    }

    /// Cases that hold something about a person, by name, after a name; that they were read is an
    /// audit entry.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn export_subject(
        &self,
        caller: &Caller,
        subject: &Subject,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Case>, StoreError> {
        let _ = (caller, subject, after, limit);
        not_yet()
    }

    /// Erases a person's texts and names from every table.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn erase_subject(
        &self,
        caller: &Caller,
        subject: &Subject,
        request_id: &str,
    ) -> Result<ErasureReceipt, StoreError> {
        let _ = (caller, subject, request_id);
        not_yet()
    }
}
