//! The server itself: health, reflection, and an end in time.

use std::time::{Duration, Instant};

use tidegate_escalation::server::settings::ServerSection;
use tidegate_proto::escalation::v1::{ListCasesRequest, Role, WatchCasesRequest};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::{Making, World};

async fn health(world: &World, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(world.channel().await);
    let service = service.to_owned();
    let answer = client.check(HealthCheckRequest { service }).await.unwrap();
    answer.into_inner().status()
}

/// Waits until health says so; how long is the test runner's to limit.
async fn until_health_is(world: &World, status: ServingStatus) {
    while health(world, "").await != status {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn health_follows_readiness_without_a_token() {
    let world = World::new().await;
    until_health_is(&world, ServingStatus::Serving).await;
    let service = "tidegate.escalation.v1.CaseService";
    assert_eq!(health(&world, service).await, ServingStatus::Serving);
    world.ready.not_ready("the database is away");
    until_health_is(&world, ServingStatus::NotServing).await;
    world.ready.ready();
    until_health_is(&world, ServingStatus::Serving).await;
}

async fn services(world: &World) -> Result<Vec<String>, tonic::Status> {
    let mut client = ServerReflectionClient::new(world.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures_util::stream::iter([request]);
    let mut answers = client.server_reflection_info(requests).await?.into_inner();
    let answer = answers.message().await?.unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("another answer");
    };
    Ok(list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect())
}

#[tokio::test]
async fn reflection_shows_the_contract_unless_it_is_turned_off() {
    let world = World::new().await;
    let found = services(&world).await.unwrap();
    for service in ["Case", "Queue", "Agent", "Audit", "Privacy", "Scoring"] {
        let name = format!("tidegate.escalation.v1.{service}Service");
        assert!(found.contains(&name), "{name} is not in {found:?}");
    }
    let server = ServerSection {
        reflection: false,
        ..ServerSection::default()
    };
    let world = World::with(Making {
        server,
        ..Making::default()
    })
    .await;
    assert_eq!(
        services(&world).await.unwrap_err().code(),
        tonic::Code::Unimplemented
    );
}

#[tokio::test]
async fn the_end_comes_in_time_though_a_watcher_listens_and_another_peer_is_silent() {
    let world = World::new().await;
    world.queue("conduct").await;
    let mut ana = world.agent("ana", Role::Agent, &["conduct"]).await;
    let watch = ana
        .cases
        .watch_cases(WatchCasesRequest::default())
        .await
        .unwrap();
    let mut watch = watch.into_inner();
    watch.message().await.unwrap();
    // It connects and never says a word.
    let silent = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let start = Instant::now();
    let address = world.address;
    world.stop().await.unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    // The watcher is told that it can go on elsewhere.
    let ended = loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            ended => break ended,
        }
    };
    assert_eq!(ended.unwrap_err().code(), tonic::Code::Unavailable);
    drop(silent);
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "the port still answers"
    );
}

#[tokio::test]
async fn a_method_that_nobody_knows_is_unimplemented() {
    let world = World::new().await;
    let nobody = world.nobody().await;
    let mut grpc = tonic::client::Grpc::new(nobody.channel);
    grpc.ready().await.unwrap();
    let path = "/tidegate.escalation.v1.CaseService/StealCase"
        .parse()
        .unwrap();
    let codec = tonic_prost::ProstCodec::<ListCasesRequest, ()>::default();
    let request = tonic::Request::new(ListCasesRequest::default());
    let status = grpc.unary(request, path, codec).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
}
