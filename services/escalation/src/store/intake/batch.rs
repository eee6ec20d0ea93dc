//! The cases that a batch of what arrived is about: read at once, changed one after the other,
//! written at its end.

use std::collections::{HashMap, HashSet};

use prost::Message;
use tidegate_proto::escalation::v1::{Case, CaseEvent, CaseState, Queue};

use super::flood::Floods;
use crate::{
    audit::Payload,
    caller::SYSTEM,
    error::StoreError,
    life::{self, Edited, case_name},
    store::{
        Arrived, IntakeReport,
        columns::{self, Row, decode},
        sql::{Bind, Sql, get},
        unit::{Entry, Unit, some_of},
        work,
    },
};

/// How many names one statement looks for.
const CHUNK: usize = 64;
/// How many messages one case may stand for.
const GROUP_LIMIT: usize = 1_000;
/// Where a case goes whose verdict names no queue.
const NO_QUEUE: &str = "queues/general";

/// How a case came to be in a batch, and so how it is written.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Read,
    New,
    /// Whether its message changed, too.
    Changed(bool),
}

/// A message that another case stands for.
struct Grouped {
    head: String,
    case: Case,
    changed: bool,
    gone: bool,
}

/// The cases that a batch is about.
#[derive(Default)]
pub(super) struct Batch {
    rows: HashMap<String, (Row, Fate)>,
    /// In the order in which they came.
    new: Vec<String>,
    /// Names by event id.
    by_event: HashMap<String, Vec<String>>,
    grouped: HashMap<String, Grouped>,
    floods: Floods,
    pub(super) report: IntakeReport,
}

impl Batch {
    pub(super) async fn read(unit: &mut Unit, arrived: &[Arrived]) -> Result<Self, StoreError> {
        let mut batch = Self::default();
        let mut names = HashSet::new();
        let mut gone = HashSet::new();
        for one in arrived {
            match one {
                Arrived::Open(case) => {
                    let event = case.event.clone().unwrap_or_default();
                    names.insert(case_name(&event.platform, &event.brand, &event.event_id));
                }
                Arrived::Withdrawn { event_id, .. } => {
                    gone.insert(event_id.clone());
                }
                Arrived::Unreadable(_) => {}
            }
        }
        let names: Vec<_> = names.into_iter().collect();
        let gone: Vec<_> = gone.into_iter().collect();
        for (column, values) in [("name", &names), ("event_id", &gone)] {
            for chunk in values.chunks(CHUNK) {
                let mut sql = Sql::new(columns::SELECT);
                sql.text(" WHERE ").text(column).within(chunk.iter());
                for row in unit.rows(&sql).await? {
                    batch.keep(Row::to_change(&row)?, Fate::Read);
                }
                batch.read_grouped(unit, column, chunk).await?;
            }
        }
        Ok(batch)
    }

    async fn read_grouped(
        &mut self,
        unit: &mut Unit,
        column: &str,
        values: &[String],
    ) -> Result<(), StoreError> {
        let mut sql = Sql::new(
            "SELECT grouped.name, cases.name, grouped.body FROM grouped JOIN cases ON \
             cases.num=grouped.head WHERE grouped.",
        );
        sql.text(column).within(values.iter());
        for row in unit.rows(&sql).await? {
            let (name, head): (String, String) = (get(&row, 0)?, get(&row, 1)?);
            let case: Case = decode(get(&row, 2)?)?;
            self.keep_grouped(name, head, case, false);
        }
        Ok(())
    }

    fn keep_grouped(&mut self, name: String, head: String, case: Case, changed: bool) {
        if let Some(event) = &case.event {
            self.index(&event.event_id, &name);
        }
        let grouped = Grouped {
            head,
            case,
            changed,
            gone: false,
        };
        self.grouped.insert(name, grouped);
    }

    fn index(&mut self, event_id: &str, name: &str) {
        let names = self.by_event.entry(event_id.to_owned()).or_default();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }

    fn keep(&mut self, row: Row, fate: Fate) {
        let name = row.case.name.clone();
        if let Some(event) = &row.case.event {
            self.index(&event.event_id, &name);
        }
        self.rows.entry(name).or_insert((row, fate));
    }

    pub(super) async fn open(&mut self, unit: &mut Unit, arrived: &Case) -> Result<(), StoreError> {
        let mut arrived = arrived.clone();
        if arrived.queue.is_empty() {
            arrived.queue = NO_QUEUE.to_owned();
        }
        self.make_queue(unit, &arrived.queue).await?;
        let queue = unit.queue(&arrived.queue).await?;
        let event = arrived.event.clone().unwrap_or_default();
        let name = case_name(&event.platform, &event.brand, &event.event_id);
        if let Some(grouped) = self.grouped.get_mut(&name).filter(|one| !one.gone) {
            let edited = life::edit(&mut grouped.case, &arrived, &queue, unit.now);
            grouped.changed |= edited != Edited::Unchanged;
            self.count(edited);
            return Ok(());
        }
        if let Some((row, fate)) = self.rows.get_mut(&name) {
            let before = life::summary(&row.case);
            let queue_before = row.case.queue.clone();
            let edited = life::edit(&mut row.case, &arrived, &queue, unit.now);
            let action = match edited {
                Edited::Unchanged => "",
                Edited::Updated => "case.edit",
                Edited::Reopened => "case.reopen",
            };
            if !action.is_empty() {
                if *fate != Fate::New {
                    *fate = Fate::Changed(true);
                }
                let after = life::summary(&row.case);
                let change = Entry::change(SYSTEM, action, &name, &queue_before, before, after);
                unit.audit(change);
            }
            self.count(edited);
            return Ok(());
        }
        let case = life::open(arrived, &queue, unit.now);
        if queue.flood_limit > 0 && self.group(unit, &case, queue.flood_limit).await? {
            return Ok(());
        }
        let row = work::open(unit, case, SYSTEM).await?;
        self.keep(row, Fate::New);
        self.new.push(name);
        self.report.opened += 1;
        Ok(())
    }

    fn count(&mut self, edited: Edited) {
        match edited {
            Edited::Unchanged => self.report.unchanged += 1,
            Edited::Updated => self.report.updated += 1,
            Edited::Reopened => self.report.reopened += 1,
        }
    }

    /// Lets another case stand for this one, if its rule or author floods the queue.
    async fn group(
        &mut self,
        unit: &mut Unit,
        case: &Case,
        limit: u32,
    ) -> Result<bool, StoreError> {
        let Some(head) = self.floods.count(unit, case, limit).await? else {
            return Ok(false);
        };
        if !self.rows.contains_key(&head)
            && let Some(row) = unit.case(&head).await?
        {
            self.keep(row, Fate::Read);
        }
        let free = self.rows.get_mut(&head).filter(|(row, _)| {
            matches!(row.case.state(), CaseState::Open | CaseState::OnHold)
                && row.case.queue == case.queue
                && row.case.grouped_event_ids.len() < GROUP_LIMIT
        });
        let Some((row, fate)) = free else {
            // Nobody must decide about what came after they looked: this one is the next head.
            self.floods.set_head(case);
            return Ok(false);
        };
        let event = case.event.clone().unwrap_or_default();
        let before = life::summary(&row.case);
        life::join(&mut row.case, &event.event_id, unit.now);
        if *fate == Fate::Read {
            *fate = Fate::Changed(false);
        }
        let after = life::summary(&row.case);
        let queue = row.case.queue.clone();
        let mut entry = Entry::change(SYSTEM, "case.group", &head, &queue, before, after);
        entry.payload.reason = format!("flood: {} joins it", case.name);
        unit.audit(entry);
        self.keep_grouped(case.name.clone(), head, case.clone(), true);
        self.report.grouped += 1;
        Ok(true)
    }

    pub(super) async fn withdraw(
        &mut self,
        unit: &mut Unit,
        event_id: &str,
        same: impl Fn(&CaseEvent) -> bool,
    ) -> Result<(), StoreError> {
        let names = self.by_event.get(event_id).cloned().unwrap_or_default();
        let fits = |case: &Case| case.event.as_ref().is_some_and(&same);
        let names: Vec<_> = names
            .into_iter()
            .filter(|name| {
                self.rows.get(name).is_some_and(|(row, _)| fits(&row.case))
                    || self
                        .grouped
                        .get(name)
                        .is_some_and(|one| !one.gone && fits(&one.case))
            })
            .collect();
        // Two platforms may use the same id; without its name nobody can tell which is meant.
        let [name] = names.as_slice() else {
            self.report.unchanged += 1;
            return Ok(());
        };
        if let Some(grouped) = self.grouped.get_mut(name) {
            grouped.gone = true;
            let head = grouped.head.clone();
            if !self.rows.contains_key(&head)
                && let Some(row) = unit.case(&head).await?
            {
                self.keep(row, Fate::Read);
            }
            if let Some((row, fate)) = self.rows.get_mut(&head) {
                life::part(&mut row.case, event_id, unit.now);
                if *fate == Fate::Read {
                    *fate = Fate::Changed(false);
                }
            }
            self.report.withdrawn += 1;
            return Ok(());
        }
        let Some((row, fate)) = self.rows.get_mut(name) else {
            return Ok(());
        };
        let before = life::summary(&row.case);
        let queue = row.case.queue.clone();
        if !life::withdraw(&mut row.case, unit.now) {
            self.report.unchanged += 1;
            return Ok(());
        }
        if *fate == Fate::Read {
            *fate = Fate::Changed(false);
        }
        let after = life::summary(&row.case);
        unit.audit(Entry::change(
            SYSTEM,
            "case.withdraw",
            name,
            &queue,
            before,
            after,
        ));
        self.report.withdrawn += 1;
        Ok(())
    }

    /// A queue that a verdict names is made if it is missing: nothing may be lost.
    async fn make_queue(&mut self, unit: &mut Unit, name: &str) -> Result<(), StoreError> {
        if unit.known_queue(name).await?.is_some() {
            return Ok(());
        }
        let queue = Queue {
            name: name.to_owned(),
            etag: "\"1\"".to_owned(),
            ..Queue::default()
        };
        let mut sql = Sql::new("INSERT INTO queues (name,body) VALUES (");
        sql.bind(name)
            .text(",")
            .bind(queue.encode_to_vec())
            .text(")");
        unit.write(&sql).await?;
        unit.forget_queue(name);
        unit.audit(Entry {
            actor: SYSTEM,
            action: "queue.create",
            resource: name,
            payload: Payload {
                reason: "a verdict names it".to_owned(),
                ..Payload::default()
            },
            watched: "",
        });
        Ok(())
    }

    pub(super) async fn write(mut self, unit: &mut Unit) -> Result<(), StoreError> {
        let mut new = Vec::with_capacity(self.new.len());
        let mut numbers = HashMap::new();
        for name in &self.new {
            new.extend(self.rows.remove(name).map(|(row, _)| row));
        }
        for row in &mut new {
            let warn_ms = unit.queue(&row.case.queue).await?.warn_ms;
            row.alarm = columns::alarm(row, warn_ms);
            numbers.insert(row.case.name.clone(), row.num);
        }
        let mut left = new.as_slice();
        while !left.is_empty() {
            let (some, more) = left.split_at(some_of(left.len()));
            unit.write(&columns::insert(some)).await?;
            left = more;
        }
        for (name, (mut row, fate)) in self.rows {
            numbers.insert(name, row.num);
            if let Fate::Changed(message) = fate {
                unit.put(&mut row, message).await?;
            }
        }
        for (name, grouped) in self.grouped {
            if grouped.gone {
                let mut sql = Sql::new("DELETE FROM grouped WHERE name=");
                sql.bind(&name);
                unit.write(&sql).await?;
            } else if grouped.changed {
                let event = grouped.case.event.clone().unwrap_or_default();
                let author = event.author.and_then(|author| author.id);
                let mut sql = Sql::new(
                    "INSERT INTO grouped (name,head,event_id,platform,author_id,body) VALUES ",
                );
                let row: Vec<Bind> = vec![
                    (&name).into(),
                    numbers.get(&grouped.head).copied().unwrap_or(0).into(),
                    (&event.event_id).into(),
                    (&event.platform).into(),
                    author.as_deref().unwrap_or("").into(),
                    grouped.case.encode_to_vec().into(),
                ];
                sql.rows([row]).text(
                    " ON CONFLICT (name) DO UPDATE SET author_id=excluded.author_id, \
                     body=excluded.body",
                );
                unit.write(&sql).await?;
            }
        }
        self.floods.write(unit).await
    }
}
