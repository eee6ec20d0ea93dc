//! What went in against what came out: lost, duplicated, unexpected, reordered.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::Hash,
};

/// The records that must come out, each known by its key and an id that is unique under the key;
/// per key in the order in which they must come.
#[derive(Clone, Debug)]
pub struct Account<K, V> {
    expected: HashMap<K, HashMap<V, u64>>,
}

impl<K, V> Default for Account<K, V> {
    fn default() -> Self {
        Self {
            expected: HashMap::new(),
        }
    }
}

/// The difference between what was expected and what came out; clean when all counts but
/// `expected` and `seen` are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Records that had to come out.
    pub expected: u64,
    /// Records that came out, whatever they were.
    pub seen: u64,
    /// Expected records that never came.
    pub lost: u64,
    /// Appearances of expected records beyond the first of each.
    pub duplicated: u64,
    /// Records that nobody expected.
    pub unexpected: u64,
    /// Records whose first appearance came after one that had to follow it, under the same key.
    pub reordered: u64,
}

impl<K: Eq + Hash, V: Eq + Hash> Account<K, V> {
    /// Adds the record that must come next under `key`. Answers whether it is new; one that was
    /// expected already is not counted again.
    pub fn expect(&mut self, key: K, id: V) -> bool {
        let ids = self.expected.entry(key).or_default();
        let place = ids.len() as u64;
        match ids.entry(id) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(place);
                true
            }
        }
    }

    /// How many records are expected.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.expected.values().map(|ids| ids.len() as u64).sum()
    }

    /// Compares with what came out, in the order in which it came (across keys any order will do).
    #[must_use]
    pub fn audit<'a>(&'a self, seen: impl IntoIterator<Item = (&'a K, &'a V)>) -> Audit {
        struct Progress<'a, V> {
            seen: HashSet<&'a V>,
            furthest: u64,
        }
        let mut audit = Audit {
            expected: self.expected(),
            ..Audit::default()
        };
        let mut first_seen = 0;
        let mut keys: HashMap<&K, Progress<'_, V>> = HashMap::new();
        for (key, id) in seen {
            audit.seen += 1;
            let Some(place) = self.expected.get(key).and_then(|ids| ids.get(id)) else {
                audit.unexpected += 1;
                continue;
            };
            let progress = keys.entry(key).or_insert_with(|| Progress {
                seen: HashSet::new(),
                furthest: 0,
            });
            if !progress.seen.insert(id) {
                audit.duplicated += 1;
                continue;
            }
            first_seen += 1;
            if *place < progress.furthest {
                audit.reordered += 1;
            }
            progress.furthest = progress.furthest.max(*place);
        }
        audit.lost = audit.expected - first_seen;
        audit
    }
}

impl Audit {
    /// Whether exactly what was expected came out, in order.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.unexpected + self.reordered == 0
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} expected, {} seen: {} lost, {} duplicated, {} unexpected, {} reordered",
            self.expected, self.seen, self.lost, self.duplicated, self.unexpected, self.reordered
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(records: &[(&'static str, u32)]) -> Account<&'static str, u32> {
        let mut account = Account::default();
        for (key, id) in records {
            assert!(account.expect(*key, *id));
        }
        account
    }

    fn audit(expected: &[(&'static str, u32)], seen: &[(&'static str, u32)]) -> Audit {
        let account = account(expected);
        account.audit(seen.iter().map(|(key, id)| (key, id)))
    }

    #[test]
    fn the_same_records_in_the_same_order_are_clean() {
        let records = [("a", 1), ("b", 1), ("a", 2)];
        let audit = audit(&records, &records);
        assert!(audit.is_clean(), "{audit}");
        assert_eq!((audit.expected, audit.seen), (3, 3));
    }

    #[test]
    fn order_matters_only_under_the_same_key() {
        let audit = audit(
            &[("a", 1), ("b", 1), ("a", 2), ("b", 2)],
            &[("b", 1), ("b", 2), ("a", 1), ("a", 2)],
        );
        assert!(audit.is_clean(), "{audit}");
    }

    #[test]
    fn a_record_that_never_comes_is_lost() {
        let audit = audit(&[("a", 1), ("a", 2), ("b", 7)], &[("a", 1)]);
        assert_eq!((audit.lost, audit.is_clean()), (2, false));
    }

    #[test]
    fn each_further_appearance_is_a_duplicate_and_never_hides_a_loss() {
        let audit = audit(&[("a", 1), ("a", 2)], &[("a", 1), ("a", 1), ("a", 1)]);
        assert_eq!((audit.duplicated, audit.lost), (2, 1));
    }

    #[test]
    fn a_record_under_another_key_is_unexpected_and_its_own_is_lost() {
        let audit = audit(&[("a", 1)], &[("b", 1)]);
        assert_eq!((audit.unexpected, audit.lost), (1, 1));
    }

    #[test]
    fn a_record_that_comes_after_its_follower_is_reordered() {
        let audit = audit(
            &[("a", 10), ("a", 20), ("a", 30)],
            &[("a", 10), ("a", 30), ("a", 20)],
        );
        assert_eq!(audit.reordered, 1);
        assert_eq!(audit.lost, 0);
    }

    #[test]
    fn a_replay_of_records_already_seen_counts_as_duplicates_and_not_as_reordered() {
        let audit = audit(
            &[("a", 1), ("a", 2), ("a", 3)],
            &[("a", 1), ("a", 2), ("a", 1), ("a", 2), ("a", 3)],
        );
        assert_eq!((audit.duplicated, audit.reordered), (2, 0));
    }

    #[test]
    fn expecting_a_record_twice_is_refused() {
        let mut account = account(&[("a", 1)]);
        assert!(!account.expect("a", 1));
        assert_eq!(account.expected(), 1);
    }

    #[test]
    fn nothing_expected_and_nothing_seen_is_clean() {
        assert!(audit(&[], &[]).is_clean());
    }
}
