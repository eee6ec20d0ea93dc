//! Records in, transactions out.
//!
//! A *lane* is one thread that owns a consumer, a processor and a transactional producer. This
//! crate has never heard of moderation: it moves [`Record`]s from input topics through a
//! [`Processor`] to output topics, and commits what it wrote together with how far it read.

pub mod batch;
pub mod offsets;
pub mod outbox;
pub mod transport;

pub use batch::{Batch, Headers, Record};
pub use offsets::{NextOffset, RecordOffset, TopicPartition};
pub use outbox::{OutRecord, Outbox};
pub use transport::{Assignment, Failure, FailureKind, Polled, Processor, Transport};
