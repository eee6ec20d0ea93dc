//! Reading and checking the audit trail.

use sqlx::{AnyPool, any::AnyRow};
use tidegate_proto::escalation::v1::{AuditEntry, VerifyAuditResponse};

use super::{
    Store,
    database::{Database, Dialect},
    page::{Page, PageToken},
    sql::{Bind, Sql, get},
};
use crate::{
    audit::{FIRST, Link, Stored, Verifier},
    caller::Caller,
    error::StoreError,
    filter::Filter,
};

const SELECT: &str = "SELECT sequence, time, actor, action, resource, payload_hash, hash, payload, \
    salt FROM audit WHERE ";
/// How many entries a check reads at once.
const CHUNK: i64 = 1_000;

impl Store {
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
        entries(&self.database.readers, caller, filter, &page).await
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
        export(&self.database.readers, caller, from, limit).await
    }

    /// Recomputes the chain. `known_hash`: one noted earlier that must be in it; empty: none.
    ///
    /// # Errors
    /// That the store can't be reached.
    pub async fn audit_verify(&self, known_hash: &[u8]) -> Result<VerifyAuditResponse, StoreError> {
        verify(&self.database, known_hash).await
    }
}

fn read(row: &AnyRow) -> Result<Stored, StoreError> {
    Ok(Stored {
        link: Link {
            sequence: get(row, 0)?,
            time: get(row, 1)?,
            actor: get(row, 2)?,
            action: get(row, 3)?,
            resource: get(row, 4)?,
            payload_hash: get(row, 5)?,
        },
        hash: get(row, 6)?,
        payload: get(row, 7)?,
        salt: get(row, 8)?,
    })
}

/// Appends which entries are about a resource, as they are found: a case's opening has its number, all
/// others are in an index.
pub(crate) fn of_resource(resource: &Bind, sql: &mut Sql) {
    sql.text("(sequence=coalesce((SELECT num FROM cases WHERE name=")
        .bind(resource.clone())
        .text("),0) OR (resource=")
        .bind(resource.clone())
        .text(" AND (action<>'case.open' OR length(payload)=0)))");
}

/// Appends which entries exist for a caller: none about a queue that it does not see, nor about the
/// cases that are in one now.
fn seen(caller: &Caller, sql: &mut Sql) {
    match caller.seen_queues() {
        None => sql.text("1=1"),
        Some(queues) => sql
            .text("(resource NOT LIKE 'queues/%' OR resource")
            .within(queues.iter())
            .text(
                ") AND (resource NOT LIKE 'cases/%' OR EXISTS (SELECT 1 FROM cases WHERE \
                 cases.name=audit.resource AND cases.queue",
            )
            .within(queues.iter())
            .text("))"),
    };
}

async fn entries(
    pool: &AnyPool,
    caller: &Caller,
    filter: &Filter,
    page: &Page,
) -> Result<(Vec<AuditEntry>, Option<PageToken>), StoreError> {
    let scope = format!("audit\n{}", filter.text());
    let mut sql = Sql::new(SELECT);
    seen(caller, &mut sql);
    sql.text(" AND ");
    filter.sql(&mut sql);
    if let Some(token) = &page.token {
        let (sequence, _) = token.read(&scope)?;
        sql.text(" AND sequence<").bind(sequence);
    }
    sql.text(" ORDER BY sequence DESC LIMIT ")
        .bind(page.size as i64 + 1);
    let mut rows = sql.query().fetch_all(pool).await?;
    let more = rows.len() > page.size;
    rows.truncate(page.size);
    let entries: Vec<_> = rows
        .iter()
        .map(|row| Ok(read(row)?.entry()))
        .collect::<Result<_, StoreError>>()?;
    let next = entries
        .last()
        .filter(|_| more)
        .map(|last| PageToken::write(&scope, last.sequence, 0));
    Ok((entries, next))
}

async fn export(
    pool: &AnyPool,
    caller: &Caller,
    from: i64,
    limit: usize,
) -> Result<Vec<AuditEntry>, StoreError> {
    let mut sql = Sql::new(SELECT);
    seen(caller, &mut sql);
    sql.text(" AND sequence>=")
        .bind(from)
        .text(" ORDER BY sequence LIMIT ")
        .bind(limit as i64);
    let rows = sql.query().fetch_all(pool).await?;
    rows.iter().map(|row| Ok(read(row)?.entry())).collect()
}

async fn verify(database: &Database, known_hash: &[u8]) -> Result<VerifyAuditResponse, StoreError> {
    // One view of everything: an erasure meanwhile must not look like a forgery.
    let begin = match database.dialect {
        Dialect::Sqlite => "BEGIN",
        Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    };
    let mut tx = database.readers.begin_with(begin).await?;
    let head = sqlx::query("SELECT sequence, hash FROM audit_head WHERE id=1")
        .fetch_optional(&mut *tx)
        .await?;
    let (last, hash): (i64, Vec<u8>) = match &head {
        Some(row) => (get(row, 0)?, get(row, 1)?),
        None => (0, FIRST.to_vec()),
    };
    let mut verifier = Verifier::new(known_hash);
    let mut after = i64::MIN;
    'all: loop {
        let mut sql = Sql::new(SELECT);
        sql.text("sequence>")
            .bind(after)
            .text(" ORDER BY sequence LIMIT ")
            .bind(CHUNK);
        let rows = sql.query().fetch_all(&mut *tx).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let entry = read(row)?;
            after = entry.link.sequence;
            if !verifier.push(&entry) {
                break 'all;
            }
        }
    }
    tx.rollback().await?;
    Ok(verifier.finish((last, &hash)))
}
