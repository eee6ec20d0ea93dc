//! A consumer as a process of its own, which can be killed, put to sleep and asked to leave.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use tidegate_moderator::service::Service;

/// What every consumer of a run is told.
#[derive(Clone)]
pub(crate) struct Recipe {
    /// Settings as `section.key=value`.
    pub(crate) settings: Vec<String>,
    /// Where the logs go.
    pub(crate) logs: PathBuf,
}

/// A running consumer; dropping it kills it.
pub(crate) struct Consumer {
    /// Its name, which is also its `kafka.instance`.
    pub(crate) name: String,
    /// Which consumer it is.
    pub(crate) service: Service,
    child: Child,
    log: PathBuf,
    admin: Option<SocketAddr>,
}

/// What a consumer's metrics say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Vitals {
    /// Partitions that it reads.
    pub(crate) partitions: u64,
    /// Transactions that it committed.
    pub(crate) committed: u64,
    /// Transactions that it aborted.
    pub(crate) aborted: u64,
    /// Producers that it replaced.
    pub(crate) rebuilt: u64,
}

impl Consumer {
    /// Starts this very program as a consumer. `start` tells its log from that of earlier starts.
    /// To be called on a thread that lives as long as the consumer: it dies with that thread.
    ///
    /// # Errors
    /// The process or its log can't be made.
    pub(crate) fn start(
        recipe: &Recipe,
        service: Service,
        name: &str,
        own: &[String],
        start: u32,
    ) -> anyhow::Result<Self> {
        let log = recipe.logs.join(format!("{name}.{start}.log"));
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut command = Command::new(this_program()?);
        command.args(["run", service.name()]);
        let instance = format!("kafka.instance={name}");
        for setting in recipe.settings.iter().chain(own).chain([&instance]) {
            command.args(["--set", setting]);
        }
        // What the environment says is meant for a consumer of its own, not for these.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("TIDEGATE_") {
                command.env_remove(variable);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        die_with_parent(&mut command);
        let child = command.spawn().context("start a consumer")?;
        Ok(Self {
            name: name.to_owned(),
            service,
            child,
            log,
            admin: None,
        })
    }

    /// Where it writes what it has to say.
    #[must_use]
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system does not know this process.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends it as a crash does: SIGKILL.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops it in its tracks: SIGSTOP.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.signal(libc::SIGSTOP)
    }

    /// Lets it go on: SIGCONT.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        self.signal(libc::SIGCONT)
    }

    /// Asks it to leave in good order: SIGTERM.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn ask_to_leave(&self) -> anyhow::Result<()> {
        self.signal(libc::SIGTERM)
    }

    fn signal(&self, signal: i32) -> anyhow::Result<()> {
        let process = i32::try_from(self.child.id())?;
        // SAFETY: the child was not waited for, or `id` would belong to nobody; kill touches no
        // memory of this process.
        if unsafe { libc::kill(process, signal) } != 0 {
            return Err(std::io::Error::last_os_error()).context("signal a consumer");
        }
        Ok(())
    }

    /// What its metrics say; `None` while it does not answer.
    pub(crate) fn vitals(&mut self) -> Option<Vitals> {
        if self.admin.is_none() {
            self.admin = admin_address(&std::fs::read_to_string(&self.log).ok()?);
        }
        Some(read_vitals(&scrape(self.admin?)?))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Under Linux this very file, even if a newer build has taken its place meanwhile.
fn this_program() -> std::io::Result<PathBuf> {
    let link = Path::new("/proc/self/exe");
    if link.exists() {
        Ok(link.to_owned())
    } else {
        std::env::current_exe()
    }
}

/// The kernel ends the process when the thread that started it is gone, however that came.
fn die_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        let parent = std::process::id();
        let hook = move || {
            // SAFETY: both calls are safe between fork and exec and take no pointers.
            let (set, now) = unsafe {
                (
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
                    libc::getppid(),
                )
            };
            if set != 0 {
                return Err(std::io::Error::last_os_error());
            }
            if u32::try_from(now) != Ok(parent) {
                return Err(std::io::Error::other("the parent is gone"));
            }
            Ok(())
        };
        // SAFETY: the hook allocates nothing on its way to success.
        unsafe { command.pre_exec(hook) };
    }
}

/// The address of the admin port, from the line that a consumer logs at its start.
fn admin_address(log: &str) -> Option<SocketAddr> {
    #[derive(serde::Deserialize)]
    struct Line {
        admin: SocketAddr,
    }
    log.lines()
        .find_map(|line| serde_json::from_str::<Line>(line).ok())
        .map(|line| line.admin)
}

fn scrape(admin: SocketAddr) -> Option<String> {
    let patience = Duration::from_millis(500);
    let mut stream = TcpStream::connect_timeout(&admin, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: consumer\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn read_vitals(metrics: &str) -> Vitals {
    let sum = |name: &str, label: &str| {
        let values = metrics
            .lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
            .filter(|line| line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>() as u64
    };
    Vitals {
        partitions: sum("tidegate_assigned_partitions", ""),
        committed: sum("tidegate_transactions_total", "outcome=\"committed\""),
        aborted: sum("tidegate_transactions_total", "outcome=\"aborted\""),
        rebuilt: sum("tidegate_producer_rebuilds_total", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_address_is_found_in_the_log() {
        let log = "warming up\n{\"message\":\"other\"}\n\
            {\"level\":\"INFO\",\"message\":\"started\",\"admin\":\"127.0.0.1:4567\"}\n";
        assert_eq!(
            admin_address(log),
            Some(SocketAddr::from(([127, 0, 0, 1], 4567)))
        );
        assert_eq!(admin_address("{\"message\":\"other\"}"), None);
    }

    #[test]
    fn metrics_are_added_up_over_their_labels() {
        let metrics = "# HELP tidegate_transactions_total x\n\
            tidegate_assigned_partitions{lane=\"a\"} 2\ntidegate_assigned_partitions{lane=\"b\"} 1\n\
            tidegate_transactions_total{outcome=\"committed\"} 7\n\
            tidegate_transactions_total{outcome=\"aborted\"} 2\n\
            tidegate_producer_rebuilds_total 1\n";
        let expected = Vitals {
            partitions: 3,
            committed: 7,
            aborted: 2,
            rebuilt: 1,
        };
        assert_eq!(read_vitals(metrics), expected);
    }
}
