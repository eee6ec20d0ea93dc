//! Cases in a writing transaction: what jobs change is written many rows at a time, at the
//! transaction's end or before anything is read that it could show in.

use std::collections::{BTreeMap, HashMap};

use super::{ROWS, Unit, padded};
use crate::{
    caller::Caller,
    error::{Refusal, StoreError},
    store::{
        columns::{self, Change, Row},
        sql::Sql,
    },
};

/// Changed cases that are not written yet.
#[derive(Default)]
pub(super) struct Changed {
    rows: BTreeMap<i64, (Row, Change)>,
    numbers: HashMap<String, i64>,
}

impl Changed {
    fn put(&mut self, row: Row, mut change: Change) {
        if let Some((_, earlier)) = self.rows.get(&row.num) {
            change = change.with(earlier);
        }
        self.numbers.insert(row.case.name.clone(), row.num);
        self.rows.insert(row.num, (row, change));
    }

    fn get(&self, name: &str) -> Option<&Row> {
        Some(&self.rows.get(self.numbers.get(name)?)?.0)
    }
}

impl Unit {
    /// Reads at once the cases that many jobs ask for.
    pub(super) async fn cases_ahead(&mut self, names: &[&str]) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::new(columns::SELECT);
        sql.text(" WHERE name").within(padded(names).copied());
        for row in self.read(&sql).await? {
            let row = Row::to_change(&row)?;
            self.ahead.insert(row.case.name.clone(), row);
        }
        Ok(())
    }

    /// A case by name, or nothing.
    pub(crate) async fn case(&mut self, name: &str) -> Result<Option<Row>, StoreError> {
        if let Some(row) = self.changed.get(name) {
            return Ok(Some(row.clone()));
        }
        if let Some(row) = self.ahead.remove(name) {
            return Ok(Some(row));
        }
        let mut sql = Sql::new(columns::SELECT);
        sql.text(" WHERE name=").bind(name);
        // Of what is changed and not written, none has this name.
        let rows = self.read(&sql).await?;
        rows.first().map(Row::to_change).transpose()
    }

    /// A case that the caller sees.
    pub(crate) async fn visible(&mut self, caller: &Caller, name: &str) -> Result<Row, StoreError> {
        let row = self.case(name).await?;
        row.filter(|row| caller.sees(&row.case.queue))
            .ok_or_else(|| Refusal::CaseNotFound.into())
    }

    /// Changes a case; `message` says whether its message changed as well.
    pub(crate) async fn put(&mut self, row: &mut Row, message: bool) -> Result<(), StoreError> {
        let warn_ms = self.queue(&row.case.queue).await?.warn_ms;
        row.alarm = columns::alarm(row, warn_ms);
        self.written += 1;
        self.ahead.remove(&row.case.name);
        if self.waiting.put(row) {
            self.read_skips(&[row.num]).await?;
        }
        let change = Change::of(row, message);
        // What is stored will be this; a later change must not take it for what was read.
        row.forget_stored();
        self.changed.put(row.clone(), change);
        Ok(())
    }

    /// Writes the changed cases.
    pub(super) async fn write_changed(&mut self) -> Result<(), StoreError> {
        if self.changed.rows.is_empty() {
            return Ok(());
        }
        let changed = std::mem::take(&mut self.changed);
        // By which columns change: an index of none of them is left alone.
        let mut alike: BTreeMap<Change, Vec<Row>> = BTreeMap::new();
        for (row, change) in changed.rows.into_values().filter(|(_, it)| !it.is_none()) {
            alike.entry(change).or_default().push(row);
        }
        for (change, rows) in alike {
            for rows in rows.chunks(ROWS) {
                let sql = columns::update(padded(rows), change);
                self.run(&sql).await?;
            }
        }
        Ok(())
    }
}
