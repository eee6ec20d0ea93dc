//! Certificates: of the server, and of clients as proof of who they are.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tidegate_escalation::{
    auth::settings::{AuthSection, CertificateName},
    server::settings::TlsSection,
};
use tidegate_proto::escalation::v1::{ListCasesRequest, Role};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::{
    refused,
    support::{Client, Making, World},
};

/// Signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate and its key.
    fn sign(&self, common_name: &str, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Option<PathBuf> {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    Some(file)
}

async fn secured(authority: &Authority, required: bool, certificate: CertificateName) -> World {
    let folder = tempfile::tempdir().unwrap();
    secured_by(folder.path(), authority, required, certificate).await
}

/// With certificates in a folder, which is looked at often.
async fn secured_by(
    folder: &Path,
    authority: &Authority,
    required: bool,
    certificate: CertificateName,
) -> World {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let (own, key) = authority.sign("tidegate", &["localhost"]);
    let tls = TlsSection {
        certificate: write(folder, "own.pem", &own),
        key: write(folder, "key.pem", &key),
        client_ca: write(folder, "ca.pem", &authority.pem),
        client_required: required,
        check_every: Duration::from_millis(20),
        ..TlsSection::default()
    };
    let auth = AuthSection {
        certificate,
        ..AuthSection::default()
    };
    let world = World::with(Making {
        tls,
        auth,
        ..Making::default()
    })
    .await;
    // The files are read as the server begins to run.
    connect(&world, authority, None).await.ok();
    world
}

async fn connect(
    world: &World,
    authority: &Authority,
    own: Option<&(String, String)>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .domain_name("localhost")
        .ca_certificate(Certificate::from_pem(&authority.pem));
    if let Some((certificate, key)) = own {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", world.address)).unwrap();
    endpoint.tls_config(tls)?.connect().await
}

async fn list(channel: Channel, token: Option<&str>) -> Result<(), tonic::Status> {
    let mut client = Client::new(channel, token);
    client
        .cases
        .list_cases(ListCasesRequest::default())
        .await
        .map(drop)
}

/// Makes an agent where only TLS leads in.
async fn make_agent(world: &World, authority: &Authority, name: &str) {
    use tidegate_proto::escalation::v1::{Agent, UpdateAgentRequest};
    let channel = connect(world, authority, Some(&authority.sign("nobody", &[])))
        .await
        .unwrap();
    let mut admin = Client::new(channel, Some(world.bootstrap_token()));
    let agent = Agent {
        name: format!("agents/{name}"),
        role: Role::Agent.into(),
        queues: vec!["queues/conduct".to_owned()],
        ..Agent::default()
    };
    let request = UpdateAgentRequest {
        agent: Some(agent),
        allow_missing: true,
        ..UpdateAgentRequest::default()
    };
    admin.agents.update_agent(request).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_our_authority_names_the_agent_and_another_authoritys_does_not() {
    let (ours, other) = (Authority::new(), Authority::new());
    let world = secured(&ours, false, CertificateName::Subject).await;
    make_agent(&world, &ours, "ana").await;

    let ana = connect(&world, &ours, Some(&ours.sign("ana", &[])))
        .await
        .unwrap();
    list(ana, None).await.unwrap();

    let eve = connect(&world, &ours, Some(&ours.sign("eve", &[])))
        .await
        .unwrap();
    refused!(list(eve, None).await, Unauthenticated, "AGENT_UNKNOWN");

    let nobody = connect(&world, &ours, None).await.unwrap();
    refused!(
        list(nobody, None).await,
        Unauthenticated,
        "CREDENTIAL_MISSING"
    );

    // Refused by the handshake: at once, or with the first call.
    if let Ok(forged) = connect(&world, &ours, Some(&other.sign("ana", &[]))).await {
        assert!(
            list(forged, None).await.is_err(),
            "another authority was believed"
        );
    }
}

#[tokio::test]
async fn where_certificates_are_required_a_token_alone_does_not_connect() {
    let ours = Authority::new();
    let world = secured(&ours, true, CertificateName::Subject).await;
    if let Ok(channel) = connect(&world, &ours, None).await {
        let token = world.bootstrap_token();
        assert!(
            list(channel, Some(token)).await.is_err(),
            "no certificate was needed"
        );
    }
    let proxy = connect(&world, &ours, Some(&ours.sign("proxy", &[])))
        .await
        .unwrap();
    // The token says who calls, the certificate only that the proxy may connect.
    list(proxy, Some(world.bootstrap_token())).await.unwrap();
}

#[tokio::test]
async fn the_agent_may_be_a_certificates_dns_name_but_not_one_of_two() {
    let ours = Authority::new();
    let world = secured(&ours, false, CertificateName::Dns).await;
    make_agent(&world, &ours, "ana").await;
    let ana = ours.sign("somebody", &["ana.agents.example"]);
    let ana = connect(&world, &ours, Some(&ana)).await.unwrap();
    list(ana, None).await.unwrap();
    let two = ours.sign("somebody", &["ana.agents.example", "eve.agents.example"]);
    let two = connect(&world, &ours, Some(&two)).await.unwrap();
    refused!(list(two, None).await, Unauthenticated, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_is_not_answered() {
    let ours = Authority::new();
    let world = secured(&ours, false, CertificateName::Subject).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", world.address)).unwrap();
    if let Ok(channel) = endpoint.connect().await {
        assert!(list(channel, Some(world.bootstrap_token())).await.is_err());
    }
}

#[tokio::test]
async fn a_newer_certificate_is_taken_and_open_connections_and_broken_files_change_nothing() {
    let (ours, newer) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let world = secured_by(folder.path(), &ours, false, CertificateName::Subject).await;
    make_agent(&world, &ours, "ana").await;
    let old = connect(&world, &ours, Some(&ours.sign("ana", &[])))
        .await
        .unwrap();
    list(old.clone(), None).await.unwrap();

    // Half a change: the certificate without its key.
    let (own, key) = newer.sign("tidegate", &["localhost"]);
    write(folder.path(), "own.pem", &own);
    tokio::time::sleep(Duration::from_millis(100)).await;
    connect(&world, &ours, None).await.unwrap();
    write(folder.path(), "key.pem", &key);
    write(folder.path(), "ca.pem", &newer.pem);

    let ana = newer.sign("ana", &[]);
    let mut tries = 0;
    loop {
        // Both the server's and the client's certificate are another authority's now.
        if let Ok(channel) = connect(&world, &newer, Some(&ana)).await
            && list(channel, None).await.is_ok()
        {
            break;
        }
        tries += 1;
        assert!(tries < 500, "the newer certificate was not taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(connect(&world, &ours, None).await.is_err());
    list(old, None).await.unwrap();
}
