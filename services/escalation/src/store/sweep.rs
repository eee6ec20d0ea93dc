//! What time does: leases and holds end, deadlines come near and pass, old cases go.

use tidegate_proto::escalation::v1::CaseState;

use super::{
    Store, Swept,
    columns::{self, Row},
    sql::{Sql, get},
    trail::of_resource,
    unit::{Entry, Unit},
    writer::Job,
};
use crate::{
    audit::{Payload, RETAIN, ranges},
    caller::SYSTEM,
    error::StoreError,
    life,
    times::HOUR,
};

/// How many cases one sweep looks at for each thing that it does.
const LIMIT: i64 = 500;

impl Store {
    /// Returns cases whose lease or hold ended, warns of deadlines, moves what missed them, and
    /// removes what is old. To be called every second; does a bounded amount each time.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        self.writer.run(Sweep).await
    }
}

/// One sweep.
pub(crate) struct Sweep;

impl Job for Sweep {
    type Answer = Swept;

    async fn run(&self, unit: &mut Unit) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for row in due(unit, "wake_time").await? {
            wake(unit, row, &mut swept).await?;
        }
        for row in due(unit, "alarm_time").await? {
            alarm(unit, row, &mut swept).await?;
        }
        remove_old(unit, &mut swept).await?;
        forget(unit).await?;
        Ok(swept)
    }
}

async fn due(unit: &mut Unit, column: &str) -> Result<Vec<Row>, StoreError> {
    let mut sql = Sql::new(columns::SELECT);
    sql.text(&format!(" WHERE {column}>0 AND {column}<="))
        .bind(unit.now)
        .text(&format!(" ORDER BY {column} LIMIT "))
        .bind(LIMIT);
    unit.rows(&sql).await?.iter().map(Row::to_change).collect()
}

async fn wake(unit: &mut Unit, mut row: Row, swept: &mut Swept) -> Result<(), StoreError> {
    let before = life::summary(&row.case);
    let queue_before = row.case.queue.clone();
    let action = if life::lapse(&mut row.case, unit.now) {
        swept.expired += 1;
        "case.expire"
    } else if life::return_from_hold(&mut row.case, unit.now) {
        swept.returned += 1;
        "case.return"
    } else {
        return Ok(());
    };
    let queue = unit.queue(&queue_before).await?;
    // It breached while it was being worked, and stayed for that long.
    if row.case.breached && !queue.breach_queue.is_empty() {
        row.case.queue.clone_from(&queue.breach_queue);
    }
    let after = life::summary(&row.case);
    let name = row.case.name.clone();
    unit.audit(Entry::change(
        SYSTEM,
        action,
        &name,
        &queue_before,
        before,
        after,
    ));
    unit.put(&mut row, false).await
}

async fn alarm(unit: &mut Unit, mut row: Row, swept: &mut Swept) -> Result<(), StoreError> {
    let before = life::summary(&row.case);
    let queue_before = row.case.queue.clone();
    let name = row.case.name.clone();
    let queue = unit.queue(&queue_before).await?;
    let (action, watched) = if life::breach(&mut row.case, &queue, unit.now) {
        swept.breached.push((name.clone(), row.case.queue.clone()));
        ("case.breach", queue_before.as_str())
    } else if life::is_near(&row.case, &queue, unit.now) {
        swept.warned.push((name.clone(), queue_before.clone()));
        // A warning that was given stands at the deadline.
        row.alarm = crate::times::millis_of(row.case.due_time.as_ref()).map_or(1, |due| due.max(1));
        ("case.warn", "")
    } else {
        // The queue's settings changed meanwhile; the next alarm is written below.
        ("", "")
    };
    if !action.is_empty() {
        let after = life::summary(&row.case);
        unit.audit(Entry::change(SYSTEM, action, &name, watched, before, after));
    }
    unit.put(&mut row, false).await
}

/// Removes closed cases that were kept as long as they may be, with all that hangs on them.
async fn remove_old(unit: &mut Unit, swept: &mut Swept) -> Result<(), StoreError> {
    let keep = [
        unit.settings.keep_chat_ms,
        unit.settings.keep_transactional_ms,
    ];
    let mut old: Vec<(i64, String)> = Vec::new();
    for (transactional, keep) in keep.into_iter().enumerate() {
        let mut sql = Sql::new("SELECT num, name, state FROM cases WHERE transactional=");
        sql.bind(transactional as i64)
            .text(" AND close_time>0 AND close_time<=")
            .bind(unit.now.saturating_sub(keep))
            .text(" ORDER BY close_time LIMIT ")
            .bind(LIMIT);
        for row in unit.rows(&sql).await? {
            let state: i64 = get(&row, 2)?;
            debug_assert!(state >= CaseState::Resolved as i64);
            old.push((get(&row, 0)?, get(&row, 1)?));
        }
    }
    if old.is_empty() {
        return Ok(());
    }
    let mut erased = Vec::new();
    for (num, name) in &old {
        erased.extend(empty_payloads(unit, name).await?);
        for table in ["skips", "outbox", "replies", "cases"] {
            let mut sql = Sql::new(&format!("DELETE FROM {table} WHERE num="));
            sql.bind(*num);
            unit.write(&sql).await?;
        }
        let mut sql = Sql::new("DELETE FROM grouped WHERE head=");
        sql.bind(*num);
        unit.write(&sql).await?;
    }
    erased.sort_unstable();
    unit.audit(Entry {
        actor: SYSTEM,
        action: RETAIN,
        resource: "cases/-",
        payload: Payload {
            after: serde_json::json!({ "cases": old.len() }),
            erased: ranges(&erased),
            ..Payload::default()
        },
        watched: "",
    });
    swept.removed = old.len() as u64;
    Ok(())
}

/// Empties the payloads of all entries about a case, and gives their numbers. Entries of this
/// transaction must be flushed before.
pub(crate) async fn empty_payloads(unit: &mut Unit, name: &str) -> Result<Vec<i64>, StoreError> {
    let nothing: Vec<u8> = Vec::new();
    let mut sql = Sql::new("SELECT sequence FROM audit WHERE ");
    of_resource(&name.into(), &mut sql);
    sql.text(" AND payload<>").bind(nothing.clone());
    let rows = unit.rows(&sql).await?;
    let numbers: Vec<i64> = rows
        .iter()
        .map(|row| get(row, 0))
        .collect::<Result<_, _>>()?;
    if !numbers.is_empty() {
        let mut sql = Sql::new("UPDATE audit SET payload=");
        sql.bind(nothing.clone())
            .text(", salt=")
            .bind(nothing)
            .text(" WHERE ");
        of_resource(&name.into(), &mut sql);
        unit.write(&sql).await?;
    }
    Ok(numbers)
}

/// Forgets answers that nobody repeats any more, and floods that are over.
async fn forget(unit: &mut Unit) -> Result<(), StoreError> {
    let times = [
        ("replies", "time", unit.settings.keep_replies_ms),
        ("floods", "since", HOUR),
        ("unreadable", "time", unit.settings.keep_chat_ms),
    ];
    for (table, column, keep) in times {
        let before = unit.now.saturating_sub(keep);
        let mut sql = Sql::new(&format!("SELECT 1 FROM {table} WHERE {column}<"));
        sql.bind(before).text(" LIMIT 1");
        if unit.row(&sql).await?.is_some() {
            let mut sql = Sql::new(&format!("DELETE FROM {table} WHERE {column}<"));
            sql.bind(before);
            unit.write(&sql).await?;
        }
    }
    Ok(())
}
