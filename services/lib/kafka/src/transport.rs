//! The seam between a lane and the cluster: what the real client and the simulation both offer.

use std::time::Duration;

use crate::{
    batch::Batch,
    offsets::{NextOffset, TopicPartition},
    outbox::Outbox,
};

/// What a [`Transport`] answered when it was polled. A closed list: everything that can wake a
/// lane is here.
#[derive(Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing arrived in time.
    Idle,
    /// One record was added to the batch.
    Record,
    /// Partitions were given to this lane; reading them has begun at what the group committed.
    Assigned(Vec<Assignment>),
    /// Partitions are to be taken away. The lane finishes or aborts its transaction, then answers
    /// with [`Transport::release`]; the group waits for that.
    Revoked {
        /// What is taken.
        partitions: Vec<TopicPartition>,
        /// The group has already given them to another (or will, without waiting): committing is
        /// no longer possible, the transaction must be aborted.
        lost: bool,
    },
}

/// A partition that was given to a lane, and where reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The partition.
    pub partition: TopicPartition,
    /// What the group had committed; `None` where it had committed nothing.
    pub committed: Option<NextOffset>,
}

/// What can be done about a [`Failure`]: the three branches that Kafka's transactional API leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Nothing is broken; the same call may be made again.
    Retry,
    /// The transaction must be aborted, the input rewound, and the work done again.
    Abort,
    /// The producer can't go on (fenced, or its transaction timed out on the broker): a new one
    /// is made under the same transactional id, which also aborts what the old one left open.
    Rebuild,
    /// Nothing that this process does will help (authorization, configuration); it should end
    /// with this message.
    Stop,
}

/// A call to the cluster that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{action}: {reason}")]
pub struct Failure {
    /// What can be done.
    pub kind: FailureKind,
    /// What was being done, in the present tense: "commit transaction".
    pub action: &'static str,
    /// What the client said, and for a [`FailureKind::Stop`] what to do about it.
    pub reason: String,
}

/// A consumer and a transactional producer, as one lane sees them. Every call may block its thread.
///
/// A call that failed with [`FailureKind::Retry`] is made again with the same arguments, and must
/// then have the effect of one call: a `send` that asks for it has added nothing, a `commit` goes
/// on where it was.
pub trait Transport {
    /// Waits up to `timeout` for the next thing to happen. A record is appended to `batch`.
    ///
    /// # Errors
    /// Reading is broken in a way that the client does not repair by itself; a broker that is
    /// away is not an error, the client reconnects.
    fn poll(&mut self, batch: &mut Batch, timeout: Duration) -> Result<Polled, Failure>;

    /// Answers [`Polled::Revoked`]: this lane has let go of `partitions`.
    fn release(&mut self, partitions: &[TopicPartition]) -> Result<(), Failure>;

    /// Opens a transaction.
    fn begin(&mut self) -> Result<(), Failure>;

    /// Adds records to the open transaction; returns when all are queued, not yet acknowledged.
    fn send(&mut self, outbox: &Outbox) -> Result<(), Failure>;

    /// Begins what [`commit`](Self::commit) does and returns at once; says whether it is under way.
    /// Then records may be polled, and `commit` with the same offsets (or [`abort`](Self::abort))
    /// is called before anything else. A transport that can't do this says no.
    fn start_commit(&mut self, offsets: &[(TopicPartition, NextOffset)]) -> bool {
        let _ = offsets;
        false
    }

    /// Whether `commit` would answer at once, since what [`start_commit`](Self::start_commit) began
    /// is over; waits up to `timeout` for that.
    fn has_committed(&mut self, timeout: Duration) -> bool {
        let _ = timeout;
        true
    }

    /// Waits for every record to be acknowledged, adds `offsets` to the transaction under the
    /// group's current generation, and commits both together.
    fn commit(&mut self, offsets: &[(TopicPartition, NextOffset)]) -> Result<(), Failure>;

    /// Aborts the open transaction: nothing in it will be seen by a `read_committed` reader.
    fn abort(&mut self) -> Result<(), Failure>;

    /// Reads on from these positions; records fetched ahead are dropped. `None` is the beginning
    /// or the reset policy.
    fn rewind(&mut self, to: &[(TopicPartition, Option<NextOffset>)]) -> Result<(), Failure>;

    /// Replaces a broken producer by a new one under the same transactional id.
    ///
    /// Nobody here can know whether the old one's last commit went through. So before the next
    /// record, every partition is assigned again (after [`Polled::Revoked`] with `lost`), at what
    /// the group has committed once the new producer has its identity.
    fn rebuild(&mut self) -> Result<(), Failure>;

    /// Leaves the group, so that others take over at once; nothing is called after it. Says
    /// whether that was done within `timeout`.
    fn leave(&mut self, timeout: Duration) -> bool {
        let _ = timeout;
        true
    }
}

/// What a lane does with records. Called again with the same records after an abort, so its
/// answer must depend on nothing but them.
pub trait Processor {
    /// Adds to the outbox what a batch must publish.
    fn process(&mut self, batch: &Batch, outbox: &mut Outbox);

    /// A commit begins: what was processed so far is in it, and what is processed from now on is
    /// not. Called before each [`committed`](Self::committed).
    fn sealed(&mut self) {}

    /// Everything processed before the last call to [`sealed`](Self::sealed) is committed.
    fn committed(&mut self);

    /// Everything that is not committed is undone, and will be processed again. (In one case it is
    /// not: the commit went through, but its answer was lost together with the producer.)
    fn aborted(&mut self);
}
