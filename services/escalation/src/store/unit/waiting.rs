//! Who gets which waiting case, when many ask at once: the first ones of the queues are read once
//! and given out in their order. What a person may not take is left to the others.

use std::collections::{HashMap, HashSet};

use sqlx::any::AnyRow;
use tidegate_proto::escalation::v1::CaseState;

use super::{Unit, padded};
use crate::{
    Caller,
    error::StoreError,
    life::language,
    rank::rank,
    store::{
        columns::Row,
        sql::{Sql, get},
    },
};

/// The states in which a case waits for a person.
const WAITING: [CaseState; 2] = [CaseState::Open, CaseState::SecondReview];
/// How many queues one statement looks into: SQLite has a limit.
const QUEUES: usize = 60;
/// How many cases are read at once, at least and at most.
const LEAST: usize = 8;
const MOST: usize = 256;

/// A case's place: the lowest comes first.
type Place = (i64, i64);

/// A case that waits.
struct Candidate {
    place: Place,
    assigned_to: String,
    decided_by: String,
    lang: String,
    content: Content,
}

enum Content {
    /// As it is stored; read only for whoever takes it, so that a broken one keeps nobody else.
    Stored(AnyRow),
    Known(Box<Row>),
}

impl Candidate {
    fn of(row: &Row) -> Self {
        let case = &row.case;
        let event = case.event.as_ref();
        let decided_by = case.decisions.first();
        Self {
            place: (rank(case), row.num),
            assigned_to: case.assigned_to.clone(),
            decided_by: decided_by.map_or_else(String::new, |one| one.agent.clone()),
            lang: language(event.and_then(|event| event.lang.as_deref())),
            content: Content::Known(Box::new(row.clone())),
        }
    }

    /// As [`first`] asks it of the database.
    fn fits(&self, caller: &Caller) -> bool {
        let reserved = self.assigned_to == caller.agent;
        (reserved || self.assigned_to.is_empty())
            && self.decided_by != caller.agent
            // One that is reserved for the caller is the caller's in any language.
            && (reserved || caller.reads(&self.lang))
    }
}

/// The first waiting cases of some queues.
struct Window {
    queues: Vec<String>,
    candidates: Vec<Candidate>,
    /// The last place that was read; none if there are no more.
    end: Option<Place>,
}

/// What was read of waiting cases in a transaction, kept as jobs change them.
#[derive(Default)]
pub(super) struct Waiting {
    /// How many of the group's jobs ask for the next case of the same queues.
    asked: HashMap<Vec<String>, usize>,
    windows: Vec<Window>,
    /// Cases, by number, that agents do not want to be offered again.
    skips: HashSet<(i64, String)>,
}

impl Waiting {
    /// Notes that somebody will ask; no queues: every queue.
    pub(super) fn ask(&mut self, queues: &[String]) {
        *self.asked.entry(queues.to_vec()).or_default() += 1;
    }

    /// Forgets what was read: something else was written.
    pub(super) fn forget(&mut self) {
        self.windows.clear();
        self.skips.clear();
    }

    /// Takes note of a changed case; true if it waits among those that were read.
    pub(super) fn put(&mut self, row: &Row) -> bool {
        let mut among = false;
        let waits = WAITING.contains(&row.case.state());
        let place = (rank(&row.case), row.num);
        for window in &mut self.windows {
            let is_it = |one: &Candidate| one.place.1 == row.num;
            if let Some(at) = window.candidates.iter().position(is_it) {
                window.candidates.remove(at);
            }
            if waits
                && window.queues.contains(&row.case.queue)
                && window.end.is_none_or(|end| place <= end)
            {
                let before = |one: &Candidate| one.place < place;
                let at = window.candidates.partition_point(before);
                window.candidates.insert(at, Candidate::of(row));
                among = true;
            }
        }
        among
    }

    fn skip(&mut self, num: i64, agent: &str) {
        self.skips.insert((num, agent.to_owned()));
    }
}

impl Unit {
    /// The first case, by rank, that the caller may take from these queues.
    pub(crate) async fn next_waiting(
        &mut self,
        caller: &Caller,
        asked: &[String],
        queues: &[String],
    ) -> Result<Option<Row>, StoreError> {
        let at = match self.waiting.windows.iter().position(|w| w.queues == queues) {
            Some(at) => at,
            None => self.look(asked, queues).await?,
        };
        let window = &self.waiting.windows[at];
        let skips = &self.waiting.skips;
        let found = window.candidates.iter().find(|one| {
            one.fits(caller)
                && (skips.is_empty() || !skips.contains(&(one.place.1, caller.agent.clone())))
        });
        match found {
            Some(one) => match &one.content {
                Content::Stored(row) => Row::to_change(row).map(Some),
                Content::Known(row) => Ok(Some((**row).clone())),
            },
            None if window.end.is_none() => Ok(None),
            // All that were read are others'.
            None => self.first_waiting(caller, queues).await,
        }
    }

    /// Reads the first waiting cases of some queues; gives the window's place.
    async fn look(&mut self, asked: &[String], queues: &[String]) -> Result<usize, StoreError> {
        let count = self.waiting.asked.get(asked).copied().unwrap_or(1);
        let limit = count.next_power_of_two().clamp(LEAST, MOST);
        let mut candidates = Vec::new();
        for queues in queues.chunks(QUEUES) {
            let walks: Vec<Sql> = each(queues)
                .map(|(queue, state)| {
                    let mut walk = Sql::new(
                        "SELECT num, body, alarm_time, rank, assigned_to, decided_by, lang FROM \
                         cases WHERE queue=",
                    );
                    walk.bind(queue)
                        .text(&format!(" AND state={}", state as i64));
                    walk
                })
                .collect();
            let mut sql = Sql::default();
            sql.merge(self.dialect, &walks, ("rank, num", "4, 1"), limit);
            for row in self.rows(&sql).await? {
                candidates.push(Candidate {
                    place: (get(&row, 3)?, get(&row, 0)?),
                    assigned_to: get(&row, 4)?,
                    decided_by: get(&row, 5)?,
                    lang: get(&row, 6)?,
                    content: Content::Stored(row),
                });
            }
        }
        candidates.sort_by_key(|one| one.place);
        let full = candidates.len() >= limit;
        candidates.truncate(limit);
        let end = candidates.last().filter(|_| full).map(|one| one.place);
        let numbers: Vec<i64> = candidates.iter().map(|one| one.place.1).collect();
        self.read_skips(&numbers).await?;
        self.waiting.windows.push(Window {
            queues: queues.to_vec(),
            candidates,
            end,
        });
        Ok(self.waiting.windows.len() - 1)
    }

    /// Reads who does not want to be offered these cases again.
    pub(super) async fn read_skips(&mut self, numbers: &[i64]) -> Result<(), StoreError> {
        if numbers.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::new("SELECT num, agent FROM skips WHERE num");
        sql.within(padded(numbers).copied());
        for row in self.read(&sql).await? {
            let agent: String = get(&row, 1)?;
            self.waiting.skip(get(&row, 0)?, &agent);
        }
        Ok(())
    }

    /// As [`next_waiting`](Self::next_waiting), asked of the database for this caller alone.
    async fn first_waiting(
        &mut self,
        caller: &Caller,
        queues: &[String],
    ) -> Result<Option<Row>, StoreError> {
        let mut best: Option<(Place, Row)> = None;
        for queues in queues.chunks(QUEUES) {
            let mut sql = Sql::default();
            for (queue, state) in each(queues) {
                first(caller, queue, state, &mut sql);
            }
            let mut rows = Vec::new();
            for row in self.rows(&sql).await? {
                let place: Place = (get(&row, 3)?, get(&row, 0)?);
                rows.push((place, row));
            }
            let first = rows.into_iter().min_by_key(|(place, _)| *place);
            if let Some((place, row)) = first
                && best.as_ref().is_none_or(|(best, _)| place < *best)
            {
                best = Some((place, Row::to_change(&row)?));
            }
        }
        Ok(best.map(|(_, row)| row))
    }

    /// Remembers that an agent does not want to be offered a case again.
    pub(crate) async fn skip(&mut self, num: i64, agent: &str) -> Result<(), StoreError> {
        let mut sql = Sql::new("INSERT INTO skips (num,agent) VALUES (");
        sql.bind(num)
            .text(",")
            .bind(agent)
            .text(") ON CONFLICT DO NOTHING");
        self.run(&sql).await?;
        self.waiting.skip(num, agent);
        Ok(())
    }
}

fn each(queues: &[String]) -> impl Iterator<Item = (&String, CaseState)> {
    queues
        .iter()
        .flat_map(|queue| WAITING.map(|state| (queue, state)))
}

/// Appends the first row of an index that the caller may take.
fn first(caller: &Caller, queue: &str, state: CaseState, sql: &mut Sql) {
    let at = sql.len();
    sql.text(if at == 0 { "" } else { " UNION ALL " });
    sql.text("SELECT * FROM (SELECT num, body, alarm_time, rank FROM cases WHERE queue=")
        .bind(queue)
        .text(" AND state=")
        .bind(state as i64)
        .text(" AND assigned_to IN ('',")
        .bind(&caller.agent)
        .text(") AND decided_by<>")
        .bind(&caller.agent);
    if !caller.languages.is_empty() {
        // One that is reserved for the caller is the caller's in any language.
        sql.text(" AND (assigned_to<>'' OR lang='' OR lang")
            .within(caller.languages.iter())
            .text(")");
    }
    sql.text(" AND NOT EXISTS (SELECT 1 FROM skips WHERE skips.num=cases.num AND skips.agent=")
        .bind(&caller.agent)
        .text(&format!(") ORDER BY rank, num LIMIT 1) AS at{at}"));
}
