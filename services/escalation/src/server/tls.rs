//! TLS: connections are taken with the certificate, key and authority that the files hold now.

use std::{
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::transport::server::TcpIncoming;

use super::{ServeError, settings::TlsSection};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many connections may wait to be served after theirs.
const WAITING: usize = 64;

/// What the files held.
#[derive(PartialEq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// The server's side of TLS.
pub(super) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    client_required: bool,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files; none without a certificate.
    pub(super) fn new(settings: &TlsSection) -> Result<Option<(Arc<Self>, Reload)>, ServeError> {
        let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
            return Ok(None);
        };
        let client_ca = settings.client_ca.clone();
        let files = Files::read(certificate, key, client_ca.as_deref())?;
        let config = files.config(settings.client_required)?;
        let tls = Arc::new(Self {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca,
            client_required: settings.client_required,
            config: ArcSwap::from_pointee(config),
        });
        let reload = Reload {
            tls: tls.clone(),
            files,
            every: settings.check_every,
        };
        Ok(Some((tls, reload)))
    }

    /// Connections after their handshakes. One that hangs holds up no other.
    pub(super) fn accept(
        self: Arc<Self>,
        mut incoming: TcpIncoming,
    ) -> ReceiverStream<std::io::Result<TlsStream<TcpStream>>> {
        let (taken, connections) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    next = incoming.next() => next,
                    () = taken.closed() => return,
                };
                let connection = match next {
                    Some(Ok(connection)) => connection,
                    // Of a connection that is gone, or that there is no room for now.
                    Some(Err(_)) => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        continue;
                    }
                    None => return,
                };
                let acceptor = TlsAcceptor::from(self.config.load_full());
                let taken = taken.clone();
                tokio::spawn(async move {
                    let handshake = acceptor.accept(connection);
                    match tokio::time::timeout(HANDSHAKE, handshake).await {
                        // Nobody takes it once the server ends.
                        Ok(Ok(connection)) => drop(taken.send(Ok(connection)).await),
                        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    }
                });
            }
        });
        ReceiverStream::new(connections)
    }
}

/// Takes what the files hold when that changes.
pub(super) struct Reload {
    tls: Arc<Tls>,
    files: Files,
    every: Duration,
}

impl Reload {
    /// Looks again and again, until it is dropped.
    pub(super) async fn run(mut self) -> Infallible {
        let mut refused = None;
        loop {
            tokio::time::sleep(self.every).await;
            let tls = &self.tls;
            let read = Files::read(&tls.certificate, &tls.key, tls.client_ca.as_deref());
            let config = match read {
                Ok(files) if files == self.files || refused.as_ref() == Some(&files) => continue,
                Ok(files) => match files.config(tls.client_required) {
                    Ok(config) => {
                        self.files = files;
                        Ok(config)
                    }
                    Err(error) => {
                        // Said once: perhaps the key is yet to come.
                        refused = Some(files);
                        Err(error)
                    }
                },
                Err(error) => Err(error),
            };
            match config {
                Ok(config) => {
                    refused = None;
                    tls.config.store(Arc::new(config));
                    tracing::info!("the certificate changed and was read");
                }
                Err(error) => tracing::warn!(%error, "the earlier certificate stays in force"),
            }
        }
    }
}

impl Files {
    fn read(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, ServeError> {
        let read = |key, file: &Path| {
            fs::read(file).map_err(|source| ServeError::File {
                key,
                file: file.to_owned(),
                source,
            })
        };
        Ok(Self {
            certificate: read("tls.certificate", certificate)?,
            key: read("tls.key", key)?,
            client_ca: client_ca
                .map(|file| read("tls.client_ca", file))
                .transpose()?,
        })
    }

    fn config(&self, client_required: bool) -> Result<ServerConfig, ServeError> {
        let wrong = |error: &dyn std::fmt::Display| ServeError::Tls(error.to_string());
        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(&error))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| wrong(&error))?;
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in CertificateDer::pem_slice_iter(authorities) {
                    let authority = authority.map_err(|error| wrong(&error))?;
                    roots.add(authority).map_err(|error| wrong(&error))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if client_required {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(&error))?)
            }
        };
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| wrong(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}
