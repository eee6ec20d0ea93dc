//! What the ends towards Kafka keep here: where reading goes on, and what is to be published.

use sqlx::AnyPool;
use tidegate_proto::escalation::v1::Resolution;

use super::{
    Unreadable,
    columns::decode,
    sql::{Bind, Sql, get},
    unit::Unit,
    writer::Job,
};
use crate::error::StoreError;

pub(super) async fn offsets(pool: &AnyPool, topic: &str) -> Result<Vec<(i32, i64)>, StoreError> {
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

pub(super) async fn outbox(
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

pub(super) async fn unreadable(
    pool: &AnyPool,
    limit: usize,
) -> Result<Vec<Unreadable>, StoreError> {
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
pub(crate) struct Published {
    pub(crate) up_to: i64,
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
pub(crate) struct OutboxLease {
    pub(crate) owner: String,
    pub(crate) ms: i64,
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
