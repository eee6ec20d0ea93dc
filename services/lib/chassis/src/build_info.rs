//! What was built: version and commit, for the first log line and the `tidegate_build_info` gauge.

use crate::metrics::{MetricDef, Unit};

/// The version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, when the build was given it as `TIDEGATE_GIT_COMMIT`; `unknown` otherwise.
pub const COMMIT: &str = match option_env!("TIDEGATE_GIT_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The gauge that is always 1 and carries what was built in its labels.
pub const BUILD_INFO: MetricDef = MetricDef::gauge(
    "tidegate_build_info",
    Unit::Count,
    "What was built: always 1, the facts are in the labels.",
    &["service", "version", "commit"],
);

/// Sets [`BUILD_INFO`] for the process called `service`.
pub fn record(service: &'static str) {
    metrics::gauge!(BUILD_INFO.name, "service" => service, "version" => VERSION, "commit" => COMMIT)
        .set(1.0);
}
