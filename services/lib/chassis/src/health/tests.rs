use super::*;

/// A clock that a test moves by hand.
fn clock() -> (Arc<AtomicU64>, Liveness) {
    let now = Arc::new(AtomicU64::new(0));
    let read = now.clone();
    let liveness =
        Liveness::with_clock(move || Duration::from_millis(read.load(Ordering::Relaxed)));
    (now, liveness)
}

fn reason(report: &Report, name: &str) -> Option<String> {
    let part = report.parts.iter().find(|part| part.part == name);
    part.and_then(|part| part.reason.clone())
}

#[test]
fn a_process_without_parts_is_not_ready() {
    let readiness = Readiness::new();
    assert!(!readiness.is_ready());
    let report = readiness.report();
    assert_eq!(reason(&report, "process").as_deref(), Some("starting"));
}

#[test]
fn a_process_is_ready_when_every_part_said_so() {
    let readiness = Readiness::new();
    let models = readiness.part("models");
    let group = readiness.part("group");
    assert!(!readiness.is_ready());
    models.ready();
    assert!(!readiness.is_ready());
    group.ready();
    assert!(readiness.is_ready());
}

#[test]
fn a_part_that_falls_back_is_reported_with_its_latest_reason() {
    let readiness = Readiness::new();
    let group = readiness.part("group");
    group.ready();
    group.not_ready("rebalancing");
    group.not_ready("no broker answers");
    let report = readiness.report().only_failing();
    assert_eq!(
        reason(&report, "group").as_deref(),
        Some("no broker answers")
    );
    group.ready();
    assert_eq!(readiness.report().only_failing().parts, []);
}

#[test]
fn a_part_whose_handle_is_gone_is_not_ready() {
    let readiness = Readiness::new();
    let lane = readiness.part("lane-0");
    lane.ready();
    drop(lane);
    assert!(!readiness.is_ready());
    assert_eq!(
        reason(&readiness.report(), "lane-0").as_deref(),
        Some("ended")
    );
}

#[test]
fn a_process_that_was_asked_to_end_is_not_ready_whatever_its_parts_say() {
    let shutdown = Shutdown::new();
    let readiness = Readiness::until(&shutdown);
    let part = readiness.part("models");
    part.ready();
    assert!(readiness.is_ready());
    shutdown.request("test");
    part.ready();
    assert!(!readiness.is_ready());
    let report = readiness.report().only_failing();
    assert_eq!(reason(&report, "shutdown").as_deref(), Some("draining"));
}

#[test]
fn a_loop_is_live_up_to_its_limit_and_dead_beyond_it() {
    let (now, liveness) = clock();
    let _beat = liveness.heartbeat("lane-0", Duration::from_secs(60));
    now.store(60_000, Ordering::Relaxed);
    assert!(liveness.report().ok);
    now.store(60_001, Ordering::Relaxed);
    assert_eq!(
        reason(&liveness.report(), "lane-0").as_deref(),
        Some("last turn 60001 ms ago, at most 60000 ms allowed")
    );
}

#[test]
fn a_beat_revives_its_own_loop_only() {
    let (now, liveness) = clock();
    let first = liveness.heartbeat("lane-0", Duration::from_secs(1));
    let _second = liveness.heartbeat("lane-1", Duration::from_secs(1));
    now.store(5_000, Ordering::Relaxed);
    first.beat();
    let failing = liveness.report().only_failing();
    let names: Vec<_> = failing.parts.iter().map(|p| p.part.as_str()).collect();
    assert_eq!(names, ["lane-1"]);
}

#[test]
fn a_loop_that_finished_is_forgotten_and_one_that_panicked_is_not() {
    let (now, liveness) = clock();
    liveness
        .heartbeat("finished", Duration::from_secs(1))
        .finish();
    drop(liveness.heartbeat("panicked", Duration::from_secs(1)));
    now.store(2_000, Ordering::Relaxed);
    let report = liveness.report();
    assert_eq!(report.parts.len(), 1);
    assert_eq!(report.parts[0].part, "panicked");
    assert!(!report.ok);
}

#[test]
fn a_process_without_loops_is_live() {
    assert!(Liveness::new().report().ok);
}
