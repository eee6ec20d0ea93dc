//! Encryption and identity, and secrets that are never shown.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// How the connection is encrypted, and how this process proves who it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// Encryption and authentication in use.
    pub protocol: Protocol,
    /// How to authenticate, with `sasl_plaintext` and `sasl_ssl`.
    pub mechanism: Option<Mechanism>,
    /// The user's name.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A file that holds the password; a line break at its end is ignored.
    pub password_file: Option<PathBuf>,
    /// A file that holds the OAUTHBEARER token; read again whenever the token runs out.
    pub token_file: Option<PathBuf>,
    /// Certificates of the authorities that are trusted (PEM); the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// The certificate that this process shows (PEM).
    pub certificate_file: Option<PathBuf>,
    /// The key to that certificate (PEM).
    pub key_file: Option<PathBuf>,
    /// The password of the key file.
    pub key_password: Option<Secret>,
}

/// Encryption and authentication of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither.
    #[default]
    Plaintext,
    /// Encrypted; with a client certificate also authenticated.
    Ssl,
    /// Authenticated, not encrypted.
    SaslPlaintext,
    /// Both.
    SaslSsl,
}

impl Protocol {
    /// The name that librdkafka uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    pub(crate) fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    pub(crate) fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    /// User and password as they are; only over TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Challenge and response with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Challenge and response with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token from an identity provider.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

impl Mechanism {
    /// The name that brokers use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// A value that is never shown: not in logs, not in dumps of the settings.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the client library only.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl Security {
    pub(super) fn validate(&self, mistakes: &mut Vec<String>) {
        let protocol = self.protocol.as_str();
        if self.protocol.has_sasl() {
            match self.mechanism {
                None => mistakes.push(format!(
                    "security.mechanism: {protocol} needs one of PLAIN, SCRAM-SHA-256, \
                     SCRAM-SHA-512, OAUTHBEARER"
                )),
                Some(Mechanism::OauthBearer) => {
                    if self.token_file.is_none() {
                        mistakes.push(
                            "security.token_file: OAUTHBEARER needs a file that holds the token"
                                .to_owned(),
                        );
                    }
                }
                Some(mechanism) => {
                    let mechanism = mechanism.as_str();
                    if self.username.as_deref().unwrap_or_default().is_empty() {
                        mistakes.push(format!("security.username: {mechanism} needs a user name"));
                    }
                    if self.password.is_none() && self.password_file.is_none() {
                        mistakes.push(format!(
                            "security.password_file: {mechanism} needs a password (or \
                             `security.password`)"
                        ));
                    }
                }
            }
        } else if self.mechanism.is_some() {
            mistakes.push(format!(
                "security.mechanism: has no effect with {protocol}; set security.protocol to \
                 sasl_ssl, or remove it"
            ));
        }
        if self.password.is_some() && self.password_file.is_some() {
            mistakes
                .push("security.password: set it or `security.password_file`, not both".to_owned());
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            mistakes.push(
                "security.certificate_file: a client certificate needs `security.key_file` too, \
                 and a key needs its certificate"
                    .to_owned(),
            );
        }
        if !self.protocol.has_tls() && (self.ca_file.is_some() || self.certificate_file.is_some()) {
            mistakes.push(format!(
                "security.ca_file: certificates have no effect with {protocol}; set \
                 security.protocol to ssl or sasl_ssl"
            ));
        }
        for (name, file) in [
            ("password_file", &self.password_file),
            ("token_file", &self.token_file),
            ("ca_file", &self.ca_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ] {
            if let Some(file) = file
                && let Err(error) = std::fs::File::open(file)
            {
                mistakes.push(format!(
                    "security.{name}: {} can't be read: {error}",
                    file.display()
                ));
            }
        }
    }

    /// The password, from wherever it is kept.
    pub(crate) fn read_password(&self) -> Result<Option<Secret>, String> {
        match &self.password_file {
            None => Ok(self.password.clone()),
            Some(file) => std::fs::read_to_string(file)
                .map(|text| Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
                .map_err(|error| {
                    format!(
                        "security.password_file: {} can't be read: {error}",
                        file.display()
                    )
                }),
        }
    }
}
