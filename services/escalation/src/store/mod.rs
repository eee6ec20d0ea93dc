//! Where cases are kept: one database, SQLite or PostgreSQL, written by one task per process.

mod columns;
mod database;
mod flood;
mod intake;
mod list;
mod page;
mod people;
mod privacy;
mod read;
pub(crate) mod sql;
mod sweep;
mod topics;
mod trail;
mod unit;
mod work;
mod writer;

use std::sync::Arc;

use tidegate_proto::escalation::v1::{
    Agent, AuditEntry, Case, CreateCaseRequest, ErasureReceipt, Queue, Resolution, Subject,
    UpdateAgentRequest, UpdateQueueRequest, VerifyAuditResponse,
};
use tokio::sync::watch;

pub use page::{Order, OrderBy, Page, PageToken};

use database::Database;
use writer::Writer;

use crate::{Act, Caller, Filter, StoreError, caller::SYSTEM, times::DAY};

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
    /// It cannot be read, and is kept as it came.
    Unreadable(Box<Kept>),
}

/// A record that cannot be read.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it was.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Why, from a closed list.
    pub reason: &'static str,
    /// Which field, or where. Holds nothing that the record said.
    pub detail: String,
    /// Its key. May be personal.
    pub key: Vec<u8>,
    /// Its bytes. May be personal.
    pub value: Vec<u8>,
}

/// A record that could not be read, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it was: topic, partition, offset.
    pub position: (String, i32, i64),
    /// Why: the reason, and which field or where.
    pub reason: String,
    /// Its bytes. May be personal.
    pub value: Vec<u8>,
}

/// How far a partition was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// What this reader found stored when it began, or stored last; `None` where nothing was. If
    /// something else is stored now, another reader has gone on from there, and nothing is taken.
    pub known: Option<i64>,
    /// The next offset to read.
    pub next: i64,
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
    database: Database,
    writer: Writer,
    clock: Clock,
    id: Arc<str>,
}

impl Store {
    /// Opens the database, and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it can't be reached; [`StoreError::Broken`] if a newer
    /// version wrote it.
    pub async fn open(settings: &StoreSettings, clock: Clock) -> Result<Self, StoreError> {
        let settings = Arc::new(settings.clone());
        let database = Database::open(&settings.url, settings.readers).await?;
        let id = database.identify().await?;
        let writer = Writer::start(database.clone(), settings, clock.clone());
        let store = Self {
            database,
            writer,
            clock,
            id: id.into(),
        };
        store.poll_newest().await?;
        Ok(store)
    }

    /// A random name of this database, made with it: another database has another one.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1")
            .execute(&self.database.readers)
            .await?;
        Ok(())
    }

    /// Finishes what waits, and closes the database.
    pub async fn close(&self) {
        self.writer.close().await;
        self.database.readers.close().await;
        self.database.writer.close().await;
    }

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
        let job = work::ActJob {
            caller: caller.clone(),
            case: case.to_owned(),
            act,
            etag: etag.to_owned(),
            request_id: request_id.to_owned(),
        };
        self.writer.run(job).await
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
        let job = work::ClaimNext {
            caller: caller.clone(),
            queues: queues.to_vec(),
            request_id: request_id.to_owned(),
        };
        self.writer.run(job).await
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
        let caller = caller.clone();
        self.writer.run(work::Create { caller, request }).await
    }

    /// One case. That an agent saw it is an audit entry, written before this returns.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn get(&self, caller: &Caller, case: &str) -> Result<Case, StoreError> {
        let mut found = read::one(&self.database.readers, caller, case).await?;
        let seen = self.show(caller, std::slice::from_mut(&mut found));
        if let Some(viewed) = seen {
            self.writer.run(viewed).await?;
        }
        Ok(found)
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
        let readers = &self.database.readers;
        let (mut cases, next) = list::page(readers, caller, filter, order, &page).await?;
        if let Some(viewed) = self.show(caller, &mut cases) {
            // Written with the next commit; whoever lists does not wait for it.
            drop(self.writer.submit(viewed).await?);
        }
        Ok((cases, next))
    }

    /// How many cases a filter finds.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn count(&self, caller: &Caller, filter: &Filter) -> Result<i64, StoreError> {
        read::count(&self.database.readers, caller, filter).await
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
        let readers = &self.database.readers;
        let mut changes = read::changes(readers, caller, filter, after, limit).await?;
        let mut seen = Vec::new();
        for change in &mut changes.changes {
            if read::show(caller, &mut change.case) && change.fits {
                seen.push(change.case.name.clone());
            }
        }
        if let Some(viewed) = viewed(caller, seen) {
            drop(self.writer.submit(viewed).await?);
        }
        Ok(changes)
    }

    /// The newest number that this process wrote or saw: wakes watchers. What other processes
    /// write shows after their next [`changes`](Self::changes), so poll as well.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<i64> {
        self.writer.newest.subscribe()
    }

    /// The newest number in the database, by whichever process; wakes [`newest`](Self::newest).
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn poll_newest(&self) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT sequence FROM audit_head WHERE id=1")
            .fetch_optional(&self.database.readers)
            .await?;
        let newest = row.map_or(Ok(0), |row| sql::get(&row, 0))?;
        self.writer.newest.send_if_modified(|known| {
            let newer = newest > *known;
            *known = newest.max(*known);
            newer
        });
        Ok(newest)
    }

    /// Stores what arrived with how far was read, all or nothing.
    ///
    /// # Errors
    /// [`Overtaken`](crate::Refusal::Overtaken), or that the store can't be reached; then nothing is
    /// stored.
    pub async fn intake(
        &self,
        arrived: Vec<Arrived>,
        progress: &[Progress],
    ) -> Result<IntakeReport, StoreError> {
        let progress = progress.to_vec();
        self.writer.run(intake::Intake { arrived, progress }).await
    }

    /// Records that could not be read, the newest first, at most `limit`.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn unreadable(&self, limit: usize) -> Result<Vec<Unreadable>, StoreError> {
        topics::unreadable(&self.database.readers, limit).await
    }

    /// Where reading a topic goes on: partition and next offset.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn offsets(&self, topic: &str) -> Result<Vec<(i32, i64)>, StoreError> {
        topics::offsets(&self.database.readers, topic).await
    }

    /// Returns cases whose lease or hold ended, warns of deadlines, moves what missed them, and
    /// removes what is old. To be called every second; does a bounded amount each time.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        self.writer.run(sweep::Sweep).await
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
        topics::outbox(&self.database.readers, after, limit).await
    }

    /// Forgets resolutions up to a number: they are published.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn outbox_published(&self, up_to: i64) -> Result<(), StoreError> {
        self.writer.run(topics::Published { up_to }).await
    }

    /// Whether `owner` may publish for the next `ms` milliseconds: one at a time may.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn outbox_lease(&self, owner: &str, ms: i64) -> Result<bool, StoreError> {
        let owner = owner.to_owned();
        self.writer.run(topics::OutboxLease { owner, ms }).await
    }

    /// One page of what the caller may see of the audit trail, the newest first.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn audit_list(
        &self,
        caller: &Caller,
        filter: &Filter,
        page: Page,
    ) -> Result<(Vec<AuditEntry>, Option<PageToken>), StoreError> {
        trail::page(&self.database.readers, caller, filter, &page).await
    }

    /// At most `limit` audit entries that the caller may see, from a number on, the oldest first.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn audit_export(
        &self,
        caller: &Caller,
        from: i64,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        trail::export(&self.database.readers, caller, from, limit).await
    }

    /// Recomputes the chain. `known_hash`: one noted earlier that must be in it; empty: none.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn audit_verify(&self, known_hash: &[u8]) -> Result<VerifyAuditResponse, StoreError> {
        trail::verify(&self.database, known_hash).await
    }

    /// A queue with its counts.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn queue_get(&self, caller: &Caller, queue: &str) -> Result<Queue, StoreError> {
        people::queue(&self.database.readers, caller, queue, (self.clock)()).await
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
        people::queues(&self.database.readers, caller, &page, (self.clock)()).await
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
        let caller = caller.clone();
        self.writer
            .run(people::QueueUpdate { caller, request })
            .await
    }

    /// An agent.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn agent_get(&self, agent: &str) -> Result<Agent, StoreError> {
        people::agent(&self.database.readers, agent).await
    }

    /// One page of the agents.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn agent_list(
        &self,
        page: Page,
    ) -> Result<(Vec<Agent>, Option<PageToken>), StoreError> {
        people::agents(&self.database.readers, &page).await
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
        let caller = caller.clone();
        self.writer
            .run(people::AgentUpdate { caller, request })
            .await
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
        let job = people::RotateToken {
            caller: caller.clone(),
            agent: agent.to_owned(),
            token_hash: token_hash.to_vec(),
        };
        self.writer.run(job).await
    }

    /// The agent whose token has this hash (SHA-256), disabled or not.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn agent_by_token_hash(
        &self,
        token_hash: &[u8],
    ) -> Result<Option<Agent>, StoreError> {
        people::agent_of_token(&self.database.readers, token_hash).await
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
        privacy::check(subject)?;
        let readers = &self.database.readers;
        let cases = privacy::export(readers, subject, after, limit).await?;
        let names = cases.iter().map(|case| case.name.clone()).collect();
        if let Some(viewed) = viewed(caller, names) {
            self.writer.run(viewed).await?;
        }
        Ok(cases)
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
        let job = privacy::Erase {
            caller: caller.clone(),
            subject: subject.clone(),
            request_id: request_id.to_owned(),
        };
        let receipt = self.writer.run(job).await?;
        privacy::scrub(&self.database).await?;
        Ok(receipt)
    }

    /// Lets SQLite's file grow to so many pages and no further, as a full disk would.
    #[doc(hidden)]
    pub async fn limit_pages_for_tests(&self, pages: u32) {
        let done = self.database.limit_pages(pages).await;
        debug_assert!(done.is_ok());
    }

    /// Hides from a caller what its role may not see; an audit entry of what it sees.
    fn show(&self, caller: &Caller, cases: &mut [Case]) -> Option<work::Viewed> {
        let mut seen = Vec::new();
        for case in cases {
            if read::show(caller, case) {
                seen.push(case.name.clone());
            }
        }
        viewed(caller, seen)
    }
}

/// The audit entry of a look at cases; the service itself leaves none.
fn viewed(caller: &Caller, cases: Vec<String>) -> Option<work::Viewed> {
    (!cases.is_empty() && caller.agent != SYSTEM).then(|| work::Viewed {
        caller: caller.agent.clone(),
        cases,
    })
}
