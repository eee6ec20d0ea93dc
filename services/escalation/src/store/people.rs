//! Queues and agents: who may work where, and how.

use prost::Message;
use prost_types::FieldMask;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::AnyPool;
use tidegate_proto::escalation::v1::{
    Agent, CaseState, Queue, Role, UpdateAgentRequest, UpdateQueueRequest,
};

use super::{
    columns::decode,
    page::{Page, PageToken},
    sql::{Sql, get},
    unit::{Entry, Request, Unit},
    writer::Job,
};
use crate::{
    audit::Payload,
    caller::Caller,
    error::{Refusal, StoreError},
    queue::{QueueSettings, check_name},
    times::{duration_millis, timestamp},
};

/// All rows of a table of named messages. There are tens, not thousands.
async fn all<M: Message + Default>(pool: &AnyPool, table: &str) -> Result<Vec<M>, StoreError> {
    let sql = Sql::new(&format!("SELECT body FROM {table} ORDER BY name"));
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

async fn find<M: Message + Default>(
    pool: &AnyPool,
    table: &str,
    name: &str,
) -> Result<Option<M>, StoreError> {
    let mut sql = Sql::new(&format!("SELECT body FROM {table} WHERE name="));
    sql.bind(name);
    let row = sql.query().fetch_optional(pool).await?;
    row.map(|row| decode(get(&row, 0)?)).transpose()
}

fn no_queue(queue: &str) -> StoreError {
    Refusal::QueueNotFound {
        queue: queue.to_owned(),
    }
    .into()
}

fn no_agent(agent: &str) -> StoreError {
    Refusal::AgentNotFound {
        agent: agent.to_owned(),
    }
    .into()
}

pub(super) async fn queue(
    pool: &AnyPool,
    caller: &Caller,
    name: &str,
    now: i64,
) -> Result<Queue, StoreError> {
    let queue = find(pool, "queues", name).await?;
    let queue = queue.filter(|_| caller.sees(name));
    let mut queue: Queue = queue.ok_or_else(|| no_queue(name))?;
    count(pool, &mut queue, now).await?;
    Ok(queue)
}

pub(super) async fn queues(
    pool: &AnyPool,
    caller: &Caller,
    page: &Page,
    now: i64,
) -> Result<(Vec<Queue>, Option<PageToken>), StoreError> {
    let mut seen: Vec<Queue> = all(pool, "queues").await?;
    seen.retain(|queue| caller.sees(&queue.name));
    let (mut queues, next) = page_of(seen, "queues", page)?;
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

pub(super) async fn agent(pool: &AnyPool, name: &str) -> Result<Agent, StoreError> {
    let agent = find(pool, "agents", name).await?;
    agent.ok_or_else(|| no_agent(name))
}

pub(super) async fn agents(
    pool: &AnyPool,
    page: &Page,
) -> Result<(Vec<Agent>, Option<PageToken>), StoreError> {
    Ok(page_of(all(pool, "agents").await?, "agents", page)?)
}

pub(super) async fn agent_of_token(
    pool: &AnyPool,
    token_hash: &[u8],
) -> Result<Option<Agent>, StoreError> {
    if token_hash.is_empty() {
        return Ok(None);
    }
    let mut sql = Sql::new("SELECT body FROM agents WHERE token_hash=");
    sql.bind(token_hash);
    let row = sql.query().fetch_optional(pool).await?;
    row.map(|row| decode(get(&row, 0)?)).transpose()
}

/// Whether a mask lets a field change; none lets all.
fn masked(mask: Option<&FieldMask>, known: &[&str], field: &str) -> Result<bool, Refusal> {
    let paths = mask.map_or(&[][..], |mask| &mask.paths);
    if let Some(unknown) = paths.iter().find(|path| !known.contains(&path.as_str())) {
        return Err(Refusal::Invalid {
            field: "update_mask",
            problem: format!("{unknown:?} is not one of {}", known.join(", ")),
        });
    }
    Ok(paths.is_empty() || paths.iter().any(|path| path == field))
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

/// A change of a queue.
pub(crate) struct QueueUpdate {
    pub(crate) caller: Caller,
    pub(crate) request: UpdateQueueRequest,
}

const QUEUE_FIELDS: [&str; 6] = [
    "lease",
    "calendar",
    "warn_before",
    "breach_queue",
    "second_review",
    "flood_limit",
];

impl Job for QueueUpdate {
    type Answer = Queue;

    async fn run(&self, unit: &mut Unit) -> Result<Queue, StoreError> {
        let Self { caller, request } = self;
        let again = again(caller, "queue", &request.request_id, request);
        if let Some(queue) = unit.reply(&again).await? {
            return Ok(queue);
        }
        let wanted = request.queue.clone().unwrap_or_default();
        check_name("queue.name", "queues/", &wanted.name)?;
        let known: Option<Queue> = named(unit, "queues", &wanted.name).await?;
        // A queue that there isn't yet is nobody's; who may make one is the service's to say.
        if known.is_some() && !caller.sees(&wanted.name)
            || known.is_none() && !request.allow_missing
        {
            return Err(no_queue(&wanted.name));
        }
        let action = if known.is_some() {
            "queue.update"
        } else {
            "queue.create"
        };
        let before = known.as_ref().map_or(Value::Null, queue_json);
        let mut queue = known.unwrap_or_else(|| Queue {
            name: wanted.name.clone(),
            ..Queue::default()
        });
        check_etag(&wanted.etag, &queue.etag)?;
        let may = |field| masked(request.update_mask.as_ref(), &QUEUE_FIELDS, field);
        if may("lease")? {
            queue.lease = wanted.lease;
        }
        if may("calendar")? {
            queue.calendar = wanted.calendar;
        }
        if may("warn_before")? {
            queue.warn_before = wanted.warn_before;
        }
        if may("breach_queue")? {
            queue.breach_queue = wanted.breach_queue;
        }
        if may("second_review")? {
            queue.second_review = wanted.second_review;
        }
        if may("flood_limit")? {
            queue.flood_limit = wanted.flood_limit;
        }
        QueueSettings::new(&queue)?;
        if !queue.breach_queue.is_empty() && unit.known_queue(&queue.breach_queue).await?.is_none()
        {
            return Err(no_queue(&queue.breach_queue));
        }
        queue.etag = next_etag(&queue.etag);
        let mut sql = Sql::new("INSERT INTO queues (name,body) VALUES (");
        sql.bind(&queue.name)
            .text(",")
            .bind(queue.encode_to_vec())
            .text(") ON CONFLICT (name) DO UPDATE SET body=excluded.body");
        unit.write(&sql).await?;
        unit.forget_queue(&queue.name);
        note(
            unit,
            caller,
            action,
            &queue.name,
            before,
            queue_json(&queue),
        );
        unit.keep_reply(&again, &queue, 0);
        Ok(queue)
    }
}

/// A change of an agent.
pub(crate) struct AgentUpdate {
    pub(crate) caller: Caller,
    pub(crate) request: UpdateAgentRequest,
}

const AGENT_FIELDS: [&str; 5] = ["role", "queues", "languages", "pseudonym", "disabled"];

impl Job for AgentUpdate {
    type Answer = Agent;

    async fn run(&self, unit: &mut Unit) -> Result<Agent, StoreError> {
        let Self { caller, request } = self;
        let again = again(caller, "agent", &request.request_id, request);
        if let Some(agent) = unit.reply(&again).await? {
            return Ok(agent);
        }
        let wanted = request.agent.clone().unwrap_or_default();
        check_name("agent.name", "agents/", &wanted.name)?;
        let known: Option<Agent> = named(unit, "agents", &wanted.name).await?;
        if known.is_none() && !request.allow_missing {
            return Err(no_agent(&wanted.name));
        }
        let action = if known.is_some() {
            "agent.update"
        } else {
            "agent.create"
        };
        let before = known.as_ref().map_or(Value::Null, agent_json);
        let mut agent = known.unwrap_or_else(|| Agent {
            name: wanted.name.clone(),
            ..Agent::default()
        });
        check_etag(&wanted.etag, &agent.etag)?;
        let may = |field| masked(request.update_mask.as_ref(), &AGENT_FIELDS, field);
        if may("role")? {
            agent.role = wanted.role;
        }
        if may("queues")? {
            agent.queues = wanted.queues;
        }
        if may("languages")? {
            agent.languages = wanted.languages;
        }
        if may("pseudonym")? {
            agent.pseudonym = wanted.pseudonym;
        }
        if may("disabled")? {
            agent.disabled = wanted.disabled;
        }
        check_agent(&agent)?;
        agent.etag = next_etag(&agent.etag);
        let mut sql = Sql::new("INSERT INTO agents (name,token_hash,body) VALUES (");
        sql.bind(&agent.name)
            .text(",")
            .bind(Vec::new())
            .text(",")
            .bind(agent.encode_to_vec())
            .text(") ON CONFLICT (name) DO UPDATE SET body=excluded.body");
        unit.write(&sql).await?;
        note(
            unit,
            caller,
            action,
            &agent.name,
            before,
            agent_json(&agent),
        );
        unit.keep_reply(&again, &agent, 0);
        Ok(agent)
    }
}

fn check_agent(agent: &Agent) -> Result<(), Refusal> {
    if matches!(Role::try_from(agent.role), Err(_) | Ok(Role::Unspecified)) {
        return Err(Refusal::Required { field: "role" });
    }
    for queue in agent.queues.iter().filter(|queue| *queue != "queues/-") {
        check_name("queues", "queues/", queue)?;
    }
    let code = |text: &String| {
        (2..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    if let Some(wrong) = agent.languages.iter().find(|text| !code(text)) {
        return Err(Refusal::Invalid {
            field: "languages",
            problem: format!("{wrong:?} is no code of ISO 639, such as en"),
        });
    }
    if agent.pseudonym.len() > 64 {
        return Err(Refusal::TooLong {
            field: "pseudonym",
            limit: 64,
        });
    }
    Ok(())
}

/// A new token of an agent.
pub(crate) struct RotateToken {
    pub(crate) caller: Caller,
    pub(crate) agent: String,
    pub(crate) token_hash: Vec<u8>,
}

impl Job for RotateToken {
    type Answer = ();

    async fn run(&self, unit: &mut Unit) -> Result<(), StoreError> {
        let mut sql = Sql::new("SELECT 1 FROM agents WHERE name=");
        sql.bind(&self.agent);
        if unit.row(&sql).await?.is_none() {
            return Err(no_agent(&self.agent));
        }
        let mut sql = Sql::new("UPDATE agents SET token_hash=");
        sql.bind(self.token_hash.clone())
            .text(" WHERE name=")
            .bind(&self.agent);
        unit.write(&sql).await?;
        let nothing = || Value::Null;
        note(
            unit,
            &self.caller,
            "agent.rotate_token",
            &self.agent,
            nothing(),
            nothing(),
        );
        Ok(())
    }
}

async fn named<M: Message + Default>(
    unit: &mut Unit,
    table: &str,
    name: &str,
) -> Result<Option<M>, StoreError> {
    let mut sql = Sql::new(&format!("SELECT body FROM {table} WHERE name="));
    sql.bind(name);
    let row = unit.row(&sql).await?;
    row.map(|row| decode(get(&row, 0)?)).transpose()
}

fn again<'a>(
    caller: &'a Caller,
    method: &str,
    request_id: &'a str,
    request: &impl Message,
) -> Request<'a> {
    let hash = Sha256::new_with_prefix(method).chain_update(request.encode_to_vec());
    Request {
        caller: &caller.agent,
        id: request_id,
        hash: hash.finalize().into(),
    }
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

fn queue_json(queue: &Queue) -> Value {
    let calendar = queue.calendar.as_ref().map(|calendar| {
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
        "lease_ms": queue.lease.as_ref().map(duration_millis),
        "warn_before_ms": queue.warn_before.as_ref().map(duration_millis),
        "calendar": calendar,
        "breach_queue": queue.breach_queue,
        "second_review": queue.second_review,
        "flood_limit": queue.flood_limit,
        "etag": queue.etag,
    })
}

fn agent_json(agent: &Agent) -> Value {
    json!({
        "role": agent.role().as_str_name(),
        "queues": agent.queues,
        "languages": agent.languages,
        "pseudonym": agent.pseudonym,
        "disabled": agent.disabled,
        "etag": agent.etag,
    })
}
