//! The authorisation matrix: every method of the contract for every role, over the wire.

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tidegate_proto::escalation::v1::{DESCRIPTORS, Role};
use tonic::{Code, Request, service::interceptor::InterceptedService};
use tonic_types::StatusExt as _;

use crate::support::{Client, World};

/// For each method, who may call it: viewer, agent, lead, admin, service.
const MATRIX: &[(&str, &str)] = &[
    ("CaseService/CreateCase", "-ALDS"),
    ("CaseService/GetCase", "VALDS"),
    ("CaseService/ListCases", "VALDS"),
    ("CaseService/CountCases", "VALDS"),
    ("CaseService/WatchCases", "VALDS"),
    ("CaseService/ClaimCase", "-ALD-"),
    ("CaseService/HeartbeatCase", "-ALD-"),
    ("CaseService/ReleaseCase", "-ALD-"),
    ("CaseService/HoldCase", "-ALD-"),
    ("CaseService/AssignCase", "--LD-"),
    ("CaseService/AddNote", "-ALD-"),
    ("CaseService/ResolveCase", "-ALD-"),
    ("CaseService/OpenAppeal", "-ALDS"),
    ("CaseService/DecideAppeal", "--LD-"),
    ("QueueService/GetQueue", "VALDS"),
    ("QueueService/ListQueues", "VALDS"),
    ("QueueService/UpdateQueue", "--LD-"),
    ("AgentService/GetAgent", "VALDS"),
    ("AgentService/ListAgents", "--LD-"),
    ("AgentService/UpdateAgent", "---D-"),
    ("AgentService/RotateToken", "---D-"),
    ("AuditService/ListAuditEntries", "--LD-"),
    ("AuditService/ExportAudit", "--LD-"),
    ("AuditService/VerifyAudit", "--LD-"),
    ("PrivacyService/ExportSubject", "---D-"),
    ("PrivacyService/EraseSubject", "---D-"),
    ("ScoringService/Score", "--LDS"),
];

const ROLES: [(Role, &str); 5] = [
    (Role::Viewer, "vera"),
    (Role::Agent, "ana"),
    (Role::Lead, "lea"),
    (Role::Admin, "ada"),
    (Role::Service, "sam"),
];

/// Calls a method with an empty request; how it was refused, if it was.
async fn call(client: &Client, method: &str) -> Option<(Code, String)> {
    let called = InterceptedService::new(client.channel.clone(), client.bearer.clone());
    let mut grpc = tonic::client::Grpc::new(called);
    grpc.ready().await.unwrap();
    let path = format!("/tidegate.escalation.v1.{method}");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let answer = grpc
        .server_streaming(Request::new(()), path.parse().unwrap(), codec)
        .await;
    let status = answer.err()?;
    let reason = status
        .get_error_details()
        .error_info()
        .map(|info| info.reason.clone());
    Some((status.code(), reason.unwrap_or_default()))
}

#[tokio::test]
async fn each_role_may_call_what_the_matrix_says_and_nothing_else() {
    let contract = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let methods: usize = contract
        .file
        .iter()
        .flat_map(|file| &file.service)
        .map(|service| service.method.len())
        .sum();
    assert_eq!(
        methods,
        MATRIX.len(),
        "the matrix does not hold every method"
    );

    let world = World::new().await;
    world.queue("conduct").await;
    let mut wrong = Vec::new();
    for (place, (role, name)) in ROLES.into_iter().enumerate() {
        let client = world.agent(name, role, &["conduct"]).await;
        for (method, may) in MATRIX {
            let may = may.as_bytes()[place] != b'-';
            let refused = call(&client, method).await;
            let reason = refused.as_ref().map_or("", |(_, reason)| reason.as_str());
            if may == (reason == "ROLE_MAY_NOT") {
                wrong.push(format!("{role:?} {method}: {refused:?}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
async fn nobody_may_call_anything() {
    let world = World::new().await;
    let nobody = world.nobody().await;
    for (method, _) in MATRIX {
        let refused = call(&nobody, method).await;
        let expected = (Code::Unauthenticated, "CREDENTIAL_MISSING".to_owned());
        assert_eq!(refused, Some(expected), "{method}");
    }
}
