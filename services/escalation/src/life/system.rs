//! What happens to a case without a caller: it opens, its message changes or goes, times pass.

use tidegate_proto::{
    escalation::v1::{Appeal, Case, CaseSource, CaseState, CreateCaseRequest, Note},
    events::v1::{Channel, Priority},
};

use super::{case_name, put_back, required, still_open, touch};
use crate::{
    caller::Caller,
    error::Refusal,
    queue::QueueSettings,
    times::{HOUR, millis_of, timestamp},
};

/// How many bytes the text of a reported message may have.
const MESSAGE_LIMIT: usize = 64 * 1_024;

/// What an arriving message did to the case that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited {
    /// Nothing: this verdict is known.
    Unchanged,
    /// The case shows the message as it is now.
    Updated,
    /// It was closed, and waits again.
    Reopened,
}

/// Makes a case of what arrived.
#[must_use]
pub fn open(arrived: Case, queue: &QueueSettings, now: i64) -> Case {
    let event = arrived.event.unwrap_or_default();
    let mut case = Case {
        name: case_name(&event.platform, &event.brand, &event.event_id),
        source: arrived.source,
        verdict: arrived.verdict,
        queue: arrived.queue,
        priority: arrived.priority,
        due_time: arrived.due_time,
        create_time: Some(timestamp(now)),
        event: Some(event),
        ..Case::default()
    };
    if case.priority() == Priority::Unspecified {
        case.set_priority(Priority::Normal);
    }
    case.due_time = Some(timestamp(due(&case, queue, now)));
    case.set_state(CaseState::Open);
    touch(&mut case, now);
    case
}

/// Makes a case of what a person reported.
///
/// # Errors
/// [`Refusal::Required`], [`Refusal::TooLong`].
pub fn create(
    request: &CreateCaseRequest,
    caller: &Caller,
    queue: &QueueSettings,
    now: i64,
) -> Result<Case, Refusal> {
    let event = request.event.clone().unwrap_or_default();
    required("event.event_id", &event.event_id)?;
    required("event.platform", &event.platform)?;
    required("event.brand", &event.brand)?;
    if event.channel() == Channel::Unspecified {
        return Err(Refusal::Required {
            field: "event.channel",
        });
    }
    if event
        .text
        .as_ref()
        .is_some_and(|text| text.len() > MESSAGE_LIMIT)
    {
        return Err(Refusal::TooLong {
            field: "event.text",
            limit: MESSAGE_LIMIT,
        });
    }
    let mut arrived = Case {
        queue: request.queue.clone(),
        priority: request.priority,
        event: Some(event),
        ..Case::default()
    };
    arrived.set_source(CaseSource::Person);
    if !request.reason.is_empty() {
        required("reason", &request.reason)?;
        arrived.notes.push(Note {
            agent: caller.agent.clone(),
            text: request.reason.clone(),
            create_time: Some(timestamp(now)),
        });
    }
    let notes = std::mem::take(&mut arrived.notes);
    let mut case = open(arrived, queue, now);
    case.notes = notes;
    Ok(case)
}

/// The deadline: what the verdict gives, with the queue's closed hours left out; from now on, if
/// it gives none.
fn due(case: &Case, queue: &QueueSettings, now: i64) -> i64 {
    let event_time = case
        .event
        .as_ref()
        .and_then(|event| millis_of(event.event_time.as_ref()));
    let (from, budget) = match (millis_of(case.due_time.as_ref()), event_time) {
        (Some(due), Some(from)) => (from, due.saturating_sub(from)),
        (Some(due), None) => (now, due.saturating_sub(now)),
        (None, _) => (
            now,
            match case.priority() {
                Priority::Urgent => HOUR,
                Priority::High => 4 * HOUR,
                Priority::Normal | Priority::Unspecified => 24 * HOUR,
                Priority::Low => 72 * HOUR,
            },
        ),
    };
    if case.priority() == Priority::Urgent {
        from.saturating_add(budget)
    } else {
        queue.calendar.add(from, budget)
    }
}

/// Brings a case up to date with its edited message. Earlier decisions were about another text:
/// they go, and the audit trail keeps them.
pub fn edit(case: &mut Case, arrived: &Case, queue: &QueueSettings, now: i64) -> Edited {
    let verdict_id = |case: &Case| {
        case.verdict
            .as_ref()
            .map(|verdict| verdict.verdict_id.clone())
    };
    if verdict_id(case) == verdict_id(arrived) {
        return Edited::Unchanged;
    }
    let closed = still_open(case).is_err();
    let edits = case.event.as_ref().map_or(0, |event| event.edits);
    let mut fresh = open(arrived.clone(), queue, now);
    if let Some(event) = &mut fresh.event {
        event.edits = edits.saturating_add(1);
    }
    case.event = fresh.event;
    case.verdict = fresh.verdict;
    case.decisions.clear();
    if closed {
        case.queue = fresh.queue;
        case.priority = fresh.priority;
        case.due_time = fresh.due_time;
        case.close_time = None;
        case.breached = false;
        case.appeal = None;
        case.assigned_to.clear();
        put_back(case);
    } else {
        // The message may have become graver; it doesn't get more time.
        case.priority = case.priority.max(fresh.priority);
        let due = millis_of(case.due_time.as_ref()).min(millis_of(fresh.due_time.as_ref()));
        case.due_time = due.map(timestamp).or(fresh.due_time);
        if case.state() == CaseState::SecondReview {
            put_back(case);
        }
        if case.state() == CaseState::Open && case.assigned_to.is_empty() && !case.breached {
            case.queue = fresh.queue;
        }
    }
    touch(case, now);
    if closed {
        Edited::Reopened
    } else {
        Edited::Updated
    }
}

/// Closes the case of a message that is gone, if it is not closed.
pub fn withdraw(case: &mut Case, now: i64) -> bool {
    if still_open(case).is_err() {
        return false;
    }
    put_back(case);
    case.assigned_to.clear();
    case.set_state(CaseState::Withdrawn);
    case.close_time = Some(timestamp(now));
    touch(case, now);
    true
}

/// Lets a case stand for one more message of a flood.
pub fn join(case: &mut Case, event_id: &str, now: i64) {
    case.grouped_event_ids.push(event_id.to_owned());
    touch(case, now);
}

/// Lets a case no longer stand for a message that is gone.
pub fn part(case: &mut Case, event_id: &str, now: i64) {
    case.grouped_event_ids.retain(|one| one != event_id);
    touch(case, now);
}

/// Takes off a lease that ended.
pub fn lapse(case: &mut Case, now: i64) -> bool {
    let ended = case.state() == CaseState::Claimed
        && case
            .lease
            .as_ref()
            .and_then(|lease| millis_of(lease.expire_time.as_ref()))
            .is_none_or(|end| end <= now);
    if ended {
        put_back(case);
        touch(case, now);
    }
    ended
}

/// Lets a case wait again whose time on hold is over.
pub fn return_from_hold(case: &mut Case, now: i64) -> bool {
    let over = case.state() == CaseState::OnHold
        && case
            .hold
            .as_ref()
            .and_then(|hold| millis_of(hold.return_time.as_ref()))
            .is_none_or(|end| end <= now);
    if over {
        put_back(case);
        touch(case, now);
    }
    over
}

/// Whether the deadline is near enough to warn of.
#[must_use]
pub fn is_near(case: &Case, queue: &QueueSettings, now: i64) -> bool {
    let due = millis_of(case.due_time.as_ref()).unwrap_or(i64::MAX);
    still_open(case).is_ok() && now >= due.saturating_sub(queue.warn_ms)
}

/// Notes that the deadline passed. A case that waits moves to the queue for such cases, becomes
/// urgent, and is anybody's; one that is being worked stays, with its etag, so that the decision
/// about to come is not refused.
pub fn breach(case: &mut Case, queue: &QueueSettings, now: i64) -> bool {
    let due = millis_of(case.due_time.as_ref()).unwrap_or(i64::MAX);
    if still_open(case).is_err() || case.breached || now < due {
        return false;
    }
    case.breached = true;
    case.set_priority(Priority::Urgent);
    if case.state() != CaseState::Claimed {
        case.assigned_to.clear();
        if !queue.breach_queue.is_empty() {
            case.queue.clone_from(&queue.breach_queue);
        }
        touch(case, now);
    }
    true
}

/// Takes everything personal out of a case, for whoever may not see it; true if there was any.
pub fn redact(case: &mut Case) -> bool {
    let mut any = strip_notes(case) > 0;
    if let Some(event) = &mut case.event {
        any |= event.text.take().is_some();
        any |= event.author.take().is_some();
        any |= !event.context.is_empty();
        event.context.clear();
    }
    any
}

/// Takes everything personal out of a case for good, and closes it if it is open: nothing is left
/// to decide about. Says how many notes, comments and reasons went.
pub fn erase(case: &mut Case, now: i64) -> i64 {
    let words = strip_notes(case);
    redact(case);
    if let Some(event) = &mut case.event {
        event.conversation_id = None;
    }
    if !withdraw(case, now) {
        touch(case, now);
    }
    words
}

fn strip_notes(case: &mut Case) -> i64 {
    let Case {
        notes,
        decisions,
        hold,
        appeal,
        ..
    } = case;
    let mut texts: Vec<&mut String> = notes.iter_mut().map(|note| &mut note.text).collect();
    texts.extend(decisions.iter_mut().map(|one| &mut one.comment));
    texts.extend(hold.iter_mut().map(|hold| &mut hold.reason));
    for Appeal {
        reason, decision, ..
    } in appeal.iter_mut()
    {
        texts.push(reason);
        texts.extend(decision.iter_mut().map(|one| &mut one.comment));
    }
    let mut stripped = 0;
    for text in texts {
        if !text.is_empty() {
            stripped += 1;
            // Not `clear`: that leaves the bytes in memory.
            *text = String::new();
        }
    }
    stripped
}
