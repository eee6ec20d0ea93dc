//! The books: what went in against every verdict, dead letter and routed record that came out.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tidegate_tests::Account;

/// A record's key.
pub(crate) type Key = Vec<u8>;

/// Where an input record was: number of the input topic, partition, offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source {
    /// Which of the input topics.
    pub(crate) topic: usize,
    /// Its partition.
    pub(crate) partition: i32,
    /// Its offset there.
    pub(crate) offset: i64,
}

/// The topics besides verdicts and dead letters that a verdict's record may also go to.
pub(crate) const ROUTES: usize = 4;

/// What was put in and what came out; each list per partition in the order of the log.
#[derive(Default)]
pub(crate) struct Books {
    /// Names of the input topics, by number.
    inputs: Vec<String>,
    fed: Vec<(Key, Source)>,
    verdicts: Vec<(Key, Source)>,
    dead_letters: Vec<(Key, Source)>,
    routed: Vec<((usize, Key), Source)>,
    takes: HashMap<Source, [bool; ROUTES]>,
    /// Records that name no source, or one that is no input.
    strange: u64,
}

/// The parts of a verdict that are audited.
#[derive(Deserialize)]
struct Verdict<'a> {
    #[serde(borrow)]
    source: Named<'a>,
    #[serde(borrow, default)]
    labels: Vec<&'a str>,
    review: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    withdrawn: bool,
}

#[derive(Deserialize)]
struct Named<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
}

#[derive(Deserialize)]
struct Routed<'a> {
    #[serde(borrow)]
    verdict: Verdict<'a>,
}

/// What the audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Findings {
    /// Records in the input topics.
    pub(crate) fed: u64,
    /// Committed verdicts.
    pub(crate) verdicts: u64,
    /// Committed dead letters.
    pub(crate) dead_letters: u64,
    /// Committed records of the routes.
    pub(crate) routed: u64,
    /// Inputs with neither verdict nor dead letter, and routed records that a verdict lacks.
    pub(crate) lost: u64,
    /// Outputs beyond the first of their kind for the same input.
    pub(crate) duplicated: u64,
    /// Outputs that belong to no input, or under another key than theirs.
    pub(crate) unexpected: u64,
    /// Outputs that came after one that had to follow them, under the same key in the same topic.
    pub(crate) reordered: u64,
}

impl Findings {
    /// Whether each input came out exactly once and in order.
    #[must_use]
    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.unexpected + self.reordered == 0
    }
}

impl Books {
    /// Empty books on these input topics.
    #[must_use]
    pub(crate) fn new(inputs: Vec<String>) -> Self {
        Self {
            inputs,
            ..Self::default()
        }
    }

    fn source(&self, named: &Named<'_>) -> Option<Source> {
        let topic = self.inputs.iter().position(|name| name == named.topic)?;
        Some(Source {
            topic,
            partition: named.partition,
            offset: named.offset,
        })
    }

    /// Enters a record of an input topic.
    pub(crate) fn fed(&mut self, key: &[u8], source: Source) {
        self.fed.push((key.to_vec(), source));
    }

    /// Enters a committed verdict.
    pub(crate) fn verdict(&mut self, key: &[u8], payload: &[u8]) {
        let Ok(verdict) = serde_json::from_slice::<Verdict<'_>>(payload) else {
            self.strange += 1;
            return;
        };
        let Some(source) = self.source(&verdict.source) else {
            self.strange += 1;
            return;
        };
        let has = |label| verdict.labels.contains(&label);
        let takes = [
            has("spam"),
            has("hate"),
            has("purchase_intent"),
            verdict.review.is_some() || verdict.withdrawn,
        ];
        self.takes.insert(source, takes);
        self.verdicts.push((key.to_vec(), source));
    }

    /// Enters a committed dead letter that says it was read at this place.
    pub(crate) fn dead_letter(&mut self, key: &[u8], place: Option<(&str, i32, i64)>) {
        let source = place.and_then(|(topic, partition, offset)| {
            self.source(&Named {
                topic,
                partition,
                offset,
            })
        });
        match source {
            Some(source) => self.dead_letters.push((key.to_vec(), source)),
            None => self.strange += 1,
        }
    }

    /// Enters a committed record of route number `route`.
    pub(crate) fn routed(&mut self, route: usize, key: &[u8], payload: &[u8]) {
        let source = serde_json::from_slice::<Routed<'_>>(payload)
            .ok()
            .and_then(|routed| self.source(&routed.verdict.source));
        match source {
            Some(source) => self.routed.push(((route, key.to_vec()), source)),
            None => self.strange += 1,
        }
    }

    /// Compares.
    #[must_use]
    pub(crate) fn audit(&self) -> Findings {
        // The two inputs may share keys, and order is promised only within one.
        let keyed = |(key, source): &(Key, Source)| ((source.topic, key.clone()), *source);
        let mut account = Account::default();
        let mut routes = Account::default();
        for entry in &self.fed {
            let (key, source) = keyed(entry);
            let takes = self.takes.get(&source).copied().unwrap_or_default();
            for (route, _) in takes.iter().enumerate().filter(|(_, takes)| **takes) {
                routes.expect((route, key.clone()), source);
            }
            account.expect(key, source);
        }
        let verdicts: Vec<_> = self.verdicts.iter().map(keyed).collect();
        let dead_letters: Vec<_> = self.dead_letters.iter().map(keyed).collect();
        let routed: Vec<_> = self
            .routed
            .iter()
            .map(|((route, key), source)| ((*route, (source.topic, key.clone())), *source))
            .collect();
        let both = verdicts
            .iter()
            .chain(&dead_letters)
            .map(|(key, source)| (key, source));
        let all = account.audit(both);
        let routed = routes.audit(routed.iter().map(|(key, source)| (key, source)));
        // Order is promised within a topic: across topics there is none to compare.
        let reordered = |seen: &[((usize, Key), Source)]| {
            account
                .audit(seen.iter().map(|(key, source)| (key, source)))
                .reordered
        };
        Findings {
            fed: all.expected,
            verdicts: verdicts.len() as u64,
            dead_letters: dead_letters.len() as u64,
            routed: routed.seen,
            lost: all.lost + routed.lost,
            duplicated: all.duplicated + routed.duplicated,
            unexpected: all.unexpected + routed.unexpected + self.strange,
            reordered: reordered(&verdicts) + reordered(&dead_letters) + routed.reordered,
        }
    }

    /// Some inputs that are not as they should be, for a person who looks for the cause.
    #[must_use]
    pub(crate) fn examples(&self, most: usize) -> Vec<String> {
        let mut ends: HashMap<Source, [u32; 2]> = HashMap::new();
        for (_, source) in &self.verdicts {
            ends.entry(*source).or_default()[0] += 1;
        }
        for (_, source) in &self.dead_letters {
            ends.entry(*source).or_default()[1] += 1;
        }
        let describe = |(_, source): &(Key, Source)| {
            let [verdicts, dead_letters] = ends.get(source).copied().unwrap_or_default();
            let Source {
                topic,
                partition,
                offset,
            } = source;
            let topic = &self.inputs[*topic];
            (verdicts + dead_letters != 1).then(|| {
                format!(
                    "{topic}/{partition} @{offset}: {verdicts} verdicts, {dead_letters} dead letters"
                )
            })
        };
        self.fed.iter().filter_map(describe).take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A verdict on the record at `offset` with these labels.
    fn verdict(offset: i64, labels: &str) -> Vec<u8> {
        format!(
            r#"{{"event_id":"e","labels":[{labels}],"withdrawn":false,
                "source":{{"topic":"in","partition":0,"offset":{offset}}}}}"#
        )
        .into_bytes()
    }

    fn routed(offset: i64) -> Vec<u8> {
        let verdict = String::from_utf8(verdict(offset, r#""spam""#)).unwrap();
        format!(r#"{{"id":"e","text":"…","verdict":{verdict}}}"#).into_bytes()
    }

    fn books(fed: i64) -> Books {
        let mut books = Books::new(vec!["in".to_owned()]);
        for offset in 0..fed {
            books.fed(
                b"k",
                Source {
                    topic: 0,
                    partition: 0,
                    offset,
                },
            );
        }
        books
    }

    #[test]
    fn one_verdict_or_dead_letter_for_each_input_is_clean() {
        let mut books = books(3);
        books.verdict(b"k", &verdict(0, ""));
        books.dead_letter(b"k", Some(("in", 0, 1)));
        books.verdict(b"k", &verdict(2, ""));
        let findings = books.audit();
        assert!(findings.is_clean(), "{findings:?}");
        assert_eq!(
            (findings.fed, findings.verdicts, findings.dead_letters),
            (3, 2, 1)
        );
    }

    #[test]
    fn an_input_without_an_end_is_lost_and_named() {
        let mut books = books(2);
        books.verdict(b"k", &verdict(0, ""));
        assert_eq!(books.audit().lost, 1);
        assert_eq!(books.examples(5), ["in/0 @1: 0 verdicts, 0 dead letters"]);
    }

    #[test]
    fn a_verdict_and_a_dead_letter_for_the_same_input_are_a_duplicate() {
        let mut books = books(1);
        books.verdict(b"k", &verdict(0, ""));
        books.dead_letter(b"k", Some(("in", 0, 0)));
        assert_eq!(books.audit().duplicated, 1);
    }

    #[test]
    fn verdicts_of_one_key_out_of_order_are_reordered() {
        let mut books = books(2);
        books.verdict(b"k", &verdict(1, ""));
        books.verdict(b"k", &verdict(0, ""));
        assert_eq!(
            books.audit(),
            Findings {
                fed: 2,
                verdicts: 2,
                reordered: 1,
                ..zero()
            }
        );
    }

    #[test]
    fn a_record_of_a_route_must_be_there_exactly_once_if_its_verdict_says_so() {
        let mut missing = books(1);
        missing.verdict(b"k", &verdict(0, r#""spam""#));
        assert_eq!(missing.audit().lost, 1);
        let mut twice = books(1);
        twice.verdict(b"k", &verdict(0, r#""spam""#));
        twice.routed(0, b"k", &routed(0));
        assert!(twice.audit().is_clean());
        twice.routed(0, b"k", &routed(0));
        assert_eq!(twice.audit().duplicated, 1);
        let mut stray = books(1);
        stray.verdict(b"k", &verdict(0, ""));
        stray.routed(0, b"k", &routed(0));
        assert_eq!(stray.audit().unexpected, 1);
    }

    #[test]
    fn what_names_no_input_or_another_key_is_unexpected() {
        let mut books = books(1);
        books.verdict(b"k", b"not json");
        books.dead_letter(b"k", None);
        books.dead_letter(b"k", Some(("elsewhere", 0, 0)));
        books.verdict(b"other", &verdict(0, ""));
        let findings = books.audit();
        assert_eq!((findings.unexpected, findings.lost), (4, 1));
    }

    fn zero() -> Findings {
        Findings::default()
    }
}
