//! Events that a platform delivered twice: remembered for a while, so that their effects are not.
//!
//! Platform webhooks deliver at least once. A repeat still gets its own verdict, as every record
//! does, but no route: the first one's are committed. What is remembered is bounded and is lost
//! when a partition moves, so a reader of the routes still drops duplicates by event id.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, BuildHasherDefault, Hasher},
};

use foldhash::quality::RandomState;

/// Remembers the last events of one lane by a 128-bit keyed hash.
#[derive(Debug)]
pub struct Repeats {
    hashers: [RandomState; 2],
    seen: HashSet<u128, BuildHasherDefault<AsIs>>,
    order: VecDeque<u128>,
    /// How many at the end of `order` are not committed yet…
    open: usize,
    /// …and how many of these, from the first on, a commit that is under way holds.
    sealed: usize,
    capacity: usize,
}

/// The set's keys are keyed hashes already: hashing them again would gain nothing.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        // The lower half; the upper one tells apart what falls together.
        self.0 = hash as u64;
    }
}

impl Repeats {
    /// Remembers up to `capacity` committed events.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            hashers: Default::default(),
            seen: HashSet::with_capacity_and_hasher(capacity, BuildHasherDefault::default()),
            order: VecDeque::with_capacity(capacity),
            open: 0,
            sealed: 0,
            capacity,
        }
    }

    /// Whether the same event was seen before; it is remembered from now on. `parts` is what makes
    /// it the same: brand, id, kind and text, so that an edit is not a repeat.
    pub fn is_repeat(&mut self, parts: [&str; 4]) -> bool {
        if self.capacity == 0 {
            return false;
        }
        let [high, low] = self.hashers.each_ref().map(|hasher| hasher.hash_one(parts));
        let hash = u128::from(high) << 64 | u128::from(low);
        if !self.seen.insert(hash) {
            return true;
        }
        self.order.push_back(hash);
        self.open += 1;
        false
    }

    /// A commit begins, of all events seen so far.
    pub fn sealed(&mut self) {
        self.sealed = self.open;
    }

    /// The events seen before the last call to [`sealed`](Self::sealed) are committed: the oldest
    /// beyond the capacity go.
    pub fn committed(&mut self) {
        self.open -= std::mem::take(&mut self.sealed);
        while self.order.len() > self.capacity + self.open {
            if let Some(oldest) = self.order.pop_front() {
                self.seen.remove(&oldest);
            }
        }
    }

    /// The events that are not committed will be read again and are no repeats then.
    pub fn aborted(&mut self) {
        for hash in self.order.drain(self.order.len() - self.open..) {
            self.seen.remove(&hash);
        }
        (self.open, self.sealed) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: [&str; 4] = ["brand", "1", "created", "hello"];

    #[test]
    fn the_same_event_is_a_repeat_and_an_edit_is_not() {
        let mut repeats = Repeats::new(10);
        assert!(!repeats.is_repeat(EVENT));
        assert!(repeats.is_repeat(EVENT));
        assert!(!repeats.is_repeat(["brand", "1", "edited", "hello!"]));
    }

    #[test]
    fn an_event_read_again_after_an_abort_is_no_repeat() {
        let mut repeats = Repeats::new(10);
        assert!(!repeats.is_repeat(EVENT));
        repeats.aborted();
        assert!(!repeats.is_repeat(EVENT));
        repeats.sealed();
        repeats.committed();
        repeats.aborted();
        assert!(
            repeats.is_repeat(EVENT),
            "an abort undoes only what was not committed"
        );
    }

    #[test]
    fn what_was_seen_while_a_commit_was_under_way_is_undone_by_the_next_abort_alone() {
        let mut repeats = Repeats::new(1);
        let later = ["brand", "2", "created", "later"];
        assert!(!repeats.is_repeat(EVENT));
        repeats.sealed();
        assert!(!repeats.is_repeat(later));
        repeats.committed();
        repeats.aborted();
        assert!(repeats.is_repeat(EVENT), "it is committed");
        assert!(!repeats.is_repeat(later));
    }

    #[test]
    fn it_holds_no_more_than_its_capacity_after_a_commit() {
        let mut repeats = Repeats::new(3);
        for id in ["1", "2", "3", "4", "5"] {
            repeats.is_repeat(["brand", id, "created", ""]);
        }
        repeats.sealed();
        repeats.committed();
        assert_eq!((repeats.seen.len(), repeats.order.len()), (3, 3));
        assert!(
            !repeats.is_repeat(["brand", "1", "created", ""]),
            "the oldest was forgotten"
        );
        assert!(repeats.is_repeat(["brand", "5", "created", ""]));
    }
}
