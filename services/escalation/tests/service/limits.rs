//! What one caller, and all together, may use.

use tidegate_escalation::server::settings::LimitsSection;
use tidegate_proto::escalation::v1::{ClaimCaseRequest, ListCasesRequest, Role};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    refused,
    support::{Making, World},
};

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_back_and_others_are_not_held_up() {
    let limits = LimitsSection {
        calls_per_second: 1,
        burst: 5,
        ..LimitsSection::default()
    };
    let world = World::with(Making {
        limits,
        ..Making::default()
    })
    .await;
    world.queue("conduct").await;
    // Three calls of the bootstrap token so far.
    let mut ana = world.agent("ana", Role::Agent, &["conduct"]).await;
    let mut last = Ok(());
    for _ in 0..20 {
        last = ana
            .cases
            .list_cases(ListCasesRequest::default())
            .await
            .map(drop);
        if last.is_err() {
            break;
        }
    }
    let status = last.unwrap_err();
    assert!(status.get_details_retry_info().is_some(), "{status:?}");
    refused!(Err::<(), _>(status), ResourceExhausted, "TOO_MANY_CALLS");
    let mut admin = world.bootstrap().await;
    admin
        .cases
        .list_cases(ListCasesRequest::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn calls_beyond_those_that_all_may_have_at_once_are_shed() {
    let limits = LimitsSection {
        in_flight: 2,
        ..LimitsSection::default()
    };
    let world = World::with(Making {
        limits,
        ..Making::default()
    })
    .await;
    world.queue("conduct").await;
    let mut ana = world.agent("ana", Role::Agent, &["conduct"]).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut client = ana.clone();
        waiting.push(tokio::spawn(async move {
            let wait = Some(prost_types::Duration {
                seconds: 30,
                nanos: 0,
            });
            let claim = ClaimCaseRequest {
                wait,
                ..ClaimCaseRequest::default()
            };
            // It may itself be the one that is shed.
            while client.cases.claim_case(claim.clone()).await.is_err() {}
        }));
    }
    let status = loop {
        match ana.cases.list_cases(ListCasesRequest::default()).await {
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().is_some());
    refused!(Err::<(), _>(status), Unavailable, "OVERLOADED");
    for call in waiting {
        call.abort();
    }
    // Room again, once the calls are gone.
    while ana
        .cases
        .list_cases(ListCasesRequest::default())
        .await
        .is_err()
    {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
