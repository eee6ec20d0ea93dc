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

#[test]
fn settings_that_are_complete_have_no_mistakes() {
    assert_eq!(settings().validate(), Vec::<String>::new());
}
