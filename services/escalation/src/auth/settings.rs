//! The section `[auth]`: how callers prove who they are.

use std::{path::PathBuf, time::Duration};

use jsonwebtoken::Algorithm;
use serde::{Deserialize, Serialize};
use tidegate_chassis::settings::{Mistakes, Secret, Validate, duration, secret_from};

use super::token;

/// The section `[auth]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthSection {
    /// A token (`tg_` and 43 characters) that acts as admin, so that a new installation can be
    /// given its agents. Take it out once there is an admin.
    pub bootstrap_token: Option<Secret>,
    /// The same, in a file.
    pub bootstrap_token_file: Option<PathBuf>,
    /// Tokens of an identity provider.
    pub jwt: JwtSection,
    /// What of a client's certificate names the agent.
    pub certificate: CertificateName,
}

/// What of a client's certificate names the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateName {
    /// The common name of its subject.
    #[default]
    Subject,
    /// Its only DNS name, up to the first dot.
    Dns,
    /// The last part of the path of its only URI, as in SPIFFE.
    Uri,
}

/// The section `[auth.jwt]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JwtSection {
    /// The provider's public keys (RFC 7517); without it no such token is taken.
    pub jwks_file: Option<PathBuf>,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must hold.
    pub audience: String,
    /// The algorithms that are taken: RS256, PS256, ES256, ES384, EdDSA.
    pub algorithms: Vec<String>,
    /// The claim that holds the agent's id.
    pub agent_claim: String,
    /// How far the clocks may differ.
    #[serde(with = "duration")]
    pub leeway: Duration,
    /// How often the file is looked at for a change.
    #[serde(with = "duration")]
    pub check_every: Duration,
}

impl Default for JwtSection {
    fn default() -> Self {
        Self {
            jwks_file: None,
            issuer: String::new(),
            audience: String::new(),
            algorithms: vec!["RS256".to_owned(), "ES256".to_owned(), "EdDSA".to_owned()],
            agent_claim: "sub".to_owned(),
            leeway: Duration::from_secs(30),
            check_every: Duration::from_secs(10),
        }
    }
}

impl JwtSection {
    /// The algorithms that are taken.
    pub(crate) fn pinned(&self) -> Vec<Algorithm> {
        self.algorithms
            .iter()
            .filter_map(|name| algorithm(name))
            .collect()
    }
}

/// Only those with a public key: a shared secret would let every checker make tokens.
fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "PS256" => Some(Algorithm::PS256),
        "ES256" => Some(Algorithm::ES256),
        "ES384" => Some(Algorithm::ES384),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

impl AuthSection {
    /// The bootstrap token's hash, if there is one.
    ///
    /// # Errors
    /// The file cannot be read, or what is given is no token.
    pub fn bootstrap_hash(&self) -> Result<Option<token::TokenHash>, String> {
        let given = secret_from(
            self.bootstrap_token.as_ref(),
            self.bootstrap_token_file.as_deref(),
        )
        .map_err(|error| error.to_string())?;
        match given {
            Some(secret) if !token::is_token(secret.expose()) => Err(
                "must be `tg_` and 43 characters of base64: make one with `tidegate-escalation token`"
                    .to_owned(),
            ),
            given => Ok(given.map(|secret| token::hash(secret.expose()))),
        }
    }
}

impl Validate for AuthSection {
    fn validate(&self, mistakes: &mut Mistakes) {
        if let Err(message) = self.bootstrap_hash() {
            mistakes.add("bootstrap_token", message);
        }
        mistakes.within("jwt", |mistakes| self.jwt.validate(mistakes));
    }
}

impl Validate for JwtSection {
    fn validate(&self, mistakes: &mut Mistakes) {
        for name in &self.algorithms {
            mistakes.require(
                algorithm(name).is_some(),
                "algorithms",
                format!("may hold RS256, PS256, ES256, ES384 and EdDSA, not {name}"),
            );
        }
        mistakes.require(
            self.leeway <= Duration::from_secs(300),
            "leeway",
            "must be at most 5m",
        );
        mistakes.require(
            self.check_every >= Duration::from_secs(1),
            "check_every",
            "must be at least 1s",
        );
        if self.jwks_file.is_some() {
            let needed = "is required with auth.jwt.jwks_file";
            mistakes.require(!self.issuer.is_empty(), "issuer", needed);
            mistakes.require(!self.audience.is_empty(), "audience", needed);
            mistakes.require(!self.algorithms.is_empty(), "algorithms", needed);
            mistakes.require(!self.agent_claim.is_empty(), "agent_claim", needed);
        }
    }
}
