//! One writing transaction: what jobs read and write in it. What is only ever appended (audit
//! entries, resolutions, replies) is written at its end, many rows at a time; so are changed cases,
//! unless something is read before.

mod cases;
mod replies;
mod waiting;

use std::{collections::HashMap, sync::Arc};

use prost::Message;
use serde_json::Value;
use sqlx::{Any, Connection, Executor, any::AnyRow, pool::PoolConnection};
use tidegate_proto::escalation::v1::{Queue, Resolution};

use super::{
    StoreSettings,
    columns::{Row, decode},
    database::{Database, Dialect},
    sql::{Bind, Sql, get},
};
use crate::{
    audit::{FIRST, Link, Payload, payload_hash},
    error::StoreError,
    queue::QueueSettings,
};

use cases::Changed;
use replies::Replies;
pub(crate) use replies::Request;
use waiting::Waiting;

/// How many rows one statement puts in.
pub(crate) const ROWS: usize = 32;

/// An audit entry in the making.
pub(crate) struct Entry<'a> {
    pub(crate) actor: &'a str,
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) payload: Payload,
    /// For watchers: the queue of the case before the change; empty if there is nothing to see.
    pub(crate) watched: &'a str,
}

impl<'a> Entry<'a> {
    /// An entry of a case's change.
    pub(crate) fn change(
        actor: &'a str,
        action: &'a str,
        case: &'a str,
        queue_before: &'a str,
        before: Value,
        after: Value,
    ) -> Self {
        Self {
            actor,
            action,
            resource: case,
            payload: Payload {
                before,
                after,
                ..Payload::default()
            },
            watched: queue_before,
        }
    }
}

/// A writing transaction.
pub(crate) struct Unit {
    connection: PoolConnection<Any>,
    dialect: Dialect,
    pub(crate) now: i64,
    pub(crate) settings: Arc<StoreSettings>,
    sequence: i64,
    hash: Vec<u8>,
    audit: Vec<Vec<Bind>>,
    outbox: Vec<Vec<Bind>>,
    replies: Replies,
    queues: HashMap<String, Option<Arc<QueueSettings>>>,
    queue_names: Option<Arc<[String]>>,
    /// Cases that were read for jobs to come, as long as nothing else was written.
    ahead: HashMap<String, Row>,
    changed: Changed,
    waiting: Waiting,
    written: u64,
}

impl Unit {
    pub(crate) async fn begin(
        database: &Database,
        settings: Arc<StoreSettings>,
        now: i64,
    ) -> Result<Self, StoreError> {
        let dialect = database.dialect;
        let mut connection = database.writer.acquire().await?;
        // Not by way of the library's transactions: SQLite ends one by itself when its disk is
        // full, and the library would go on counting it.
        connection.execute(dialect.begin()).await?;
        // Writers of several processes take turns by this row.
        let head = format!(
            "SELECT sequence, hash FROM audit_head WHERE id=1{}",
            dialect.for_update()
        );
        let head = match sqlx::query(&head).fetch_optional(&mut *connection).await {
            Ok(head) => head,
            Err(error) => {
                end(connection).await;
                return Err(error.into());
            }
        };
        let (sequence, hash) = match head {
            Some(row) => (get(&row, 0)?, get(&row, 1)?),
            None => (0, FIRST.to_vec()),
        };
        Ok(Self {
            connection,
            dialect,
            now,
            settings,
            sequence,
            hash,
            audit: Vec::new(),
            outbox: Vec::new(),
            replies: Replies::default(),
            queues: HashMap::new(),
            queue_names: None,
            ahead: HashMap::new(),
            changed: Changed::default(),
            waiting: Waiting::default(),
            written: 0,
        })
    }

    /// A number that grows with each thing written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Reads, with all that was changed before.
    pub(crate) async fn rows(&mut self, sql: &Sql) -> Result<Vec<AnyRow>, StoreError> {
        self.write_changed().await?;
        self.read(sql).await
    }

    /// As [`rows`](Self::rows); the first one.
    pub(crate) async fn row(&mut self, sql: &Sql) -> Result<Option<AnyRow>, StoreError> {
        self.write_changed().await?;
        self.read_one(sql).await
    }

    /// Reads what no changed case shows in.
    async fn read(&mut self, sql: &Sql) -> Result<Vec<AnyRow>, StoreError> {
        let query = sql.query_on(self.dialect);
        Ok(query.fetch_all(&mut *self.connection).await?)
    }

    async fn read_one(&mut self, sql: &Sql) -> Result<Option<AnyRow>, StoreError> {
        let query = sql.query_on(self.dialect);
        Ok(query.fetch_optional(&mut *self.connection).await?)
    }

    /// Writes, after all that was changed before, and says how many rows that touched.
    pub(crate) async fn write(&mut self, sql: &Sql) -> Result<u64, StoreError> {
        self.write_changed().await?;
        // What was read before may no longer be so.
        self.ahead.clear();
        self.waiting.forget();
        self.run(sql).await
    }

    async fn run(&mut self, sql: &Sql) -> Result<u64, StoreError> {
        self.written += 1;
        let query = sql.query_on(self.dialect);
        let done = query.execute(&mut *self.connection).await?;
        Ok(done.rows_affected())
    }

    /// Reads at once what many jobs want to read first.
    pub(crate) async fn read_ahead<'a>(
        &mut self,
        wants: impl Iterator<Item = Wants<'a>>,
    ) -> Result<(), StoreError> {
        let (mut cases, mut requests) = (Vec::new(), Vec::new());
        for want in wants {
            cases.extend(want.case);
            requests.extend(want.request);
            if let Some(queues) = want.next_of {
                self.waiting.ask(queues);
            }
        }
        self.cases_ahead(&cases).await?;
        self.replies_ahead(&requests).await
    }

    /// A queue's settings; the defaults where there is no such queue.
    pub(crate) async fn queue(&mut self, name: &str) -> Result<Arc<QueueSettings>, StoreError> {
        Ok(self.known_queue(name).await?.unwrap_or_default())
    }

    /// A queue's settings, if there is such a queue.
    pub(crate) async fn known_queue(
        &mut self,
        name: &str,
    ) -> Result<Option<Arc<QueueSettings>>, StoreError> {
        if let Some(known) = self.queues.get(name) {
            return Ok(known.clone());
        }
        let mut sql = Sql::new("SELECT body FROM queues WHERE name=");
        sql.bind(name);
        let settings = match self.read_one(&sql).await? {
            None => None,
            Some(row) => {
                let queue: Queue = decode(get(&row, 0)?)?;
                // It was checked when it was written; a rule that came later must not stop work.
                Some(Arc::new(QueueSettings::new(&queue).unwrap_or_default()))
            }
        };
        self.queues.insert(name.to_owned(), settings.clone());
        Ok(settings)
    }

    /// Every queue's name.
    pub(crate) async fn queue_names(&mut self) -> Result<Arc<[String]>, StoreError> {
        if let Some(names) = &self.queue_names {
            return Ok(names.clone());
        }
        let rows = self.read(&Sql::new("SELECT name FROM queues")).await?;
        let names = rows.iter().map(|row| get(row, 0));
        let names: Arc<[String]> = names.collect::<Result<_, _>>()?;
        self.queue_names = Some(names.clone());
        Ok(names)
    }

    /// Forgets what was read of a queue: it was changed.
    pub(crate) fn forget_queue(&mut self, name: &str) {
        self.queues.remove(name);
        self.queue_names = None;
    }

    /// Adds an audit entry, and gives its number.
    pub(crate) fn audit(&mut self, entry: Entry<'_>) -> i64 {
        self.written += 1;
        self.sequence += 1;
        let payload = serde_json::to_vec(&entry.payload).unwrap_or_else(|_| b"{}".to_vec());
        let salt: [u8; 16] = rand::random();
        let clean = |text: &str| text.replace('\0', "\u{fffd}");
        let link = Link {
            sequence: self.sequence,
            time: self.now,
            actor: clean(entry.actor),
            action: entry.action.to_owned(),
            resource: clean(entry.resource),
            payload_hash: payload_hash(&salt, &payload).to_vec(),
        };
        self.hash = link.hash(&self.hash).to_vec();
        self.audit.push(vec![
            link.sequence.into(),
            link.time.into(),
            (&link.actor).into(),
            (&link.action).into(),
            (&link.resource).into(),
            link.payload_hash.into(),
            self.hash.clone().into(),
            payload.into(),
            salt.to_vec().into(),
            entry.watched.into(),
        ]);
        self.sequence
    }

    /// Lets a resolution be published under an audit entry's number.
    pub(crate) fn publish(&mut self, sequence: i64, num: i64, resolution: &Resolution) {
        self.written += 1;
        self.outbox.push(vec![
            sequence.into(),
            num.into(),
            resolution.encode_to_vec().into(),
        ]);
    }

    /// Writes what waits for the end, except the head.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        self.write_changed().await?;
        let tables = [
            (
                "INTO audit (sequence,time,actor,action,resource,payload_hash,hash,payload,\
                 salt,watched) VALUES ",
                std::mem::take(&mut self.audit),
            ),
            (
                "INTO outbox (sequence,num,body) VALUES ",
                std::mem::take(&mut self.outbox),
            ),
            (
                "INTO replies (caller,request_id,request_hash,answer,num,time) VALUES ",
                std::mem::take(&mut self.replies.rows),
            ),
        ];
        for (text, rows) in tables {
            let mut left = rows.len();
            let mut rows = rows.into_iter();
            while left > 0 {
                let some = some_of(left);
                let mut sql = Sql::change("INSERT", text);
                sql.rows(rows.by_ref().take(some));
                self.run(&sql).await?;
                left -= some;
            }
        }
        Ok(())
    }

    /// Commits, and gives the newest number.
    pub(crate) async fn commit(mut self) -> Result<i64, StoreError> {
        if let Err(error) = self.write_all().await {
            self.abandon().await;
            return Err(error);
        }
        if let Err(error) = self.connection.execute("COMMIT").await {
            end(self.connection).await;
            // Whether it was done cannot be known here.
            let why = match StoreError::from(error) {
                StoreError::Unavailable { why } | StoreError::Broken { why } => why,
                StoreError::Refused(refusal) => refusal.to_string(),
            };
            return Err(StoreError::Unavailable { why });
        }
        Ok(self.sequence)
    }

    async fn write_all(&mut self) -> Result<(), StoreError> {
        if self.written == 0 {
            return Ok(());
        }
        self.flush().await?;
        let mut sql = Sql::new("UPDATE audit_head SET sequence=");
        sql.bind(self.sequence)
            .text(", hash=")
            .bind(self.hash.clone())
            .text(" WHERE id=1");
        self.run(&sql).await?;
        Ok(())
    }

    /// Gives everything up, with the connection: its state is not known.
    pub(crate) async fn abandon(self) {
        end(self.connection).await;
    }
}

async fn end(connection: PoolConnection<Any>) {
    // The database rolls back what a closed connection began, whether it hears of it or not.
    connection.detach().close().await.ok();
}

/// What a job reads before anything else.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wants<'a> {
    /// A case, by name.
    pub(crate) case: Option<&'a str>,
    /// Caller and request id whose answer it looks for.
    pub(crate) request: Option<(&'a str, &'a str)>,
    /// Queues of which it wants the next case; none: of every queue.
    pub(crate) next_of: Option<&'a [String]>,
}

impl<'a> Wants<'a> {
    /// Of a request that may be about a case.
    pub(crate) fn of(
        caller: &'a crate::Caller,
        request_id: &'a str,
        case: Option<&'a str>,
    ) -> Self {
        let request = (!request_id.is_empty()).then_some((&*caller.agent, request_id));
        Self {
            case,
            request,
            next_of: None,
        }
    }
}

/// The values, the last one again and again until there are as many as a power of two: so that
/// there are only a few statements to be prepared.
fn padded<T>(values: &[T]) -> impl ExactSizeIterator<Item = &T> {
    (0..values.len().next_power_of_two()).map(|at| &values[at.min(values.len() - 1)])
}

/// How many of this many rows the next statement puts in: a power of two, for the same reason.
pub(crate) fn some_of(rows: usize) -> usize {
    1 << rows.min(ROWS).ilog2()
}
