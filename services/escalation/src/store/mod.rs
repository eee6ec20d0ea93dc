//! Where cases are kept: one database, SQLite or PostgreSQL, written by one task per process.

mod columns;
mod database;
mod intake;
mod kinds;
mod list;
mod page;
mod people;
mod privacy;
mod read;
mod settings;
pub(crate) mod sql;
mod sweep;
mod topics;
pub(crate) mod trail;
mod unit;
mod work;
mod writer;

use std::sync::Arc;

use tidegate_proto::escalation::v1::{Case, CreateCaseRequest};
use tokio::sync::watch;

pub use kinds::{Arrived, Change, Changes, IntakeReport, Kept, Progress, Swept, Unreadable};
pub use page::{Order, OrderBy, Page, PageToken};
pub use settings::{Clock, StoreSettings, system_clock};

use database::Database;
use writer::Writer;

use crate::{Act, Caller, Filter, StoreError, caller::SYSTEM};

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
