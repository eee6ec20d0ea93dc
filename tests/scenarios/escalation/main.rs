//! The escalation service on a real Kafka: records in, people's work over gRPC, decisions out, and
//! what becomes of them when processes are killed and brokers go away.

mod kills;
mod path;
mod world;

use std::process::ExitCode;

use tidegate_tests::{Part, RealKafka, Suite};

fn main() -> ExitCode {
    let kafka = Part::new(|| RealKafka::start(1));
    let breakable = Part::new(|| RealKafka::start_own(1, &[]));
    let status = Suite::default()
        .case(
            "an_escalation_is_watched_claimed_and_resolved_and_the_decision_is_published",
            &kafka,
            path::whole,
        )
        .case(
            "an_edit_updates_its_case_and_a_deletion_closes_it",
            &kafka,
            path::edits,
        )
        .case(
            "a_record_that_cannot_be_read_is_put_aside_and_the_next_one_is_taken",
            &kafka,
            path::unreadable,
        )
        .case(
            "a_hateful_comment_goes_in_and_its_case_waits_for_a_person",
            &kafka,
            path::from_the_comment,
        )
        .case(
            "hidden_spam_that_is_drawn_becomes_a_case_for_review",
            &kafka,
            path::sampled,
        )
        .case(
            "another_database_begins_with_the_first_record_and_publishes_its_own_decisions",
            &kafka,
            path::another_database,
        )
        .case(
            "a_service_killed_at_random_loses_no_case_and_decides_and_publishes_none_twice",
            &kafka,
            kills::at_random,
        )
        .case(
            "two_services_on_one_database_killed_at_random_lose_decide_and_publish_nothing_twice",
            &kafka,
            kills::two_at_random,
        )
        .case(
            "a_database_that_goes_away_is_told_to_callers_and_intake_waits_for_it",
            &kafka,
            kills::database_away,
        )
        .case(
            "people_go_on_working_while_kafka_is_away_and_their_decisions_are_published_after",
            &breakable,
            kills::kafka_away,
        )
        .case(
            "what_people_decide_through_a_long_outage_and_a_crash_is_published_once",
            &breakable,
            kills::kafka_away_for_long,
        )
        .run();
    drop((kafka, breakable));
    status
}
