//! The audit trail's chain: what each entry's hash is made of, and how a change shows.
//!
//! An entry's hash covers the hash before it, its fields, and the hash of its payload. The payload
//! (reason, before, after) is kept beside the chain with a random salt: taking both away, as an
//! erasure must, leaves a hash that says nothing and a chain that still verifies. An erasure's own
//! entry names the numbers that it emptied, so that a payload taken away without one shows too.

use std::{collections::HashSet, ops::RangeInclusive};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tidegate_proto::escalation::v1::{AuditEntry, VerifyAuditResponse};

use crate::times::timestamp;

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash before the first entry.
pub const FIRST: Hash = [0; 32];

/// The action of an entry that tells of a subject's erasure.
pub const ERASE: &str = "subject.erase";
/// The action of an entry that tells of the removal of what is old.
pub const RETAIN: &str = "retention.remove";

/// What was done, as the chain covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number; they have no gaps.
    pub sequence: i64,
    /// When: milliseconds since the Unix epoch.
    pub time: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub resource: String,
    /// [`payload_hash`] of the payload that it was written with.
    pub payload_hash: Vec<u8>,
}

impl Link {
    /// The entry's hash.
    #[must_use]
    pub fn hash(&self, before: &[u8]) -> Hash {
        let mut hash = Sha256::new();
        hash.update(before);
        hash.update(self.sequence.to_be_bytes());
        hash.update(self.time.to_be_bytes());
        for text in [&self.actor, &self.action, &self.resource] {
            // Lengths keep ("ab", "c") and ("a", "bc") apart.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(&self.payload_hash);
        hash.finalize().into()
    }
}

/// What an entry says beside the chain.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// Why, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The state before.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub before: Value,
    /// The state after.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub after: Value,
    /// The numbers of the entries whose payloads this one took away, as ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<(i64, i64)>,
}

/// A payload's hash.
#[must_use]
pub fn payload_hash(salt: &[u8], payload: &[u8]) -> Hash {
    Sha256::new()
        .chain_update(salt)
        .chain_update(payload)
        .finalize()
        .into()
}

/// Ordered numbers as ranges.
#[must_use]
pub fn ranges(numbers: &[i64]) -> Vec<(i64, i64)> {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// An entry as the database holds it.
#[derive(Clone)]
pub struct Stored {
    /// What the chain covers.
    pub link: Link,
    /// The entry's hash.
    pub hash: Vec<u8>,
    /// The payload as it was written; empty once erased.
    pub payload: Vec<u8>,
    /// Its salt; empty once erased.
    pub salt: Vec<u8>,
}

impl Stored {
    /// Whether the payload was taken away. One that is there is never empty.
    #[must_use]
    pub fn erased(&self) -> bool {
        self.payload.is_empty() && self.salt.is_empty()
    }

    /// As callers see it.
    #[must_use]
    pub fn entry(self) -> AuditEntry {
        let erased = self.erased();
        let payload: Payload = serde_json::from_slice(&self.payload).unwrap_or_default();
        let json = |value: &Value| {
            if value.is_null() {
                String::new()
            } else {
                value.to_string()
            }
        };
        AuditEntry {
            sequence: self.link.sequence,
            time: Some(timestamp(self.link.time)),
            actor: self.link.actor,
            action: self.link.action,
            resource: self.link.resource,
            before: json(&payload.before),
            after: json(&payload.after),
            reason: payload.reason,
            erased,
            payload_hash: self.link.payload_hash,
            hash: self.hash,
        }
    }
}

/// Checks a chain, entry by entry from the first on.
pub struct Verifier {
    before: Vec<u8>,
    entries: i64,
    known: Option<Vec<u8>>,
    emptied: Vec<i64>,
    allowed: Vec<RangeInclusive<i64>>,
    broken: Option<(i64, &'static str)>,
}

impl Verifier {
    /// A check that also looks for a hash noted earlier; empty: none.
    #[must_use]
    pub fn new(known_hash: &[u8]) -> Self {
        Self {
            before: FIRST.to_vec(),
            entries: 0,
            known: (!known_hash.is_empty() && known_hash != FIRST).then(|| known_hash.to_vec()),
            emptied: Vec::new(),
            allowed: Vec::new(),
            broken: None,
        }
    }

    /// Looks at the next entry; false once the chain is broken.
    pub fn push(&mut self, entry: &Stored) -> bool {
        if self.broken.is_some() {
            return false;
        }
        self.entries += 1;
        let link = &entry.link;
        if link.sequence != self.entries {
            self.broken = Some((self.entries, "this entry is missing, or was moved"));
        } else if link.hash(&self.before)[..] != entry.hash {
            self.broken = Some((
                self.entries,
                "this entry, or the one before it, was changed",
            ));
        } else if entry.erased() {
            self.emptied.push(link.sequence);
        } else if payload_hash(&entry.salt, &entry.payload)[..] != link.payload_hash {
            self.broken = Some((
                self.entries,
                "this entry's reason, before or after was changed",
            ));
        } else if matches!(link.action.as_str(), ERASE | RETAIN) {
            let payload: Payload = serde_json::from_slice(&entry.payload).unwrap_or_default();
            let ranges = payload.erased.iter().map(|(from, to)| *from..=*to);
            self.allowed.extend(ranges);
        }
        if self.known.as_ref() == Some(&entry.hash) {
            self.known = None;
        }
        self.before.clone_from(&entry.hash);
        self.broken.is_none()
    }

    /// The end: `head` is the number and hash that the database notes as its last.
    #[must_use]
    pub fn finish(mut self, head: (i64, &[u8])) -> VerifyAuditResponse {
        if self.broken.is_none() && (self.entries, &self.before[..]) != head {
            self.broken = Some((self.entries + 1, "entries are missing at the end"));
        }
        if self.broken.is_none() && self.known.is_some() {
            self.broken = Some((
                self.entries + 1,
                "the hash noted earlier is not in the chain: entries were removed or rewritten",
            ));
        }
        if self.broken.is_none() {
            let singles: HashSet<i64> = self
                .allowed
                .iter()
                .filter(|range| range.start() == range.end())
                .map(|range| *range.start())
                .collect();
            let longer: Vec<_> = self
                .allowed
                .iter()
                .filter(|range| range.start() != range.end())
                .collect();
            self.broken = self
                .emptied
                .iter()
                .find(|number| {
                    !singles.contains(number) && !longer.iter().any(|range| range.contains(number))
                })
                .map(|number| (*number, "this entry was emptied, and no erasure names it"));
        }
        let (broken_at, problem) = self.broken.unwrap_or_default();
        VerifyAuditResponse {
            intact: problem.is_empty(),
            entries: self.entries,
            broken_at,
            problem: problem.to_owned(),
            head_hash: self.before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five entries; the fourth says that it emptied the second.
    fn chain() -> Vec<Stored> {
        let mut before = FIRST;
        (1..=5)
            .map(|sequence| {
                let salt = vec![sequence as u8; 16];
                let payload = Payload {
                    reason: format!("because {sequence}"),
                    erased: if sequence == 4 { vec![(2, 2)] } else { vec![] },
                    ..Payload::default()
                };
                let payload = serde_json::to_vec(&payload).unwrap();
                let action = if sequence == 4 { ERASE } else { "case.claim" };
                let link = Link {
                    sequence,
                    time: sequence * 1_000,
                    actor: "agents/a".to_owned(),
                    action: action.to_owned(),
                    resource: format!("cases/{sequence}"),
                    payload_hash: payload_hash(&salt, &payload).to_vec(),
                };
                before = link.hash(&before);
                Stored {
                    link,
                    hash: before.to_vec(),
                    payload,
                    salt,
                }
            })
            .collect()
    }

    fn verify(chain: &[Stored], known: &[u8]) -> VerifyAuditResponse {
        let mut verifier = Verifier::new(known);
        for entry in chain {
            verifier.push(entry);
        }
        let head = chain.last().unwrap();
        verifier.finish((head.link.sequence, &head.hash))
    }

    fn empty(entry: &mut Stored) {
        entry.payload.clear();
        entry.salt.clear();
    }

    #[test]
    fn an_untouched_chain_holds() {
        let chain = chain();
        let answer = verify(&chain, &chain[2].hash);
        assert!(answer.intact, "{}", answer.problem);
        assert_eq!(answer.head_hash, chain[4].hash);
    }

    #[test]
    fn a_change_of_any_field_shows_where_it_is() {
        type Change = fn(&mut Stored);
        let changes: [Change; 8] = [
            |entry| entry.link.time += 1,
            |entry| entry.link.actor.push('x'),
            |entry| entry.link.action.push('x'),
            |entry| entry.link.resource.push('x'),
            |entry| entry.link.payload_hash[0] ^= 1,
            |entry| entry.hash[31] ^= 1,
            |entry| entry.payload[3] ^= 1,
            |entry| entry.salt[0] ^= 1,
        ];
        for change in changes {
            let mut chain = chain();
            change(&mut chain[2]);
            assert_eq!(verify(&chain, &[]).broken_at, 3);
        }
    }

    #[test]
    fn a_letter_moved_from_one_field_to_the_next_shows() {
        let mut chain = chain();
        chain[2].link.actor = "agents/ac".to_owned();
        chain[2].link.action = "ase.claim".to_owned();
        assert_eq!(verify(&chain, &[]).broken_at, 3);
    }

    #[test]
    fn a_removed_entry_shows() {
        let mut chain = chain();
        chain.remove(2);
        assert_eq!(verify(&chain, &[]).broken_at, 3);
    }

    #[test]
    fn two_entries_in_the_wrong_order_show() {
        let mut chain = chain();
        chain.swap(1, 2);
        assert_eq!(verify(&chain, &[]).broken_at, 2);
    }

    #[test]
    fn payloads_put_on_each_others_entries_show() {
        let mut chain = chain();
        let (one, two) = chain.split_at_mut(2);
        std::mem::swap(&mut one[0].payload, &mut two[0].payload);
        std::mem::swap(&mut one[0].salt, &mut two[0].salt);
        assert_eq!(verify(&chain, &[]).broken_at, 1);
    }

    #[test]
    fn a_removed_end_shows_by_a_hash_noted_earlier() {
        let mut chain = chain();
        let noted = chain.pop().unwrap().hash;
        assert!(verify(&chain, &[]).intact, "nobody could tell without it");
        assert!(!verify(&chain, &noted).intact);
    }

    #[test]
    fn a_removed_end_shows_by_the_head() {
        let chain = chain();
        let mut verifier = Verifier::new(&[]);
        for entry in &chain[..4] {
            verifier.push(entry);
        }
        assert_eq!(verifier.finish((5, &chain[4].hash)).broken_at, 5);
    }

    #[test]
    fn an_erased_payload_leaves_a_chain_that_holds() {
        let mut chain = chain();
        empty(&mut chain[1]);
        assert!(verify(&chain, &[]).intact);
        let shown = chain.swap_remove(1).entry();
        assert!(shown.erased && shown.reason.is_empty());
    }

    #[test]
    fn a_payload_emptied_without_an_erasure_shows() {
        let mut chain = chain();
        empty(&mut chain[2]);
        assert_eq!(verify(&chain, &[]).broken_at, 3);
    }

    #[test]
    fn numbers_become_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), [(1, 3), (7, 7), (9, 10)]);
    }
}
