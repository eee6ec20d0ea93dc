//! Splits words into the pieces of a vocabulary, longest first.

use std::collections::HashMap;

use foldhash::fast::FixedState;

type Map = HashMap<Box<[u8]>, i32, FixedState>;

/// A WordPiece vocabulary.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Pieces that begin a word.
    first: Map,
    /// Pieces that go on with a word, without their prefix.
    next: Map,
    /// The length in bytes of the longest piece in each map.
    longest: (usize, usize),
    unknown: i32,
    /// Longer words, in characters, are unknown.
    max_chars: usize,
    vocabulary: usize,
}

impl Pieces {
    pub(super) fn new(
        vocabulary: impl Iterator<Item = (String, i32)>,
        prefix: &str,
        unknown: i32,
        max_chars: usize,
    ) -> Self {
        let mut pieces = Self {
            first: Map::default(),
            next: Map::default(),
            longest: (0, 0),
            unknown,
            max_chars,
            vocabulary: 0,
        };
        for (piece, id) in vocabulary {
            pieces.vocabulary = pieces.vocabulary.max(id as usize + 1);
            if let Some(rest) = piece.strip_prefix(prefix) {
                pieces.longest.1 = pieces.longest.1.max(rest.len());
                pieces.next.insert(rest.as_bytes().into(), id);
            }
            // A piece that looks like a continuation begins words, too: `##` is a word of its own.
            pieces.longest.0 = pieces.longest.0.max(piece.len());
            pieces.first.insert(piece.into_bytes().into(), id);
        }
        pieces
    }

    pub(super) fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Appends the ids of a word's pieces; the unknown id alone if it cannot be split.
    pub(super) fn split(&self, word: &str, ids: &mut Vec<i32>) {
        if word.len() > self.max_chars && word.chars().count() > self.max_chars {
            return ids.push(self.unknown);
        }
        let before = ids.len();
        let (mut map, mut longest, mut begin) = (&self.first, self.longest.0, 0);
        while begin < word.len() {
            let mut end = (begin + longest).min(word.len());
            let found = loop {
                while !word.is_char_boundary(end) {
                    end -= 1;
                }
                if end <= begin {
                    break None;
                }
                if let Some(&id) = map.get(&word.as_bytes()[begin..end]) {
                    break Some(id);
                }
                end -= 1;
            };
            let Some(id) = found else {
                ids.truncate(before);
                return ids.push(self.unknown);
            };
            ids.push(id);
            (map, longest, begin) = (&self.next, self.longest.1, end);
        }
    }
}
