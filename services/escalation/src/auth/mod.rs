//! Who calls: a bearer token, a JSON Web Token or a client's certificate, each of which names an
//! agent. What that agent may do is in its record in the store and nowhere else, so that one change
//! there ends it all.

mod certificate;
pub mod jwt;
pub(crate) mod roles;
pub mod settings;
mod signatures;
pub mod token;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, header::AUTHORIZATION};
use quick_cache::sync::Cache;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use tidegate_proto::escalation::v1::{Agent, Role};

use self::{
    jwt::{JwksError, Jwt},
    settings::{AuthSection, CertificateName},
    token::TokenHash,
};
use crate::{Caller, Granted, Refusal, Store, StoreError, store::Clock};

/// How long an agent's record is believed before the store is asked again. A change by this process
/// holds at once, one by another process after this time.
const BELIEVED_MS: i64 = 5_000;
/// Records that are believed at a time.
const BELIEVED: usize = 10_000;

/// Why a caller is not taken.
#[derive(Debug)]
pub(crate) enum Denied {
    /// There is no credential.
    Missing,
    /// It is forged, malformed, for somebody else, or ended long ago.
    Credential,
    /// It was right and has expired.
    Expired,
    /// It is right, and names nobody who is known here.
    Nobody,
    /// It is right, and its agent may no longer call.
    Disabled,
    /// The store cannot say.
    Store(StoreError),
}

/// What proved who calls; enough to look again later.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    Bootstrap,
    Token(TokenHash),
    /// By a JSON Web Token or a certificate: `agents/{agent}`.
    Agent(String),
}

/// A caller whose identity is proven.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// What it may do.
    pub(crate) caller: Arc<Caller>,
    proof: Proof,
    /// When the proof ends, in milliseconds since the Unix epoch.
    until_ms: i64,
}

impl Identity {
    /// Whether it is the bootstrap token, which no agent stands behind.
    pub(crate) fn is_bootstrap(&self) -> bool {
        self.proof == Proof::Bootstrap
    }
}

/// Checks callers. Clones share what they know.
#[derive(Clone)]
pub struct Authenticator {
    store: Store,
    clock: Clock,
    bootstrap: Option<TokenHash>,
    jwt: Option<Jwt>,
    certificate: CertificateName,
    believed: Arc<Cache<TokenHash, Believed>>,
    /// Grows with each change of an agent.
    generation: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Believed {
    caller: Arc<Caller>,
    since_ms: i64,
    generation: u64,
}

/// Why callers cannot be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The identity provider's keys cannot be used.
    #[error(transparent)]
    Keys(#[from] JwksError),
    /// The bootstrap token cannot be used.
    #[error("auth.bootstrap_token {0}")]
    Bootstrap(String),
}

impl Authenticator {
    /// Reads keys and the bootstrap token.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn new(settings: &AuthSection, store: Store, clock: Clock) -> Result<Self, AuthError> {
        Ok(Self {
            store,
            clock,
            bootstrap: settings.bootstrap_hash().map_err(AuthError::Bootstrap)?,
            jwt: Jwt::load(&settings.jwt)?,
            certificate: settings.certificate,
            believed: Arc::new(Cache::new(BELIEVED)),
            generation: Arc::default(),
        })
    }

    /// What checks the identity provider's tokens, if any are taken.
    #[must_use]
    pub fn jwt(&self) -> Option<&Jwt> {
        self.jwt.as_ref()
    }

    /// An agent changed: the next call of each asks the store.
    pub(crate) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Who calls. A token counts before a certificate: the latter may be the one of a proxy.
    pub(crate) async fn identify(
        &self,
        headers: &HeaderMap,
        certificates: Option<&[CertificateDer<'_>]>,
    ) -> Result<Identity, Denied> {
        let (proof, until_ms) = match headers.get(AUTHORIZATION) {
            Some(value) => self.proof_of(value.to_str().map_err(|_| Denied::Credential)?)?,
            None => {
                // The first one is the client's own; the others lead to whoever signed it.
                let own = certificates.and_then(<[_]>::first).ok_or(Denied::Missing)?;
                let agent = certificate::agent(own, self.certificate).ok_or(Denied::Credential)?;
                (Proof::Agent(format!("agents/{agent}")), i64::MAX)
            }
        };
        Ok(Identity {
            caller: self.caller(&proof).await?,
            proof,
            until_ms,
        })
    }

    /// Looks again at a caller that has been connected for a while.
    pub(crate) async fn again(&self, identity: &Identity) -> Result<Arc<Caller>, Denied> {
        if (self.clock)() >= identity.until_ms {
            return Err(Denied::Expired);
        }
        self.caller(&identity.proof).await
    }

    fn proof_of(&self, header: &str) -> Result<(Proof, i64), Denied> {
        let (scheme, credential) = header.split_once(' ').ok_or(Denied::Credential)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::Credential);
        }
        let credential = credential.trim();
        if token::is_token(credential) {
            let hash = token::hash(credential);
            // Comparing hashes tells nothing about the token, however long it takes.
            let proof = if self.bootstrap == Some(hash) {
                Proof::Bootstrap
            } else {
                Proof::Token(hash)
            };
            return Ok((proof, i64::MAX));
        }
        let jwt = self.jwt.as_ref().ok_or(Denied::Credential)?;
        let spoken = jwt.check(credential)?;
        Ok((
            Proof::Agent(format!("agents/{}", spoken.agent)),
            spoken.until_ms,
        ))
    }

    async fn caller(&self, proof: &Proof) -> Result<Arc<Caller>, Denied> {
        let key: TokenHash = match proof {
            Proof::Bootstrap => {
                return Ok(Arc::new(Caller {
                    agent: "agents/bootstrap".to_owned(),
                    role: Role::Admin,
                    queues: Granted::All,
                    languages: Vec::new(),
                    pseudonym: "bootstrap".to_owned(),
                }));
            }
            Proof::Token(hash) => *hash,
            Proof::Agent(name) => Sha256::digest(name).into(),
        };
        let now_ms = (self.clock)();
        // Before the store is asked: what changes meanwhile makes the answer old.
        let generation = self.generation.load(Ordering::SeqCst);
        if let Some(believed) = self.believed.get(&key)
            && believed.generation == generation
            && (believed.since_ms..believed.since_ms + BELIEVED_MS).contains(&now_ms)
        {
            return Ok(believed.caller);
        }
        let agent = match proof {
            Proof::Bootstrap => None,
            Proof::Token(hash) => self
                .store
                .agent_by_token_hash(hash)
                .await
                .map_err(Denied::Store)?,
            Proof::Agent(name) => match self.store.agent_get(name).await {
                Ok(agent) => Some(agent),
                Err(StoreError::Refused(
                    Refusal::AgentNotFound { .. } | Refusal::Invalid { .. },
                )) => {
                    return Err(Denied::Nobody);
                }
                Err(error) => return Err(Denied::Store(error)),
            },
        };
        let agent = agent.ok_or(Denied::Credential)?;
        if agent.disabled {
            return Err(Denied::Disabled);
        }
        let caller = Arc::new(caller_of(agent));
        let believed = Believed {
            caller: caller.clone(),
            since_ms: now_ms,
            generation,
        };
        self.believed.insert(key, believed);
        Ok(caller)
    }
}

fn caller_of(agent: Agent) -> Caller {
    Caller {
        role: agent.role(),
        queues: Granted::from_names(&agent.queues),
        agent: agent.name,
        languages: agent.languages,
        pseudonym: agent.pseudonym,
    }
}
