//! Whole-path tests: the harness that starts real parts, and the scenarios.
//!
//! A scenario is a test binary of its own that runs through a [`Suite`]: when a part is missing on
//! this machine (Java, for example) its cases are reported as *ignored* with the reason, and where
//! the environment names `CI` they fail.

mod account;
mod flow;
mod kafka;
mod postgres;
mod program;
mod records;
#[cfg(feature = "suite")]
mod suite;
mod worker;

pub use account::{Account, Audit};
pub use flow::Flow;
pub use kafka::{Listener, RealKafka, StartError};
pub use postgres::RealPostgres;
pub use program::program;
pub use records::{Isolation, Seen, Topics};
#[cfg(feature = "suite")]
pub use suite::{Part, Suite};
pub use worker::{Event, Job, Worker, work_if_asked};
