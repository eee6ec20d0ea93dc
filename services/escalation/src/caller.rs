//! Who calls, and what that caller may see and do.

use sha2::{Digest, Sha256};
use tidegate_proto::escalation::v1::Role;

/// The actor of what the service does by itself.
pub const SYSTEM: &str = "system";

/// The queues that a caller may see and work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// Every queue.
    All,
    /// These (`queues/{queue}`).
    Some(Vec<String>),
}

impl Granted {
    /// From the names of an agent's record, where `queues/-` stands for all.
    #[must_use]
    pub fn from_names(names: &[String]) -> Self {
        if names.iter().any(|name| name == "queues/-") {
            Self::All
        } else {
            Self::Some(names.to_vec())
        }
    }

    /// Whether `queue` is among them.
    #[must_use]
    pub fn has(&self, queue: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.iter().any(|name| name == queue),
        }
    }
}

/// A caller whose identity is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `agents/{agent}`, or [`SYSTEM`].
    pub agent: String,
    /// What it may do. Which calls a role may make is for the service to check; the store hides
    /// text and names from viewers.
    pub role: Role,
    /// The queues that exist for it.
    pub queues: Granted,
    /// Languages it reads (ISO 639-1, lower case); none: all.
    pub languages: Vec<String>,
    /// The name that resolutions carry; empty: one derived from `agent`.
    pub pseudonym: String,
}

impl Caller {
    /// The service itself.
    #[must_use]
    pub fn system() -> Self {
        Self {
            agent: SYSTEM.to_owned(),
            role: Role::Admin,
            queues: Granted::All,
            languages: Vec::new(),
            pseudonym: SYSTEM.to_owned(),
        }
    }

    /// Whether cases of `queue` exist for it. An admin sees all.
    #[must_use]
    pub fn sees(&self, queue: &str) -> bool {
        self.role == Role::Admin || self.queues.has(queue)
    }

    /// The queues whose cases exist for it; none: every queue.
    #[must_use]
    pub fn seen_queues(&self) -> Option<&[String]> {
        match &self.queues {
            Granted::Some(queues) if self.role != Role::Admin => Some(queues),
            _ => None,
        }
    }

    /// Whether it reads a language (ISO 639-1); an unknown one, which is empty, is anybody's.
    #[must_use]
    pub fn reads(&self, language: &str) -> bool {
        language.is_empty()
            || self.languages.is_empty()
            || self.languages.iter().any(|one| one == language)
    }

    /// Whether it may see text and names.
    #[must_use]
    pub fn sees_personal(&self) -> bool {
        !matches!(self.role, Role::Viewer | Role::Unspecified)
    }

    /// The name that resolutions carry: no one outside learns who decided.
    #[must_use]
    pub fn pseudonym(&self) -> String {
        if self.pseudonym.is_empty() {
            let hash = Sha256::digest(self.agent.as_bytes());
            format!(
                "agent-{:02x}{:02x}{:02x}{:02x}",
                hash[0], hash[1], hash[2], hash[3]
            )
        } else {
            self.pseudonym.clone()
        }
    }
}
