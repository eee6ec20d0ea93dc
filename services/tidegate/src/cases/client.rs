//! The connection: TLS, token, one retry policy, and refusals in words.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use tidegate_chassis::exit::Exit;
use tidegate_proto::escalation::v1::{
    agent_service_client::AgentServiceClient, audit_service_client::AuditServiceClient,
    case_service_client::CaseServiceClient, privacy_service_client::PrivacyServiceClient,
    queue_service_client::QueueServiceClient,
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_types::StatusExt as _;

use super::{To, show::Printer};

/// How often a call is made at most while the service can't be reached.
const TRIES: u32 = 3;

/// Adds the token to each call.
#[derive(Clone)]
pub(super) struct Token(Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

type Through = InterceptedService<Channel, Token>;

/// Calls the service.
pub(super) struct Client {
    channel: Channel,
    token: Token,
    pub(super) print: Printer,
}

impl Client {
    /// Connects with the first call.
    pub(super) fn connect(to: &To) -> anyhow::Result<Self> {
        let mut endpoint = Endpoint::from_shared(to.server.clone())
            .with_context(|| format!("--server {}: give http://HOST:PORT or https://…", to.server))?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(30));
        let read = |file: &std::path::Path| {
            fs::read(file).with_context(|| format!("read {}", file.display()))
        };
        if to.server.starts_with("https://") {
            let mut tls = ClientTlsConfig::new();
            let ca = to.ca.clone().or_else(trusted).context(
                "this machine's list of trusted authorities was not found: name one by --ca",
            )?;
            tls = tls.ca_certificate(Certificate::from_pem(read(&ca)?));
            if let (Some(cert), Some(key)) = (&to.cert, &to.key) {
                tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
            }
            endpoint = endpoint.tls_config(tls).context("the certificates")?;
        } else if to.ca.is_some() || to.cert.is_some() {
            anyhow::bail!(
                "--ca and --cert are for https://, and --server is {}",
                to.server
            );
        }
        let token = match &to.token_file {
            Some(file) => {
                let text = fs::read_to_string(file)
                    .with_context(|| format!("read the token from {}", file.display()))?;
                let mut value: MetadataValue<Ascii> = format!("Bearer {}", text.trim())
                    .parse()
                    .with_context(|| format!("{} holds no token", file.display()))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self {
            channel: endpoint.connect_lazy(),
            token: Token(token),
            print: Printer::new(to.json)?,
        })
    }

    fn through(&self) -> (Channel, Token) {
        (self.channel.clone(), self.token.clone())
    }

    pub(super) fn cases(&self) -> CaseServiceClient<Through> {
        let (channel, token) = self.through();
        CaseServiceClient::with_interceptor(channel, token)
    }

    pub(super) fn queues(&self) -> QueueServiceClient<Through> {
        let (channel, token) = self.through();
        QueueServiceClient::with_interceptor(channel, token)
    }

    pub(super) fn agents(&self) -> AgentServiceClient<Through> {
        let (channel, token) = self.through();
        AgentServiceClient::with_interceptor(channel, token)
    }

    pub(super) fn audit(&self) -> AuditServiceClient<Through> {
        let (channel, token) = self.through();
        AuditServiceClient::with_interceptor(channel, token)
    }

    pub(super) fn privacy(&self) -> PrivacyServiceClient<Through> {
        let (channel, token) = self.through();
        PrivacyServiceClient::with_interceptor(channel, token)
    }
}

/// Makes a call, again while the service can't be reached: with its request id the same call has
/// the effect of one.
pub(super) async fn call<A, R, T, F>(
    api: &A,
    request: &R,
    make: impl Fn(A, R) -> F,
) -> anyhow::Result<T>
where
    A: Clone,
    R: Clone,
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut tries = 1;
    loop {
        match make(api.clone(), request.clone()).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) if status.code() == Code::Unavailable && tries < TRIES => {
                tokio::time::sleep(Duration::from_millis(300) * tries).await;
                tries += 1;
            }
            Err(status) => return Err(status.into()),
        }
    }
}

/// A new request id.
pub(super) fn request_id() -> String {
    uuid::Builder::from_random_bytes(rand::random())
        .into_uuid()
        .to_string()
}

/// Where systems keep the list of authorities that they trust.
fn trusted() -> Option<PathBuf> {
    const PLACES: [&str; 3] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
    ];
    let given = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    given
        .into_iter()
        .chain(PLACES.map(PathBuf::from))
        .find(|file| file.is_file())
}

/// What was refused, and what to do about it.
pub(super) fn explain(status: &Status, server: &str) -> (Exit, String) {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    let said = match reason {
        Some(reason) => format!("{} ({reason})", status.message()),
        None => status.message().to_owned(),
    };
    match status.code() {
        Code::Unavailable if reason.is_none() => (
            Exit::Unavailable,
            format!(
                "{server} can't be reached: is tidegate-escalation running there? --server or \
                 TIDEGATE_SERVER names another place ({})",
                cause(status)
            ),
        ),
        Code::Unauthenticated => (
            Exit::Usage,
            format!(
                "{said}: name a file with a valid token by --token-file or TIDEGATE_TOKEN_FILE"
            ),
        ),
        Code::PermissionDenied => (
            Exit::Usage,
            format!("{said}: an admin can change what you may do with `tidegate cases agents set`"),
        ),
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => {
            (Exit::Unavailable, said)
        }
        Code::Internal | Code::Unknown | Code::DataLoss => (Exit::Software, said),
        _ => (Exit::Usage, said),
    }
}

/// The innermost reason, which tonic hides behind "transport error".
fn cause(status: &Status) -> String {
    let mut error: &dyn std::error::Error = status;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn a_refusal_shows_its_reason_and_a_silent_server_what_to_do() {
        let details = ErrorDetails::with_error_info("LEASE_GONE", "tidegate", []);
        let refused =
            Status::with_error_details(Code::FailedPrecondition, "claim it again", details);
        let (exit, said) = explain(&refused, "http://x:1");
        assert_eq!(exit, Exit::Usage);
        assert_eq!(said, "claim it again (LEASE_GONE)");

        let (exit, said) = explain(&Status::unavailable("transport error"), "http://x:1");
        assert_eq!(exit, Exit::Unavailable);
        assert!(
            said.contains("http://x:1") && said.contains("--server"),
            "{said}"
        );
    }

    #[test]
    fn a_missing_token_names_the_option() {
        let (_, said) = explain(&Status::unauthenticated("no token"), "http://x:1");
        assert!(said.contains("--token-file"), "{said}");
    }
}
