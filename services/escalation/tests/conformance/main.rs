//! What every store must do, sentence by sentence: each scenario runs on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod audit;
mod claims;
mod deadlines;
mod decisions;
mod faults;
mod intake;
mod people;
mod privacy;
mod reading;
mod world;

use std::{process::ExitCode, sync::Arc};

use tidegate_tests::{Part, Suite};
use world::{Place, run};

macro_rules! on_both {
    ($suite:ident, $sqlite:ident, $postgres:ident: $($module:ident { $($name:ident)* })*) => {
        $($(
            $suite = $suite
                .case(concat!("sqlite::", stringify!($module), "::", stringify!($name)),
                    &$sqlite, |place| run(place, $module::$name))
                .case(concat!("postgres::", stringify!($module), "::", stringify!($name)),
                    &$postgres, |place| run(place, $module::$name));
        )*)*
    };
}

fn main() -> ExitCode {
    let sqlite: Arc<Part<Place>> = Part::new(Place::sqlite);
    let postgres: Arc<Part<Place>> = Part::new(Place::postgres);
    let mut suite = Suite::default();
    on_both! { suite, sqlite, postgres:
        claims {
            the_first_by_rank_is_claimed_first
            a_claimed_case_is_nobody_elses
            a_lease_ends_by_itself_and_the_case_waits_again
            a_heartbeat_renews_the_lease_and_keeps_the_etag
            leases_last_as_long_as_their_queue_says
            a_skipped_case_is_not_offered_again_to_the_same_agent
            a_case_in_another_language_is_not_offered
            a_foreign_queues_case_is_as_if_it_were_not_there
            a_reserved_case_goes_to_its_agent_alone
            a_case_is_reserved_only_for_whoever_may_work_it
            an_agent_who_put_a_case_aside_may_take_it_back
            a_repeated_request_id_gets_the_first_answer
            a_request_id_is_no_good_for_another_request
            many_agents_at_once_never_share_a_case
            agents_at_once_get_what_they_would_get_in_turn
            two_processes_share_the_queue_without_double_claims
        }
        decisions {
            a_decision_closes_the_case_and_is_to_be_published_once
            a_stale_etag_is_refused_and_changes_nothing
            whoever_has_no_lease_decides_nothing
            a_lease_that_ended_decides_nothing
            grave_decisions_of_high_risk_want_a_second_person
            the_second_person_is_another_one_and_has_the_last_word
            an_appeal_is_decided_by_somebody_else
            what_is_published_names_no_agent
            too_long_words_are_refused
            a_closed_case_takes_no_further_decision
            one_process_at_a_time_publishes
        }
        intake {
            a_record_opens_one_case_however_often_it_comes
            offsets_and_cases_are_stored_together
            a_reader_that_was_overtaken_stores_nothing
            a_record_that_cannot_be_read_is_kept_once_as_it_came
            an_edit_brings_the_case_up_to_date
            an_edit_reopens_a_decided_case
            an_edit_during_a_review_makes_the_decision_start_over
            a_message_that_is_gone_closes_its_case
            a_message_that_is_gone_with_unknown_platform_closes_nothing_by_guess
            a_queue_that_a_verdict_names_is_made
            a_flood_is_grouped_into_one_case_and_nothing_is_lost
            a_report_opens_a_case_or_gives_the_one_there_is
            a_message_full_of_strange_characters_is_stored
        }
        deadlines {
            a_warning_comes_before_the_deadline_and_once
            a_missed_deadline_moves_the_case_and_makes_it_urgent
            a_case_being_worked_keeps_its_etag_when_its_deadline_passes
            deadlines_run_in_opening_hours
            a_case_on_hold_returns_by_itself
            old_cases_go_chat_first_and_orders_later
        }
        reading {
            pages_show_every_case_once_in_every_order
            a_page_token_of_another_request_is_refused
            filters_find_what_they_say
            viewers_see_neither_text_nor_names
            a_watcher_sees_each_change_and_what_left
            a_watcher_of_another_queue_sees_nothing
            counts_say_what_stands_in_a_queue
        }
        audit {
            every_step_is_an_entry_and_the_chain_holds
            a_look_at_a_case_is_an_entry
            entries_are_found_by_filter_page_by_page
            entries_about_a_case_are_found_by_its_name_even_when_it_is_gone
            tampering_shows
        }
        people {
            agents_are_made_changed_and_found_by_token
            queues_are_made_and_changed_by_masked_fields
            wrong_settings_are_refused
        }
        privacy {
            an_erased_person_is_gone_from_every_table
            an_export_shows_what_is_held
            an_erasure_repeats_its_receipt
        }
    }
    suite = suite
        .case(
            "sqlite::privacy::no_byte_of_an_erased_person_is_left_in_the_files",
            &sqlite,
            |place| {
                run(
                    place,
                    privacy::no_byte_of_an_erased_person_is_left_in_the_files,
                )
            },
        )
        .case(
            "sqlite::faults::a_full_disk_refuses_and_loses_nothing",
            &sqlite,
            |place| run(place, faults::a_full_disk_refuses_and_loses_nothing),
        )
        .case(
            "sqlite::faults::one_broken_command_does_not_spoil_the_others",
            &sqlite,
            |place| run(place, faults::one_broken_command_does_not_spoil_the_others),
        )
        .case(
            "postgres::faults::a_server_that_goes_away_is_waited_for",
            &postgres,
            |_| faults::a_server_that_goes_away_is_waited_for(),
        );
    suite.run()
}
