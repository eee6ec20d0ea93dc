use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Settings {
    kafka: Kafka,
    batch: Batch,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Kafka {
    brokers: Vec<String>,
    group_id: String,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
    protocol: Protocol,
    client: BTreeMap<String, String>,
    ports: Vec<u16>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    #[default]
    Plaintext,
    Ssl,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Batch {
    max_records: u32,
    #[serde(with = "duration")]
    linger: Duration,
    ratio: f64,
    eager: bool,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            max_records: 256,
            linger: Duration::from_millis(5),
            ratio: 0.5,
            eager: false,
        }
    }
}

impl Validate for Settings {
    fn validate(&self, mistakes: &mut Mistakes) {
        mistakes.within("batch", |m| {
            m.in_range("max_records", self.batch.max_records, 1..=10_000);
            m.in_range("ratio", self.batch.ratio, 0.0..=1.0);
        });
        mistakes.within("kafka", |m| {
            if let Err(error) = secret_from(
                self.kafka.password.as_ref(),
                self.kafka.password_file.as_deref(),
            ) {
                m.add("password", error.to_string());
            }
        });
    }
}

/// A TOML file that lives as long as the test.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn mistakes(sources: &Sources) -> Vec<String> {
    match load::<Settings>(sources) {
        Ok(settings) => panic!("no mistake was found: {settings:?}"),
        Err(errors) => errors.lines().collect(),
    }
}

#[test]
fn without_any_source_every_setting_has_its_default() {
    assert_eq!(
        load::<Settings>(&Sources::none()).unwrap(),
        Settings::default()
    );
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_file_which_wins_over_the_default() {
    let (_folder, path) =
        file("[batch]\nmax_records = 1\nlinger = \"1ms\"\nratio = 0.1\n[kafka]\ngroup_id = \"f\"");
    let sources = Sources::none()
        .file(path)
        .variable("TIDEGATE_BATCH__MAX_RECORDS", "2")
        .variable("TIDEGATE_BATCH__LINGER", "2ms")
        .set("batch.max_records=3");
    let settings: Settings = load(&sources).unwrap();
    assert_eq!(settings.batch.max_records, 3);
    assert_eq!(settings.batch.linger, Duration::from_millis(2));
    assert_eq!(settings.batch.ratio, 0.1);
    assert!(!settings.batch.eager);
    assert_eq!(settings.kafka.group_id, "f");
}

#[test]
fn the_last_of_two_flags_wins() {
    let sources = Sources::none()
        .set("kafka.group_id=a")
        .set("kafka.group_id=b");
    assert_eq!(load::<Settings>(&sources).unwrap().kafka.group_id, "b");
}

#[test]
fn text_from_outside_toml_takes_the_type_of_its_setting() {
    let sources = Sources::none()
        .variable("TIDEGATE_KAFKA__GROUP_ID", "123")
        .variable("TIDEGATE_KAFKA__BROKERS", "a:9092, b:9092")
        .variable("TIDEGATE_KAFKA__PROTOCOL", "ssl")
        .variable("TIDEGATE_KAFKA__PASSWORD", "00123")
        .variable("TIDEGATE_BATCH__EAGER", "true")
        .set("batch.ratio=1")
        .set("kafka.ports=[1, 2]")
        .set("kafka.client.\"linger.ms\"=5");
    let settings: Settings = load(&sources).unwrap();
    assert_eq!(settings.kafka.group_id, "123");
    assert_eq!(settings.kafka.brokers, ["a:9092", "b:9092"]);
    assert_eq!(settings.kafka.protocol, Protocol::Ssl);
    assert_eq!(settings.kafka.password, Some(Secret::new("00123")));
    assert_eq!(settings.kafka.ports, [1, 2]);
    assert_eq!(settings.kafka.client["linger.ms"], "5");
    assert!(settings.batch.eager);
    assert_eq!(settings.batch.ratio, 1.0);
}

#[test]
fn an_empty_variable_leaves_an_optional_setting_unset() {
    let sources = Sources::none().variable("TIDEGATE_KAFKA__PASSWORD_FILE", "");
    let settings: Settings = load(&sources).unwrap();
    assert_eq!(settings.kafka.password_file, None);
}

#[test]
fn tidegate_config_names_the_file_and_the_flag_wins_over_it() {
    let (_one, named) = file("[kafka]\ngroup_id = \"by-variable\"");
    let (_two, flagged) = file("[kafka]\ngroup_id = \"by-flag\"");
    let named = named.to_string_lossy().into_owned();
    let environment = [("TIDEGATE_CONFIG".to_owned(), named)];
    let mut args = SettingsArgs::default();
    let settings: Settings = load(&args.sources_in(environment.clone())).unwrap();
    assert_eq!(settings.kafka.group_id, "by-variable");
    args.config = Some(flagged);
    let settings: Settings = load(&args.sources_in(environment)).unwrap();
    assert_eq!(settings.kafka.group_id, "by-flag");
}

#[test]
fn every_mistake_is_reported_in_one_run_with_the_place_it_came_from() {
    let (_folder, path) = file(
        "[kafka]\nbrokers = \"a\"\ngroup = \"g\"\nprotocol = \"tls\"\nports = [1, 70000, true]\n\n\
         [batch]\nlinger = 5\nratio = 1.5\n\n[colour]\nx = 1\n",
    );
    let at = path.display();
    let sources = Sources::none()
        .file(&path)
        .variable("TIDEGATE_BATCH__MAX_RECORDS", "many")
        .variable("TIDEGATE_BATCH__EAGRE", "true")
        .variable("TIDEGATE_KAFKA_GROUP_ID", "g")
        .set("batch.eager=perhaps")
        .set("nonsense");
    let mut found = mistakes(&sources);
    let mut wanted = [
        format!("kafka.brokers: must be a list, not text (from {at}:2)"),
        format!(
            "kafka.group: there is no such setting; those here are brokers, group_id, password, \
             password_file, protocol, client, ports (from {at}:3)"
        ),
        format!("kafka.protocol: must be one of plaintext, ssl; not `tls` (from {at}:4)"),
        format!("kafka.ports[1]: must be a whole number from 0 to 65535, not 70000 (from {at}:5)"),
        format!(
            "kafka.ports[2]: must be a whole number from 0 to 65535, not boolean `true` \
             (from {at}:5)"
        ),
        format!(
            "batch.linger: must be a duration with its unit, such as \"100ms\", \"30s\" or \"2h\" \
             (from {at}:8)"
        ),
        format!("batch.ratio: must be from 0 to 1, not 1.5 (from {at}:9)"),
        format!("colour: there is no such setting; those here are kafka, batch (from {at}:11)"),
        "batch.max_records: must be a whole number, not `many` (from TIDEGATE_BATCH__MAX_RECORDS)"
            .to_owned(),
        "batch.eagre: there is no such setting: did you mean batch.eager? (from \
         TIDEGATE_BATCH__EAGRE)"
            .to_owned(),
        "batch.eager: must be true or false, not `perhaps` (from --set batch.eager)".to_owned(),
        "--set flag 2: must be written as SECTION.KEY=VALUE".to_owned(),
        "TIDEGATE_KAFKA_GROUP_ID is not read: did you mean TIDEGATE_KAFKA__GROUP_ID, with two \
         underscores?"
            .to_owned(),
    ];
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}

#[test]
fn the_report_begins_with_the_number_of_mistakes() {
    let sources = Sources::none()
        .set("batch.max_records=0")
        .set("batch.ratio=2");
    let report = load::<Settings>(&sources).unwrap_err().to_string();
    assert_eq!(
        report,
        "2 settings are wrong:\n  \
         batch.max_records: must be from 1 to 10000, not 0 (from --set batch.max_records)\n  \
         batch.ratio: must be from 0 to 1, not 2 (from --set batch.ratio)"
    );
}

#[test]
fn a_file_that_is_not_toml_is_reported_with_every_bad_line() {
    let (_folder, path) = file("[batch]\nmax_records = \n[kafka]\ngroup_id = = 1\n");
    let found = mistakes(&Sources::none().file(&path));
    let at = |line: usize| format!("(from {}:{line})", path.display());
    assert!(found.iter().any(|m| m.ends_with(&at(2))), "{found:?}");
    assert!(found.iter().any(|m| m.ends_with(&at(4))), "{found:?}");
}

#[test]
fn a_file_that_is_not_there_is_reported_with_what_asked_for_it() {
    let found = mistakes(&Sources::none().variable("TIDEGATE_CONFIG", "/nowhere/t.toml"));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("TIDEGATE_CONFIG /nowhere/t.toml: the file cannot be read"));
}

#[derive(Debug, Deserialize)]
struct Required {
    id: Inner,
}

#[derive(Debug, Deserialize)]
struct Inner {
    name: String,
    size: u32,
}

impl Validate for Required {
    fn validate(&self, mistakes: &mut Mistakes) {
        // Never reached with blanks: what is missing is reported as that alone.
        mistakes.within("id", |m| {
            m.require(!self.id.name.is_empty(), "name", "must not be empty");
            m.in_range("size", self.id.size, 1..=9);
        });
    }
}

#[test]
fn all_required_settings_that_are_missing_are_reported_together_and_only_as_missing() {
    let errors = load::<Required>(&Sources::none().set("id.sise=1")).unwrap_err();
    let found: Vec<String> = errors.lines().collect();
    assert_eq!(
        found,
        [
            "id.name: is required",
            "id.size: is required",
            "id.sise: there is no such setting: did you mean id.size? (from --set id.sise)",
        ]
    );
}

#[derive(Debug, Deserialize)]
struct Routed {
    #[serde(default)]
    routes: Vec<Inner>,
}

impl Validate for Routed {
    fn validate(&self, mistakes: &mut Mistakes) {
        mistakes.each("routes", &self.routes, |route, m| {
            m.in_range("size", route.size, 1..=9);
        });
    }
}

#[test]
fn a_mistake_in_a_list_of_tables_is_named_by_its_index() {
    let (_folder, path) = file(
        "[[routes]]\nname = \"a\"\nsize = 10\n\
         [[routes]]\nname = 1\nsize = 2\nsise = 3\n\
         [[routes]]\nsize = 0\n",
    );
    let at = path.display();
    let errors = load::<Routed>(&Sources::none().file(&path)).unwrap_err();
    let found: Vec<String> = errors.lines().collect();
    assert_eq!(
        found,
        [
            format!("routes[1].name: must be text in quotes, not integer `1` (from {at}:5)"),
            "routes[2].name: is required".to_owned(),
            format!(
                "routes[1].sise: there is no such setting: did you mean routes[1].size? (from \
                 {at}:7)"
            ),
            format!("routes[0].size: must be from 1 to 9, not 10 (from {at}:3)"),
            format!("routes[2].size: must be from 1 to 9, not 0 (from {at}:9)"),
        ]
    );
}

#[test]
fn a_wrong_item_of_a_list_is_reported_without_what_follows_from_it() {
    let errors = load::<Routed>(&Sources::none().set("routes=[\"a\", {name = \"b\", size = 1}]"));
    let found: Vec<String> = errors.unwrap_err().lines().collect();
    assert_eq!(
        found,
        ["routes[0]: must be a table, not text (from --set routes)"]
    );
}

#[test]
fn variables_that_an_orchestrator_makes_for_its_services_are_not_mistakes() {
    let sources = Sources::none()
        .variable("TIDEGATE_KAFKA_SERVICE_HOST", "10.0.0.1")
        .variable("TIDEGATE_KAFKA_PORT", "tcp://10.0.0.1:9092")
        .variable("TIDEGATE_KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1")
        .variable("TIDEGATE_COMMENTS_SERVICE_PORT", "9000")
        .variable("PATH", "/bin");
    assert!(load::<Settings>(&sources).is_ok());
}

#[test]
fn a_secret_shows_nowhere() {
    let sources = Sources::none().set("kafka.password=hunter2");
    let settings: Settings = load(&sources).unwrap();
    let printed = effective(&settings).unwrap();
    assert!(printed.contains("password = \"***\""), "{printed}");
    let password = settings.kafka.password.as_ref().unwrap();
    for shown in [
        printed,
        format!("{settings:?}"),
        format!("{password}"),
        serde_json::to_string(&settings).unwrap(),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(password.expose(), "hunter2");
}

#[test]
fn a_secret_in_the_wrong_place_or_of_the_wrong_type_is_not_quoted_in_the_report() {
    let (_folder, path) = file("kafka = \"hunter2\"\n[batch]\neager = \"hunter2\"");
    let (_other, typed) = file("[kafka]\npassword = 4711\n");
    let mut found = mistakes(&Sources::none().file(path).set("hunter.2 hunter2"));
    found.extend(mistakes(&Sources::none().file(typed)));
    assert_eq!(found.len(), 4, "{found:?}");
    for line in &found {
        assert!(
            !line.contains("hunter2") && !line.contains("4711"),
            "{line}"
        );
    }
}

#[test]
fn a_secret_file_gives_its_text_without_the_line_end() {
    let (_folder, path) = file("hunter2\n");
    let secret = secret_from(None, Some(&path)).unwrap().unwrap();
    assert_eq!(secret.expose(), "hunter2");
}

#[test]
fn a_secret_given_twice_or_by_an_empty_or_absent_file_is_a_mistake() {
    let (_folder, empty) = file("\n");
    let value = Secret::new("a");
    let twice = secret_from(Some(&value), Some(&empty));
    assert!(matches!(twice, Err(SecretError::Twice)));
    assert!(matches!(
        secret_from(None, Some(&empty)),
        Err(SecretError::Empty(_))
    ));
    let absent = secret_from(None, Some(std::path::Path::new("/nowhere/s")));
    assert!(matches!(absent, Err(SecretError::Unreadable { .. })));
}

#[test]
fn what_print_settings_writes_can_be_read_back() {
    let settings: Settings = load(&Sources::none().set("batch.linger=1m 30s")).unwrap();
    let (_folder, path) = file(&effective(&settings).unwrap());
    let again: Settings = load(&Sources::none().file(path)).unwrap();
    assert_eq!(again, settings);
}
