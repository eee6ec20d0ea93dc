//! A cluster in this process, for tests: logs, transactions, a consumer group and faults, all from
//! one seed, so that whatever goes wrong goes wrong again.
//!
//! It keeps the rules that exactly-once rests on: aborted records are never read, an open
//! transaction holds readers back, a new producer fences its predecessor, offsets are stored with
//! the transaction and only for a member of the group's current generation, and nobody starts
//! reading where offsets are pending. [`Flaws`] switches single rules off, to show that the check
//! notices.
//!
//! ```
//! # use tidegate_kafka::{Batch, Outbox, Processor, sim::{Faults, Input, Scenario}};
//! struct Copy;
//! impl Processor for Copy {
//!     fn process(&mut self, batch: &Batch, outbox: &mut Outbox) {
//!         for record in batch.records() {
//!             let payload = record.payload.unwrap_or_default();
//!             let source = format!("{}:{}", record.partition, record.offset.0);
//!             let headers = [("source", Some(source.as_bytes()))];
//!             outbox.push(0, record.key, headers, Some(|out: &mut Vec<u8>| out.extend(payload)));
//!         }
//!     }
//!     fn committed(&mut self) {}
//!     fn aborted(&mut self) {}
//! }
//! let outcome = Scenario::new(7)
//!     .input("in", 2, (0..20).map(|n| Input::new(format!("key-{}", n % 3), format!("{n}"))))
//!     .output("out", 2)
//!     .faults(Faults::many())
//!     .run(|_lane| Copy)
//!     .unwrap();
//! assert_eq!(outcome.outputs("out").count(), 20);
//! ```

mod check;
mod clock;
mod cluster;
mod faults;
mod group;
mod log;
mod run;
mod scenario;
mod transport;
mod upstream;

pub use check::{Source, Violation};
pub use clock::SimClock;
pub use faults::{Faults, Flaws};
pub use log::SimRecord;
pub use scenario::{Input, Outcome, Scenario, Stats, Stuck};
pub use transport::SimTransport;
