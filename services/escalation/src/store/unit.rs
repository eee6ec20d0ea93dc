//! One writing transaction: what jobs read and write in it. What is only ever appended (audit
//! entries, resolutions, replies) is written at its end, many rows at a time.

use std::{collections::HashMap, sync::Arc};

use prost::Message;
use serde_json::Value;
use sqlx::{Any, Connection, Executor, any::AnyRow, pool::PoolConnection};
use tidegate_proto::escalation::v1::{Queue, Resolution};

use super::{
    StoreSettings,
    columns::{self, Row, decode},
    database::{Database, Dialect},
    sql::{Bind, Sql, get},
};
use crate::{
    audit::{FIRST, Link, Payload, payload_hash},
    caller::Caller,
    error::{Refusal, StoreError},
    queue::QueueSettings,
};

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

/// An answer that is kept for a repeated request id.
struct Reply {
    request_hash: Vec<u8>,
    answer: Vec<u8>,
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
    /// Answers by caller and request id; none where there is none yet.
    replies: HashMap<(String, String), Option<Reply>>,
    reply_rows: Vec<Vec<Bind>>,
    queues: HashMap<String, Option<Arc<QueueSettings>>>,
    /// Cases that were read for jobs to come, as long as nothing else was written.
    ahead: HashMap<String, Row>,
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
            replies: HashMap::new(),
            reply_rows: Vec::new(),
            queues: HashMap::new(),
            ahead: HashMap::new(),
            written: 0,
        })
    }

    /// A number that grows with each thing written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) async fn rows(&mut self, sql: &Sql) -> Result<Vec<AnyRow>, StoreError> {
        let query = sql.query_on(self.dialect);
        Ok(query.fetch_all(&mut *self.connection).await?)
    }

    pub(crate) async fn row(&mut self, sql: &Sql) -> Result<Option<AnyRow>, StoreError> {
        let query = sql.query_on(self.dialect);
        Ok(query.fetch_optional(&mut *self.connection).await?)
    }

    /// Writes, and says how many rows that touched.
    pub(crate) async fn write(&mut self, sql: &Sql) -> Result<u64, StoreError> {
        // What was read before may no longer be so.
        self.ahead.clear();
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
        }
        if !cases.is_empty() {
            let mut sql = Sql::new(columns::SELECT);
            sql.text(" WHERE name").within(padded(&cases).copied());
            for row in self.rows(&sql).await? {
                let row = Row::read(&row)?;
                self.ahead.insert(row.case.name.clone(), row);
            }
        }
        if !requests.is_empty() {
            let mut sql = Sql::new(
                "SELECT caller, request_id, request_hash, answer FROM replies WHERE \
                 (caller,request_id) IN (VALUES ",
            );
            let pairs = padded(&requests).map(|(caller, id)| vec![(*caller).into(), (*id).into()]);
            sql.rows(pairs).text(")");
            for row in self.rows(&sql).await? {
                let reply = Reply {
                    request_hash: get(&row, 2)?,
                    answer: get(&row, 3)?,
                };
                self.replies
                    .insert((get(&row, 0)?, get(&row, 1)?), Some(reply));
            }
            for (caller, id) in requests {
                let key = (caller.to_owned(), id.to_owned());
                self.replies.entry(key).or_insert(None);
            }
        }
        Ok(())
    }

    /// A case by name, or nothing.
    pub(crate) async fn case(&mut self, name: &str) -> Result<Option<Row>, StoreError> {
        if let Some(row) = self.ahead.remove(name) {
            return Ok(Some(row));
        }
        let mut sql = Sql::new(columns::SELECT);
        sql.text(" WHERE name=").bind(name);
        self.row(&sql).await?.as_ref().map(Row::read).transpose()
    }

    /// A case that the caller sees.
    pub(crate) async fn visible(&mut self, caller: &Caller, name: &str) -> Result<Row, StoreError> {
        let row = self.case(name).await?;
        row.filter(|row| caller.sees(&row.case.queue))
            .ok_or_else(|| Refusal::CaseNotFound.into())
    }

    /// Writes a changed case; `message` says whether its message changed as well.
    pub(crate) async fn put(&mut self, row: &mut Row, message: bool) -> Result<(), StoreError> {
        let warn_ms = self.queue(&row.case.queue).await?.warn_ms;
        row.alarm = columns::alarm(row, warn_ms);
        let sql = columns::update(row, message);
        self.ahead.remove(&row.case.name);
        self.run(&sql).await?;
        Ok(())
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
        let settings = match self.row(&sql).await? {
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

    /// Forgets what was read of a queue: it was changed.
    pub(crate) fn forget_queue(&mut self, name: &str) {
        self.queues.remove(name);
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

    /// The answer that a request id got before.
    pub(crate) async fn reply<M: Message + Default>(
        &mut self,
        request: &Request<'_>,
    ) -> Result<Option<M>, StoreError> {
        if request.id.is_empty() {
            return Ok(None);
        }
        let key = (request.caller.to_owned(), request.id.to_owned());
        if !self.replies.contains_key(&key) {
            let mut sql = Sql::new("SELECT request_hash, answer FROM replies WHERE caller=");
            sql.bind(request.caller)
                .text(" AND request_id=")
                .bind(request.id);
            let reply = match self.row(&sql).await? {
                Some(row) => Some(Reply {
                    request_hash: get(&row, 0)?,
                    answer: get(&row, 1)?,
                }),
                None => None,
            };
            self.replies.insert(key.clone(), reply);
        }
        match self.replies.get(&key).and_then(Option::as_ref) {
            None => Ok(None),
            Some(reply) if reply.request_hash != request.hash => {
                Err(Refusal::RequestIdReused.into())
            }
            Some(reply) => decode(&reply.answer).map(Some),
        }
    }

    /// Keeps the answer of a request id; `num`: the case that it shows, or 0.
    pub(crate) fn keep_reply(&mut self, request: &Request<'_>, answer: &impl Message, num: i64) {
        if request.id.is_empty() {
            return;
        }
        self.written += 1;
        let answer = answer.encode_to_vec();
        self.reply_rows.push(vec![
            request.caller.into(),
            request.id.into(),
            request.hash.to_vec().into(),
            answer.clone().into(),
            num.into(),
            self.now.into(),
        ]);
        self.replies.insert(
            (request.caller.to_owned(), request.id.to_owned()),
            Some(Reply {
                request_hash: request.hash.to_vec(),
                answer,
            }),
        );
    }

    /// Forgets answers that were read or kept: some are being erased.
    pub(crate) fn forget_replies(&mut self) {
        self.replies.clear();
    }

    /// Writes what waits for the end, except the head.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        let tables = [
            (
                "INSERT INTO audit (sequence,time,actor,action,resource,payload_hash,hash,payload,\
                 salt,watched) VALUES ",
                std::mem::take(&mut self.audit),
            ),
            (
                "INSERT INTO outbox (sequence,num,body) VALUES ",
                std::mem::take(&mut self.outbox),
            ),
            (
                "INSERT INTO replies (caller,request_id,request_hash,answer,num,time) VALUES ",
                std::mem::take(&mut self.reply_rows),
            ),
        ];
        for (text, rows) in tables {
            let mut rows = rows.into_iter().peekable();
            while rows.peek().is_some() {
                let mut sql = Sql::new(text);
                sql.rows(rows.by_ref().take(ROWS));
                self.write(&sql).await?;
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
        self.write(&sql).await?;
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
}

impl<'a> Wants<'a> {
    /// Of a request that may be about a case.
    pub(crate) fn of(caller: &'a Caller, request_id: &'a str, case: Option<&'a str>) -> Self {
        let request = (!request_id.is_empty()).then_some((&*caller.agent, request_id));
        Self { case, request }
    }
}

/// The values, the last one again and again until there are as many as a power of two: so that
/// there are only a few statements to be prepared.
fn padded<T>(values: &[T]) -> impl ExactSizeIterator<Item = &T> {
    (0..values.len().next_power_of_two()).map(|at| &values[at.min(values.len() - 1)])
}

/// A request that may come again.
pub(crate) struct Request<'a> {
    pub(crate) caller: &'a str,
    pub(crate) id: &'a str,
    /// Of method and content.
    pub(crate) hash: [u8; 32],
}
