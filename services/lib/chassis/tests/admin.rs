//! The admin port over a real socket.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tidegate_chassis::admin::{Admin, AdminError, AdminServer, AdminSettings, Shown};
use tidegate_chassis::build_info;
use tidegate_chassis::exit::{Exit, Failure};
use tidegate_chassis::health::{Liveness, Readiness};
use tidegate_chassis::metrics::{Catalogue, EVENT_AGE_SECONDS, MetricDef, Metrics, SECONDS, Unit};

const CONSUMED: MetricDef = MetricDef::counter(
    "tidegate_records_consumed_total",
    Unit::Count,
    "Records read.",
    &["topic"],
);
const ABORTED: MetricDef = MetricDef::counter(
    "tidegate_aborts_total",
    Unit::Count,
    "Transactions aborted.",
    &[],
);
const STAGE: MetricDef = MetricDef::histogram(
    "tidegate_stage_duration_seconds",
    SECONDS,
    Unit::Seconds,
    "How long a stage took.",
    &["stage"],
);
const AGE: MetricDef = MetricDef::histogram(
    "tidegate_event_age_seconds",
    EVENT_AGE_SECONDS,
    Unit::Seconds,
    "How old an event was when its verdict was committed.",
    &[],
);

struct Running {
    server: AdminServer,
    metrics: Metrics,
    readiness: Readiness,
    liveness: Liveness,
}

fn any_port() -> AdminSettings {
    AdminSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
    }
}

fn catalogue() -> Catalogue {
    Catalogue::new().with(&[CONSUMED, ABORTED, STAGE, AGE])
}

fn start() -> Running {
    let metrics = Metrics::build(&catalogue()).unwrap();
    let readiness = Readiness::new();
    let liveness = Liveness::new();
    let shown = Shown {
        service: "test",
        metrics: metrics.clone(),
        readiness: readiness.clone(),
        liveness: liveness.clone(),
    };
    Running {
        server: Admin::bind(&any_port()).unwrap().spawn(shown).unwrap(),
        metrics,
        readiness,
        liveness,
    }
}

/// The status and the body of an answer.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[test]
fn a_port_that_is_taken_is_one_line_that_says_what_to_change() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let error = Admin::bind(&AdminSettings { listen }).unwrap_err();
    assert!(matches!(error, AdminError::InUse(_)));
    let failure = Failure::from(error);
    assert_eq!(failure.exit(), Exit::Unavailable);
    assert_eq!(
        failure.to_string(),
        format!("admin address {listen} is in use: choose another with admin.listen")
    );
}

#[test]
fn an_address_of_another_machine_is_refused_with_the_reason() {
    let listen = SocketAddr::from(([192, 0, 2, 1], 9000));
    let error = Admin::bind(&AdminSettings { listen })
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("admin address 192.0.2.1:9000 cannot be used ("));
}

#[test]
fn port_0_takes_a_free_port_and_says_which() {
    let running = start();
    assert_ne!(running.server.address().port(), 0);
    assert_eq!(get(running.server.address(), "/").0, 200);
}

#[test]
fn the_index_lists_the_endpoints() {
    let running = start();
    let (_, body) = get(running.server.address(), "/");
    for path in ["/metrics", "/livez", "/readyz", "tidegate test 0."] {
        assert!(body.contains(path), "{body}");
    }
}

#[test]
fn readyz_names_the_parts_that_are_not_ready_and_turns_200_with_the_last_of_them() {
    let running = start();
    let address = running.server.address();
    let models = running.readiness.part("models");
    let group = running.readiness.part("group");
    models.ready();
    group.not_ready("not joined");
    assert_eq!(
        get(address, "/readyz"),
        (
            503,
            r#"{"ok":false,"parts":[{"part":"group","ok":false,"reason":"not joined"}]}"#
                .to_owned()
        )
    );
    group.ready();
    assert_eq!(
        get(address, "/readyz"),
        (200, r#"{"ok":true,"parts":[]}"#.to_owned())
    );
    let (_, all) = get(address, "/readyz?verbose");
    assert_eq!(
        all,
        r#"{"ok":true,"parts":[{"part":"group","ok":true},{"part":"models","ok":true}]}"#
    );
}

#[test]
fn livez_turns_503_when_a_loop_is_older_than_its_limit() {
    let running = start();
    let address = running.server.address();
    let beat = running.liveness.heartbeat("lane-0", Duration::MAX);
    assert_eq!(get(address, "/livez").0, 200);
    beat.finish();
    // Older than any limit of nothing, as soon as the clock has moved on by a millisecond.
    let _hung = running.liveness.heartbeat("lane-1", Duration::ZERO);
    while running.liveness.report().ok {
        std::thread::yield_now();
    }
    let (status, body) = get(address, "/livez");
    assert_eq!(status, 503);
    assert!(body.contains(r#""part":"lane-1","ok":false"#), "{body}");
}

#[test]
fn metrics_holds_what_was_recorded_with_buckets_and_the_process_and_nothing_undeclared() {
    let running = start();
    running.metrics.scope(|| {
        build_info::record("test");
        metrics::counter!(CONSUMED.name, "topic" => "comments.v1").increment(3);
        metrics::histogram!(STAGE.name, "stage" => "decode").record(0.11);
        metrics::histogram!(AGE.name).record(0.2);
    });
    let (status, text) = get(running.server.address(), "/metrics");
    assert_eq!(status, 200);
    for line in [
        r#"tidegate_records_consumed_total{topic="comments.v1"} 3"#,
        "# HELP tidegate_records_consumed_total Records read.",
        "tidegate_aborts_total 0",
        r#"tidegate_stage_duration_seconds_bucket{stage="decode",le="0.1"} 0"#,
        r#"tidegate_stage_duration_seconds_bucket{stage="decode",le="0.12"} 1"#,
        r#"tidegate_event_age_seconds_bucket{le="0.25"} 1"#,
        r#"tidegate_build_info{service="test","#,
        "process_resident_memory_bytes",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert_eq!(catalogue().breaches(&text), Vec::<String>::new());
}

#[test]
fn an_undeclared_metric_label_or_kind_is_a_breach_of_the_catalogue() {
    let metrics = Metrics::build(&catalogue()).unwrap();
    metrics.scope(|| {
        metrics::counter!("tidegate_surprise_total").increment(1);
        metrics::counter!(CONSUMED.name, "topic" => "a,b=\"c\"", "user" => "u1").increment(1);
        metrics::gauge!(AGE.name).set(1.0);
    });
    assert_eq!(
        catalogue().breaches(&metrics.render()),
        [
            "tidegate_event_age_seconds is a gauge, declared as histogram",
            "tidegate_records_consumed_total has the undeclared label user",
            "tidegate_surprise_total is not in the catalogue",
        ]
    );
}

#[test]
fn the_catalogue_says_which_definitions_break_the_naming_rules() {
    let none = &[];
    let bad = [
        MetricDef::counter("tidegate_records", Unit::Count, "Records.", none),
        MetricDef::gauge("tidegate_lag", Unit::Seconds, "Lag.", none),
        MetricDef::gauge("depth", Unit::Count, "Depth.", &["instance"]),
        MetricDef::histogram("tidegate_a_bytes", &[2.0, 1.0], Unit::Bytes, "", none),
        CONSUMED,
    ];
    assert_eq!(
        catalogue().with(&bad).faults(),
        [
            "tidegate_records_consumed_total is declared twice",
            "tidegate_records must end in _total if it is a counter, and only then",
            "tidegate_lag must say _seconds",
            "depth must begin with tidegate_",
            "depth has a label that Prometheus keeps for itself",
            "tidegate_a_bytes needs a help text",
            "tidegate_a_bytes needs rising bucket edges",
        ]
    );
    assert_eq!(catalogue().faults(), Vec::<String>::new());
}

#[test]
fn the_port_is_free_again_after_the_server_is_dropped() {
    let running = start();
    let listen = running.server.address();
    drop(running);
    assert!(Admin::bind(&AdminSettings { listen }).is_ok());
}
