//! A real PostgreSQL for tests, in a directory of its own, reached by a Unix socket.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use tempfile::TempDir;

use crate::StartError;

/// The environment variable that names a server to use instead of a fresh one:
/// `postgres://user@host/postgres`, by a user who may make databases.
const GIVEN: &str = "TIDEGATE_TEST_POSTGRES";
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Ends the server when its own input ends: also when this process is killed.
const KEEPER: &str = r#""$@" </dev/null & child=$!; read -r line; kill -INT $child; wait $child"#;

/// A running server. Dropping it ends the server; so does the end of this process, however it
/// comes.
#[derive(Debug)]
pub struct RealPostgres {
    url: String,
    psql: PathBuf,
    made: AtomicU32,
    owned: Option<Owned>,
}

#[derive(Debug)]
struct Owned {
    bin: PathBuf,
    dir: TempDir,
    user: Option<(u32, u32)>,
    server: Mutex<Option<Child>>,
}

impl RealPostgres {
    /// A fresh server, or the one that `TIDEGATE_TEST_POSTGRES` names.
    ///
    /// # Errors
    /// [`StartError::Missing`] when PostgreSQL is not installed here.
    pub fn start() -> Result<Self, StartError> {
        match std::env::var(GIVEN) {
            Ok(url) => {
                let psql = programs()?.join("psql");
                let given = Self {
                    url,
                    psql,
                    made: AtomicU32::new(0),
                    owned: None,
                };
                given.wait()?;
                Ok(given)
            }
            Err(_) => Self::start_own(),
        }
    }

    /// A server of its own even where `TIDEGATE_TEST_POSTGRES` is set, to be broken on purpose.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_own() -> Result<Self, StartError> {
        let bin = programs()?;
        let dir = TempDir::with_prefix("tidegate-postgres-").context("a directory")?;
        let user = unprivileged()?;
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).context("handing the directory over")?;
        }
        let socket = dir.path().display().to_string();
        let owned = Owned {
            bin: bin.clone(),
            dir,
            user,
            server: Mutex::new(None),
        };
        let made = owned
            .command("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "--pgdata"])
            .arg(owned.data())
            .output()
            .context("initdb")?;
        if !made.status.success() {
            return Err(anyhow!("initdb: {}", String::from_utf8_lossy(&made.stderr)).into());
        }
        let postgres = Self {
            url: format!("postgres://postgres@localhost/postgres?host={socket}"),
            psql: bin.join("psql"),
            made: AtomicU32::new(0),
            owned: Some(owned),
        };
        postgres.go_on()?;
        Ok(postgres)
    }

    /// The url of a new, empty database.
    ///
    /// # Errors
    /// What the server says.
    pub fn database(&self) -> anyhow::Result<String> {
        let name = format!(
            "tidegate_{}_{}",
            std::process::id(),
            self.made.fetch_add(1, Ordering::Relaxed)
        );
        self.psql(&format!("CREATE DATABASE {name}"))?;
        let (server, options) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let (server, _) = server
            .rsplit_once('/')
            .context("a url without a database")?;
        Ok(format!("{server}/{name}?{options}"))
    }

    /// Stops the server, as a fault would: open connections break.
    ///
    /// # Errors
    /// The server is not ours.
    pub fn stop(&self) -> anyhow::Result<()> {
        let owned = self.owned.as_ref().context("the server is not ours")?;
        owned.stop();
        Ok(())
    }

    /// Starts the server again.
    ///
    /// # Errors
    /// It does not answer in time.
    pub fn go_on(&self) -> anyhow::Result<()> {
        let owned = self.owned.as_ref().context("the server is not ours")?;
        let log = fs::File::create(owned.dir.path().join("log")).context("the log")?;
        let server = owned
            .program(Path::new("sh"))
            .args(["-c", KEEPER, "sh"])
            .arg(owned.bin.join("postgres"))
            .arg("-D")
            .arg(owned.data())
            .arg("-k")
            .arg(owned.dir.path())
            .args(["-c", "listen_addresses="])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().context("the log")?)
            .stderr(log)
            .spawn()
            .context("postgres")?;
        if let Ok(mut place) = owned.server.lock() {
            *place = Some(server);
        }
        self.wait()
    }

    fn wait(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match self.psql("SELECT 1") {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context("PostgreSQL does not answer"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn psql(&self, sql: &str) -> anyhow::Result<()> {
        let said = Command::new(&self.psql)
            .args(["--no-psqlrc", "--quiet", "--command", sql, &self.url])
            .stdin(Stdio::null())
            .output()
            .context("psql")?;
        ensure!(
            said.status.success(),
            "{}",
            String::from_utf8_lossy(&said.stderr)
        );
        Ok(())
    }
}

impl Owned {
    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, name: &str) -> Command {
        self.program(&self.bin.join(name))
    }

    /// A program run by a user who is not root: PostgreSQL refuses that one.
    fn program(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.current_dir(self.dir.path());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn stop(&self) {
        let server = self.server.lock().ok().and_then(|mut place| place.take());
        if let Some(mut server) = server {
            // Its input ends.
            drop(server.stdin.take());
            server.wait().ok();
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where PostgreSQL's programs are.
fn programs() -> Result<PathBuf, StartError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&path).collect();
    // Debian keeps them out of the path, one directory for each version.
    let versions = fs::read_dir("/usr/lib/postgresql");
    places.extend(
        versions
            .into_iter()
            .flatten()
            .flatten()
            .map(|version| version.path().join("bin")),
    );
    let found = places.into_iter().find_map(|place| {
        let initdb = fs::canonicalize(place.join("initdb")).ok()?;
        let bin = initdb.parent()?;
        (bin.join("postgres").exists() && bin.join("psql").exists()).then(|| bin.to_owned())
    });
    found.ok_or_else(|| {
        StartError::Missing(
            "PostgreSQL's initdb, postgres and psql are not installed (Debian: apt-get install \
             postgresql)"
                .to_owned(),
        )
    })
}

/// Who runs the server where we are root: `postgres`, or else `nobody`.
fn unprivileged() -> anyhow::Result<Option<(u32, u32)>> {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata("/proc/self").map_or(1, |about| about.uid()) != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let id_of = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let user = id_of("postgres").or_else(|| id_of("nobody"));
    user.map(Some)
        .context("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}
