//! Decisions: the first, the second, and those about appeals.

use std::collections::BTreeSet;

use tidegate_proto::{
    escalation::v1::{Appeal, AppealState, Case, CaseState, Decision, Outcome, Resolution},
    events::v1::{Label, Priority},
};
use uuid::Uuid;

use super::{APPEAL_MS, Act, Effects, limit, own_lease, put_back, required, version, wrong_state};
use crate::{caller::Caller, error::Refusal, queue::QueueSettings, times::timestamp};

pub(super) fn apply(
    case: &mut Case,
    act: &Act,
    caller: &Caller,
    queue: &QueueSettings,
    now: i64,
) -> Result<Effects, Refusal> {
    match act {
        Act::Resolve {
            outcome,
            labels,
            comment,
        } => {
            let decision = decision(caller, *outcome, labels, comment, now)?;
            resolve(case, decision, caller, queue, now)
        }
        Act::OpenAppeal { reason } => open_appeal(case, reason, caller, now),
        Act::DecideAppeal {
            overturn,
            outcome,
            labels,
            comment,
        } => {
            let outcome = if *overturn {
                *outcome
            } else {
                // It stands; what it was is in the case.
                final_decision(case).map_or(Outcome::NoAction, Decision::outcome)
            };
            let decision = decision(caller, outcome, labels, comment, now)?;
            decide_appeal(case, *overturn, decision, caller)
        }
        _ => Ok(Effects::default()),
    }
}

fn decision(
    caller: &Caller,
    outcome: Outcome,
    labels: &[Label],
    comment: &str,
    now: i64,
) -> Result<Decision, Refusal> {
    if outcome == Outcome::Unspecified {
        return Err(Refusal::Required { field: "outcome" });
    }
    if labels.contains(&Label::Unspecified) {
        return Err(Refusal::Invalid {
            field: "labels",
            problem: "LABEL_UNSPECIFIED is no label: leave it out".to_owned(),
        });
    }
    limit("comment", comment)?;
    let labels: BTreeSet<i32> = labels.iter().map(|label| *label as i32).collect();
    Ok(Decision {
        agent: caller.agent.clone(),
        outcome: outcome.into(),
        labels: labels.into_iter().collect(),
        comment: comment.to_owned(),
        decide_time: Some(timestamp(now)),
    })
}

fn resolve(
    case: &mut Case,
    decision: Decision,
    caller: &Caller,
    queue: &QueueSettings,
    now: i64,
) -> Result<Effects, Refusal> {
    own_lease(case, caller)?;
    let first = case.decisions.is_empty();
    let mut effects = Effects::of("case.resolve", &decision.comment);
    let grave = matches!(
        decision.outcome(),
        Outcome::Hide | Outcome::Delete | Outcome::Ban
    );
    let high_risk = case.priority() >= Priority::High;
    let agreed = case
        .decisions
        .first()
        .map(|first| first.outcome == decision.outcome);
    case.decisions.push(decision);
    // Reserved for one person, the second one could not take it.
    case.assigned_to.clear();
    put_back(case);
    if first && grave && high_risk && queue.second_review {
        effects.action = "case.decide";
        return Ok(effects);
    }
    case.set_state(CaseState::Resolved);
    case.close_time = Some(timestamp(now));
    effects.resolution = final_decision(case)
        .map(|decision| Box::new(resolution(case, decision, caller, agreed, false)));
    Ok(effects)
}

fn open_appeal(
    case: &mut Case,
    reason: &str,
    caller: &Caller,
    now: i64,
) -> Result<Effects, Refusal> {
    required("reason", reason)?;
    if case.state() != CaseState::Resolved {
        return Err(wrong_state(case.state(), "a RESOLVED one"));
    }
    if case.appeal.is_some() {
        return Err(Refusal::AppealExists);
    }
    case.appeal = Some(Appeal {
        state: AppealState::Open.into(),
        reason: reason.to_owned(),
        opened_by: caller.agent.clone(),
        open_time: Some(timestamp(now)),
        due_time: Some(timestamp(now.saturating_add(APPEAL_MS))),
        decision: None,
    });
    Ok(Effects::of("case.appeal", reason))
}

fn decide_appeal(
    case: &mut Case,
    overturn: bool,
    decision: Decision,
    caller: &Caller,
) -> Result<Effects, Refusal> {
    if case.decisions.iter().any(|one| one.agent == caller.agent) {
        return Err(Refusal::SameReviewer);
    }
    let open = case
        .appeal
        .as_mut()
        .filter(|appeal| appeal.state() == AppealState::Open)
        .ok_or(Refusal::NoAppeal)?;
    open.set_state(if overturn {
        AppealState::Overturned
    } else {
        AppealState::Upheld
    });
    let mut effects = Effects::of("case.decide_appeal", &decision.comment);
    open.decision = Some(decision);
    if overturn {
        effects.resolution = final_decision(case)
            .map(|decision| Box::new(resolution(case, decision, caller, None, true)));
    }
    Ok(effects)
}

/// The decision that holds.
pub(super) fn final_decision(case: &Case) -> Option<&Decision> {
    case.appeal
        .as_ref()
        .filter(|appeal| appeal.state() == AppealState::Overturned)
        .and_then(|appeal| appeal.decision.as_ref())
        .or(case.decisions.last())
}

fn resolution(
    case: &Case,
    decision: &Decision,
    caller: &Caller,
    second_agreed: Option<bool>,
    appeal: bool,
) -> Resolution {
    let event = case.event.clone().unwrap_or_default();
    let verdict = case.verdict.clone().unwrap_or_default();
    // The version tells apart what is decided again after an edit.
    let id = format!("{}/{}", case.name, version(case));
    Resolution {
        id: Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).to_string(),
        case: case.name.clone(),
        grouped_event_ids: case.grouped_event_ids.clone(),
        channel: event.channel,
        event_id: event.event_id,
        brand: event.brand,
        platform: event.platform,
        conversation_id: event.conversation_id,
        text: event.text,
        lang: event.lang,
        verdict_id: verdict.verdict_id,
        machine_action: verdict.action,
        machine_labels: verdict.labels,
        model_version: verdict.model_version,
        policy_version: verdict.policy_version,
        outcome: decision.outcome,
        labels: decision.labels.clone(),
        agent: caller.pseudonym(),
        second_agreed,
        appeal,
        source: case.source,
        decide_time: decision.decide_time,
    }
}
