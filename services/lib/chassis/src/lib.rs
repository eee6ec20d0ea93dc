//! What every process needs: settings, logs, metrics, probes and shutdown.
//!
//! A process is told in this order: [`settings::load`] reads everything and reports every mistake;
//! [`process::Process::start`] takes the admin port (so that a port that is taken is the first thing
//! to fail), then sets up logs, signals and metrics; [`process::Process::run`] does the work until
//! it ends or [`shutdown`] asks for it; an [`exit::Exit`] says how it went. Each piece can be used
//! alone. This crate knows nothing of what the process is for.

pub mod admin;
pub mod build_info;
pub mod exit;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod process;
pub mod settings;
pub mod shutdown;

/// Every process that uses this crate takes its memory from here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
