//! Runs cases that need real parts, and says which part was missing when they could not run.

use std::{
    process::ExitCode,
    sync::{Arc, OnceLock},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::StartError;

/// A real part that cases share: started by the first case that needs it, stopped when the suite
/// is over.
pub struct Part<T> {
    started: OnceLock<Result<T, StartError>>,
    start: fn() -> Result<T, StartError>,
}

impl<T> Part<T> {
    /// A part that `start` makes when it is first needed.
    #[must_use]
    pub fn new(start: fn() -> Result<T, StartError>) -> Arc<Self> {
        Arc::new(Self {
            started: OnceLock::new(),
            start,
        })
    }

    /// The part, started if it was not.
    ///
    /// # Errors
    /// What starting it answered, the same for every case.
    pub fn get(&self) -> Result<&T, &StartError> {
        self.started.get_or_init(self.start).as_ref()
    }
}

/// The cases of one scenario.
#[derive(Default)]
pub struct Suite {
    cases: Vec<Trial>,
    in_turn: bool,
}

impl Suite {
    /// Adds a case that needs `part`. A case fails by panicking or by an error.
    #[must_use]
    pub fn case<T: Send + Sync + 'static>(
        mut self,
        name: &str,
        part: &Arc<Part<T>>,
        run: fn(&T) -> anyhow::Result<()>,
    ) -> Self {
        let part = part.clone();
        self.cases.push(Trial::ignorable_test(name, move || {
            let missing = match part.get() {
                Ok(part) => match run(part) {
                    Ok(()) => return Ok(Completion::Completed),
                    Err(error) => match error.downcast_ref::<StartError>() {
                        Some(StartError::Missing(reason)) => reason.clone(),
                        _ => return Err(Failed::from(format!("{error:#}"))),
                    },
                },
                Err(StartError::Missing(reason)) => reason.clone(),
                Err(failed) => return Err(Failed::from(failed.to_string())),
            };
            if std::env::var_os("CI").is_some() {
                Err(Failed::from(format!(
                    "{missing} (missing parts are failures where CI is set)"
                )))
            } else {
                Ok(Completion::ignored_with(missing))
            }
        }));
        self
    }

    /// Runs one case after the other: each may break the part that they share.
    #[must_use]
    pub fn in_turn(mut self) -> Self {
        self.in_turn = true;
        self
    }

    /// Runs the cases that the command line asks for, as `cargo test` does.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        if self.in_turn {
            arguments.test_threads = Some(1);
        }
        libtest_mimic::run(&arguments, self.cases).exit_code()
    }
}
