//! What the ends towards Kafka keep here: where reading goes on, and what is to be published.

use sqlx::AnyPool;
use tidegate_proto::escalation::v1::Resolution;

use super::{
    Store, Unreadable,
    columns::decode,
    sql::{Bind, Sql, get},
    unit::Unit,
    writer::Job,
};
use crate::error::StoreError;

impl Store {
    /// Records that could not be read, the newest first, at most `limit`.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn unreadable(&self, limit: usize) -> Result<Vec<Unreadable>, StoreError> {
        unreadable(&self.database.readers, limit).await
    }

    /// Where reading a topic goes on: partition and next offset.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn offsets(&self, topic: &str) -> Result<Vec<(i32, i64)>, StoreError> {
        offsets(&self.database.readers, topic).await
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
        outbox(&self.database.readers, after, limit).await
    }

    /// Forgets resolutions up to a number: they are published.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn outbox_published(&self, up_to: i64) -> Result<(), StoreError> {
        self.writer.run(Published { up_to }).await
    }

    /// Whether `owner` may publish for the next `ms` milliseconds: one at a time may.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn outbox_lease(&self, owner: &str, ms: i64) -> Result<bool, StoreError> {
        let owner = owner.to_owned();
        self.writer.run(OutboxLease { owner, ms }).await
    }
}

async fn offsets(pool: &AnyPool, topic: &str) -> Result<Vec<(i32, i64)>, StoreError> {
    let mut sql = Sql::new("SELECT part, next FROM offsets WHERE topic=");
    sql.bind(topic).text(" ORDER BY part");
    let rows = sql.query().fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            let part: i64 = get(row, 0)?;
            Ok((part as i32, get(row, 1)?))
        })
        .collect()
}

async fn outbox(
    pool: &AnyPool,
    after: i64,
    limit: usize,
) -> Result<Vec<(i64, Resolution)>, StoreError> {
    let mut sql = Sql::new("SELECT sequence, body FROM outbox WHERE sequence>");
    sql.bind(after)
        .text(" ORDER BY sequence LIMIT ")
        .bind(limit as i64);
    let rows = sql.query().fetch_all(pool).await?;
    rows.iter()
        .map(|row| Ok((get(row, 0)?, decode(get(row, 1)?)?)))
        .collect()
}

async fn unreadable(pool: &AnyPool, limit: usize) -> Result<Vec<Unreadable>, StoreError> {
    let mut sql = Sql::new(
        "SELECT topic, part, place, reason, value FROM unreadable ORDER BY time DESC, place DESC \
         LIMIT ",
    );
    sql.bind(limit as i64);
    let rows = sql.query().fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            let part: i64 = get(row, 1)?;
            Ok(Unreadable {
                position: (get(row, 0)?, part as i32, get(row, 2)?),
                reason: get(row, 3)?,
                value: get(row, 4)?,
            })
        })
        .collect()
}

/// Resolutions up to a number are published.
struct Published {
    up_to: i64,
}

impl Job for Published {
    type Answer = ();

    async fn run(&self, unit: &mut Unit) -> Result<(), StoreError> {
        let mut sql = Sql::new("DELETE FROM outbox WHERE sequence<=");
        sql.bind(self.up_to);
        unit.write(&sql).await?;
        Ok(())
    }
}

/// The wish to be the one that publishes.
struct OutboxLease {
    owner: String,
    ms: i64,
}

impl Job for OutboxLease {
    type Answer = bool;

    async fn run(&self, unit: &mut Unit) -> Result<bool, StoreError> {
        let row: Vec<Bind> = vec![
            "outbox".into(),
            (&self.owner).into(),
            unit.now.saturating_add(self.ms).into(),
        ];
        let mut sql = Sql::new("INSERT INTO process_leases (name,owner,until) VALUES ");
        sql.rows([row])
            .text(
                " ON CONFLICT (name) DO UPDATE SET owner=excluded.owner, until=excluded.until \
                 WHERE process_leases.owner=excluded.owner OR process_leases.until<=",
            )
            .bind(unit.now);
        Ok(unit.write(&sql).await? > 0)
    }
}
