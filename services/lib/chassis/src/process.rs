//! The start and the end that every process shares, so that its own `main` tells only its story:
//!
//! ```no_run
//! use tidegate_chassis::exit::Exit;
//! use tidegate_chassis::logs::LogSettings;
//! use tidegate_chassis::metrics::Catalogue;
//! use tidegate_chassis::process::{self, Process};
//! use tidegate_chassis::settings::{Mistakes, SettingsArgs, Validate};
//!
//! #[derive(clap::Parser)]
//! struct Args {
//!     #[command(flatten)]
//!     settings: SettingsArgs,
//! }
//!
//! #[derive(Default, serde::Serialize, serde::Deserialize)]
//! #[serde(default)]
//! struct Settings {
//!     log: LogSettings,
//!     admin: tidegate_chassis::admin::AdminSettings,
//!     shutdown: tidegate_chassis::shutdown::ShutdownSettings,
//! }
//!
//! impl Validate for Settings {
//!     fn validate(&self, mistakes: &mut Mistakes) {
//!         mistakes.within("log", |m| self.log.validate(m));
//!         mistakes.within("shutdown", |m| self.shutdown.validate(m));
//!     }
//! }
//!
//! fn main() -> Exit {
//!     process::end(|| {
//!         let args: Args = process::arguments()?;
//!         let settings: Settings = process::settings(&args.settings)?;
//!         let process = Process::start(
//!             "comments",
//!             &settings.log,
//!             &settings.admin,
//!             &settings.shutdown,
//!             &Catalogue::new(),
//!         )
//!         .map_err(|failure| failure.print())?;
//!         Ok(process.run(|parts| {
//!             let ready = parts.readiness.part("loop");
//!             let beat = parts.liveness.heartbeat("loop", std::time::Duration::from_secs(60));
//!             ready.ready();
//!             while !parts.shutdown.is_requested() {
//!                 beat.beat();
//!             }
//!             beat.finish();
//!             Ok(())
//!         }))
//!     })
//! }
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::{Admin, AdminServer, AdminSettings, Shown};
use crate::build_info::{self, COMMIT, VERSION};
use crate::exit::{Exit, Failure};
use crate::health::{Liveness, Readiness};
use crate::logs::{self, LogSettings};
use crate::metrics::{self, Catalogue, Metrics};
use crate::settings::{self, SettingsArgs, Validate};
use crate::shutdown::{Shutdown, ShutdownSettings, run_to_completion};

/// Lets `main` use `?` with an early [`Exit`].
#[must_use]
pub fn end(story: impl FnOnce() -> Result<Exit, Exit>) -> Exit {
    story().unwrap_or_else(|early| early)
}

/// Reads the command line.
///
/// # Errors
/// [`Exit::Clean`] after help or version was printed, [`Exit::Usage`] after what is wrong was.
pub fn arguments<A: Parser>() -> Result<A, Exit> {
    A::try_parse().map_err(|error| {
        let exit = if error.use_stderr() {
            Exit::Usage
        } else {
            Exit::Clean
        };
        // A closed pipe (`--help | head`) is no reason to fail.
        error.print().ok();
        exit
    })
}

/// Reads the settings from the flags' file, the environment and the flags.
///
/// # Errors
/// [`Exit::Config`] after all mistakes were printed to stderr; [`Exit::Clean`] after
/// `--print-settings` printed the result to stdout.
pub fn settings<S>(args: &SettingsArgs) -> Result<S, Exit>
where
    S: DeserializeOwned + Serialize + Validate,
{
    let settings: S =
        settings::load(&args.sources()).map_err(|errors| Failure::from(errors).print())?;
    if args.print_settings {
        let text = settings::effective(&settings).map_err(|error| Failure::from(error).print())?;
        print!("{text}");
        return Err(Exit::Clean);
    }
    Ok(settings)
}

/// A process that has logs, metrics, an admin port that answers, and listens to signals.
pub struct Process {
    parts: Parts,
    admin: AdminServer,
    deadline: Duration,
}

/// What the work of a process reports to and listens to. Clones are the same.
#[derive(Clone)]
pub struct Parts {
    /// Says when to end.
    pub shutdown: Shutdown,
    /// Where parts say that they are ready.
    pub readiness: Readiness,
    /// Where loops beat.
    pub liveness: Liveness,
    /// The metrics of the process.
    pub metrics: Metrics,
}

impl Process {
    /// Starts everything but the work. The admin port is taken first of all.
    ///
    /// # Errors
    /// The port is taken, or logs, metrics or signals cannot be set up.
    pub fn start(
        service: &'static str,
        log: &LogSettings,
        admin: &AdminSettings,
        shutdown: &ShutdownSettings,
        catalogue: &Catalogue,
    ) -> Result<Self, Failure> {
        let port = Admin::bind(admin)?;
        logs::init(log)?;
        tracing::info!(service, version = VERSION, commit = COMMIT, "starting");
        let deadline = shutdown.deadline;
        let shutdown = Shutdown::on_signals()?;
        let metrics = metrics::install(catalogue)?;
        build_info::record(service);
        let readiness = Readiness::until(&shutdown);
        let liveness = Liveness::new();
        let shown = Shown {
            service,
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            liveness: liveness.clone(),
        };
        Ok(Self {
            admin: port.spawn(shown)?,
            parts: Parts {
                shutdown,
                readiness,
                liveness,
                metrics,
            },
            deadline,
        })
    }

    /// The address of the admin port.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Runs the work until it ends or must end; the admin port answers all the while.
    #[must_use]
    pub fn run(self, work: impl FnOnce(Parts) -> Result<(), Failure> + Send + 'static) -> Exit {
        let parts = self.parts.clone();
        run_to_completion(&self.parts.shutdown, self.deadline, move || work(parts))
    }
}
