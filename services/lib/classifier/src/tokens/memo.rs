//! Remembers the tokens of words seen lately; most words of most texts are among them.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::word::{Long, Short, Word};

/// How many places for short and for long words there are, each for two. A short word's fills one line of the processor's cache.
const SHORT: usize = 1 << 14;
const LONG: usize = 1 << 12;
const MAX_IDS: usize = 7;

/// One remembered word; one of no bytes is an empty place.
#[derive(Clone, Copy)]
struct Slot<const N: usize> {
    parts: [u64; N],
    ids: [u16; MAX_IDS],
    len: u8,
    count: u8,
}

/// Where two words may be. A new word takes the first place, what was there moves to the second, and what was in the second is
/// forgotten.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Place<const N: usize>([Slot<N>; 2]);

const _: () = assert!(size_of::<Place<2>>() == 64);

struct Table<const N: usize> {
    places: Box<[Place<N>]>,
    state: RandomState,
}

impl<const N: usize> Table<N> {
    /// `size` is a power of two.
    fn new(size: usize) -> Self {
        let empty = Slot {
            parts: [0; N],
            ids: [0; MAX_IDS],
            len: 0,
            count: 0,
        };
        Self {
            places: vec![Place([empty; 2]); size].into_boxed_slice(),
            state: RandomState::default(),
        }
    }

    fn place(&self, word: &Word<N>) -> usize {
        self.state.hash_one(word) as usize & (self.places.len() - 1)
    }

    fn recall(&self, word: &Word<N>, ids: &mut Vec<i32>) -> bool {
        for slot in &self.places[self.place(word)].0 {
            if slot.len == word.len && slot.parts == word.parts {
                // A fixed number is copied faster than the right one.
                let len = ids.len() + usize::from(slot.count);
                ids.extend_from_slice(&slot.ids.map(i32::from));
                ids.truncate(len);
                return true;
            }
        }
        false
    }

    fn keep(&mut self, word: &Word<N>, ids: [u16; MAX_IDS], count: usize) {
        let Place([first, second]) = &mut self.places[self.place(word)];
        *second = *first;
        *first = Slot {
            parts: word.parts,
            ids,
            len: word.len,
            count: count as u8,
        };
    }
}

/// The words, by how long they are.
pub(super) struct Memo {
    short: Table<2>,
    long: Table<4>,
}

impl Default for Memo {
    fn default() -> Self {
        Self {
            short: Table::new(SHORT),
            long: Table::new(LONG),
        }
    }
}

impl Memo {
    /// Appends the ids of a word and gives true, if the word is remembered.
    pub(super) fn recall(&self, word: &str, ids: &mut Vec<i32>) -> bool {
        let word = word.as_bytes();
        if let Some(word) = Short::new(word) {
            return self.short.recall(&word, ids);
        }
        Long::new(word).is_some_and(|word| self.long.recall(&word, ids))
    }

    /// Remembers a word's ids, if both are short enough.
    pub(super) fn keep(&mut self, word: &str, ids: &[i32]) {
        let mut small = [0; MAX_IDS];
        if ids.len() > MAX_IDS {
            return;
        }
        for (small, id) in small.iter_mut().zip(ids) {
            let Ok(id) = u16::try_from(*id) else { return };
            *small = id;
        }
        let word = word.as_bytes();
        if let Some(word) = Short::new(word) {
            self.short.keep(&word, small, ids.len());
        } else if let Some(word) = Long::new(word) {
            self.long.keep(&word, small, ids.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_recalled_and_one_that_is_too_long_or_has_too_many_or_too_great_ids_is_not() {
        let mut memo = Memo::default();
        let long = "x".repeat(33);
        let many = [1; MAX_IDS + 1];
        for (word, ids) in [
            ("", &[1][..]),
            (&long, &[1]),
            ("many", &many),
            ("great", &[1, 1 << 16]),
        ] {
            memo.keep(word, ids);
            assert!(!memo.recall(word, &mut Vec::new()), "{word}");
        }
        for word in [&long[1..], "short"] {
            memo.keep(word, &[1, 65_535]);
            let mut ids = vec![7];
            assert!(memo.recall(word, &mut ids));
            assert_eq!(ids, [7, 1, 65_535]);
        }
    }

    #[test]
    fn of_words_with_the_same_place_two_are_remembered() {
        let mut table = Table::<2>::new(1);
        for (id, word) in ["one", "two", "three"].iter().enumerate() {
            let word = Short::new(word.as_bytes()).unwrap();
            table.keep(&word, [id as u16; MAX_IDS], 1);
        }
        let recalled = |word: &str| {
            let mut ids = Vec::new();
            table
                .recall(&Short::new(word.as_bytes()).unwrap(), &mut ids)
                .then_some(ids)
        };
        assert_eq!(
            ["one", "two", "three"].map(recalled),
            [None, Some(vec![1]), Some(vec![2])]
        );
    }
}
