//! What is held about a person, and its erasure from every table.

use prost::Message;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::AnyPool;
use tidegate_proto::escalation::v1::{Case, ErasureReceipt, Remains, Resolution, Subject};

use super::{
    Store,
    columns::{self, Row, decode},
    database::{Database, Dialect},
    sql::{Sql, get},
    sweep::empty_payloads,
    unit::{Entry, Request, Unit},
    viewed,
    writer::Job,
};
use crate::{
    audit::{ERASE, Payload, ranges},
    caller::Caller,
    error::{Refusal, StoreError},
    life,
    times::timestamp,
};

impl Store {
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
        check(subject)?;
        let readers = &self.database.readers;
        let cases = export(readers, subject, after, limit).await?;
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
        let job = Erase {
            caller: caller.clone(),
            subject: subject.clone(),
            request_id: request_id.to_owned(),
        };
        let receipt = self.writer.run(job).await?;
        scrub(&self.database).await?;
        Ok(receipt)
    }
}

/// The resource that stands for a person in the audit trail.
pub(crate) fn resource(subject: &Subject) -> String {
    let text = format!(
        "{}:{}{}",
        subject.platform.len(),
        subject.platform,
        subject.author_id
    );
    format!("subjects/{:x}", Sha256::digest(text))
}

pub(crate) fn check(subject: &Subject) -> Result<(), Refusal> {
    for (field, value) in [
        ("subject.platform", &subject.platform),
        ("subject.author_id", &subject.author_id),
    ] {
        if value.is_empty() {
            return Err(Refusal::Required { field });
        }
    }
    Ok(())
}

pub(super) async fn export(
    pool: &AnyPool,
    subject: &Subject,
    after: &str,
    limit: usize,
) -> Result<Vec<Case>, StoreError> {
    let mut cases = Vec::new();
    for table in ["cases", "grouped"] {
        let mut sql = Sql::new(&format!("SELECT body FROM {table} WHERE author_id="));
        sql.bind(&subject.author_id)
            .text(" AND platform=")
            .bind(&subject.platform)
            .text(" AND name>")
            .bind(after)
            .text(" ORDER BY name LIMIT ")
            .bind(limit as i64);
        for row in sql.query().fetch_all(pool).await? {
            cases.push(decode::<Case>(get(&row, 0)?)?);
        }
    }
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases.truncate(limit);
    Ok(cases)
}

/// The erasure of a person.
pub(crate) struct Erase {
    pub(crate) caller: Caller,
    pub(crate) subject: Subject,
    pub(crate) request_id: String,
}

impl Job for Erase {
    type Answer = ErasureReceipt;

    async fn run(&self, unit: &mut Unit) -> Result<ErasureReceipt, StoreError> {
        check(&self.subject)?;
        let resource = resource(&self.subject);
        let hash = Sha256::new_with_prefix("erase").chain_update(&resource);
        let again = Request {
            caller: &self.caller.agent,
            id: &self.request_id,
            hash: hash.finalize().into(),
        };
        if let Some(receipt) = unit.reply(&again).await? {
            return Ok(receipt);
        }
        // What others wrote in this transaction is erased as well.
        unit.flush().await?;
        unit.forget_replies();
        let mut receipt = ErasureReceipt {
            erase_time: Some(timestamp(unit.now)),
            ..ErasureReceipt::default()
        };
        let mut emptied = Vec::new();
        let mut sql = Sql::new(columns::SELECT);
        self.mine(&mut sql);
        for row in unit.rows(&sql).await? {
            let row = Row::read(&row)?;
            emptied.extend(self.case(unit, row, &mut receipt).await?);
        }
        let mut sql = Sql::new("SELECT count(*) FROM grouped");
        self.mine(&mut sql);
        if let Some(row) = unit.row(&sql).await? {
            receipt.cases += get::<i64>(&row, 0)?;
        }
        let mut sql = Sql::new("DELETE FROM grouped");
        self.mine(&mut sql);
        unit.write(&sql).await?;
        self.unreadable(unit).await?;
        receipt.audit_payloads = emptied.len() as i64;
        emptied.sort_unstable();
        let topics = unit.settings.topics.clone();
        receipt.remains = topics
            .into_iter()
            .map(|(topic, keep)| Remains {
                topic,
                until: keep.map(|ms| timestamp(unit.now.saturating_add(ms))),
            })
            .collect();
        receipt.audit_sequence = unit.audit(Entry {
            actor: &self.caller.agent,
            action: ERASE,
            resource: &resource,
            payload: Payload {
                after: json!({
                    "cases": receipt.cases,
                    "notes": receipt.notes,
                    "audit_payloads": receipt.audit_payloads,
                    "outbox_records": receipt.outbox_records,
                }),
                erased: ranges(&emptied),
                ..Payload::default()
            },
            watched: "",
        });
        unit.keep_reply(&again, &receipt, 0);
        Ok(receipt)
    }
}

impl Erase {
    fn mine(&self, sql: &mut Sql) {
        sql.text(" WHERE author_id=")
            .bind(&self.subject.author_id)
            .text(" AND platform=")
            .bind(&self.subject.platform);
    }

    /// Removes records that could not be read and hold the account's id: nobody can say what else
    /// in them is the person's.
    async fn unreadable(&self, unit: &mut Unit) -> Result<(), StoreError> {
        let id = self.subject.author_id.as_bytes();
        let sql = Sql::new("SELECT topic, part, place, key, value FROM unreadable");
        for row in unit.rows(&sql).await? {
            let (key, value): (Vec<u8>, Vec<u8>) = (get(&row, 3)?, get(&row, 4)?);
            let holds = |bytes: &[u8]| bytes.windows(id.len()).any(|part| part == id);
            if !holds(&key) && !holds(&value) {
                continue;
            }
            let mut sql = Sql::new("DELETE FROM unreadable WHERE topic=");
            sql.bind(get::<String>(&row, 0)?.as_str())
                .text(" AND part=")
                .bind(get::<i64>(&row, 1)?)
                .text(" AND place=")
                .bind(get::<i64>(&row, 2)?);
            unit.write(&sql).await?;
        }
        Ok(())
    }

    /// Empties a case and what hangs on it; gives the numbers of the emptied audit payloads.
    async fn case(
        &self,
        unit: &mut Unit,
        mut row: Row,
        receipt: &mut ErasureReceipt,
    ) -> Result<Vec<i64>, StoreError> {
        let name = row.case.name.clone();
        let emptied = empty_payloads(unit, &name).await?;
        let mut sql = Sql::new("SELECT sequence, body FROM outbox WHERE num=");
        sql.bind(row.num);
        for stored in unit.rows(&sql).await? {
            let mut resolution: Resolution = decode(get(&stored, 1)?)?;
            resolution.text = None;
            let mut sql = Sql::new("UPDATE outbox SET body=");
            sql.bind(resolution.encode_to_vec())
                .text(" WHERE sequence=")
                .bind(get::<i64>(&stored, 0)?);
            receipt.outbox_records += unit.write(&sql).await? as i64;
        }
        let mut sql = Sql::new("DELETE FROM replies WHERE num=");
        sql.bind(row.num);
        unit.write(&sql).await?;
        receipt.cases += 1;
        receipt.notes += life::erase(&mut row.case, unit.now);
        let queue = row.case.queue.clone();
        unit.audit(Entry {
            actor: &self.caller.agent,
            action: "case.erase",
            resource: &name,
            payload: Payload::default(),
            watched: &queue,
        });
        unit.put(&mut row, true).await?;
        Ok(emptied)
    }
}

/// Takes what was erased out of the files as well, as far as the database lets one.
pub(super) async fn scrub(database: &Database) -> Result<(), StoreError> {
    match database.dialect {
        // Pages were overwritten (secure_delete); old versions of them are in the log until it is
        // cut.
        Dialect::Sqlite => {
            for _ in 0..50 {
                let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                    .fetch_one(&database.writer)
                    .await?;
                if get::<i64>(&row, 0)? == 0 {
                    return Ok(());
                }
                // Someone still reads an older state.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Err(StoreError::Unavailable {
                why: "readers kept its log from being cut".to_owned(),
            })
        }
        // Old row versions go; the server's own log keeps them until it is recycled.
        Dialect::Postgres => {
            for table in [
                "cases",
                "audit",
                "outbox",
                "replies",
                "grouped",
                "unreadable",
            ] {
                sqlx::query(&format!("VACUUM {table}"))
                    .execute(&database.writer)
                    .await?;
            }
            Ok(())
        }
    }
}
