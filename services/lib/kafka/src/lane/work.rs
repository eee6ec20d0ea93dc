//! What a lane does while all is well: read, begin, process, send, commit.

use std::{ops::ControlFlow, time::Duration};

use super::{Commit, Estimate, Lane, Next, Step, Transaction};
use crate::{
    observer::Stage,
    transport::{Failure, Polled, Processor, Transport},
};

/// How long a commit that is under way is waited for before the lane looks for records again.
const LOOK: Duration = Duration::from_millis(1);
/// What is done ahead of a transaction takes no more memory than so many full batches.
const AHEAD_BATCHES: usize = 4;

impl<T: Transport, P: Processor> Lane<T, P> {
    /// Fills the batch until it is full, its time is over, or something else happened.
    pub(super) fn read(&mut self) -> Result<Step, Failure> {
        let began = self.clock.now();
        if self.stop_by.is_some() {
            self.next = self.after_batch_is_closed();
            return Ok(Step::Turned);
        }
        let already = self.batch.len();
        let mut deadline = self.read_until(began);
        // What is waiting is taken without a look at the clock; only when nothing is, the lane
        // waits for as long as it may.
        let mut timeout = Duration::ZERO;
        loop {
            match self.take(timeout) {
                ControlFlow::Break(turned) => return turned,
                ControlFlow::Continue(true) => {
                    if self.batch.len() == 1 {
                        deadline = self.read_until(self.batch_began);
                    }
                    if self.batch_is_full() {
                        break;
                    }
                    timeout = Duration::ZERO;
                }
                ControlFlow::Continue(false) => {
                    let now = self.clock.now();
                    if now >= deadline {
                        break;
                    }
                    timeout = deadline - now;
                }
            }
        }
        let now = self.clock.now();
        self.observer.waited(Stage::Read, now - began);
        let due = self.transaction.is_some_and(|open| now >= open.commit_at);
        if due || self.batch_is_due(now) {
            self.next = self.after_batch_is_closed();
        }
        Ok(if self.batch.len() == already && !due {
            Step::Idle
        } else {
            Step::Turned
        })
    }

    /// Waits for one record: whether one came, or what ends the step because something else did.
    fn take(&mut self, timeout: Duration) -> ControlFlow<Result<Step, Failure>, bool> {
        match self.transport.poll(&mut self.batch, timeout) {
            Ok(Polled::Record) => {
                self.failures = 0;
                if let Err(failure) = self.note_last_record() {
                    return ControlFlow::Break(self.failed(failure));
                }
                if self.batch.len() == 1 {
                    self.batch_began = self.clock.now();
                }
                return ControlFlow::Continue(true);
            }
            Ok(Polled::Idle) => return ControlFlow::Continue(false),
            Ok(Polled::Assigned(assignments)) => self.assigned(&assignments),
            Ok(Polled::Revoked { partitions, lost }) => self.revoked(partitions, lost),
            Err(failure) => return ControlFlow::Break(self.failed(failure)),
        }
        ControlFlow::Break(Ok(Step::Turned))
    }

    /// Until when one step may wait for records: until the batch or the transaction is due.
    fn read_until(&self, now: Duration) -> Duration {
        let batch = if self.batch.is_empty() {
            now + self.settings.poll_timeout
        } else {
            self.batch_began
                + self
                    .settings
                    .batch_linger
                    .min(self.settings.commit_interval)
        };
        match self.transaction {
            Some(open) => batch.min(open.commit_at),
            None => batch,
        }
    }

    fn batch_is_full(&self) -> bool {
        self.batch.len() >= self.settings.batch_records
            || self.batch.byte_len() >= self.settings.batch_bytes
    }

    fn batch_is_due(&self, now: Duration) -> bool {
        self.batch_is_full() || !self.batch.is_empty() && now >= self.read_until(now)
    }

    pub(super) fn after_batch_is_closed(&self) -> Next {
        match (&self.transaction, self.has_unsent()) {
            (None, true) => Next::Begin,
            (Some(_), true) => Next::Process,
            (Some(_), false) => Next::Commit,
            (None, false) => self.after_transaction(),
        }
    }

    /// Whether records were read that no transaction holds.
    pub(super) fn has_unsent(&self) -> bool {
        self.prepared > 0 || !self.batch.is_empty()
    }

    pub(super) fn after_transaction(&self) -> Next {
        if self.revocation.is_some() {
            Next::Release
        } else if self.stop_by.is_some() {
            Next::Leave
        } else {
            Next::Read
        }
    }

    pub(super) fn begin(&mut self) -> Result<Step, Failure> {
        if let Err(failure) = self.transport.begin() {
            return self.failed(failure);
        }
        self.failures = 0;
        // Records must not wait longer than the interval: it counts from the start of the previous
        // commit, or after a pause from the first record, and this commit is to be done by then; a
        // fifth of it is for the ways from the event to the lane and from the verdict to its reader.
        // But a transaction stays open for at least as long as commits usually take, up to the
        // interval: a slow cluster must get larger transactions and not more of them, which would
        // never catch up. A single slow commit delays the next one little.
        let opened = match self.prepared {
            0 => self.batch_began,
            _ => self.prepared_began,
        };
        let interval = self.settings.commit_interval;
        let commit_at = self.last_commit.map_or(opened + interval, |last| {
            let since = match opened < last.began + interval {
                true => last.began,
                false => opened,
            };
            let ahead = last.takes.at_most().min(interval / 2);
            (since + interval * 4 / 5 - ahead).max(last.ended + interval.min(last.takes.mean()))
        });
        self.transaction = Some(Transaction {
            opened,
            commit_at,
            records: 0,
        });
        self.next = Next::Process;
        self.process()
    }

    pub(super) fn process(&mut self) -> Result<Step, Failure> {
        if !self.batch.is_empty() {
            self.prepare();
        }
        self.next = Next::Send;
        self.send()
    }

    /// Adds the batch to the outbox.
    fn prepare(&mut self) {
        let began = self.clock.now();
        if self.prepared == 0 {
            self.prepared_began = self.batch_began;
        }
        self.processor.process(&self.batch, &mut self.outbox);
        self.observer
            .waited(Stage::Process, self.clock.now() - began);
        self.prepared += self.batch.len();
        self.batch.clear();
    }

    pub(super) fn send(&mut self) -> Result<Step, Failure> {
        let began = self.clock.now();
        if let Err(failure) = self.transport.send(&self.outbox) {
            return self.failed(failure);
        }
        self.failures = 0;
        let now = self.clock.now();
        self.observer.waited(Stage::Send, now - began);
        let records = std::mem::take(&mut self.prepared);
        self.outbox.clear();
        self.next = Next::Read;
        if let Some(open) = &mut self.transaction {
            open.records += records;
            let due = now >= open.commit_at || open.records >= self.settings.commit_records;
            if due || self.revocation.is_some() || self.stop_by.is_some() {
                self.next = Next::Commit;
            }
        }
        Ok(Step::Worked { records })
    }

    /// Works on what follows the transaction that is being committed, for as long as that takes and
    /// at most one batch in a step: the next transaction can't begin before.
    pub(super) fn ahead(&mut self) -> Result<Step, Failure> {
        let began = self.clock.now();
        let until = self.commit_began.unwrap_or(began) + self.settings.commit_interval;
        let (mut is_under_way, mut idle) = (self.stop_by.is_none(), Duration::ZERO);
        while is_under_way && !self.batch_is_full() {
            match self.take(Duration::ZERO) {
                ControlFlow::Break(turned) => return turned,
                ControlFlow::Continue(true) => {}
                ControlFlow::Continue(false) => {
                    let before = self.clock.now();
                    let has_ended = self.transport.has_committed(LOOK);
                    let now = self.clock.now();
                    idle += now - before;
                    is_under_way = !has_ended && now < until;
                }
            }
        }
        let read = self.clock.now() - began - idle;
        self.observer.waited(Stage::Read, read);
        self.observer.waited(Stage::Commit, idle);
        if self.batch_is_full() {
            self.prepare();
        }
        let has_room = self.prepared < self.settings.commit_records
            && self.outbox.byte_len() < AHEAD_BATCHES * self.settings.batch_bytes;
        let goes_on = is_under_way && has_room && !self.transport.has_committed(Duration::ZERO);
        self.next = if goes_on { Next::Ahead } else { Next::Commit };
        Ok(Step::Turned)
    }

    pub(super) fn commit(&mut self) -> Result<Step, Failure> {
        let called = self.clock.now();
        if self.commit_began.is_none() {
            self.commit_began = Some(called);
            self.committing = self.ledger.to_commit();
            self.processor.sealed();
            let is_under_way = self.transport.start_commit(&self.committing);
            if is_under_way && self.revocation.is_none() && self.stop_by.is_none() {
                self.next = Next::Ahead;
                return self.ahead();
            }
        }
        let began = self.commit_began.unwrap_or(called);
        if let Err(failure) = self.transport.commit(&self.committing) {
            return self.failed(failure);
        }
        self.failures = 0;
        self.undone_in_a_row = 0;
        self.commit_began = None;
        self.ledger.committed(&self.committing);
        self.processor.committed();
        let now = self.clock.now();
        let takes = Estimate::after(self.last_commit.map(|last| last.takes), now - began);
        self.last_commit = Some(Commit {
            began,
            ended: now,
            takes,
        });
        let (opened, records) = self
            .transaction
            .take()
            .map_or((began, 0), |open| (open.opened, open.records));
        let (since_begin, duration) = (now - opened, now - began);
        self.observer.waited(Stage::Commit, now - called);
        self.observer.committed(records, since_begin, duration);
        // What was read meanwhile is done before partitions are let go or the lane leaves.
        let waits = self.prepared > 0 || self.revocation.is_some() || self.stop_by.is_some();
        self.next = if waits {
            self.after_batch_is_closed()
        } else {
            self.after_transaction()
        };
        Ok(Step::Committed {
            records,
            since_begin,
            duration,
        })
    }
}
