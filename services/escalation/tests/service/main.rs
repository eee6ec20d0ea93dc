//! The service as its callers see it: a real server, real connections, SQLite in a folder.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test ends at the first surprise"
)]

mod auth;
mod bad_input;
mod claim;
mod faults;
mod life;
mod limits;
mod mtls;
mod process;
mod roles;
mod scoring;
mod settings;
mod stock_client;
mod support;
mod visibility;
mod watch;
