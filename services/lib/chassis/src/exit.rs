//! How a process ends: an exit code that a script can tell apart, and one log line.

use std::any::Any;
use std::error::Error;
use std::process::{ExitCode, Termination};

use crate::admin::AdminError;
use crate::settings::SettingsErrors;

/// The ways to end, with the codes of `sysexits.h`. `main` may return it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All work was finished.
    Clean = 0,
    /// The command line was wrong.
    Usage = 64,
    /// Something that the process cannot do without is not there: a port, a broker, a database.
    Unavailable = 69,
    /// The process itself failed, or did not finish by the deadline.
    Software = 70,
    /// The settings are wrong.
    Config = 78,
}

impl Exit {
    /// The number that the parent process sees.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

/// An error on its way to the end of the process. Any error becomes one through `?`: as
/// [`Exit::Config`] or [`Exit::Unavailable`] where this crate knows better, otherwise as
/// [`Exit::Software`].
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// An error that ends the process in this way.
    pub fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = error.into();
        Self { exit, error }
    }

    /// Something outside that is needed is not there.
    pub fn unavailable(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Unavailable, error)
    }

    /// The settings are wrong.
    pub fn config(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Config, error)
    }

    /// How the process ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes the error to stderr as one line for each cause, for the time before there are logs.
    #[must_use]
    pub fn print(&self) -> Exit {
        eprintln!("error: {self}");
        self.exit
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let known: &dyn Any = &error;
        let exit = if known.is::<SettingsErrors>() {
            Exit::Config
        } else if known.is::<AdminError>() {
            Exit::Unavailable
        } else {
            Exit::Software
        };
        Self::new(exit, error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.error)?;
        let mut cause = self.error.source();
        let mut said = self.error.to_string();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors already end with their cause.
            if !said.contains(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Mistakes, Sources, Validate, load};

    #[derive(serde::Deserialize)]
    struct Nothing {}

    impl Validate for Nothing {
        fn validate(&self, _: &mut Mistakes) {}
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the store cannot be opened")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn wrong_settings_end_with_78_and_other_errors_with_70() {
        let Err(errors) = load::<Nothing>(&Sources::none().set("a.b=c")) else {
            panic!("an unknown setting was accepted");
        };
        assert_eq!(Failure::from(errors).exit().code(), 78);
        let other = Failure::from(std::io::Error::other("full"));
        assert_eq!(other.exit().code(), 70);
    }

    #[test]
    fn a_failure_tells_its_causes_in_one_line_and_none_of_them_twice() {
        let failure = Failure::from(Outer(std::io::Error::other("disk is full")));
        assert_eq!(
            failure.to_string(),
            "the store cannot be opened: disk is full"
        );
        let said = Failure::unavailable("no broker answers");
        assert_eq!(said.to_string(), "no broker answers");
        assert_eq!(said.exit().code(), 69);
    }
}
