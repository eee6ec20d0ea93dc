//! Each bad input has its status, its reason in capitals, and changes nothing.

use std::time::Duration;

use prost_types::Timestamp;
use tidegate_proto::escalation::v1::{
    AddNoteRequest, AddNoteResponse, CaseEvent, ClaimCaseRequest, CreateCaseRequest,
    GetCaseRequest, HoldCaseRequest, ListCasesRequest, Outcome, ResolveCaseRequest, Role,
    VerifyAuditRequest,
};
use tonic::Request;

use crate::{
    refused,
    support::{Client, World, id},
};

async fn working() -> (World, Client, String) {
    let world = World::new().await;
    world.queue("conduct").await;
    world.open("conduct", "e1").await;
    let mut ana = world.agent("ana", Role::Agent, &["conduct"]).await;
    let case = ana.claim().await.unwrap().unwrap();
    (world, ana, case.name)
}

fn resolve(name: &str) -> ResolveCaseRequest {
    ResolveCaseRequest {
        name: name.to_owned(),
        outcome: Outcome::Hide.into(),
        request_id: id(),
        ..ResolveCaseRequest::default()
    }
}

#[tokio::test]
async fn an_etag_that_is_not_current_is_refused() {
    let (_world, mut ana, name) = working().await;
    let etag = "\"old\"".to_owned();
    let stale = ResolveCaseRequest {
        etag,
        ..resolve(&name)
    };
    refused!(
        ana.cases.resolve_case(stale).await,
        Aborted,
        "ETAG_MISMATCH"
    );
    ana.cases.resolve_case(resolve(&name)).await.unwrap();
}

#[tokio::test]
async fn a_repeated_request_id_gives_the_first_answer_and_another_request_under_it_is_refused() {
    let (_world, mut ana, name) = working().await;
    let request = resolve(&name);
    let first = ana
        .cases
        .resolve_case(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = ana
        .cases
        .resolve_case(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(first == again, "the second answer differs");
    let outcome = Outcome::Allow.into();
    let other = ResolveCaseRequest { outcome, ..request };
    refused!(
        ana.cases.resolve_case(other).await,
        InvalidArgument,
        "REQUEST_ID_REUSED"
    );
}

#[tokio::test]
async fn a_lease_that_ended_decides_nothing() {
    let (world, mut ana, name) = working().await;
    world.later(Duration::from_secs(3600));
    world.store.sweep().await.unwrap();
    let late = ana.cases.resolve_case(resolve(&name)).await;
    refused!(late, FailedPrecondition, "LEASE_GONE");
}

#[tokio::test]
async fn a_filter_names_the_byte_that_it_cannot_be_read_at() {
    let (_world, mut ana, _) = working().await;
    let filter = "state = OPEN AND colour = 1".to_owned();
    let request = ListCasesRequest {
        filter,
        ..ListCasesRequest::default()
    };
    let status = ana.cases.list_cases(request).await.unwrap_err();
    assert!(status.message().contains("byte 17"), "{}", status.message());
    refused!(Err::<(), _>(status), InvalidArgument, "BAD_FILTER");
}

#[tokio::test]
async fn pages_are_refused_when_their_size_is_negative_or_their_token_is_another_lists() {
    let (world, mut ana, _) = working().await;
    for event in ["e2", "e3", "e4"] {
        world.open("conduct", event).await;
    }
    let page_size = -1;
    let negative = ListCasesRequest {
        page_size,
        ..ListCasesRequest::default()
    };
    refused!(
        ana.cases.list_cases(negative).await,
        InvalidArgument,
        "BAD_PAGE_SIZE"
    );

    let request = ListCasesRequest {
        page_size: 1,
        ..ListCasesRequest::default()
    };
    let first = ana
        .cases
        .list_cases(request.clone())
        .await
        .unwrap()
        .into_inner();
    let page_token = first.next_page_token;
    for other in [
        ListCasesRequest {
            filter: "state = OPEN".to_owned(),
            ..request.clone()
        },
        ListCasesRequest {
            order_by: "create_time".to_owned(),
            ..request.clone()
        },
        ListCasesRequest {
            page_token: "made-up".to_owned(),
            ..request.clone()
        },
    ] {
        let page_token = match other.page_token.as_str() {
            "" => page_token.clone(),
            _ => other.page_token.clone(),
        };
        let request = ListCasesRequest {
            page_token,
            ..other
        };
        refused!(
            ana.cases.list_cases(request).await,
            InvalidArgument,
            "BAD_PAGE_TOKEN"
        );
    }
    let order_by = "colour".to_owned();
    let request = ListCasesRequest {
        order_by,
        ..ListCasesRequest::default()
    };
    refused!(
        ana.cases.list_cases(request).await,
        InvalidArgument,
        "BAD_ORDER"
    );
}

#[tokio::test]
async fn a_note_may_have_sixteen_kibibytes_and_a_request_one_mebibyte() {
    let (_world, ana, name) = working().await;
    let note = |bytes: usize| {
        let (name, text) = (name.clone(), "n".repeat(bytes));
        let request = AddNoteRequest {
            name,
            text,
            request_id: id(),
        };
        let mut cases = ana.cases.clone();
        async move { cases.add_note(request).await }
    };
    note(16 * 1024).await.unwrap();
    refused!(note(16 * 1024 + 1).await, InvalidArgument, "TOO_LONG");
    refused!(
        note(10_000_000).await,
        ResourceExhausted,
        "REQUEST_TOO_LARGE"
    );
}

/// A note whose text is not promised to be text.
#[derive(Clone, PartialEq, prost::Message)]
struct RawNote {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    text: Vec<u8>,
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_a_malformed_request() {
    let (_world, ana, name) = working().await;
    let called = tonic::service::interceptor::InterceptedService::new(ana.channel, ana.bearer);
    let mut grpc = tonic::client::Grpc::new(called);
    grpc.ready().await.unwrap();
    let path = "/tidegate.escalation.v1.CaseService/AddNote";
    let codec = tonic_prost::ProstCodec::<RawNote, AddNoteResponse>::default();
    let note = RawNote {
        name,
        text: vec![0xff, 0xfe],
    };
    let answer = grpc
        .unary(Request::new(note), path.parse().unwrap(), codec)
        .await;
    refused!(answer, InvalidArgument, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn names_ids_numbers_and_times_are_looked_at_before_the_store_is() {
    let (_world, mut ana, name) = working().await;
    let wrong = GetCaseRequest {
        name: "case-1".to_owned(),
    };
    refused!(
        ana.cases.get_case(wrong).await,
        InvalidArgument,
        "INVALID_FIELD"
    );

    let request_id = "not a uuid".to_owned();
    let wrong = ResolveCaseRequest {
        request_id,
        ..resolve(&name)
    };
    refused!(
        ana.cases.resolve_case(wrong).await,
        InvalidArgument,
        "INVALID_FIELD"
    );

    for outcome in [0, 99, -1] {
        let wrong = ResolveCaseRequest {
            outcome,
            ..resolve(&name)
        };
        refused!(
            ana.cases.resolve_case(wrong).await,
            InvalidArgument,
            "INVALID_FIELD"
        );
    }
    for labels in [vec![0], vec![99], vec![1, 1]] {
        let wrong = ResolveCaseRequest {
            labels,
            ..resolve(&name)
        };
        refused!(
            ana.cases.resolve_case(wrong).await,
            InvalidArgument,
            "INVALID_FIELD"
        );
    }
    let nanos = -1;
    let return_time = Some(Timestamp {
        seconds: 4_000_000_000,
        nanos,
    });
    let reason = "later".to_owned();
    let wrong = HoldCaseRequest {
        name,
        reason,
        return_time,
        ..HoldCaseRequest::default()
    };
    refused!(
        ana.cases.hold_case(wrong).await,
        InvalidArgument,
        "INVALID_FIELD"
    );

    for seconds in [-1, 61, i64::MAX] {
        let wait = Some(prost_types::Duration { seconds, nanos: 0 });
        let wrong = ClaimCaseRequest {
            wait,
            ..ClaimCaseRequest::default()
        };
        refused!(
            ana.cases.claim_case(wrong).await,
            InvalidArgument,
            "INVALID_FIELD"
        );
    }
    let empty = CreateCaseRequest {
        queue: "queues/conduct".to_owned(),
        ..Default::default()
    };
    refused!(
        ana.cases.create_case(empty.clone()).await,
        InvalidArgument,
        "INVALID_FIELD"
    );
    let event = Some(CaseEvent {
        channel: 77,
        ..CaseEvent::default()
    });
    let wrong = CreateCaseRequest { event, ..empty };
    refused!(
        ana.cases.create_case(wrong).await,
        InvalidArgument,
        "INVALID_FIELD"
    );
}

#[tokio::test]
async fn a_case_that_is_not_there_is_not_found() {
    let (world, mut ana, _) = working().await;
    let name = format!("cases/{}", id());
    let missing = ana.cases.get_case(GetCaseRequest { name }).await;
    refused!(missing, NotFound, "CASE_NOT_FOUND");
    let known_hash = vec![1, 2, 3];
    let mut admin = world.bootstrap().await;
    let answer = admin
        .audit
        .verify_audit(VerifyAuditRequest { known_hash })
        .await;
    refused!(answer, InvalidArgument, "INVALID_FIELD");
}

#[tokio::test]
async fn a_wait_ends_in_time_for_its_answer() {
    let (_world, mut ana, _) = working().await;
    let wait = Some(prost_types::Duration {
        seconds: 60,
        nanos: 0,
    });
    let mut request = Request::new(ClaimCaseRequest {
        wait,
        ..ClaimCaseRequest::default()
    });
    request.set_timeout(Duration::from_millis(800));
    let answer = ana.cases.claim_case(request).await.unwrap().into_inner();
    assert!(answer.case.is_none());
}
