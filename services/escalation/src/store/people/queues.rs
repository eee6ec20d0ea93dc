//! Queues: their settings, and what stands in them.

use serde_json::{Value, json};
use sqlx::AnyPool;
use tidegate_proto::escalation::v1::{CaseState, Queue, UpdateQueueRequest};

use super::{Record, Upsert, all, find, hash_of, name_and_etag, page_of};
use crate::{
    caller::Caller,
    error::{Refusal, StoreError},
    queue::QueueSettings,
    store::{
        Store,
        page::{Page, PageToken},
        sql::{Bind, Sql, get},
        unit::Unit,
    },
    times::{duration_millis, timestamp},
};

impl Store {
    /// A queue with its counts.
    ///
    /// # Errors
    /// A refusal, or that the store can't be reached.
    pub async fn queue_get(&self, caller: &Caller, queue: &str) -> Result<Queue, StoreError> {
        one(&self.database.readers, caller, queue, (self.clock)()).await
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
        seen(&self.database.readers, caller, &page, (self.clock)()).await
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
        let change = Upsert {
            caller: caller.clone(),
            hash: hash_of(Queue::KIND, &request),
            wanted: request.queue.unwrap_or_default(),
            mask: request.update_mask,
            allow_missing: request.allow_missing,
            request_id: request.request_id,
        };
        self.writer.run(change).await
    }
}

async fn one(pool: &AnyPool, caller: &Caller, name: &str, now: i64) -> Result<Queue, StoreError> {
    let queue = find(pool, name).await?;
    let queue = queue.filter(|_| caller.sees(name));
    let mut queue: Queue = queue.ok_or_else(|| Queue::missing(name))?;
    count(pool, &mut queue, now).await?;
    Ok(queue)
}

async fn seen(
    pool: &AnyPool,
    caller: &Caller,
    page: &Page,
    now: i64,
) -> Result<(Vec<Queue>, Option<PageToken>), StoreError> {
    let mut queues: Vec<Queue> = all(pool).await?;
    queues.retain(|queue| caller.sees(&queue.name));
    let (mut queues, next) = page_of(queues, Queue::TABLE, page)?;
    for queue in &mut queues {
        count(pool, queue, now).await?;
    }
    Ok((queues, next))
}

/// How many cases stand in a queue.
async fn count(pool: &AnyPool, queue: &mut Queue, now: i64) -> Result<(), StoreError> {
    let mut sql = Sql::new("SELECT state, count(*) FROM cases WHERE queue=");
    // The closed ones, which are the most, are left out.
    sql.bind(&queue.name)
        .text(" AND state IN (1,2,3,4) GROUP BY state");
    for row in sql.query().fetch_all(pool).await? {
        let (state, count): (i64, i64) = (get(&row, 0)?, get(&row, 1)?);
        match CaseState::try_from(state as i32) {
            Ok(CaseState::Open | CaseState::SecondReview) => queue.open_count += count,
            Ok(CaseState::Claimed) => queue.claimed_count = count,
            Ok(CaseState::OnHold) => queue.held_count = count,
            _ => {}
        }
    }
    let mut sql = Sql::new("SELECT min(create_time) FROM cases WHERE queue=");
    sql.bind(&queue.name).text(" AND state IN (1,4)");
    let oldest: Option<i64> = get(&sql.query().fetch_one(pool).await?, 0)?;
    queue.oldest_open_time = oldest.map(timestamp);
    let mut sql = Sql::new("SELECT count(*) FROM cases WHERE queue=");
    sql.bind(&queue.name)
        .text(" AND state IN (1,4) AND due_time<=")
        .bind(now);
    queue.breached_count = get(&sql.query().fetch_one(pool).await?, 0)?;
    Ok(())
}

impl Record for Queue {
    const TABLE: &'static str = "queues";
    const KIND: &'static str = "queue";
    const NAME: &'static str = "queue.name";
    const FIELDS: &'static [&'static str] = &[
        "lease",
        "calendar",
        "warn_before",
        "breach_queue",
        "second_review",
        "flood_limit",
    ];

    name_and_etag!();

    fn take(&mut self, field: &str, from: &Self) {
        match field {
            "lease" => self.lease = from.lease,
            "calendar" => self.calendar.clone_from(&from.calendar),
            "warn_before" => self.warn_before = from.warn_before,
            "breach_queue" => self.breach_queue.clone_from(&from.breach_queue),
            "second_review" => self.second_review = from.second_review,
            "flood_limit" => self.flood_limit = from.flood_limit,
            other => debug_assert!(false, "{other} is no field"),
        }
    }

    fn json(&self) -> Value {
        let calendar = self.calendar.as_ref().map(|calendar| {
            let hours = calendar.hours.iter();
            json!({
                "time_zone": calendar.time_zone,
                "hours": hours
                    .map(|one| [one.weekday, one.open_minute, one.close_minute])
                    .collect::<Vec<_>>(),
                "holidays": calendar.holidays,
            })
        });
        json!({
            "lease_ms": self.lease.as_ref().map(duration_millis),
            "warn_before_ms": self.warn_before.as_ref().map(duration_millis),
            "calendar": calendar,
            "breach_queue": self.breach_queue,
            "second_review": self.second_review,
            "flood_limit": self.flood_limit,
            "etag": self.etag,
        })
    }

    fn seen_by(&self, caller: &Caller) -> bool {
        caller.sees(&self.name)
    }

    async fn check(&self, unit: &mut Unit) -> Result<(), StoreError> {
        QueueSettings::new(self)?;
        let breach = &self.breach_queue;
        if !breach.is_empty() && unit.known_queue(breach).await?.is_none() {
            return Err(Self::missing(breach).into());
        }
        Ok(())
    }

    fn beside() -> Vec<(&'static str, Bind)> {
        Vec::new()
    }

    fn missing(name: &str) -> Refusal {
        Refusal::QueueNotFound {
            queue: name.to_owned(),
        }
    }
}
