//! The end of a run: the numbers, and whether they are good.

use std::{collections::BTreeMap, fmt};

use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Headers as _},
};
use serde::Serialize;
use tidegate_moderator::dead_letter;

use super::books::{Books, Findings};

/// What a run came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Events that were to be fed.
    pub(crate) events: u64,
    /// Violent disturbances that were asked for.
    pub(crate) kills: u32,
    /// The seed.
    pub(crate) seed: u64,
    /// How far the groups committed that they have read, in records.
    pub(crate) consumed: u64,
    /// What the topics hold.
    #[serde(flatten)]
    pub(crate) findings: Findings,
    /// Records in the output topics that are not of a committed transaction.
    pub(crate) aborted: u64,
    /// Transactions that consumers said they aborted; those that were killed can't say it.
    pub(crate) aborted_transactions_seen: u64,
    /// Producers that consumers said they replaced because they were fenced or broken.
    pub(crate) rebuilt_producers_seen: u64,
    /// Partitions on which a transaction stayed open after all had ended.
    pub(crate) open_partitions: u64,
    /// Consumers that ended though nobody made them, or badly.
    pub(crate) crashed: Vec<String>,
    /// What was done, and how often.
    pub(crate) disturbances: BTreeMap<&'static str, u32>,
    /// Seconds that the run took, without the audit.
    pub(crate) seconds: f64,
    /// Some of the inputs that are not as they should be.
    pub(crate) examples: Vec<String>,
}

impl Report {
    /// Whether exactly once was kept, and really tested.
    #[must_use]
    pub(crate) fn is_good(&self) -> bool {
        self.complaints().is_empty()
    }

    fn complaints(&self) -> Vec<&'static str> {
        let found = &self.findings;
        [
            (found.is_clean(), "not exactly once"),
            (
                found.fed == self.events,
                "the input does not hold as many events as were fed",
            ),
            (
                self.consumed == found.fed,
                "the groups did not reach the end of the input",
            ),
            (
                self.consumed == found.verdicts + found.dead_letters,
                "the sum does not balance",
            ),
            (
                self.aborted > 0,
                "no transaction was interrupted, so nothing is proved",
            ),
            (self.open_partitions == 0, "a transaction stays open"),
            (self.crashed.is_empty(), "a consumer ended by itself"),
        ]
        .into_iter()
        .filter_map(|(good, complaint)| (!good).then_some(complaint))
        .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.findings;
        let done: Vec<_> = self
            .disturbances
            .iter()
            .map(|(name, times)| format!("{name} {times}"))
            .collect();
        writeln!(
            f,
            "\n{:.0} s, seed {}: {}",
            self.seconds,
            self.seed,
            done.join(", ")
        )?;
        for (name, count) in [
            ("consumed", self.consumed),
            ("verdicts", found.verdicts),
            ("dead letters", found.dead_letters),
            ("routed", found.routed),
            ("lost", found.lost),
            ("duplicated", found.duplicated),
            ("unexpected", found.unexpected),
            ("reordered per key", found.reordered),
            ("aborted records", self.aborted),
        ] {
            writeln!(f, "  {name:<18} {count:>10}")?;
        }
        for crashed in &self.crashed {
            writeln!(f, "  ended by itself: {crashed}")?;
        }
        for example in &self.examples {
            writeln!(f, "  {example}")?;
        }
        match self.complaints()[..] {
            [] => writeln!(f, "exactly once"),
            ref complaints => writeln!(f, "FAILED: {}", complaints.join("; ")),
        }
    }
}

/// Enters a dead letter by the headers that say where it was read.
pub(crate) fn enter_dead_letter(books: &mut Books, record: &BorrowedMessage<'_>) {
    let header = |name| {
        // The last: a record may have been a dead letter before.
        let value = record
            .headers()?
            .iter()
            .filter(|header| header.key == name)
            .last()?
            .value?;
        std::str::from_utf8(value).ok()
    };
    let place = (|| {
        let partition = header(dead_letter::PARTITION)?.parse().ok()?;
        let offset = header(dead_letter::OFFSET)?.parse().ok()?;
        Some((header(dead_letter::TOPIC)?, partition, offset))
    })();
    books.dead_letter(record.key().unwrap_or_default(), place);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        Report {
            events: 10,
            kills: 1,
            seed: 1,
            consumed: 10,
            findings: Findings {
                fed: 10,
                verdicts: 9,
                dead_letters: 1,
                ..Findings::default()
            },
            aborted: 3,
            aborted_transactions_seen: 0,
            rebuilt_producers_seen: 0,
            open_partitions: 0,
            crashed: Vec::new(),
            disturbances: BTreeMap::from([("killed", 1)]),
            seconds: 1.0,
            examples: Vec::new(),
        }
    }

    #[test]
    fn a_run_is_good_when_all_came_out_once_and_transactions_were_interrupted() {
        assert!(good().is_good());
        assert!(good().to_string().ends_with("exactly once\n"));
    }

    #[test]
    fn a_run_that_interrupted_no_transaction_proves_nothing() {
        assert!(
            !Report {
                aborted: 0,
                ..good()
            }
            .is_good()
        );
    }

    #[test]
    fn anything_lost_doubled_or_out_of_order_makes_a_run_bad() {
        let with = |change: fn(&mut Findings)| {
            let mut report = good();
            change(&mut report.findings);
            report.is_good()
        };
        assert!(!with(|found| found.lost = 1));
        assert!(!with(|found| found.duplicated = 1));
        assert!(!with(|found| found.unexpected = 1));
        assert!(!with(|found| found.reordered = 1));
        assert!(!with(|found| found.fed = 9));
    }

    #[test]
    fn a_consumer_that_ended_by_itself_makes_a_run_bad_and_is_named() {
        let report = Report {
            crashed: vec!["comments-a: exit 70".to_owned()],
            ..good()
        };
        assert!(!report.is_good());
        assert!(report.to_string().contains("comments-a: exit 70"));
    }

    #[test]
    fn the_json_has_the_findings_beside_the_other_numbers() {
        let json = serde_json::to_value(good()).unwrap();
        assert_eq!(json["lost"], 0);
        assert_eq!(json["aborted"], 3);
        assert_eq!(json["consumed"], 10);
    }
}
