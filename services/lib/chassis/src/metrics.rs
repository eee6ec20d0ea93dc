//! Metrics: each process declares its own in one catalogue, and exports nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use metrics::SetRecorderError;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusRecorder};

/// The unit of a value. Only base units: seconds, bytes, counts, ratios from 0 to 1.
pub use metrics::Unit;

use crate::build_info::BUILD_INFO;

/// Bucket edges for how long a step takes, in seconds; 0.1, 0.12 and 0.25 are limits that are
/// promised, and so are edges.
pub const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.12, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0,
];

/// Bucket edges for how old an event is when its verdict is committed, in seconds.
pub const EVENT_AGE_SECONDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.12, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// Bucket edges for sizes of batches, in items.
pub const COUNTS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0,
];

/// What a metric does over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricKind {
    /// Only grows; the name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size, with these bucket edges.
    Histogram(&'static [f64]),
}

/// One metric of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricDef {
    /// The full name: `tidegate_`, what it is, its unit, and `_total` for a counter.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
    /// The unit of the value.
    pub unit: Unit,
    /// One sentence for whoever meets it in Grafana.
    pub help: &'static str,
    /// The names of its labels, each with a small closed set of values.
    pub labels: &'static [&'static str],
}

impl MetricDef {
    /// A counter.
    #[must_use]
    pub const fn counter(
        name: &'static str,
        unit: Unit,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self::of(name, MetricKind::Counter, unit, help, labels)
    }

    /// A gauge.
    #[must_use]
    pub const fn gauge(
        name: &'static str,
        unit: Unit,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self::of(name, MetricKind::Gauge, unit, help, labels)
    }

    /// A histogram with these bucket edges.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        buckets: &'static [f64],
        unit: Unit,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self::of(name, MetricKind::Histogram(buckets), unit, help, labels)
    }

    const fn of(
        name: &'static str,
        kind: MetricKind,
        unit: Unit,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            kind,
            unit,
            help,
            labels,
        }
    }

    fn describe(&self) {
        let (name, unit, help) = (self.name, self.unit, self.help);
        match self.kind {
            MetricKind::Counter => metrics::describe_counter!(name, unit, help),
            MetricKind::Gauge => metrics::describe_gauge!(name, unit, help),
            MetricKind::Histogram(_) => metrics::describe_histogram!(name, unit, help),
        }
        // A counter that exists from the start lets a rate see its first increase.
        if self.kind == MetricKind::Counter && self.labels.is_empty() {
            metrics::counter!(name).increment(0);
        }
    }

    /// What is wrong with the definition, by the naming rules of Prometheus and of this project.
    fn faults(&self) -> Vec<String> {
        let name = self.name;
        let mut faults = Vec::new();
        let mut require = |holds: bool, fault: &str| {
            if !holds {
                faults.push(format!("{name} {fault}"));
            }
        };
        let valid = |text: &str| {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(legal)
        };
        require(valid(name), "must be lower case with underscores");
        require(name.starts_with("tidegate_"), "must begin with tidegate_");
        let counter = self.kind == MetricKind::Counter;
        require(
            counter == name.ends_with("_total"),
            "must end in _total if it is a counter, and only then",
        );
        let base = name.strip_suffix("_total").unwrap_or(name);
        match self.unit {
            Unit::Seconds => require(base.ends_with("_seconds"), "must say _seconds"),
            Unit::Bytes => require(base.ends_with("_bytes"), "must say _bytes"),
            Unit::Count => {}
            _ => require(false, "must be in seconds, bytes or counts"),
        }
        require(!self.help.is_empty(), "needs a help text");
        for label in self.labels {
            require(valid(label), "has a label that is not lower case");
            let reserved = ["le", "quantile", "job", "instance"].contains(label);
            require(!reserved, "has a label that Prometheus keeps for itself");
        }
        if let MetricKind::Histogram(buckets) = self.kind {
            let rising = buckets.windows(2).all(|pair| pair[0] < pair[1]);
            require(!buckets.is_empty() && rising, "needs rising bucket edges");
        }
        faults
    }
}

/// All metrics that a process may export.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    defs: Vec<MetricDef>,
}

impl Catalogue {
    /// The chassis's own metrics, to which a process adds its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default().with(&[BUILD_INFO])
    }

    /// Adds the metrics of one part.
    #[must_use]
    pub fn with(mut self, defs: &[MetricDef]) -> Self {
        self.defs.extend_from_slice(defs);
        self
    }

    /// All definitions, in the order in which they were added.
    #[must_use]
    pub fn defs(&self) -> &[MetricDef] {
        &self.defs
    }

    /// What is wrong with the names, units, labels and buckets: empty when all is well. A test of
    /// each process asks this.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let twice = self.defs.iter().filter(|def| !seen.insert(def.name));
        let twice = twice.map(|def| format!("{} is declared twice", def.name));
        twice
            .chain(self.defs.iter().flat_map(MetricDef::faults))
            .collect()
    }

    /// What a scrape exports that the catalogue does not declare: unknown names, other kinds,
    /// unknown labels. `process_*` is free. Empty when the scrape keeps the contract.
    #[must_use]
    pub fn breaches(&self, scrape: &str) -> Vec<String> {
        let mut found = BTreeSet::new();
        for line in scrape.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
                if let Some(def) = self.find(name, "") {
                    let declared = match def.kind {
                        MetricKind::Counter => "counter",
                        MetricKind::Gauge => "gauge",
                        MetricKind::Histogram(_) => "histogram",
                    };
                    if kind != declared {
                        found.insert(format!("{name} is a {kind}, declared as {declared}"));
                    }
                }
            }
            if line.starts_with('#') || line.starts_with("process_") {
                continue;
            }
            let end = line.find(['{', ' ']).unwrap_or(line.len());
            let (name, rest) = line.split_at(end);
            let suffixes = ["", "_bucket", "_sum", "_count"];
            match suffixes.iter().find_map(|suffix| self.find(name, suffix)) {
                None => {
                    found.insert(format!("{name} is not in the catalogue"));
                }
                Some(def) => {
                    for label in label_names(rest) {
                        let edge = label == "le" && name.ends_with("_bucket");
                        if !edge && !def.labels.contains(&label.as_str()) {
                            found.insert(format!("{name} has the undeclared label {label}"));
                        }
                    }
                }
            }
        }
        found.into_iter().collect()
    }

    /// The definition that a line called `name` belongs to when its family is made by taking
    /// `suffix` away; only histograms have suffixes.
    fn find(&self, name: &str, suffix: &str) -> Option<&MetricDef> {
        let family = name.strip_suffix(suffix)?;
        let histogram = |def: &MetricDef| matches!(def.kind, MetricKind::Histogram(_));
        let of = |def: &&MetricDef| def.name == family && (suffix.is_empty() || histogram(def));
        self.defs.iter().find(of)
    }
}

/// The label names of `{a="x",b="y"} 1`; values may hold anything, escaped.
fn label_names(rest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut name, mut quoted, mut escaped) = (String::new(), false, false);
    for c in rest.strip_prefix('{').unwrap_or_default().chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '}' => break,
            '=' => names.push(std::mem::take(&mut name)),
            ',' => name.clear(),
            c => name.push(c),
        }
    }
    names
}

/// Why there can be no metrics.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A histogram's buckets are refused.
    #[error("a histogram in the catalogue has no usable buckets: {0}")]
    Buckets(#[from] BuildError),
    /// Something in this process set up metrics before.
    #[error("metrics are already set up in this process")]
    Twice(#[from] SetRecorderError<Arc<PrometheusRecorder>>),
    /// The system refuses the thread that keeps histograms small.
    #[error("the metrics thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The metrics of a process, ready to be rendered. Clones share the values.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    process: metrics_process::Collector,
}

/// Makes the metrics the whole process's, so that the macros of the `metrics` crate reach them, and
/// keeps them small by a timer. Call it once.
///
/// # Errors
/// The catalogue's buckets are wrong, or metrics were set up before.
pub fn install(catalogue: &Catalogue) -> Result<Metrics, MetricsError> {
    let metrics = Metrics::build(catalogue)?;
    metrics::set_global_recorder(metrics.recorder.clone())?;
    let handle = metrics.recorder.handle();
    // Without upkeep, samples of histograms pile up until the next scrape, or for ever.
    thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            loop {
                thread::sleep(Duration::from_secs(5));
                handle.run_upkeep();
            }
        })?;
    Ok(metrics)
}

impl Metrics {
    /// Metrics of their own, not the process's; reach them with [`Metrics::scope`]. For tests.
    ///
    /// # Errors
    /// The catalogue's buckets are wrong.
    pub fn build(catalogue: &Catalogue) -> Result<Self, MetricsError> {
        let mut builder = PrometheusBuilder::new();
        for def in catalogue.defs() {
            if let MetricKind::Histogram(buckets) = def.kind {
                let name = Matcher::Full(def.name.to_owned());
                builder = builder.set_buckets_for_metric(name, buckets)?;
            }
        }
        let metrics = Self {
            recorder: Arc::new(builder.build_recorder()),
            process: metrics_process::Collector::default(),
        };
        metrics.scope(|| {
            metrics.process.describe();
            catalogue.defs().iter().for_each(MetricDef::describe);
        });
        Ok(metrics)
    }

    /// Runs `act` with the macros of the `metrics` crate, on this thread, reaching these metrics.
    pub fn scope<T>(&self, act: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&self.recorder, act)
    }

    /// The text that Prometheus scrapes, with fresh `process_*` values.
    #[must_use]
    pub fn render(&self) -> String {
        self.scope(|| self.process.collect());
        self.recorder.handle().render()
    }
}
