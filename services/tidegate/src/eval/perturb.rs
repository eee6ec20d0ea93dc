//! Ways in which people write so that filters don't read them, seeded.

use rand::{Rng as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

/// A way of changing a text that leaves it readable for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Perturbation {
    /// Digits for letters: `fr33`.
    Leetspeak,
    /// Something between the letters of a word: `f r e e`, `f.r.e.e`.
    SpacedLetters,
    /// Cyrillic letters that look Latin.
    Homoglyphs,
    /// Characters that nobody sees, inside words.
    ZeroWidth,
    /// Capitals anywhere.
    Case,
    /// Swapped, missing and doubled letters.
    Typos,
    /// An emoji between a word's letters.
    EmojiSplitting,
}

/// Share of the words of four letters or more that are changed.
const SHARE: f64 = 0.5;
/// Shorter words are left alone: changed ones would not be readable.
const MIN_LETTERS: usize = 4;

impl Perturbation {
    pub(crate) const ALL: [Self; 7] = [
        Self::Leetspeak,
        Self::SpacedLetters,
        Self::Homoglyphs,
        Self::ZeroWidth,
        Self::Case,
        Self::Typos,
        Self::EmojiSplitting,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Leetspeak => "leetspeak",
            Self::SpacedLetters => "spaced letters",
            Self::Homoglyphs => "homoglyphs",
            Self::ZeroWidth => "zero-width",
            Self::Case => "case",
            Self::Typos => "typos",
            Self::EmojiSplitting => "emoji splitting",
        }
    }

    /// The changed text. The same seed gives the same.
    pub(crate) fn apply(self, text: &str, seed: u64) -> String {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let word = |word: &str| {
            let letters: Vec<char> = word.chars().collect();
            let is_word = letters.len() >= MIN_LETTERS && letters.iter().all(|c| c.is_alphabetic());
            match is_word && rng.random_bool(SHARE) {
                true => self.change(letters, &mut rng),
                false => word.to_owned(),
            }
        };
        text.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    fn change(self, mut letters: Vec<char>, rng: &mut ChaCha8Rng) -> String {
        let inner = rng.random_range(1..letters.len() - 1);
        match self {
            Self::Leetspeak => replace(&letters, LEET),
            Self::Homoglyphs => replace(&letters, LOOKALIKES),
            Self::SpacedLetters => {
                let between = [" ", ".", "-", "_", "*"]
                    .choose(rng)
                    .copied()
                    .unwrap_or(" ");
                join(&letters, between)
            }
            Self::ZeroWidth => {
                letters.insert(inner, '\u{200b}');
                letters.into_iter().collect()
            }
            Self::Case => {
                let upper = |c: char| c.to_uppercase().collect::<String>();
                let each = letters.into_iter().map(|c| match rng.random_bool(0.5) {
                    true => upper(c),
                    false => c.to_string(),
                });
                each.collect()
            }
            Self::Typos => {
                match rng.random_range(0..3) {
                    0 => letters.swap(inner, inner + 1),
                    1 => drop(letters.remove(inner)),
                    _ => letters.insert(inner, letters[inner]),
                }
                letters.into_iter().collect()
            }
            Self::EmojiSplitting => {
                let emoji = ['🔥', '✨', '💯', '👀']
                    .choose(rng)
                    .copied()
                    .unwrap_or('🔥');
                letters.insert(inner, emoji);
                letters.into_iter().collect()
            }
        }
    }
}

const LEET: &[(char, char)] = &[
    ('a', '4'),
    ('e', '3'),
    ('i', '1'),
    ('o', '0'),
    ('s', '5'),
    ('t', '7'),
];
const LOOKALIKES: &[(char, char)] = &[
    ('a', 'а'),
    ('e', 'е'),
    ('o', 'о'),
    ('p', 'р'),
    ('c', 'с'),
    ('x', 'х'),
    ('y', 'у'),
    ('i', 'і'),
];

/// Exchanges all letters but the first, without which few would read the word.
fn replace(letters: &[char], by: &[(char, char)]) -> String {
    let other = |c: char| {
        by.iter()
            .find(|(from, _)| *from == c)
            .map_or(c, |(_, to)| *to)
    };
    letters
        .iter()
        .enumerate()
        .map(|(at, &c)| if at == 0 { c } else { other(c) })
        .collect()
}

fn join(letters: &[char], between: &str) -> String {
    letters
        .iter()
        .map(char::to_string)
        .collect::<Vec<_>>()
        .join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "claim your free prize today, follow the link and win something special";

    #[test]
    fn every_way_changes_a_text_and_the_same_seed_changes_it_alike() {
        for way in Perturbation::ALL {
            assert_ne!(way.apply(TEXT, 1), TEXT, "{way:?}");
            assert_eq!(way.apply(TEXT, 1), way.apply(TEXT, 1), "{way:?}");
        }
    }

    #[test]
    fn short_words_numbers_links_and_other_scripts_signs_stay() {
        for way in Perturbation::ALL {
            for text in [
                "",
                " ",
                "it is 2024",
                "http://url @user",
                "a b c",
                "!!!! ????",
            ] {
                assert_eq!(way.apply(text, 3), text, "{way:?}");
            }
        }
    }

    #[test]
    fn what_normalisation_undoes_is_undone() {
        for way in [Perturbation::ZeroWidth, Perturbation::Homoglyphs] {
            for seed in 0..20 {
                let changed = way.apply(TEXT, seed);
                assert_eq!(tidegate_core::normalize(&changed).scored(), TEXT, "{way:?}");
            }
        }
    }
}
