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
    /// What the columns of [`MOVING`] hold in the database, if that is known.
    stored: Option<Vec<Bind>>,
}

impl Row {
    /// Of a case that is not stored yet.
    pub(crate) fn new(num: i64, case: Case) -> Self {
        Self {
            num,
            case,
            alarm: 0,
            stored: None,
        }
    }

    /// From the columns of [`SELECT`].
    pub(crate) fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let body: &[u8] = get(row, 1)?;
        Ok(Self {
            num: get(row, 0)?,
            case: decode(body)?,
            alarm: get(row, 2)?,
            stored: None,
        })
    }

    /// As [`read`](Self::read); keeps in mind what is stored, so that only what changes is written.
    pub(crate) fn to_change(row: &AnyRow) -> Result<Self, StoreError> {
        let mut row = Self::read(row)?;
        row.stored = Some(moving(&row.case, row.alarm));
        Ok(row)
    }

    /// Forgets what is stored: a later change writes every column.
    pub(crate) fn forget_stored(&mut self) {
        self.stored = None;
    }
}

/// Which columns of a case change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Change {
    /// One bit for each of [`MOVING`].
    moving: u16,
    /// What is known of its message as well.
    message: bool,
}

impl Change {
    /// What is to be written of a case; `message` says whether its message changed.
    pub(crate) fn of(row: &Row, message: bool) -> Self {
        let moving = match &row.stored {
            None => (1 << MOVING.len()) - 1,
            Some(stored) => {
                let now = moving(&row.case, row.alarm);
                let pairs = stored.iter().zip(&now).enumerate();
                pairs.fold(0, |bits, (at, (one, other))| {
                    bits | (u16::from(one != other) << at)
                })
            }
        };
        Self { moving, message }
    }

    /// Whether there is nothing to be written.
    pub(crate) fn is_none(&self) -> bool {
        self.moving == 0 && !self.message
    }

    /// This and another change of the same case.
    pub(crate) fn with(self, other: &Self) -> Self {
        Self {
            moving: self.moving | other.moving,
            message: self.message || other.message,
        }
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
    let names = MOVING.join(",");
    let mut sql = Sql::change("INSERT", &format!("INTO cases ({FIXED},{names}) VALUES "));
    sql.rows(rows.iter().map(|row| {
        let mut columns = fixed(row.num, &row.case);
        columns.extend(moving(&row.case, row.alarm));
        columns
    }));
    sql
}

/// Changes cases: of each the same columns. A case may be there more than once.
pub(crate) fn update<'a>(rows: impl Iterator<Item = &'a Row>, change: Change) -> Sql {
    let is_moving = |at: &usize| (change.moving >> at) & 1 == 1;
    let mut sql = Sql::change("UPDATE", "cases SET ");
    let names = MOVING.iter().enumerate();
    let names = names.filter(|(at, _)| is_moving(at)).map(|(_, name)| *name);
    // Number and name never change.
    let fixed_names = FIXED.split(',').skip(2).filter(|_| change.message);
    for (at, name) in names.chain(fixed_names).enumerate() {
        let comma = if at > 0 { "," } else { "" };
        sql.text(&format!("{comma}{name}=v.column{}", at + 2));
    }
    sql.text(" FROM (VALUES ");
    sql.rows(rows.map(|row| {
        let mut values = vec![row.num.into()];
        let moving = moving(&row.case, row.alarm).into_iter().enumerate();
        values.extend(
            moving
                .filter(|(at, _)| is_moving(at))
                .map(|(_, value)| value),
        );
        if change.message {
            values.extend(fixed(row.num, &row.case).into_iter().skip(2));
        }
        values
    }));
    sql.text(") AS v WHERE cases.num=v.column1");
    sql
}
