//! Reading: one case, counts, and what changed.

use std::collections::HashMap;

use sqlx::AnyPool;
use tidegate_proto::escalation::v1::Case;

use super::{
    Change, Changes,
    columns::{self, Row, decode},
    sql::{Sql, get},
};
use crate::{
    caller::Caller,
    error::{Refusal, StoreError},
    filter::Filter,
    life,
};

/// Appends which cases exist for a caller.
fn visible(caller: &Caller, sql: &mut Sql) {
    match caller.seen_queues() {
        None => sql.text("1=1"),
        Some(queues) => sql.text("cases.queue").within(queues.iter()),
    };
}

pub(super) async fn one(pool: &AnyPool, caller: &Caller, name: &str) -> Result<Case, StoreError> {
    let mut sql = Sql::new(columns::SELECT);
    sql.text(" WHERE name=").bind(name);
    let row = sql.query().fetch_optional(pool).await?;
    let row = row.as_ref().map(Row::read).transpose()?;
    row.map(|row| row.case)
        .filter(|case| caller.sees(&case.queue))
        .ok_or_else(|| Refusal::CaseNotFound.into())
}

pub(super) async fn count(
    pool: &AnyPool,
    caller: &Caller,
    filter: &Filter,
) -> Result<i64, StoreError> {
    let mut sql = Sql::new("SELECT count(*) FROM cases WHERE ");
    visible(caller, &mut sql);
    sql.text(" AND ");
    filter.sql(&mut sql);
    Ok(get(&sql.query().fetch_one(pool).await?, 0)?)
}

pub(super) async fn changes(
    pool: &AnyPool,
    caller: &Caller,
    filter: &Filter,
    after: i64,
    limit: usize,
) -> Result<Changes, StoreError> {
    let mut sql = Sql::new("SELECT audit.sequence, audit.watched, cases.body, CASE WHEN ");
    visible(caller, &mut sql);
    sql.text(" AND ");
    filter.sql(&mut sql);
    sql.text(
        " THEN 1 ELSE 0 END FROM audit LEFT JOIN cases ON cases.name=audit.resource AND \
         audit.watched<>'' WHERE audit.sequence>",
    )
    .bind(after)
    .text(" ORDER BY audit.sequence LIMIT ")
    .bind(limit.max(1) as i64);
    let rows = sql.query().fetch_all(pool).await?;
    let mut newest = after;
    let mut latest: HashMap<String, Change> = HashMap::new();
    for row in &rows {
        newest = get(row, 0)?;
        let watched: String = get(row, 1)?;
        let body: Option<Vec<u8>> = get(row, 2)?;
        let Some(body) = body.filter(|_| !watched.is_empty()) else {
            continue;
        };
        let case: Case = decode(&body)?;
        let fits: i64 = get(row, 3)?;
        let seen = latest.remove(&case.name);
        let case = if caller.sees(&case.queue) {
            case
        } else if seen.is_some() || caller.sees(&watched) {
            Case {
                name: case.name,
                ..Case::default()
            }
        } else {
            continue;
        };
        let change = Change {
            sequence: newest,
            case,
            fits: fits != 0,
        };
        latest.insert(change.case.name.clone(), change);
    }
    let mut changes: Vec<_> = latest.into_values().collect();
    changes.sort_unstable_by_key(|change| change.sequence);
    Ok(Changes { changes, newest })
}

/// Leaves a caller what its role may see; true if that is something personal.
pub(super) fn show(caller: &Caller, case: &mut Case) -> bool {
    if caller.sees_personal() {
        // What a copy would lose.
        life::redact(&mut case.clone())
    } else {
        life::redact(case);
        false
    }
}
