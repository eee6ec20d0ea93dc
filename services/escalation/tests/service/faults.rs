//! A disk that is full, as callers see it.

use tidegate_proto::escalation::v1::{
    AddNoteRequest, CaseState, ListCasesRequest, Outcome, ResolveCaseRequest, Role,
    VerifyAuditRequest,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{World, case, id};
use tidegate_escalation::store::Arrived;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_with_advice_loses_nothing_and_goes_on_when_there_is_room() {
    let world = World::new().await;
    world.queue("conduct").await;
    for n in 0..3 {
        world.open("conduct", &format!("before-{n}")).await;
    }
    let mut ana = world.agent("ana", Role::Agent, &["conduct"]).await;
    let mine = ana.claim().await.unwrap().unwrap();
    world.store.limit_pages_for_tests(1).await;

    let note = AddNoteRequest {
        name: mine.name.clone(),
        text: "x".repeat(16 * 1_024),
        request_id: id(),
    };
    let mut decision = ResolveCaseRequest {
        name: mine.name.clone(),
        comment: "x".repeat(16 * 1_024),
        request_id: id(),
        ..ResolveCaseRequest::default()
    };
    decision.set_outcome(Outcome::Hide);
    let noted = ana.cases.add_note(note.clone()).await.unwrap_err();
    let resolved = ana.cases.resolve_case(decision.clone()).await.unwrap_err();
    for status in [noted, resolved] {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().contains("the disk is full"), "{status:?}");
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "STORE_UNAVAILABLE");
        assert!(details.retry_info().is_some(), "{status:?}");
    }
    let arriving = || {
        let many = (0..200).map(|n| case("conduct", &format!("meanwhile-{n}")));
        many.map(|one| Arrived::Open(Box::new(one))).collect()
    };
    world.store.intake(arriving(), &[]).await.unwrap_err();
    // Reading goes on.
    let list = ListCasesRequest::default();
    let seen = ana.cases.list_cases(list.clone()).await.unwrap();
    assert_eq!(seen.into_inner().cases.len(), 3);

    world.store.limit_pages_for_tests(u32::MAX >> 2).await;
    ana.cases.add_note(note).await.unwrap();
    let resolved = ana.cases.resolve_case(decision).await.unwrap();
    let resolved = resolved.into_inner().case.unwrap();
    assert_eq!(resolved.state(), CaseState::Resolved);
    assert_eq!((resolved.notes.len(), resolved.decisions.len()), (1, 1));
    world.store.intake(arriving(), &[]).await.unwrap();
    let list = ListCasesRequest {
        page_size: 500,
        ..list
    };
    let seen = ana.cases.list_cases(list).await.unwrap().into_inner();
    assert_eq!(seen.cases.len(), 203);
    let mut admin = world.bootstrap().await;
    let audit = admin.audit.verify_audit(VerifyAuditRequest::default());
    let audit = audit.await.unwrap().into_inner();
    assert!(audit.intact, "{}", audit.problem);
    world.stop().await.unwrap();
}
