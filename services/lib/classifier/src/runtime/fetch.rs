//! Fetches the pinned wheel with pip, checks it, and puts the library into the cache in one step.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{PINNED_VERSION, RuntimeError};
use crate::checksum::sha256_hex;

/// How long pip, or another process that fetches, may take.
const PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(50);

/// One published wheel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wheel {
    os: &'static str,
    arch: &'static str,
    /// The platform tag that pip is asked for.
    platform: &'static str,
    /// SHA-256 of the wheel, in hex.
    sha256: &'static str,
    /// The library's path inside the wheel.
    member: &'static str,
    /// The library's size in bytes. Opening a truncated library could end the process.
    bytes: u64,
}

const WHEELS: [Wheel; 3] = [
    Wheel {
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
        member: "onnxruntime/capi/libonnxruntime.so.1.32.0",
        bytes: 34_824_680,
    },
    Wheel {
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        sha256: "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
        member: "onnxruntime/capi/libonnxruntime.so.1.32.0",
        bytes: 27_165_936,
    },
    Wheel {
        os: "macos",
        arch: "aarch64",
        platform: "macosx_14_0_arm64",
        sha256: "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e",
        member: "onnxruntime/capi/libonnxruntime.1.32.0.dylib",
        bytes: 35_272_344,
    },
];

impl Wheel {
    /// The library's file name in the cache.
    pub(super) fn library_name(&self) -> &'static str {
        self.member.rsplit('/').next().unwrap_or(self.member)
    }
}

pub(super) fn wheel_for(os: &str, arch: &str) -> Result<&'static Wheel, RuntimeError> {
    WHEELS
        .iter()
        .find(|wheel| wheel.os == os && wheel.arch == arch)
        .ok_or_else(|| RuntimeError::Platform {
            platform: format!("{os} {arch}"),
        })
}

/// Whether the cached library has its full size.
pub(super) fn is_complete(path: &Path, wheel: &Wheel) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == wheel.bytes)
}

/// Fetches `wheel` and leaves its library at `path`. Safe when several processes do it at once:
/// one fetches while the others wait, and the file appears by a rename.
pub(super) fn fetch(
    wheel: &Wheel,
    folder: &Path,
    path: &Path,
    python: &Path,
) -> Result<(), RuntimeError> {
    let cache_error = |at: &Path, error: io::Error| RuntimeError::Cache {
        path: at.to_path_buf(),
        reason: error.to_string(),
    };
    fs::create_dir_all(folder).map_err(|error| cache_error(folder, error))?;
    let lock_path = folder.join("fetch.lock");
    let lock = File::create(&lock_path).map_err(|error| cache_error(&lock_path, error))?;
    wait_for(&lock).map_err(|error| cache_error(&lock_path, error))?;
    if is_complete(path, wheel) {
        return Ok(());
    }
    tracing::info!(
        version = PINNED_VERSION,
        platform = wheel.platform,
        folder = %folder.display(),
        "fetching ONNX Runtime with pip (about 24 MB, once)"
    );
    let temporary = Temporary::new(folder).map_err(|error| cache_error(folder, error))?;
    let file = download(wheel, &temporary.0, python)?;
    let found = sha256_of(&file).map_err(|error| cache_error(&file, error))?;
    if found != wheel.sha256 {
        return Err(RuntimeError::Checksum {
            file: file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            expected: wheel.sha256.to_owned(),
            found,
        });
    }
    let unpacked = temporary.0.join("library");
    unpack(&file, wheel, &unpacked, &temporary.0, python)?;
    if !is_complete(&unpacked, wheel) {
        return Err(RuntimeError::Fetch {
            reason: "the wheel's library has another size than expected".to_owned(),
        });
    }
    fs::rename(&unpacked, path).map_err(|error| cache_error(path, error))?;
    tracing::info!(path = %path.display(), "ONNX Runtime is in the cache");
    Ok(())
}

fn wait_for(lock: &File) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "another process holds it",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn download(wheel: &Wheel, into: &Path, python: &Path) -> Result<PathBuf, RuntimeError> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input"])
        .args(["download", &format!("onnxruntime=={PINNED_VERSION}")])
        .args(["--no-deps", "--only-binary=:all:", "--progress-bar=off"])
        .args(["--python-version", "3.12", "--platform", wheel.platform])
        .args(["--retries", "2", "--timeout", "30", "--dest"])
        .arg(into);
    run(&mut pip, python, into)?;
    let named = fs::read_dir(into)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    named.ok_or_else(|| RuntimeError::Fetch {
        reason: "pip left no wheel".to_owned(),
    })
}

// Python is there already, so one line of it spares a zip library.
const UNPACK: &str = "import shutil,sys,zipfile; \
    shutil.copyfileobj(zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]), open(sys.argv[3],'wb'))";

fn unpack(
    file: &Path,
    wheel: &Wheel,
    to: &Path,
    folder: &Path,
    python: &Path,
) -> Result<(), RuntimeError> {
    let mut command = Command::new(python);
    command
        .args(["-c", UNPACK])
        .arg(file)
        .arg(wheel.member)
        .arg(to);
    run(&mut command, python, folder)
}

/// Runs a command to its end or its deadline; a failure carries the last line that it wrote.
fn run(command: &mut Command, python: &Path, folder: &Path) -> Result<(), RuntimeError> {
    let said = folder.join("said.txt");
    // A file, because a full pipe that nobody reads would stop the child for good.
    let stderr = File::create(&said).map_err(|error| RuntimeError::Cache {
        path: said.clone(),
        reason: error.to_string(),
    })?;
    let python_error = |error: io::Error| RuntimeError::Python {
        python: python.to_path_buf(),
        reason: error.to_string(),
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .map_err(python_error)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().map_err(python_error)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                return Err(RuntimeError::Fetch {
                    reason: last_line(&said).unwrap_or_else(|| status.to_string()),
                });
            }
            None if Instant::now() < deadline => std::thread::sleep(POLL),
            None => {
                if let Err(error) = child.kill().and_then(|()| child.wait().map(|_| ())) {
                    tracing::warn!(%error, "cannot end the child that fetches ONNX Runtime");
                }
                return Err(RuntimeError::Fetch {
                    reason: format!("no answer within {} seconds", PATIENCE.as_secs()),
                });
            }
        }
    }
}

fn last_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().take(200).collect())
}

fn sha256_of(path: &Path) -> io::Result<String> {
    fs::read(path).map(|bytes| sha256_hex(&bytes))
}

/// A folder of our own beside the target (a rename needs the same file system), removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(beside: &Path) -> io::Result<Self> {
        let path = beside.join(format!("fetching-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove a temporary folder");
        }
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
