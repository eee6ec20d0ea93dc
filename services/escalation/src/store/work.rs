//! What callers do with cases: acts, the next case, reports, and the trace that a look leaves.

use std::sync::Arc;

use serde_json::json;
use sha2::{Digest, Sha256};
use tidegate_proto::escalation::v1::{Agent, Case, CreateCaseRequest};

use super::{
    columns::{self, Row, decode},
    sql::{Sql, get},
    unit::{Entry, Request, Unit, Wants},
    writer::Job,
};
use crate::{
    audit::Payload,
    caller::{Caller, Granted, SYSTEM},
    error::{Refusal, StoreError},
    life::{self, Act},
    queue::check_name,
};

/// An act on a named case.
pub(crate) struct ActJob {
    pub(crate) caller: Caller,
    pub(crate) case: String,
    pub(crate) act: Act,
    pub(crate) etag: String,
    pub(crate) request_id: String,
}

impl Job for ActJob {
    type Answer = Case;

    fn wants(&self) -> Wants<'_> {
        Wants::of(&self.caller, &self.request_id, Some(&self.case))
    }

    async fn run(&self, unit: &mut Unit) -> Result<Case, StoreError> {
        let request = Request {
            caller: &self.caller.agent,
            id: &self.request_id,
            hash: self.hash(),
        };
        if let Some(case) = unit.reply(&request).await? {
            return Ok(case);
        }
        let row = unit.visible(&self.caller, &self.case).await?;
        if !self.etag.is_empty() && self.etag != row.case.etag {
            return Err(Refusal::EtagMismatch {
                current: row.case.etag,
            }
            .into());
        }
        if let Act::Assign { agent, queue, .. } = &self.act {
            let queue = if queue.is_empty() {
                &row.case.queue
            } else {
                queue
            };
            check_assignment(unit, agent, queue).await?;
        }
        let row = act(unit, row, &self.act, &self.caller).await?;
        unit.keep_reply(&request, &row.case, row.num);
        Ok(row.case)
    }
}

impl ActJob {
    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(self.case.as_bytes());
        part(self.etag.as_bytes());
        let numbers =
            |labels: &[_]| -> Vec<u8> { labels.iter().map(|label| *label as i32 as u8).collect() };
        match &self.act {
            Act::Claim => part(b"claim"),
            Act::Heartbeat => part(b"heartbeat"),
            Act::Release { skip, reason } => {
                part(b"release");
                part(&[(*skip).into()]);
                part(reason.as_bytes());
            }
            Act::Hold { reason, return_ms } => {
                part(b"hold");
                part(reason.as_bytes());
                part(&return_ms.to_be_bytes());
            }
            Act::Assign {
                agent,
                queue,
                reason,
            } => {
                part(b"assign");
                part(agent.as_bytes());
                part(queue.as_bytes());
                part(reason.as_bytes());
            }
            Act::Note { text } => {
                part(b"note");
                part(text.as_bytes());
            }
            Act::Resolve {
                outcome,
                labels,
                comment,
            } => {
                part(b"resolve");
                part(&[*outcome as i32 as u8]);
                part(&numbers(labels));
                part(comment.as_bytes());
            }
            Act::OpenAppeal { reason } => {
                part(b"appeal");
                part(reason.as_bytes());
            }
            Act::DecideAppeal {
                overturn,
                outcome,
                labels,
                comment,
            } => {
                part(b"decide_appeal");
                part(&[(*overturn).into(), *outcome as i32 as u8]);
                part(&numbers(labels));
                part(comment.as_bytes());
            }
        }
        hash.finalize().into()
    }
}

/// Nobody could ever take a case that is reserved for one who may not work its queue.
async fn check_assignment(unit: &mut Unit, agent: &str, queue: &str) -> Result<(), StoreError> {
    if unit.known_queue(queue).await?.is_none() {
        return Err(Refusal::QueueNotFound {
            queue: queue.to_owned(),
        }
        .into());
    }
    if agent.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("SELECT body FROM agents WHERE name=");
    sql.bind(agent);
    let Some(row) = unit.row(&sql).await? else {
        return Err(Refusal::AgentNotFound {
            agent: agent.to_owned(),
        }
        .into());
    };
    let known: Agent = decode(get(&row, 0)?)?;
    if known.disabled || !Granted::from_names(&known.queues).has(queue) {
        return Err(Refusal::NotGranted {
            agent: agent.to_owned(),
            queue: queue.to_owned(),
        }
        .into());
    }
    Ok(())
}

/// Does an act, and writes what it changes.
async fn act(unit: &mut Unit, mut row: Row, act: &Act, caller: &Caller) -> Result<Row, StoreError> {
    let queue = unit.queue(&row.case.queue).await?;
    let now = unit.now;
    let stored = life::summary(&row.case);
    let stored_queue = row.case.queue.clone();
    let ended = if life::lapse(&mut row.case, now) {
        "case.expire"
    } else if life::return_from_hold(&mut row.case, now) {
        "case.return"
    } else {
        ""
    };
    let before = life::summary(&row.case);
    let queue_before = row.case.queue.clone();
    let effects = life::apply(&mut row.case, act, caller, &queue, now)?;
    let name = row.case.name.clone();
    if !ended.is_empty() {
        let after = before.clone();
        unit.audit(Entry::change(
            SYSTEM,
            ended,
            &name,
            &stored_queue,
            stored,
            after,
        ));
    }
    if !effects.action.is_empty() {
        let after = life::summary(&row.case);
        let mut entry = Entry::change(
            &caller.agent,
            effects.action,
            &name,
            &queue_before,
            before,
            after,
        );
        entry.payload.reason = effects.reason;
        let sequence = unit.audit(entry);
        if let Some(resolution) = &effects.resolution {
            unit.publish(sequence, row.num, resolution);
        }
    }
    if effects.skip {
        unit.skip(row.num, &caller.agent).await?;
    }
    unit.put(&mut row, false).await?;
    Ok(row)
}

/// The claim of whichever case comes first.
pub(crate) struct ClaimNext {
    pub(crate) caller: Caller,
    pub(crate) queues: Vec<String>,
    pub(crate) request_id: String,
}

impl Job for ClaimNext {
    type Answer = Option<Case>;

    fn wants(&self) -> Wants<'_> {
        Wants {
            next_of: Some(self.asked()),
            ..Wants::of(&self.caller, &self.request_id, None)
        }
    }

    async fn run(&self, unit: &mut Unit) -> Result<Option<Case>, StoreError> {
        let mut hash = Sha256::new_with_prefix("claim_next");
        for queue in &self.queues {
            hash.update((queue.len() as u64).to_be_bytes());
            hash.update(queue);
        }
        let request = Request {
            caller: &self.caller.agent,
            id: &self.request_id,
            hash: hash.finalize().into(),
        };
        if let Some(case) = unit.reply(&request).await? {
            return Ok(Some(case));
        }
        let queues = self.queues(unit).await?;
        if queues.is_empty() {
            return Ok(None);
        }
        let next = unit.next_waiting(&self.caller, self.asked(), &queues);
        let Some(row) = next.await? else {
            return Ok(None);
        };
        let row = act(unit, row, &Act::Claim, &self.caller).await?;
        unit.keep_reply(&request, &row.case, row.num);
        Ok(Some(row.case))
    }
}

impl ClaimNext {
    /// The queues that it names, or those that the caller may work; none: every queue.
    fn asked(&self) -> &[String] {
        match &self.caller.queues {
            _ if !self.queues.is_empty() => &self.queues,
            Granted::Some(names) => names,
            Granted::All => &[],
        }
    }

    async fn queues(&self, unit: &mut Unit) -> Result<Arc<[String]>, StoreError> {
        let foreign = self.queues.iter().find(|queue| !self.caller.sees(queue));
        if let Some(queue) = foreign {
            return Err(Refusal::QueueNotFound {
                queue: queue.clone(),
            }
            .into());
        }
        if self.queues.is_empty() && self.caller.queues == Granted::All {
            return unit.queue_names().await;
        }
        Ok(self.asked().into())
    }
}

/// A case for a message that a person reported.
pub(crate) struct Create {
    pub(crate) caller: Caller,
    pub(crate) request: CreateCaseRequest,
}

impl Job for Create {
    type Answer = Case;

    async fn run(&self, unit: &mut Unit) -> Result<Case, StoreError> {
        let Self { caller, request } = self;
        let content = CreateCaseRequest {
            request_id: String::new(),
            ..request.clone()
        };
        let hash = Sha256::new_with_prefix("create")
            .chain_update(prost::Message::encode_to_vec(&content))
            .finalize();
        let again = Request {
            caller: &caller.agent,
            id: &request.request_id,
            hash: hash.into(),
        };
        if let Some(case) = unit.reply(&again).await? {
            return Ok(case);
        }
        check_name("queue", "queues/", &request.queue)?;
        let known = unit.known_queue(&request.queue).await?;
        let Some(queue) = known.filter(|_| caller.sees(&request.queue)) else {
            return Err(Refusal::QueueNotFound {
                queue: request.queue.clone(),
            }
            .into());
        };
        let case = life::create(request, caller, &queue, unit.now)?;
        if let Some(row) = unit.case(&case.name).await? {
            if !caller.sees(&row.case.queue) {
                return Err(Refusal::AlreadyExists {
                    what: "a case of this message, in another queue,".to_owned(),
                }
                .into());
            }
            unit.keep_reply(&again, &row.case, row.num);
            return Ok(row.case);
        }
        let row = open(unit, case, &caller.agent).await?;
        unit.write(&columns::insert(std::slice::from_ref(&row)))
            .await?;
        unit.keep_reply(&again, &row.case, row.num);
        Ok(row.case)
    }
}

/// Gives a new case its number by way of its audit entry; the row is still to be put in.
pub(crate) async fn open(unit: &mut Unit, case: Case, actor: &str) -> Result<Row, StoreError> {
    let warn_ms = unit.queue(&case.queue).await?.warn_ms;
    let after = life::summary(&case);
    let entry = Entry::change(
        actor,
        "case.open",
        &case.name,
        &case.queue,
        serde_json::Value::Null,
        after,
    );
    let num = unit.audit(entry);
    let mut row = Row::new(num, case);
    row.alarm = columns::alarm(&row, warn_ms);
    Ok(row)
}

/// That a caller saw texts and names of cases.
pub(crate) struct Viewed {
    pub(crate) caller: String,
    pub(crate) cases: Vec<String>,
}

impl Job for Viewed {
    type Answer = ();

    async fn run(&self, unit: &mut Unit) -> Result<(), StoreError> {
        let (resource, after) = match self.cases.as_slice() {
            [] => return Ok(()),
            [one] => (one.as_str(), serde_json::Value::Null),
            several => ("cases/-", json!({ "cases": several })),
        };
        unit.audit(Entry {
            actor: &self.caller,
            action: "case.view",
            resource,
            payload: Payload {
                after,
                ..Payload::default()
            },
            watched: "",
        });
        Ok(())
    }
}
