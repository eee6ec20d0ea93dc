//! JSON Web Tokens of an identity provider: its keys come from a JWKS file, which is read again
//! when it changes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;

use super::{Denied, settings::JwtSection, signatures};

/// Why no JSON Web Token can be checked.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file cannot be read.
    #[error("the keys in {} cannot be read: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no key set.
    #[error("{} is not a JSON Web Key Set: line {line}, column {column}", file.display())]
    NotAKeySet {
        /// The file.
        file: PathBuf,
        /// Where it stops being one.
        line: usize,
        /// Where it stops being one.
        column: usize,
    },
    /// No key in it can be used.
    #[error("{} holds no public signing key for the algorithms of auth.jwt.algorithms", .0.display())]
    NoKey(PathBuf),
}

/// What is read of a token's claims beside those that the library checks.
#[derive(Deserialize)]
struct Claims {
    exp: i64,
    #[serde(flatten)]
    others: std::collections::HashMap<String, serde_json::Value>,
}

/// Who a token speaks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// The agent's id.
    pub(crate) agent: String,
    /// When the token ends, in milliseconds since the Unix epoch.
    pub(crate) until_ms: i64,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

struct Keys {
    keys: Vec<Key>,
    changed: Option<SystemTime>,
}

/// Checks tokens. Clones share the keys.
#[derive(Clone)]
pub struct Jwt {
    settings: Arc<JwtSection>,
    file: Arc<Path>,
    keys: Arc<ArcSwap<Keys>>,
}

impl Jwt {
    /// Reads the keys; `None` if no file is set.
    ///
    /// # Errors
    /// The file is unreadable, no key set, or holds no usable key.
    pub fn load(settings: &JwtSection) -> Result<Option<Self>, JwksError> {
        let Some(file) = &settings.jwks_file else {
            return Ok(None);
        };
        signatures::install();
        let keys = read(file, &settings.pinned())?;
        Ok(Some(Self {
            settings: Arc::new(settings.clone()),
            file: file.as_path().into(),
            keys: Arc::new(ArcSwap::from_pointee(keys)),
        }))
    }

    /// Reads the file again if it changed. A bad file leaves the earlier keys in force.
    ///
    /// # Errors
    /// As in [`Jwt::load`].
    pub fn reload_if_changed(&self) -> Result<bool, JwksError> {
        if changed(&self.file) == self.keys.load().changed {
            return Ok(false);
        }
        self.keys
            .store(Arc::new(read(&self.file, &self.settings.pinned())?));
        Ok(true)
    }

    /// Whom the token speaks for.
    pub(crate) fn check(&self, token: &str) -> Result<Spoken, Denied> {
        let header = decode_header(token).map_err(|_| Denied::Credential)?;
        let keys = self.keys.load();
        let fits = |key: &&Key| {
            key.algorithms.contains(&header.alg)
                && (header.kid.is_none() || key.id.is_none() || key.id == header.kid)
        };
        let mut why = Denied::Credential;
        for key in keys.keys.iter().filter(fits) {
            match decode::<Claims>(token, &key.key, &self.rules(header.alg)) {
                Ok(token) => {
                    let agent = token.claims.others.get(&self.settings.agent_claim);
                    let agent = agent.and_then(|claim| claim.as_str());
                    return match agent {
                        Some(agent) => Ok(Spoken {
                            agent: agent.to_owned(),
                            until_ms: token.claims.exp.saturating_mul(1000),
                        }),
                        None => Err(Denied::Credential),
                    };
                }
                Err(error) => {
                    if matches!(
                        error.kind(),
                        jsonwebtoken::errors::ErrorKind::ExpiredSignature
                    ) {
                        why = Denied::Expired;
                    }
                }
            }
        }
        Err(why)
    }

    fn rules(&self, algorithm: Algorithm) -> Validation {
        let mut rules = Validation::new(algorithm);
        rules.leeway = self.settings.leeway.as_secs();
        rules.validate_nbf = true;
        rules.set_issuer(&[&self.settings.issuer]);
        rules.set_audience(&[&self.settings.audience]);
        // A claim that is not there is not checked unless it is required.
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules
    }
}

fn changed(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|about| about.modified()).ok()
}

fn read(file: &Path, pinned: &[Algorithm]) -> Result<Keys, JwksError> {
    // Before the text: a change in between is then seen at the next look.
    let changed = changed(file);
    let text = fs::read(file).map_err(|source| JwksError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    let set: JwkSet = serde_json::from_slice(&text).map_err(|error| JwksError::NotAKeySet {
        file: file.to_owned(),
        line: error.line(),
        column: error.column(),
    })?;
    let keys: Vec<Key> = set
        .keys
        .iter()
        .filter_map(|key| usable(key, pinned))
        .collect();
    if keys.is_empty() {
        return Err(JwksError::NoKey(file.to_owned()));
    }
    Ok(Keys { keys, changed })
}

/// A public signing key of a pinned algorithm. A shared secret (`oct`) is never one: who can check
/// a token with it could also make one.
fn usable(key: &Jwk, pinned: &[Algorithm]) -> Option<Key> {
    let common = &key.common;
    let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let of_kind: &[Algorithm] = match &key.algorithm {
        AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::PS256],
        AlgorithmParameters::EllipticCurve(point) => match point.curve {
            jsonwebtoken::jwk::EllipticCurve::P256 => &[Algorithm::ES256],
            jsonwebtoken::jwk::EllipticCurve::P384 => &[Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
        _ => return None,
    };
    let algorithms: Vec<Algorithm> = of_kind
        .iter()
        .copied()
        .filter(|algorithm| pinned.contains(algorithm))
        .filter(|algorithm| {
            common
                .key_algorithm
                .is_none_or(|own| own == named(*algorithm))
        })
        .collect();
    if !signs || algorithms.is_empty() {
        return None;
    }
    Some(Key {
        id: common.key_id.clone(),
        algorithms,
        key: DecodingKey::from_jwk(key).ok()?,
    })
}

fn named(algorithm: Algorithm) -> KeyAlgorithm {
    match algorithm {
        Algorithm::PS256 => KeyAlgorithm::PS256,
        Algorithm::ES256 => KeyAlgorithm::ES256,
        Algorithm::ES384 => KeyAlgorithm::ES384,
        Algorithm::EdDSA => KeyAlgorithm::EdDSA,
        _ => KeyAlgorithm::RS256,
    }
}
