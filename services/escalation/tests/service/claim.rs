//! Claims that wait for a case to come.

use std::time::{Duration, Instant};

use tidegate_proto::escalation::v1::{ClaimCaseRequest, Role};

use crate::support::{Client, World, id};

fn waiting(seconds: i64) -> ClaimCaseRequest {
    ClaimCaseRequest {
        wait: Some(prost_types::Duration { seconds, nanos: 0 }),
        request_id: id(),
        ..ClaimCaseRequest::default()
    }
}

#[tokio::test]
async fn a_claim_that_waits_gets_the_case_that_comes_and_no_two_claims_get_the_same() {
    let world = World::new().await;
    world.queue("conduct").await;
    let mut claims = Vec::new();
    for name in ["ana", "ben"] {
        let mut client = world.agent(name, Role::Agent, &["conduct"]).await;
        claims.push(tokio::spawn(async move {
            let answer = client.cases.claim_case(waiting(30)).await.unwrap();
            answer.into_inner().case.unwrap().name
        }));
    }
    world.open("conduct", "e1").await;
    world.open("conduct", "e2").await;
    let mut names = Vec::new();
    for claim in claims {
        names.push(claim.await.unwrap());
    }
    assert_ne!(names[0], names[1]);
}

#[tokio::test]
async fn a_claim_without_a_wait_is_answered_at_once_with_nothing() {
    let world = World::new().await;
    world.queue("conduct").await;
    let mut ana = world.agent("ana", Role::Agent, &["conduct"]).await;
    assert!(ana.claim().await.unwrap().is_none());
}

#[tokio::test]
async fn a_waiting_claim_ends_when_the_process_does() {
    let world = World::new().await;
    world.queue("conduct").await;
    let mut ana: Client = world.agent("ana", Role::Agent, &["conduct"]).await;
    let start = Instant::now();
    let claim = tokio::spawn(async move { ana.cases.claim_case(waiting(60)).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.stop().await.unwrap();
    assert!(
        claim
            .await
            .unwrap()
            .is_ok_and(|answer| answer.into_inner().case.is_none())
    );
    assert!(start.elapsed() < Duration::from_secs(30));
}
