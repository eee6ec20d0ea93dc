//! Splits words into the pieces of a vocabulary, longest first.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::word::Short;

/// Pieces by their bytes, and which lengths a piece can have that begins with two given bytes.
/// Most lengths are ruled out without a look into the map.
#[derive(Debug)]
struct Map {
    short: HashMap<Short, i32, FixedState>,
    long: HashMap<Box<[u8]>, i32, FixedState>,
    /// Bit `n` is set where some piece has `n + 1` bytes; the last bit stands for all longer ones.
    lengths: Box<[u64; 4096]>,
    longest: usize,
}

impl Map {
    fn new() -> Self {
        Self {
            short: HashMap::default(),
            long: HashMap::default(),
            lengths: Box::new([0; 4096]),
            longest: 0,
        }
    }

    fn bucket(start: &[u8]) -> usize {
        let second = start.get(1).copied().unwrap_or_default();
        (usize::from(start[0]) * 31 + usize::from(second) * 257) & 4095
    }

    fn insert(&mut self, piece: &[u8], id: i32) {
        if piece.is_empty() {
            return;
        }
        let bit = 1 << (piece.len() - 1).min(63);
        if piece.len() == 1 {
            // Any byte can follow in the word.
            for second in 0..=255 {
                self.lengths[Self::bucket(&[piece[0], second])] |= bit;
            }
        }
        self.lengths[Self::bucket(piece)] |= bit;
        self.longest = self.longest.max(piece.len());
        match Short::new(piece) {
            Some(short) => self.short.insert(short, id),
            None => self.long.insert(piece.into(), id),
        };
    }

    /// The longest piece that `word` begins with: its length in bytes and its id. Since pieces are
    /// whole characters, so is what they match.
    fn longest_start(&self, word: &[u8]) -> Option<(usize, i32)> {
        let at = |length: usize| {
            let piece = &word[..length];
            let id = match Short::new(piece) {
                Some(short) => self.short.get(&short),
                None => self.long.get(piece),
            };
            id.map(|&id| (length, id))
        };
        let lengths = self.lengths[Self::bucket(word)];
        let mut length = word.len().min(self.longest);
        while length > 0 {
            if lengths & (1 << (length - 1).min(63)) != 0
                && let Some(found) = at(length)
            {
                return Some(found);
            }
            length -= 1;
        }
        None
    }
}

/// A WordPiece vocabulary.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Pieces that begin a word.
    first: Map,
    /// Pieces that go on with a word, without their prefix.
    next: Map,
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
            first: Map::new(),
            next: Map::new(),
            unknown,
            max_chars,
            vocabulary: 0,
        };
        for (piece, id) in vocabulary {
            pieces.vocabulary = pieces.vocabulary.max(id as usize + 1);
            if let Some(rest) = piece.strip_prefix(prefix) {
                pieces.next.insert(rest.as_bytes(), id);
            }
            // A piece that looks like a continuation begins words, too: `##` is a word of its own.
            pieces.first.insert(piece.as_bytes(), id);
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
        let (mut map, mut rest) = (&self.first, word.as_bytes());
        while !rest.is_empty() {
            let Some((length, id)) = map.longest_start(rest) else {
                ids.truncate(before);
                return ids.push(self.unknown);
            };
            ids.push(id);
            map = &self.next;
            rest = &rest[length..];
        }
    }
}
