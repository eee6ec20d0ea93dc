//! Remembers the tokens of words seen lately; most words of most texts are among them.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// How many words can be remembered; 64 bytes each.
const SLOTS: usize = 1 << 15;
const MAX_BYTES: usize = 30;
const MAX_IDS: usize = 8;

/// One remembered word. It fills one line of the processor's cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Slot {
    ids: [i32; MAX_IDS],
    word: [u8; MAX_BYTES],
    len: u8,
    count: u8,
}

const _: () = assert!(size_of::<Slot>() == 64);

const EMPTY: Slot = Slot {
    ids: [0; MAX_IDS],
    word: [0; MAX_BYTES],
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
    fn place(&self, word: &[u8]) -> usize {
        let mut hasher = self.state.build_hasher();
        hasher.write(word);
        hasher.finish() as usize & (SLOTS - 1) & !1
    }

    /// Appends the ids of a word and gives true, if the word is remembered.
    pub(super) fn recall(&self, word: &str, ids: &mut Vec<i32>) -> bool {
        let word = word.as_bytes();
        if word.len() > MAX_BYTES {
            return false;
        }
        let place = self.place(word);
        for slot in [&self.slots[place], &self.slots[place ^ 1]] {
            let len = slot.len as usize;
            // An empty place has no word, and no word is empty.
            if len == word.len() && slot.word[..len] == *word {
                ids.extend_from_slice(&slot.ids[..slot.count as usize]);
                return true;
            }
        }
        false
    }

    /// Remembers a word's ids, if both are short enough.
    pub(super) fn keep(&mut self, word: &str, ids: &[i32]) {
        let word = word.as_bytes();
        if word.is_empty() || word.len() > MAX_BYTES || ids.len() > MAX_IDS {
            return;
        }
        let mut slot = Slot {
            len: word.len() as u8,
            count: ids.len() as u8,
            ..EMPTY
        };
        slot.word[..word.len()].copy_from_slice(word);
        slot.ids[..ids.len()].copy_from_slice(ids);
        let place = self.place(word);
        self.slots[place ^ 1] = self.slots[place];
        self.slots[place] = slot;
    }
}
