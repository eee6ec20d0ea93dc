//! The life of a case: what may be done when, by whom, and what it changes. Pure.

use tidegate_proto::{escalation::v1::Outcome, events::v1::Label};

/// What someone wants to do with a case.
#[derive(Clone, PartialEq, Eq)]
pub enum Act {
    /// Take it.
    Claim,
    /// Renew the lease. Changes no etag.
    Heartbeat,
    /// Give it back.
    Release {
        /// Whether the caller does not want to be offered it again.
        skip: bool,
        /// Why, in words.
        reason: String,
    },
    /// Put it aside.
    Hold {
        /// Why, in words. Required.
        reason: String,
        /// When it returns: milliseconds since the Unix epoch.
        return_ms: i64,
    },
    /// Reserve it for an agent, move it, or both.
    Assign {
        /// `agents/{agent}`; empty: anyone.
        agent: String,
        /// `queues/{queue}`; empty: as it is.
        queue: String,
        /// Why, in words.
        reason: String,
    },
    /// Add a remark.
    Note {
        /// The remark.
        text: String,
    },
    /// Decide it.
    Resolve {
        /// What is decided.
        outcome: Outcome,
        /// The labels as the caller sees them.
        labels: Vec<Label>,
        /// Why, in words.
        comment: String,
    },
    /// Enter an objection.
    OpenAppeal {
        /// Why. Required.
        reason: String,
    },
    /// Decide an objection.
    DecideAppeal {
        /// Whether the decision is changed.
        overturn: bool,
        /// The new decision, if it is.
        outcome: Outcome,
        /// The labels as the caller sees them.
        labels: Vec<Label>,
        /// Why, in words.
        comment: String,
    },
}
