//! Finds, checks and opens the shared library of ONNX Runtime, once per process.
//!
//! The library is looked for at `ORT_DYLIB_PATH`, then in Tidegate's own cache; when neither has it,
//! it is fetched with pip from the wheel that [`PINNED_VERSION`] names. Each candidate is probed
//! before it is handed to `ort`, so that a missing or foreign file is an error and never a hang.

mod fetch;
mod probe;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

pub use probe::probe;

/// The version of ONNX Runtime that is fetched when none is given.
pub const PINNED_VERSION: &str = "1.32.0";

/// The oldest minor version (`1.x`) that works, which is the interface that `ort` was built for.
pub const OLDEST_MINOR: u32 = ort::MINOR_VERSION;

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// The library file.
    pub path: PathBuf,
    /// Its version, such as `1.32.0`.
    pub version: String,
}

/// Why ONNX Runtime could not be loaded. Each message is one line and says what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    /// The file that was asked for does not exist.
    #[error(
        "ONNX Runtime library {path} does not exist: set ORT_DYLIB_PATH to a libonnxruntime of 1.{OLDEST_MINOR} or newer, or unset it to fetch {PINNED_VERSION}"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a library for this machine.
    #[error(
        "{path} is not a usable shared library ({reason}): replace it, or remove it to fetch it again"
    )]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// What the system's loader said.
        reason: String,
    },
    /// The library is something else.
    #[error("{path} is a library, but not ONNX Runtime: set ORT_DYLIB_PATH to libonnxruntime")]
    NotOnnxRuntime {
        /// The file.
        path: PathBuf,
    },
    /// The library is too old.
    #[error(
        "{path} is ONNX Runtime {version}, but 1.{OLDEST_MINOR} or newer is needed: install {PINNED_VERSION}"
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// No library is published for this kind of machine.
    #[error(
        "no ONNX Runtime {PINNED_VERSION} is known for {platform}: set ORT_DYLIB_PATH to a library of your own"
    )]
    Platform {
        /// Operating system and processor.
        platform: String,
    },
    /// No place is known to keep the library.
    #[error("no cache folder is known: set TIDEGATE_CACHE_DIR, or ORT_DYLIB_PATH to a library")]
    NoCacheFolder,
    /// The cache folder cannot be used.
    #[error(
        "cannot use the cache folder {path} ({reason}): set TIDEGATE_CACHE_DIR to a folder that can be written"
    )]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// Python or pip is missing.
    #[error(
        "cannot fetch ONNX Runtime {PINNED_VERSION} because {python} did not start ({reason}): install Python 3 with pip, or set ORT_DYLIB_PATH"
    )]
    Python {
        /// The program.
        python: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The wheel could not be fetched or unpacked.
    #[error(
        "cannot fetch ONNX Runtime {PINNED_VERSION} ({reason}): check the network and `python3 -m pip --version`, or set ORT_DYLIB_PATH"
    )]
    Fetch {
        /// The last line of what pip said.
        reason: String,
    },
    /// The wheel is not the one that is pinned.
    #[error(
        "the fetched {file} has SHA-256 {found}, but {expected} is pinned: the package source may be tampered with; set ORT_DYLIB_PATH to a library you trust"
    )]
    Checksum {
        /// The wheel's file name.
        file: String,
        /// The checksum that is pinned.
        expected: String,
        /// The checksum of what came.
        found: String,
    },
    /// The library was found, but refused to start.
    #[error("ONNX Runtime at {path} did not start: {reason}")]
    Start {
        /// The file.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
}

/// Where the library may come from. Tests make their own; a process uses [`Sources::from_env`].
#[derive(Debug, Clone)]
pub struct Sources {
    /// A library that somebody named (`ORT_DYLIB_PATH`). Nothing else is tried when it is set.
    pub dylib: Option<PathBuf>,
    /// The folder that keeps fetched libraries, if one is known.
    pub cache: Option<PathBuf>,
    /// The Python that fetches, such as `python3`.
    pub python: PathBuf,
}

impl Sources {
    /// Reads `ORT_DYLIB_PATH`, `TIDEGATE_CACHE_DIR`, `XDG_CACHE_HOME` and `HOME`.
    #[must_use]
    pub fn from_env() -> Self {
        let path = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let cache = path("TIDEGATE_CACHE_DIR")
            .or_else(|| path("XDG_CACHE_HOME").map(|xdg| xdg.join("tidegate")))
            .or_else(|| path("HOME").map(|home| home.join(".cache").join("tidegate")));
        Self {
            dylib: path("ORT_DYLIB_PATH"),
            cache,
            python: PathBuf::from("python3"),
        }
    }
}

/// Finds a library that works, fetching it when needed, and says which. Loads nothing into `ort`.
pub fn locate(sources: &Sources) -> Result<RuntimeInfo, RuntimeError> {
    if let Some(path) = &sources.dylib {
        return probe(path);
    }
    let wheel = fetch::wheel_for(std::env::consts::OS, std::env::consts::ARCH)?;
    let cache = sources.cache.as_ref().ok_or(RuntimeError::NoCacheFolder)?;
    let folder = cache.join(format!("onnxruntime-{PINNED_VERSION}"));
    let path = folder.join(wheel.library_name());
    if !fetch::is_complete(&path, wheel) {
        fetch::fetch(wheel, &folder, &path, &sources.python)?;
    }
    probe(&path)
}

struct Loaded {
    info: RuntimeInfo,
    environment: ort::environment::Environment,
}

static LOADED: OnceLock<Result<Loaded, RuntimeError>> = OnceLock::new();
// Two threads that start together must not both fetch and both initialise.
static STARTING: Mutex<()> = Mutex::new(());

fn loaded() -> Result<&'static Loaded, RuntimeError> {
    if LOADED.get().is_none() {
        let _one = STARTING
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if LOADED.get().is_none() {
            let outcome = start(&Sources::from_env());
            if let Ok(loaded) = &outcome {
                tracing::info!(path = %loaded.info.path.display(), version = loaded.info.version, "ONNX Runtime is loaded");
            }
            LOADED.get_or_init(|| outcome);
        }
    }
    match LOADED.get() {
        Some(Ok(loaded)) => Ok(loaded),
        Some(Err(error)) => Err(error.clone()),
        None => Err(RuntimeError::NoCacheFolder),
    }
}

fn start(sources: &Sources) -> Result<Loaded, RuntimeError> {
    let info = locate(sources)?;
    let environment = open(&info.path)?;
    Ok(Loaded { info, environment })
}

fn open(path: &Path) -> Result<ort::environment::Environment, RuntimeError> {
    let failed = |reason: String| RuntimeError::Start {
        path: path.to_path_buf(),
        reason,
    };
    ort::init_from(path)
        .map_err(|error| failed(error.to_string()))?
        .with_name("tidegate")
        .with_telemetry(false)
        .build()
        .map_err(|error| failed(error.to_string()))
}

/// Loads ONNX Runtime if that has not happened yet in this process, and says what is loaded.
/// A failure is kept: later calls give the same error at once.
pub fn ensure() -> Result<RuntimeInfo, RuntimeError> {
    loaded().map(|loaded| loaded.info.clone())
}

/// The process-wide environment in which sessions are made.
pub(crate) fn environment() -> Result<&'static ort::environment::Environment, RuntimeError> {
    loaded().map(|loaded| &loaded.environment)
}
