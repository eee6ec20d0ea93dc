//! What a lane does when partitions come and go, and when a call fails.

use super::{Ended, Lane, Next, Revocation, Step};
use crate::{
    ledger::Ledger,
    offsets::TopicPartition,
    transport::{Assignment, Failure, FailureKind, Processor, Transport},
};

impl<T: Transport, P: Processor> Lane<T, P> {
    pub(super) fn assigned(&mut self, assignments: &[Assignment]) {
        self.ledger.assign(assignments);
        let total = self.ledger.partitions();
        for Assignment {
            partition,
            committed,
        } in assignments
        {
            let from = committed.map(crate::NextOffset::get);
            tracing::info!(%partition, from, "assigned");
        }
        self.observer.assigned(assignments.len(), total);
    }

    pub(super) fn revoked(&mut self, partitions: Vec<TopicPartition>, lost: bool) {
        self.revocation = Some(Revocation { partitions, lost });
        self.next = if lost {
            self.undo("partitions were lost")
        } else if self.commit_began.is_some() {
            Next::Commit
        } else {
            self.after_batch_is_closed()
        };
    }

    pub(super) fn release(&mut self) -> Result<Step, Failure> {
        let Some(Revocation { partitions, lost }) = &self.revocation else {
            self.next = self.after_transaction();
            return Ok(Step::Turned);
        };
        if let Err(failure) = self.transport.release(partitions) {
            return self.failed(failure);
        }
        self.failures = 0;
        self.ledger.revoke(partitions);
        let total = self.ledger.partitions();
        for partition in partitions {
            tracing::info!(%partition, lost, "revoked");
        }
        self.observer.revoked(partitions.len(), total, *lost);
        self.revocation = None;
        self.next = self.after_transaction();
        Ok(Step::Turned)
    }

    /// The ledger's half of reading a record, which is the last in the batch.
    pub(super) fn note_last_record(&mut self) -> Result<(), Failure> {
        let record = self.batch.get(self.batch.len() - 1);
        self.ledger
            .record(record.topic, record.partition, record.offset)
            .map_err(|out_of_turn| Failure {
                kind: FailureKind::Abort,
                action: "read",
                reason: out_of_turn.to_string(),
            })
    }

    /// Decides what follows a failure of the call that [`Next`] names.
    pub(super) fn failed(&mut self, failure: Failure) -> Result<Step, Failure> {
        match (self.next, failure.kind) {
            (_, FailureKind::Stop) => return Err(failure),
            (_, FailureKind::Retry) | (Next::Rebuild | Next::Release, _) => {
                self.failures += 1;
                if self.failures == 1 {
                    tracing::warn!(%failure, "waiting, then trying again");
                } else {
                    tracing::debug!(%failure, attempt = self.failures, "trying again");
                }
                self.wait(self.failures);
            }
            // Without a transaction there is none to abort; and when an abort fails, or reading
            // can't be set back, only a new start leads to a known state.
            (Next::Begin | Next::Abort | Next::Rewind, FailureKind::Abort)
            | (_, FailureKind::Rebuild) => {
                self.undo(&failure.to_string());
                tracing::warn!(%failure, "the producer is replaced");
                self.broken = failure.to_string();
                self.next = Next::Rebuild;
            }
            (_, FailureKind::Abort) => self.next = self.undo(&failure.to_string()),
        }
        Ok(Step::Turned)
    }

    /// Takes back everything since the last commit, here; the transport follows in the steps to
    /// come, of which this returns the first.
    fn undo(&mut self, reason: &str) -> Next {
        self.failures = 0;
        self.commit_began = None;
        // The owner of these is no longer, or soon not, this lane.
        if let Some(revocation) = &self.revocation {
            self.ledger.revoke(&revocation.partitions);
        }
        let open = self.transaction.take();
        let records = open.map_or(0, |open| open.records) + self.prepared + self.batch.len();
        if open.is_none() && !self.has_unsent() {
            return Next::Rewind;
        }
        self.rewind_to = self.ledger.rewind();
        self.batch.clear();
        self.outbox.clear();
        self.prepared = 0;
        self.processor.aborted();
        self.observer.aborted(reason);
        tracing::warn!(
            reason,
            records,
            "aborting; these records will be read again"
        );
        if self.stop_by.is_some() {
            self.ended = Ended::Undone;
        }
        match open {
            Some(_) => Next::Abort,
            None => Next::Rewind,
        }
    }

    pub(super) fn abort(&mut self) -> Result<Step, Failure> {
        if let Err(failure) = self.transport.abort() {
            return self.failed(failure);
        }
        self.failures = 0;
        self.next = Next::Rewind;
        Ok(Step::Aborted)
    }

    pub(super) fn rewind(&mut self) -> Result<Step, Failure> {
        if !self.rewind_to.is_empty()
            && let Err(failure) = self.transport.rewind(&self.rewind_to)
        {
            return self.failed(failure);
        }
        self.start_over();
        Ok(Step::Turned)
    }

    pub(super) fn rebuild(&mut self) -> Result<Step, Failure> {
        if let Err(failure) = self.transport.rebuild() {
            return self.failed(failure);
        }
        // Where to read on is not known here: the last commit may have gone through. The
        // transport assigns everything again, at what the group has committed.
        self.ledger = Ledger::default();
        self.observer.rebuilt(&std::mem::take(&mut self.broken));
        self.start_over();
        Ok(Step::Rebuilt)
    }

    /// Ready to read again; later with every transaction in a row that was undone.
    fn start_over(&mut self) {
        self.failures = 0;
        self.rewind_to.clear();
        self.next = self.after_transaction();
        self.undone_in_a_row += 1;
        if self.next == Next::Read {
            self.wait(self.undone_in_a_row);
        }
    }

    fn wait(&mut self, failures: u32) {
        self.not_before = self.clock.now() + self.settings.backoff(failures);
    }
}
