//! What a measurement was made on, without which its numbers mean nothing.

use std::{fmt, fs};

use serde::Serialize;
use tidegate_chassis::build_info::{COMMIT, VERSION};

/// The pom that names the version of Kafka which is started here.
const POM: &str = include_str!("../../../../deploy/kafka/pom.xml");

/// The machine, and the versions of what ran on it.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) memory_gib: Option<f64>,
    pub(super) system: String,
    pub(super) tidegate: String,
    /// `release`, or `debug` with which speed means nothing.
    pub(super) build: &'static str,
    pub(super) librdkafka: String,
    /// `None` where the cluster was given.
    pub(super) kafka: Option<String>,
    pub(super) onnx_runtime: Option<String>,
    pub(super) model: Option<String>,
    /// Processes that wanted to run, on average over a minute, before and after.
    pub(super) load: [Option<f64>; 2],
}

impl Machine {
    /// This machine, now.
    pub(super) fn look(has_own_kafka: bool) -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: field("/proc/meminfo", "MemTotal").and_then(|text| {
                let kib: f64 = text.trim_end_matches(" kB").parse().ok()?;
                Some(kib / f64::from(1 << 20))
            }),
            system: format!("{} {}", std::env::consts::OS, release.trim()),
            tidegate: format!("{VERSION} ({COMMIT})"),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
            librdkafka: rdkafka::util::get_rdkafka_version().1,
            kafka: has_own_kafka.then(|| between(POM, "<kafka.version>", "<").to_owned()),
            onnx_runtime: None,
            model: None,
            load: [load(), None],
        }
    }

    /// Notes how busy the machine was at the end.
    pub(super) fn ended(&mut self) {
        self.load[1] = load();
    }
}

fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or("", |(found, _)| found)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory_gib.unwrap_or_default();
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        writeln!(
            f,
            "{}, {} cores, {memory:.0} GiB, {}",
            self.cpu, self.cores, self.system
        )?;
        writeln!(
            f,
            "tidegate {} {} build, librdkafka {}, Kafka {}, ONNX Runtime {}, model {}",
            self.tidegate,
            self.build,
            self.librdkafka,
            known(&self.kafka),
            known(&self.onnx_runtime),
            known(&self.model),
        )?;
        let [before, after] = self.load.map(|load| load.unwrap_or(f64::NAN));
        write!(f, "load average {before:.1} before, {after:.1} after")?;
        if self.build == "debug" {
            write!(f, "\nthis is a debug build: its speed means nothing")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_kafka_is_read_from_the_pom() {
        let version = between(POM, "<kafka.version>", "<");
        assert!(version.split('.').count() == 3, "{version}");
    }
}
