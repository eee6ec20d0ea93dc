//! A case and its row.

use prost::Message;
use sqlx::any::AnyRow;
use tidegate_proto::escalation::v1::{Case, CaseState};

use super::sql::{Bind, Sql, get};
use crate::{StoreError, life::language, rank::rank, times::millis_of};

/// What stays as it was when someone acts on a case; it changes when the message does.
const FIXED: &str = "num,name,platform,brand,event_id,conversation_id,author_id,channel,lang,\
    source,policy_version,labels,reasons,transactional,create_time";
/// What may change with each act.
const MOVING: [&str; 14] = [
    "state",
    "queue",
    "priority",
    "rank",
    "due_time",
    "update_time",
    "close_time",
    "breached",
    "assigned_to",
    "lease_agent",
    "decided_by",
    "wake_time",
    "alarm_time",
    "body",
];

/// How a case is read: what [`Row::read`] expects.
pub(crate) const SELECT: &str = "SELECT num, body, alarm_time FROM cases";

/// A case with its number, and when its next warning or breach is to be noted (0: never).
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) num: i64,
    pub(crate) case: Case,
    pub(crate) alarm: i64,
}

impl Row {
    /// From the columns of [`SELECT`].
    pub(crate) fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let body: &[u8] = get(row, 1)?;
        Ok(Self {
            num: get(row, 0)?,
            case: decode(body)?,
            alarm: get(row, 2)?,
        })
    }
}

/// A message of the contract from its bytes.
pub(crate) fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, StoreError> {
    M::decode(bytes).map_err(|error| StoreError::Broken {
        why: format!("a stored message cannot be read: {error}"),
    })
}

/// Whether a case names an order, and is kept as long as orders are.
fn transactional(case: &Case) -> bool {
    let event = case.event.as_ref();
    event.is_some_and(|event| event.context.keys().any(|key| key.starts_with("order")))
}

fn fixed(num: i64, case: &Case) -> Vec<Bind> {
    let event = case.event.clone().unwrap_or_default();
    let verdict = case.verdict.as_ref();
    let labels = verdict.map_or(0, |verdict| {
        verdict
            .labels
            .iter()
            .filter(|label| (0..63).contains(*label))
            .fold(0, |bits, label| bits | 1_i64 << label)
    });
    let mut reasons = String::new();
    for reason in verdict.iter().flat_map(|verdict| &verdict.reasons) {
        reasons.push('|');
        reasons.push_str(&reason.code);
    }
    if !reasons.is_empty() {
        reasons.push('|');
    }
    let author = event
        .author
        .as_ref()
        .and_then(|author| author.id.as_deref());
    vec![
        num.into(),
        (&case.name).into(),
        (&event.platform).into(),
        (&event.brand).into(),
        (&event.event_id).into(),
        event.conversation_id.as_deref().unwrap_or("").into(),
        author.unwrap_or("").into(),
        i64::from(event.channel).into(),
        (&language(event.lang.as_deref())).into(),
        i64::from(case.source).into(),
        verdict
            .map_or("", |verdict| verdict.policy_version.as_str())
            .into(),
        labels.into(),
        (&reasons).into(),
        transactional(case).into(),
        millis_of(case.create_time.as_ref()).unwrap_or(0).into(),
    ]
}

fn moving(case: &Case, alarm: i64) -> Vec<Bind> {
    let lease = case.lease.as_ref();
    let hold = case.hold.as_ref();
    let wake = match case.state() {
        CaseState::Claimed => lease.and_then(|lease| millis_of(lease.expire_time.as_ref())),
        CaseState::OnHold => hold.and_then(|hold| millis_of(hold.return_time.as_ref())),
        _ => None,
    };
    let decided_by = case.decisions.first().map_or("", |one| one.agent.as_str());
    vec![
        i64::from(case.state).into(),
        (&case.queue).into(),
        i64::from(case.priority).into(),
        rank(case).into(),
        millis_of(case.due_time.as_ref()).unwrap_or(0).into(),
        millis_of(case.update_time.as_ref()).unwrap_or(0).into(),
        millis_of(case.close_time.as_ref()).unwrap_or(0).into(),
        case.breached.into(),
        (&case.assigned_to).into(),
        lease.map_or("", |lease| lease.agent.as_str()).into(),
        decided_by.into(),
        wake.unwrap_or(0).into(),
        alarm.into(),
        case.encode_to_vec().into(),
    ]
}

/// When the next warning or breach is to be noted; 0: never again. A warning that was given is
/// not given again: its alarm stands at the deadline.
pub(crate) fn alarm(row: &Row, warn_ms: i64) -> i64 {
    let case = &row.case;
    let closed = matches!(case.state(), CaseState::Resolved | CaseState::Withdrawn);
    let due = millis_of(case.due_time.as_ref()).unwrap_or(0).max(1);
    if closed || case.breached {
        0
    } else if row.alarm == due {
        due
    } else {
        due.saturating_sub(warn_ms).max(1)
    }
}

/// Puts in new cases.
pub(crate) fn insert(rows: &[Row]) -> Sql {
    let mut sql = Sql::new(&format!(
        "INSERT INTO cases ({FIXED},{}) VALUES ",
        MOVING.join(",")
    ));
    sql.rows(rows.iter().map(|row| {
        let mut columns = fixed(row.num, &row.case);
        columns.extend(moving(&row.case, row.alarm));
        columns
    }));
    sql
}

/// Changes a case; with `message`, what is known of its message as well.
pub(crate) fn update(row: &Row, message: bool) -> Sql {
    let mut sql = Sql::new("UPDATE cases SET ");
    let mut columns: Vec<(&str, Bind)> = MOVING
        .into_iter()
        .zip(moving(&row.case, row.alarm))
        .collect();
    if message {
        // Number and name never change.
        let fixed = FIXED.split(',').zip(fixed(row.num, &row.case)).skip(2);
        columns.extend(fixed);
    }
    for (at, (column, value)) in columns.into_iter().enumerate() {
        sql.text(if at > 0 { "," } else { "" })
            .text(column)
            .text("=")
            .bind(value);
    }
    sql.text(" WHERE num=").bind(row.num);
    sql
}
