//! Records in, transactions out.
//!
//! A *lane* is one thread that owns a consumer, a processor and a transactional producer. This
//! crate has never heard of moderation: it moves [`Record`]s from input topics through a
//! [`Processor`] to output topics, and commits what it wrote together with how far it read.

pub mod admin;
pub mod batch;
pub mod client;
pub mod clock;
pub mod lane;
pub mod ledger;
pub mod observer;
pub mod offsets;
pub mod outbox;
pub mod reader;
pub mod settings;
#[cfg(feature = "sim")]
pub mod sim;
pub mod transport;

pub use batch::{Batch, Headers, Record};
pub use clock::{Clock, StopFlag, SystemClock};
pub use lane::{Ended, Lane, LaneSettings, Step};
pub use ledger::Ledger;
pub use observer::{Observer, Stage};
pub use offsets::{NextOffset, RecordOffset, TopicPartition};
pub use outbox::{OutRecord, Outbox};
pub use transport::{Assignment, Failure, FailureKind, Polled, Processor, Transport};
