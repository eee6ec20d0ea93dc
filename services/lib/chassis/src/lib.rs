//! What every process needs: settings, logs, metrics, probes and shutdown.
//!
//! A process is told in this order: [`settings::load`], [`logs::init`], [`shutdown::Shutdown`],
//! [`admin::Admin::bind`] (a port that is taken is the first thing to fail), [`metrics::install`],
//! the work under [`shutdown::run_to_completion`], and an [`exit::Exit`] that says how it ended.
//! This crate knows nothing of what the process is for.

pub mod admin;
pub mod build_info;
pub mod exit;
pub mod health;
pub mod logs;
pub mod metrics;
pub mod settings;
pub mod shutdown;
