//! The review queue: escalations in from Kafka, cases to people over gRPC, decisions back to Kafka.

pub mod caller;
pub mod error;
pub mod filter;
pub mod life;
pub mod store;
pub mod times;

pub use caller::{Caller, Granted};
pub use error::{Refusal, StoreError};
pub use filter::Filter;
pub use life::Act;
pub use store::{Store, StoreSettings};
