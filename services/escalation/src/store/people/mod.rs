//! Queues and agents: who may work where, and how.

mod agents;
mod queues;

use prost::Message;
use prost_types::FieldMask;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::AnyPool;

use super::{
    columns::decode,
    page::{Page, PageToken},
    sql::{Bind, Sql, get},
    unit::{Entry, Request, Unit},
    writer::Job,
};
use crate::{
    audit::Payload,
    caller::Caller,
    error::{Refusal, StoreError},
    queue::check_name,
};

/// What is kept under a name and changed field by field.
trait Record: Message + Default + Clone + 'static {
    /// Its table; also how its names begin.
    const TABLE: &'static str;
    /// What it is called in actions of the audit trail.
    const KIND: &'static str;
    /// The field of a request that names it.
    const NAME: &'static str;
    /// What a mask may name.
    const FIELDS: &'static [&'static str];

    fn named(name: &str) -> Self;
    fn name(&self) -> &str;
    fn etag(&mut self) -> &mut String;
    /// Takes over a field of [`FIELDS`](Self::FIELDS).
    fn take(&mut self, field: &str, from: &Self);
    /// What the audit trail keeps of it.
    fn json(&self) -> Value;
    /// Whether it exists for a caller.
    fn seen_by(&self, caller: &Caller) -> bool;
    /// Whether it may be stored like this.
    fn check(&self, unit: &mut Unit) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Columns beside name and body, as they begin.
    fn beside() -> Vec<(&'static str, Bind)>;
    fn missing(name: &str) -> Refusal;
}

/// The part of [`Record`] that every message with a name and an etag writes alike.
macro_rules! name_and_etag {
    () => {
        fn named(name: &str) -> Self {
            Self {
                name: name.to_owned(),
                ..Self::default()
            }
        }

        fn name(&self) -> &str {
            &self.name
        }

        fn etag(&mut self) -> &mut String {
            &mut self.etag
        }
    };
}
use name_and_etag;

/// A change of a record.
struct Upsert<M> {
    caller: Caller,
    wanted: M,
    mask: Option<FieldMask>,
    allow_missing: bool,
    request_id: String,
    /// Of the kind and the whole request.
    hash: [u8; 32],
}

impl<M: Record> Job for Upsert<M> {
    type Answer = M;

    /// Makes the record or changes it, once for each request.
    async fn run(&self, unit: &mut Unit) -> Result<M, StoreError> {
        let request = Request {
            caller: &self.caller.agent,
            id: &self.request_id,
            hash: self.hash,
        };
        if let Some(record) = unit.reply(&request).await? {
            return Ok(record);
        }
        let wanted = &self.wanted;
        check_name(M::NAME, &format!("{}/", M::TABLE), wanted.name())?;
        let known: Option<M> = named(unit, wanted.name()).await?;
        // One that there isn't yet is nobody's; who may make one is the service's to say.
        let may = known
            .as_ref()
            .map_or(self.allow_missing, |record| record.seen_by(&self.caller));
        if !may {
            return Err(M::missing(wanted.name()).into());
        }
        let what = if known.is_some() { "update" } else { "create" };
        let before = known.as_ref().map_or(Value::Null, Record::json);
        let mut record = known.unwrap_or_else(|| M::named(wanted.name()));
        check_etag(wanted.clone().etag(), record.etag())?;
        for field in masked(self.mask.as_ref(), M::FIELDS)? {
            record.take(field, wanted);
        }
        record.check(unit).await?;
        let etag = record.etag();
        *etag = next_etag(etag);
        store(unit, &record).await?;
        let action = format!("{}.{what}", M::KIND);
        note(
            unit,
            &self.caller,
            &action,
            record.name(),
            before,
            record.json(),
        );
        unit.keep_reply(&request, &record, 0);
        Ok(record)
    }
}

async fn store<M: Record>(unit: &mut Unit, record: &M) -> Result<(), StoreError> {
    let mut columns: Vec<(&str, Bind)> = vec![
        ("name", record.name().into()),
        ("body", record.encode_to_vec().into()),
    ];
    columns.extend(M::beside());
    let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let (table, names) = (M::TABLE, names.join(","));
    let mut sql = Sql::new(&format!("INSERT INTO {table} ({names}) VALUES "));
    sql.rows([values])
        .text(" ON CONFLICT (name) DO UPDATE SET body=excluded.body");
    unit.write(&sql).await?;
    // It may have been a queue.
    unit.forget_queue(record.name());
    Ok(())
}

/// All records of a kind. There are tens, not thousands.
async fn all<M: Record>(pool: &AnyPool) -> Result<Vec<M>, StoreError> {
    let sql = Sql::new(&format!("SELECT body FROM {} ORDER BY name", M::TABLE));
    let rows = sql.query().fetch_all(pool).await?;
    rows.iter().map(|row| decode(get(row, 0)?)).collect()
}

/// One page of what is in memory already.
fn page_of<T>(
    all: Vec<T>,
    scope: &str,
    page: &Page,
) -> Result<(Vec<T>, Option<PageToken>), Refusal> {
    let from = match &page.token {
        Some(token) => usize::try_from(token.read(scope)?.0).unwrap_or(0),
        None => 0,
    };
    let to = from.saturating_add(page.size);
    let next = (to < all.len()).then(|| PageToken::write(scope, to as i64, 0));
    Ok((all.into_iter().skip(from).take(page.size).collect(), next))
}

async fn find<M: Record>(pool: &AnyPool, name: &str) -> Result<Option<M>, StoreError> {
    let sql = by_name::<M>(name);
    let row = sql.query().fetch_optional(pool).await?;
    row.map(|row| decode(get(&row, 0)?)).transpose()
}

async fn named<M: Record>(unit: &mut Unit, name: &str) -> Result<Option<M>, StoreError> {
    let row = unit.row(&by_name::<M>(name)).await?;
    row.map(|row| decode(get(&row, 0)?)).transpose()
}

fn by_name<M: Record>(name: &str) -> Sql {
    let mut sql = Sql::new(&format!("SELECT body FROM {} WHERE name=", M::TABLE));
    sql.bind(name);
    sql
}

/// The fields that a mask lets change; none lets all.
fn masked<'a>(
    mask: Option<&FieldMask>,
    known: &'a [&'a str],
) -> Result<impl Iterator<Item = &'a str>, Refusal> {
    let paths = mask.map_or(&[][..], |mask| &mask.paths);
    if let Some(unknown) = paths.iter().find(|path| !known.contains(&path.as_str())) {
        return Err(Refusal::Invalid {
            field: "update_mask",
            problem: format!("{unknown:?} is not one of {}", known.join(", ")),
        });
    }
    let may = move |field: &&str| paths.is_empty() || paths.iter().any(|path| path == field);
    Ok(known.iter().copied().filter(may))
}

fn next_etag(etag: &str) -> String {
    let version: u64 = etag.trim_matches('"').parse().unwrap_or(0);
    format!("\"{}\"", version + 1)
}

fn check_etag(given: &str, current: &str) -> Result<(), Refusal> {
    if given.is_empty() || given == current {
        return Ok(());
    }
    Err(Refusal::EtagMismatch {
        current: current.to_owned(),
    })
}

/// Tells requests for one kind of record apart.
fn hash_of(kind: &str, request: &impl Message) -> [u8; 32] {
    let hash = Sha256::new_with_prefix(kind).chain_update(request.encode_to_vec());
    hash.finalize().into()
}

fn note(
    unit: &mut Unit,
    caller: &Caller,
    action: &str,
    resource: &str,
    before: Value,
    after: Value,
) {
    unit.audit(Entry {
        actor: &caller.agent,
        action,
        resource,
        payload: Payload {
            before,
            after,
            ..Payload::default()
        },
        watched: "",
    });
}
