//! The review queue: escalations in from Kafka, cases to people over gRPC, decisions back to Kafka.

pub mod audit;
pub mod auth;
pub mod calendar;
pub mod caller;
pub mod ends;
pub mod error;
pub mod filter;
pub mod intake;
pub mod life;
mod limits;
pub mod metrics;
pub mod outbox;
pub mod queue;
pub mod rank;
pub mod run;
pub mod server;
pub mod service;
pub mod settings;
pub mod store;
pub mod times;

pub use caller::{Caller, Granted};
pub use error::{Refusal, StoreError};
pub use filter::Filter;
pub use life::Act;
pub use store::{Store, StoreSettings};
