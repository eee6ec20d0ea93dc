//! Short words as numbers: compared and hashed faster than their bytes.

use std::hash::{Hash, Hasher};

/// A word's first and last bytes as numbers, which may overlap. With its length they tell it from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<const N: usize> {
    pub(super) parts: [u64; N],
    /// In bytes.
    pub(super) len: u8,
}

/// Of 1 to 16 bytes.
pub(super) type Short = Word<2>;
/// Of 17 to 32 bytes.
pub(super) type Long = Word<4>;

impl Short {
    /// `None` for a word without a byte and for one that is too long.
    pub(super) fn new(word: &[u8]) -> Option<Self> {
        let parts = match word.len() {
            len @ 1..=3 => {
                let [first, middle, last] = [0, len / 2, len - 1].map(|at| u64::from(word[at]));
                [first | middle << 8 | last << 16, 0]
            }
            4..=7 => [*word.first_chunk()?, *word.last_chunk()?]
                .map(|half| u64::from(u32::from_le_bytes(half))),
            8..=16 => [*word.first_chunk()?, *word.last_chunk()?].map(u64::from_le_bytes),
            _ => return None,
        };
        let len = word.len() as u8;
        Some(Self { parts, len })
    }
}

impl Long {
    /// `None` for a word that is too short or too long.
    pub(super) fn new(word: &[u8]) -> Option<Self> {
        if !(17..=32).contains(&word.len()) {
            return None;
        }
        let halves = [*word.first_chunk::<16>()?, *word.last_chunk::<16>()?];
        let (numbers, _) = halves.as_flattened().as_chunks();
        let parts = std::array::from_fn(|at| u64::from_le_bytes(numbers[at]));
        let len = word.len() as u8;
        Some(Self { parts, len })
    }
}

impl<const N: usize> Hash for Word<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut parts = self.parts;
        parts[0] ^= u64::from(self.len);
        parts.iter().for_each(|part| state.write_u64(*part));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_that_differ_differ_in_length_or_parts(
            word in "[ab]{1,32}", at in any::<prop::sample::Index>(),
        ) {
            let mut other = word.clone().into_bytes();
            *at.get_mut(&mut other) ^= 1;
            let both = |word| (Short::new(word), Long::new(word));
            let (one, other) = (both(word.as_bytes()), both(&other));
            prop_assert!(one.0.is_some() != one.1.is_some());
            prop_assert_ne!(one, other);
        }
    }

    #[test]
    fn no_word_is_both_and_a_very_long_one_neither() {
        for (len, fits) in [
            (0, [false; 2]),
            (16, [true, false]),
            (17, [false, true]),
            (32, [false, true]),
            (33, [false; 2]),
        ] {
            let word = vec![b'x'; len];
            assert_eq!(
                [Short::new(&word).is_some(), Long::new(&word).is_some()],
                fits,
                "{len}"
            );
        }
    }
}
