//! The pipeline that the comment and DM consumers share.
//!
//! [`service::main`] is a consumer's whole life. Inside it, [`lanes::Lanes`] runs one
//! [`pipeline::Pipeline`] on each lane: collect, prepare, classify, conclude, publish.

mod conclude;
pub mod dead_letter;
pub mod lanes;
pub mod language;
pub mod metrics;
mod observer;
pub mod pipeline;
pub mod policy_file;
pub mod repeats;
pub mod service;
pub mod settings;
pub mod tally;
