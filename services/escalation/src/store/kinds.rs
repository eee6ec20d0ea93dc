//! What goes into the store and comes out of it, besides the contract's messages.

use tidegate_proto::escalation::v1::Case;

/// What came from the escalations topic.
pub enum Arrived {
    /// A case to open, or to bring up to date where the message has one. Name, state, etag and
    /// times of change are not looked at; `due_time` is the verdict's, and the queue's calendar is
    /// applied to what lies between it and `event.event_time`.
    Open(Box<Case>),
    /// The message is gone.
    Withdrawn {
        /// The platform's id of the message.
        event_id: String,
        /// The platform's name, if known.
        platform: Option<String>,
        /// The brand, if known.
        brand: Option<String>,
        /// The verdict's id.
        verdict_id: String,
    },
    /// It cannot be read, and is kept as it came.
    Unreadable(Box<Kept>),
}

/// A record that cannot be read.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it was.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Why, from a closed list.
    pub reason: &'static str,
    /// Which field, or where. Holds nothing that the record said.
    pub detail: String,
    /// Its key. May be personal.
    pub key: Vec<u8>,
    /// Its bytes. May be personal.
    pub value: Vec<u8>,
}

/// A record that could not be read, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it was: topic, partition, offset.
    pub position: (String, i32, i64),
    /// Why: the reason, and which field or where.
    pub reason: String,
    /// Its bytes. May be personal.
    pub value: Vec<u8>,
}

/// How far a partition was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// What this reader found stored when it began, or stored last; `None` where nothing was. If
    /// something else is stored now, another reader has gone on from there, and nothing is taken.
    pub known: Option<i64>,
    /// The next offset to read.
    pub next: i64,
}

/// What became of what arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeReport {
    /// New cases.
    pub opened: u64,
    /// Cases whose message was edited.
    pub updated: u64,
    /// Closed cases that the edit of their message opened again.
    pub reopened: u64,
    /// Messages of a flood that an open case stands for.
    pub grouped: u64,
    /// Cases closed because their message is gone.
    pub withdrawn: u64,
    /// What was known already, or had no case to close.
    pub unchanged: u64,
}

/// A change of a case, as a watcher sees it.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number in the audit trail: what a resume token holds.
    pub sequence: i64,
    /// The case as it is now; where it has gone to a queue that the caller does not see, its name
    /// alone.
    pub case: Case,
    /// Whether it fits the filter now, in a queue that the caller sees.
    pub fits: bool,
}

/// Changes after a number.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The changes, the oldest first, the last one of each case only.
    pub changes: Vec<Change>,
    /// Everything up to this number was looked at: go on after it.
    pub newest: i64,
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Leases that ended.
    pub expired: u64,
    /// Cases that returned from being on hold.
    pub returned: u64,
    /// Cases whose deadline is near, each with its queue: `(cases/…, queues/…)`.
    pub warned: Vec<(String, String)>,
    /// Cases whose deadline passed, each with the queue where it is now.
    pub breached: Vec<(String, String)>,
    /// Closed cases removed because they were old.
    pub removed: u64,
}
