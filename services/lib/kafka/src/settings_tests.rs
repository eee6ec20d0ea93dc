//! What the settings accept, refuse and hide.

use super::*;

fn settings() -> KafkaSettings {
    KafkaSettings::new(
        "localhost:9092",
        "moderation",
        ["comments.v1"],
        "tidegate",
        "pod-0",
    )
}

fn from_yaml(yaml: &str) -> Result<KafkaSettings, String> {
    serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
}

const MINIMAL: &str = "
brokers: localhost:9092
group_id: moderation
topics: [comments.v1]
transactional_id_prefix: tidegate
instance: pod-0
";

#[test]
fn settings_that_are_complete_have_no_mistakes() {
    assert_eq!(settings().validate(), Vec::<String>::new());
    assert_eq!(from_yaml(MINIMAL).unwrap().validate(), Vec::<String>::new());
}

#[test]
fn every_mistake_is_reported_in_one_run_by_the_name_of_its_setting() {
    let settings = KafkaSettings {
        brokers: "localhost".into(),
        group_id: String::new(),
        topics: vec!["no spaces".into()],
        transactional_id_prefix: String::new(),
        instance: String::new(),
        transaction_timeout_ms: 10,
        session_timeout_ms: 1,
        linger_ms: 100,
        compression: "rar".into(),
        statistics_interval_ms: 0,
        security: Security {
            protocol: Protocol::SaslSsl,
            mechanism: Some(Mechanism::ScramSha512),
            key_file: Some("/nowhere/key.pem".into()),
            ..Security::default()
        },
        ..settings()
    };
    let mistakes = settings.validate();
    for name in [
        "brokers",
        "group_id",
        "topics",
        "transactional_id_prefix",
        "instance",
        "transaction_timeout_ms",
        "session_timeout_ms",
        "linger_ms",
        "compression",
        "statistics_interval_ms",
        "security.username",
        "security.password_file",
        "security.certificate_file",
        "security.key_file",
    ] {
        let found = mistakes
            .iter()
            .filter(|mistake| mistake.starts_with(&format!("{name}:")))
            .count();
        assert_eq!(found, 1, "{name} in {mistakes:#?}");
    }
}

#[test]
fn a_setting_that_does_not_exist_is_refused() {
    let error = from_yaml(&format!("{MINIMAL}broker: x\n")).unwrap_err();
    assert!(error.contains("broker"), "{error}");
}

#[test]
fn raw_settings_take_numbers_and_truth_values_and_must_be_known_to_the_client() {
    let yaml = format!(
        "{MINIMAL}
client: {{ socket.keepalive.enable: false }}
consumer: {{ queued.max.messages.kbytes: 1024, auto.offset.reset: latest }}
producer: {{ batch.size: many, no.such.setting: 1 }}
"
    );
    let settings = from_yaml(&yaml).unwrap();
    assert_eq!(settings.client.0["socket.keepalive.enable"], "false");
    assert_eq!(settings.consumer.0["queued.max.messages.kbytes"], "1024");
    let mistakes = settings.validate();
    assert_eq!(mistakes.len(), 2, "{mistakes:#?}");
    assert!(mistakes[0].starts_with("producer.batch.size: "));
    assert!(mistakes[1].starts_with("producer.no.such.setting: "));
}

#[test]
fn raw_settings_that_would_break_a_promise_are_refused_with_the_reason() {
    for name in [
        "enable.auto.commit",
        "enable.auto.offset.store",
        "isolation.level",
        "transactional.id",
        "enable.idempotence",
        "acks",
        "delivery.report.only.error",
        "sasl.password",
    ] {
        let settings = KafkaSettings {
            client: RawSettings::from_iter([(name, "hunter2")]),
            ..settings()
        };
        let mistakes = settings.validate();
        assert_eq!(mistakes.len(), 1, "{name}: {mistakes:?}");
        assert!(mistakes[0].starts_with(&format!("client.{name}: can't be set here: ")));
        assert!(!mistakes[0].contains("hunter2"));
    }
}

#[test]
fn at_least_once_needs_no_transactional_identity() {
    let settings = KafkaSettings {
        delivery: Delivery::AtLeastOnce,
        transactional_id_prefix: String::new(),
        instance: String::new(),
        ..settings()
    };
    assert_eq!(settings.validate(), Vec::<String>::new());
}

#[test]
fn a_password_is_never_shown() {
    let yaml = format!(
        "{MINIMAL}
security:
  protocol: sasl_ssl
  mechanism: SCRAM-SHA-512
  username: moderator
  password: hunter2
  key_password: hunter2
"
    );
    let settings = from_yaml(&yaml).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(
        !serde_json::to_string(&settings)
            .unwrap()
            .contains("hunter2")
    );
    let password = settings.security.read_password().unwrap().unwrap();
    assert_eq!(password.reveal(), "hunter2");
}

#[test]
fn a_password_file_is_read_without_its_line_break() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2\n").unwrap();
    let security = Security {
        password_file: Some(file.path().into()),
        ..Security::default()
    };
    let password = security.read_password().unwrap().unwrap();
    assert_eq!(password.reveal(), "hunter2");
}

#[test]
fn each_lane_has_a_name_of_its_own_that_a_restart_does_not_change() {
    assert_eq!(settings().lane_id(0), "tidegate-pod-0-0");
    assert_ne!(settings().lane_id(0), settings().lane_id(1));
}
