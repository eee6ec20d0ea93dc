//! What moderation means: events, labels, policy, verdicts and routes. Pure.
//!
//! Read in this order: [`event`], [`decode`], [`normalize`], [`labels`], [`policy`], [`decide`],
//! [`verdict`], [`route`]. Nothing here reads a clock, a random number or the environment, waits,
//! or knows of Kafka; whatever it needs comes in as an argument.

pub mod decide;
pub mod decode;
pub mod event;
pub mod ids;
mod json;
pub mod labels;
pub mod names;
pub mod normalize;
pub mod policy;
pub mod route;
pub mod verdict;

pub use decide::{Scored, decide, withdraw};
pub use decode::{DecodeOptions, Decoded, Incoming, Rejection, RejectionReason, decode};
pub use event::{Author, Channel, Event, Kind, Withdrawal};
pub use ids::{BrandId, EventId, OutputId, Source};
pub use labels::{Label, LabelSet, Probability, Scores, Threshold};
pub use normalize::{Text, TextFlag, normalize};
pub use policy::{Policy, PolicyErrors};
pub use route::{Route, Routes, routes};
pub use verdict::{Action, Priority, Reason, Review, Tier, Verdict};
