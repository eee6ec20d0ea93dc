//! The life of a case: what may be done when, by whom, and what it changes. Pure.

mod decide;
mod system;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use tidegate_proto::{
    escalation::v1::{Case, CaseState, Hold, Lease, Note, Outcome, Resolution, Role},
    events::v1::Label,
};
use uuid::Uuid;

pub use system::{
    Edited, breach, create, edit, erase, is_near, join, lapse, open, part, redact,
    return_from_hold, withdraw,
};

use crate::{
    caller::Caller,
    error::Refusal,
    queue::QueueSettings,
    times::{DAY, millis_of, timestamp},
};

/// How many bytes a note, a reason or a comment may have.
pub const TEXT_LIMIT: usize = 16 * 1_024;
/// How many notes a case may have.
pub const NOTE_LIMIT: usize = 200;
/// How long a case may be put aside.
pub const HOLD_LIMIT_MS: i64 = 30 * DAY;
/// How long an appeal may take.
pub const APPEAL_MS: i64 = 7 * DAY;

/// What someone wants to do with a case.
#[derive(Clone, PartialEq, Eq)]
pub enum Act {
    /// Take it.
    Claim,
    /// Renew the lease. Changes no etag.
    Heartbeat,
    /// Give it back.
    Release {
        /// Whether the caller does not want to be offered it again.
        skip: bool,
        /// Why, in words.
        reason: String,
    },
    /// Put it aside.
    Hold {
        /// Why, in words. Required.
        reason: String,
        /// When it returns: milliseconds since the Unix epoch.
        return_ms: i64,
    },
    /// Reserve it for an agent, move it, or both.
    Assign {
        /// `agents/{agent}`; empty: anyone.
        agent: String,
        /// `queues/{queue}`; empty: as it is.
        queue: String,
        /// Why, in words.
        reason: String,
    },
    /// Add a remark.
    Note {
        /// The remark.
        text: String,
    },
    /// Decide it.
    Resolve {
        /// What is decided.
        outcome: Outcome,
        /// The labels as the caller sees them.
        labels: Vec<Label>,
        /// Why, in words.
        comment: String,
    },
    /// Enter an objection.
    OpenAppeal {
        /// Why. Required.
        reason: String,
    },
    /// Decide an objection.
    DecideAppeal {
        /// Whether the decision is changed.
        overturn: bool,
        /// The new decision, if it is.
        outcome: Outcome,
        /// The labels as the caller sees them.
        labels: Vec<Label>,
        /// Why, in words.
        comment: String,
    },
}

/// What an act brings with it.
#[derive(Default)]
pub struct Effects {
    /// The audit entry's action, such as `case.claim`; empty if the act leaves no entry and no new
    /// etag.
    pub action: &'static str,
    /// Why, in words, as the caller said.
    pub reason: String,
    /// The caller does not want to be offered the case again.
    pub skip: bool,
    /// What is to be published.
    pub resolution: Option<Box<Resolution>>,
}

impl Effects {
    fn of(action: &'static str, reason: &str) -> Self {
        Self {
            action,
            reason: reason.to_owned(),
            ..Self::default()
        }
    }
}

/// The name of a message's case.
#[must_use]
pub fn case_name(platform: &str, brand: &str, event_id: &str) -> String {
    // Lengths keep ("ab", "c") and ("a", "bc") apart.
    let message = format!(
        "{}:{platform}{}:{brand}{event_id}",
        platform.len(),
        brand.len()
    );
    format!(
        "cases/{}",
        Uuid::new_v5(&Uuid::NAMESPACE_OID, message.as_bytes())
    )
}

/// The primary part of a language tag, lower case: `pt` of `pt-BR`; empty if none is named.
#[must_use]
pub fn language(tag: Option<&str>) -> String {
    let tag = tag.unwrap_or("");
    tag.split(['-', '_'])
        .next()
        .unwrap_or("")
        .to_ascii_lowercase()
}

/// Does `act` to `case`, or says why it can't be done; then `case` is as it was, except that an
/// ended lease or hold may have been taken off.
///
/// # Errors
/// A [`Refusal`].
pub fn apply(
    case: &mut Case,
    act: &Act,
    caller: &Caller,
    queue: &QueueSettings,
    now: i64,
) -> Result<Effects, Refusal> {
    // The sweep has not come by yet.
    if !lapse(case, now) {
        return_from_hold(case, now);
    }
    let effects = match act {
        Act::Claim => claim(case, caller, queue, now)?,
        Act::Heartbeat => {
            let lease = own_lease(case, caller)?;
            lease.expire_time = Some(timestamp(now.saturating_add(queue.lease_ms)));
            return Ok(Effects::default());
        }
        Act::Release { skip, reason } => {
            limit("reason", reason)?;
            own_lease(case, caller)?;
            if *skip && case.assigned_to == caller.agent {
                // Reserved for one who does not want it, nobody would get it.
                case.assigned_to.clear();
            }
            put_back(case);
            Effects {
                skip: *skip,
                ..Effects::of("case.release", reason)
            }
        }
        Act::Hold { reason, return_ms } => {
            required("reason", reason)?;
            own_lease(case, caller)?;
            if *return_ms <= now || *return_ms > now.saturating_add(HOLD_LIMIT_MS) {
                return Err(Refusal::Invalid {
                    field: "return_time",
                    problem: "it must be in the future, at most 30 days away".to_owned(),
                });
            }
            put_back(case);
            case.set_state(CaseState::OnHold);
            case.hold = Some(Hold {
                agent: caller.agent.clone(),
                reason: reason.clone(),
                return_time: Some(timestamp(*return_ms)),
            });
            Effects::of("case.hold", reason)
        }
        Act::Assign {
            agent,
            queue,
            reason,
        } => {
            limit("reason", reason)?;
            still_open(case)?;
            if case.decisions.iter().any(|one| one.agent == *agent) {
                return Err(Refusal::SameReviewer);
            }
            put_back(case);
            case.assigned_to.clone_from(agent);
            if !queue.is_empty() {
                case.queue.clone_from(queue);
            }
            Effects::of("case.assign", reason)
        }
        Act::Note { text } => {
            required("text", text)?;
            if case.notes.len() >= NOTE_LIMIT {
                return Err(Refusal::TooMany {
                    what: "notes",
                    limit: NOTE_LIMIT,
                });
            }
            case.notes.push(Note {
                agent: caller.agent.clone(),
                text: text.clone(),
                create_time: Some(timestamp(now)),
            });
            Effects::of("case.note", "")
        }
        Act::Resolve { .. } | Act::OpenAppeal { .. } | Act::DecideAppeal { .. } => {
            decide::apply(case, act, caller, queue, now)?
        }
    };
    touch(case, now);
    Ok(effects)
}

fn claim(
    case: &mut Case,
    caller: &Caller,
    queue: &QueueSettings,
    now: i64,
) -> Result<Effects, Refusal> {
    let lead = matches!(caller.role, Role::Lead | Role::Admin);
    match case.state() {
        CaseState::Open => {}
        CaseState::SecondReview => {}
        CaseState::Claimed if own_lease(case, caller).is_ok() => {}
        CaseState::Claimed => return Err(Refusal::AlreadyClaimed),
        // Who put it aside may take it back before its time.
        CaseState::OnHold
            if lead
                || case
                    .hold
                    .as_ref()
                    .is_some_and(|one| one.agent == caller.agent) => {}
        state => return Err(wrong_state(state, "one that waits")),
    }
    if case.decisions.iter().any(|one| one.agent == caller.agent) {
        return Err(Refusal::SameReviewer);
    }
    if !case.assigned_to.is_empty() && case.assigned_to != caller.agent {
        return Err(Refusal::Reserved);
    }
    let language = language(case.event.as_ref().and_then(|event| event.lang.as_deref()));
    if !caller.reads(&language) && case.assigned_to != caller.agent {
        return Err(Refusal::OtherLanguage { language });
    }
    case.hold = None;
    case.set_state(CaseState::Claimed);
    case.lease = Some(Lease {
        agent: caller.agent.clone(),
        claim_time: Some(timestamp(now)),
        expire_time: Some(timestamp(now.saturating_add(queue.lease_ms))),
    });
    case.first_claim_time.get_or_insert(timestamp(now));
    case.last_claim_time = Some(timestamp(now));
    Ok(Effects::of("case.claim", ""))
}

/// The caller's lease.
fn own_lease<'a>(case: &'a mut Case, caller: &Caller) -> Result<&'a mut Lease, Refusal> {
    case.lease
        .as_mut()
        .filter(|lease| lease.agent == caller.agent)
        .ok_or(Refusal::LeaseGone)
}

/// Lets it wait again, for the first or the second person.
fn put_back(case: &mut Case) {
    case.lease = None;
    case.hold = None;
    case.set_state(if case.decisions.is_empty() {
        CaseState::Open
    } else {
        CaseState::SecondReview
    });
}

fn still_open(case: &Case) -> Result<(), Refusal> {
    match case.state() {
        state @ (CaseState::Resolved | CaseState::Withdrawn | CaseState::Unspecified) => {
            Err(wrong_state(state, "one that is not closed"))
        }
        _ => Ok(()),
    }
}

fn wrong_state(state: CaseState, needs: &'static str) -> Refusal {
    Refusal::WrongState {
        state: state_name(state),
        needs,
    }
}

fn state_name(state: CaseState) -> &'static str {
    let name = state.as_str_name();
    name.strip_prefix("CASE_STATE_").unwrap_or(name)
}

fn limit(field: &'static str, text: &str) -> Result<(), Refusal> {
    if text.len() > TEXT_LIMIT {
        return Err(Refusal::TooLong {
            field,
            limit: TEXT_LIMIT,
        });
    }
    Ok(())
}

fn required(field: &'static str, text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::Required { field });
    }
    limit(field, text)
}

/// How often the case was changed: what its etag quotes.
#[must_use]
pub fn version(case: &Case) -> u64 {
    case.etag.trim_matches('"').parse().unwrap_or(0)
}

/// Gives the case its next etag.
fn touch(case: &mut Case, now: i64) {
    case.etag = format!("\"{}\"", version(case) + 1);
    case.update_time = Some(timestamp(now));
}

/// What the audit trail keeps of a case before and after: where it stood, and nothing that was
/// written.
#[must_use]
pub fn summary(case: &Case) -> Value {
    let decisions: Vec<_> = case
        .decisions
        .iter()
        .map(|one| {
            json!({
                "agent": one.agent,
                "outcome": one.outcome().as_str_name(),
                "labels": one.labels().map(|label| label.as_str_name()).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "state": state_name(case.state()),
        "queue": case.queue,
        "priority": case.priority().as_str_name(),
        "due_time": millis_of(case.due_time.as_ref()),
        "assigned_to": case.assigned_to,
        "lease": case.lease.as_ref().map(|lease| json!({
            "agent": lease.agent,
            "expire_time": millis_of(lease.expire_time.as_ref()),
        })),
        "return_time": case.hold.as_ref().and_then(|hold| millis_of(hold.return_time.as_ref())),
        "decisions": decisions,
        "appeal": case.appeal.as_ref().map(|appeal| appeal.state().as_str_name()),
        "notes": case.notes.len(),
        "grouped": case.grouped_event_ids.len(),
        "breached": case.breached,
        "etag": case.etag,
    })
}
