//! A consumer process from start to end: settings, logs, ports, models, lanes, and an orderly end.

use tidegate_chassis::{
    exit::{Exit, Failure},
    process::{self, Parts, Process},
    settings::SettingsArgs,
};

use crate::{
    lanes::{LaneError, Lanes, StartError, Vitals},
    metrics,
    policy_file::PolicyInForce,
    settings::Settings,
};

/// Which of the two consumers a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Comments, and lines of live chat.
    Comments,
    /// Direct messages.
    Dms,
}

impl Service {
    /// The name, as in `tidegate-comments`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Comments => "comments",
            Self::Dms => "dms",
        }
    }

    /// The topic that it reads unless told otherwise.
    #[must_use]
    pub fn default_topic(self) -> &'static str {
        match self {
            Self::Comments => "comments.v1",
            Self::Dms => "dms.v1",
        }
    }
}

/// The command line of a consumer.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// The whole life of a consumer process.
#[must_use]
pub fn main(service: Service, args: &Args) -> Exit {
    process::end(|| {
        let mut settings: Settings = process::settings(&args.settings)?;
        settings.fill_in(service);
        let process = Process::start(
            service.name(),
            &settings.log,
            &settings.admin,
            &settings.shutdown,
            &metrics::catalogue(),
        )
        .map_err(|failure| failure.print())?;
        tracing::info!(
            brokers = settings.kafka.brokers,
            topics = settings.kafka.topics.join(","),
            group = settings.kafka.group_id,
            lanes = settings.lane.count,
            admin = %process.admin_address(),
            "started"
        );
        Ok(process.run(move |parts| work(&settings, service, &parts)))
    })
}

fn work(settings: &Settings, service: Service, parts: &Parts) -> Result<(), Failure> {
    // From the first moment on, so that no probe sees a process without parts as ready.
    let loading = parts.readiness.part("models");
    loading.not_ready("loading");
    let policy = PolicyInForce::load(settings.policy.file.as_deref()).map_err(Failure::config)?;
    if let Some(file) = settings.policy.file.clone() {
        policy.watch(file, settings.policy.check_every, parts.shutdown.clone())?;
    }
    let vitals = Vitals {
        readiness: parts.readiness.clone(),
        liveness: parts.liveness.clone(),
    };
    let lanes = Lanes::start(settings, service, &policy, &vitals, None)
        .map_err(StartError::into_failure)?;
    loading.ready();
    lanes.run(&parts.shutdown).map_err(LaneError::into_failure)
}

impl StartError {
    fn into_failure(self) -> Failure {
        match self {
            Self::Connect(_) => Failure::config(self),
            Self::Models(_) | Self::Thread(_) => Failure::unavailable(self),
        }
    }
}

impl LaneError {
    fn into_failure(self) -> Failure {
        match self {
            Self::Failed(_) => Failure::unavailable(self),
            Self::Panicked => Failure::new(Exit::Software, self),
        }
    }
}
