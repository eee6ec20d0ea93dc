//! Text that must not be seen: passwords and keys.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const REDACTED: &str = "***";

/// Text that prints as `***` wherever it is shown; only [`Secret::expose`] gives it away.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True when there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The reader's own error would quote the value.
        String::deserialize(deserializer)
            .map(Self)
            .map_err(|_| D::Error::custom("must be text in quotes"))
    }
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Both ways of giving it are used, and they may differ.
    #[error("is given both as a value and as a file: remove one of them")]
    Twice,
    /// The file cannot be read.
    #[error("cannot be read from {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is there and holds nothing.
    #[error("is empty in {}", .0.display())]
    Empty(PathBuf),
}

/// The secret given as a value, or as a file that holds it (as mounted by an orchestrator); a line
/// end at the file's end is not part of it. `None` when neither is given.
///
/// # Errors
/// Both are given, or the file is unreadable or empty.
pub fn secret_from(
    value: Option<&Secret>,
    file: Option<&Path>,
) -> Result<Option<Secret>, SecretError> {
    match (value, file) {
        (Some(_), Some(_)) => Err(SecretError::Twice),
        (value, None) => Ok(value.cloned()),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|source| SecretError::Unreadable {
                path: path.to_owned(),
                source,
            })?;
            match text.trim_end_matches(['\r', '\n']) {
                "" => Err(SecretError::Empty(path.to_owned())),
                text => Ok(Some(Secret::new(text))),
            }
        }
    }
}
