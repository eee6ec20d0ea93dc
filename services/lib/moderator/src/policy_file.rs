//! The policy in force, and the thread that takes a changed file or refuses it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;
use tidegate_chassis::shutdown::Shutdown;
use tidegate_core::policy::Policy;

use crate::metrics;

/// The policy in force. Clones share it; a lane reads it once per batch.
#[derive(Clone)]
pub struct PolicyInForce(Arc<ArcSwap<Policy>>);

/// A policy file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It can't be read.
    #[error("read policy {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It has mistakes; all of them are listed.
    #[error("policy {path} is not used:\n{errors}")]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// Every mistake, with its line.
        errors: tidegate_core::policy::PolicyErrors,
    },
}

impl PolicyInForce {
    /// The policy of `file`, or the one that Tidegate ships.
    pub fn load(file: Option<&Path>) -> Result<Self, PolicyFileError> {
        let policy = file.map_or_else(|| Ok(Policy::default_policy()), read)?;
        metrics::policy_in_force(policy.version(), None);
        Ok(Self(Arc::new(ArcSwap::from_pointee(policy))))
    }

    /// The policy now.
    #[must_use]
    pub fn get(&self) -> Arc<Policy> {
        self.0.load_full()
    }

    /// Looks at `file` every `interval` until shutdown. A changed file replaces the policy; one
    /// with mistakes is logged, counted and leaves the old one in force.
    ///
    /// The content is compared rather than watched for: an orchestrator swaps links, not bytes.
    pub fn watch(
        &self,
        file: PathBuf,
        interval: Duration,
        shutdown: Shutdown,
    ) -> std::io::Result<JoinHandle<()>> {
        let policy = self.clone();
        let mut seen = fs::read(&file).unwrap_or_default();
        thread::Builder::new()
            .name("policy".to_owned())
            .spawn(move || {
                while !shutdown.wait_for(interval) {
                    // A file that is away for a moment is being replaced.
                    let Ok(now) = fs::read(&file) else { continue };
                    if now != seen {
                        policy.take(&file);
                        seen = now;
                    }
                }
            })
    }

    fn take(&self, file: &Path) {
        match read(file) {
            Ok(new) => {
                let before = self.get();
                metrics::policy_in_force(new.version(), Some(before.version()));
                metrics::policy_reloaded("taken");
                tracing::info!(
                    version = new.version(),
                    before = before.version(),
                    "policy taken"
                );
                self.0.store(Arc::new(new));
            }
            Err(error) => {
                metrics::policy_reloaded("refused");
                tracing::error!(%error, version = self.get().version(), "changed policy refused: the one in force stays");
            }
        }
    }
}

/// Reads and checks a policy file.
///
/// # Errors
/// The file can't be read or has mistakes.
pub fn read(path: &Path) -> Result<Policy, PolicyFileError> {
    let text = fs::read_to_string(path).map_err(|source| PolicyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    Policy::parse(&text).map_err(|errors| PolicyFileError::Mistakes {
        path: path.to_owned(),
        errors,
    })
}
