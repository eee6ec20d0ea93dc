//! In which order a queue gives its cases: one number for each, that stays as time goes by.
//!
//! `rank = due time − priority's head start − reach's head start`, all in milliseconds; the lowest
//! comes first. A case's slack shrinks as fast as every other's, so comparing two slacks is
//! comparing two due times, and no number has to be brought up to date while a case waits: an
//! index in this order is the queue.
//!
//! Aging is in it: a case that comes later is due later, so it passes an older one only by as much
//! as its head start is greater. With head starts of at most [`MOST`], nothing that comes more
//! than [`MOST`] after a case's deadline is ever put before it, however much comes.

use tidegate_proto::{escalation::v1::Case, events::v1::Priority};

use crate::times::{HOUR, MINUTE, millis_of};

/// The head start of an urgent case.
const URGENT: i64 = 8 * HOUR;
/// The head start of a high one.
const HIGH: i64 = 2 * HOUR;
/// The head start of a normal one; a low one has none.
const NORMAL: i64 = 30 * MINUTE;
/// For each tenfold of an author's followers.
const TENFOLD: i64 = 15 * MINUTE;
/// A hundred million followers; more count as these.
const MOST_TENFOLDS: i64 = 8;
/// The greatest head start.
pub const MOST: i64 = URGENT + MOST_TENFOLDS * TENFOLD;

/// A case's place: the lowest comes first.
#[must_use]
pub fn rank(case: &Case) -> i64 {
    let due = millis_of(case.due_time.as_ref()).unwrap_or(0);
    let followers = case
        .event
        .as_ref()
        .and_then(|event| event.author.as_ref()?.followers);
    due.saturating_sub(head_start(case.priority(), followers.unwrap_or(0)))
}

/// By how much a case is put before one with the same deadline, in milliseconds.
#[must_use]
pub fn head_start(priority: Priority, followers: u64) -> i64 {
    let risk = match priority {
        Priority::Urgent => URGENT,
        Priority::High => HIGH,
        Priority::Normal | Priority::Unspecified => NORMAL,
        Priority::Low => 0,
    };
    let tenfolds = i64::from(followers.checked_ilog10().unwrap_or(0));
    risk + tenfolds.min(MOST_TENFOLDS) * TENFOLD
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::times::timestamp;

    fn case(due: i64, priority: Priority) -> Case {
        Case {
            due_time: Some(timestamp(due)),
            priority: priority.into(),
            ..Case::default()
        }
    }

    #[test]
    fn what_is_due_sooner_comes_first() {
        assert!(rank(&case(1_000, Priority::High)) < rank(&case(2_000, Priority::High)));
    }

    #[test]
    fn of_two_with_the_same_deadline_the_graver_comes_first() {
        let order = [
            Priority::Urgent,
            Priority::High,
            Priority::Normal,
            Priority::Low,
        ];
        assert!(order.is_sorted_by_key(|one| rank(&case(0, *one))));
    }

    #[test]
    fn a_wider_reach_comes_first_and_has_a_limit() {
        assert!(head_start(Priority::Normal, 1_000_000) > head_start(Priority::Normal, 900));
        assert_eq!(head_start(Priority::Urgent, u64::MAX), MOST);
    }

    proptest! {
        #[test]
        fn nothing_that_comes_long_after_a_deadline_passes_a_waiting_case(
            due in 0..1_000_000_000_000_i64,
            late in 1..1_000_000_000_i64,
            followers in any::<u64>(),
        ) {
            // Whatever comes then is due then or later.
            let mut newcomer = case(due + MOST + late, Priority::Urgent);
            newcomer.event = Some(tidegate_proto::escalation::v1::CaseEvent {
                author: Some(tidegate_proto::events::v1::Author {
                    followers: Some(followers),
                    ..Default::default()
                }),
                ..Default::default()
            });
            prop_assert!(rank(&case(due, Priority::Low)) < rank(&newcomer));
        }
    }
}
