//! Remembers the tokens of words seen lately; most words of most texts are among them.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// How many words can be remembered; 64 bytes each.
const SLOTS: usize = 1 << 15;
const MAX_BYTES: usize = 32;
const MAX_IDS: usize = 7;

/// A word's first and last bytes as numbers: compared and hashed faster than the bytes themselves.
/// They overlap, and with its length they tell a word from every other.
type Parts = [u64; MAX_BYTES / 8];

/// `None` for a word without a byte and for one that is too long.
fn parts(word: &[u8]) -> Option<Parts> {
    let parts = match word.len() {
        len @ 1..=3 => {
            let [first, middle, last] = [0, len / 2, len - 1].map(|at| u64::from(word[at]));
            [first | middle << 8 | last << 16, 0, 0, 0]
        }
        4..=7 => {
            let halves = [*word.first_chunk()?, *word.last_chunk()?];
            let [first, last] = halves.map(|half| u64::from(u32::from_le_bytes(half)));
            [first, last, 0, 0]
        }
        len @ 8..=MAX_BYTES => {
            let [inner_first, inner_last] = match len {
                ..=16 => [[0; 8]; 2],
                _ => [*word[8..].first_chunk()?, *word[..len - 8].last_chunk()?],
            };
            let outer = [*word.first_chunk()?, *word.last_chunk()?];
            [outer[0], outer[1], inner_first, inner_last].map(u64::from_le_bytes)
        }
        _ => return None,
    };
    Some(parts)
}

/// One remembered word. It fills one line of the processor's cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Slot {
    parts: Parts,
    ids: [i32; MAX_IDS],
    /// The word's, in bytes; 0 in an empty place.
    len: u8,
    count: u8,
}

const _: () = assert!(size_of::<Slot>() == 64);

const EMPTY: Slot = Slot {
    parts: [0; _],
    ids: [0; MAX_IDS],
    len: 0,
    count: 0,
};

/// A table in which each word has two places, beside each other. A new word takes the first, what
/// was there moves to the second, and what was in the second is forgotten.
pub(super) struct Memo {
    slots: Box<[Slot]>,
    state: RandomState,
}

impl Default for Memo {
    fn default() -> Self {
        Self {
            slots: vec![EMPTY; SLOTS].into_boxed_slice(),
            state: RandomState::default(),
        }
    }
}

impl Memo {
    fn place(&self, parts: &Parts, len: usize) -> usize {
        let mut hasher = self.state.build_hasher();
        hasher.write_u64(parts[0]);
        hasher.write_u64(parts[1]);
        if len > 16 {
            hasher.write_u64(parts[2]);
            hasher.write_u64(parts[3]);
        }
        hasher.finish() as usize & (SLOTS - 1) & !1
    }

    /// Appends the ids of a word and gives true, if the word is remembered.
    pub(super) fn recall(&self, word: &str, ids: &mut Vec<i32>) -> bool {
        let Some(parts) = parts(word.as_bytes()) else {
            return false;
        };
        let place = self.place(&parts, word.len());
        for slot in [&self.slots[place], &self.slots[place ^ 1]] {
            if usize::from(slot.len) == word.len() && slot.parts == parts {
                // A fixed number is copied faster than the right one.
                let len = ids.len() + usize::from(slot.count);
                ids.extend_from_slice(&slot.ids);
                ids.truncate(len);
                return true;
            }
        }
        false
    }

    /// Remembers a word's ids, if both are short enough.
    pub(super) fn keep(&mut self, word: &str, ids: &[i32]) {
        let Some(parts) = parts(word.as_bytes()).filter(|_| ids.len() <= MAX_IDS) else {
            return;
        };
        let mut slot = Slot {
            parts,
            len: word.len() as u8,
            count: ids.len() as u8,
            ..EMPTY
        };
        slot.ids[..ids.len()].copy_from_slice(ids);
        let place = self.place(&parts, word.len());
        self.slots[place ^ 1] = self.slots[place];
        self.slots[place] = slot;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_word_is_recalled_and_one_that_is_too_long_or_has_too_many_ids_is_not() {
        let mut memo = Memo::default();
        let long = "x".repeat(MAX_BYTES + 1);
        for (word, ids) in [("", &[1][..]), (&long, &[1]), ("many", &[1; MAX_IDS + 1])] {
            memo.keep(word, ids);
            assert!(!memo.recall(word, &mut Vec::new()), "{word}");
        }
        let mut ids = vec![7];
        memo.keep(&long[1..], &[1, 2]);
        assert!(memo.recall(&long[1..], &mut ids));
        assert_eq!(ids, [7, 1, 2]);
    }

    proptest! {
        #[test]
        fn words_that_differ_differ_in_length_or_parts(
            word in "[ab]{1,32}", at in any::<prop::sample::Index>(),
        ) {
            let mut other = word.clone().into_bytes();
            *at.get_mut(&mut other) ^= 1;
            prop_assert_ne!(parts(word.as_bytes()), parts(&other));
        }
    }
}
