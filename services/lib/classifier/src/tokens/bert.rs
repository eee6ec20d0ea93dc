//! BERT's rules for splitting a text into words: cleaning, accents, case, punctuation.
//!
//! The Unicode tables are those that Hugging Face's `tokenizers` uses, old as they are: a newer
//! table would give other words than the model was trained on.

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;

/// Which of the rules a tokenizer applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) clean_text: bool,
    pub(super) handle_chinese_chars: bool,
    pub(super) strip_accents: bool,
    pub(super) lowercase: bool,
}

/// Buffers that are used for one chunk after another.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    spaced: String,
    text: String,
}

impl Rules {
    /// Hands each word of `chunk` to `take`. The chunk has no ASCII white space.
    pub(super) fn words(&self, chunk: &str, scratch: &mut Scratch, mut take: impl FnMut(&str)) {
        self.normalize(chunk, scratch);
        let text = scratch.text.as_str();
        let mut begin = 0;
        for (at, character) in text.char_indices() {
            let is_gap = character.is_whitespace();
            if !is_gap && !is_punctuation(character) {
                continue;
            }
            if begin < at {
                take(&text[begin..at]);
            }
            begin = at + character.len_utf8();
            if !is_gap {
                take(&text[at..begin]);
            }
        }
        if begin < text.len() {
            take(&text[begin..]);
        }
    }

    fn normalize(&self, chunk: &str, scratch: &mut Scratch) {
        let Scratch { spaced, text } = scratch;
        text.clear();
        if chunk.is_ascii() {
            let kept = chunk
                .bytes()
                .filter(|byte| !self.clean_text || !byte.is_ascii_control());
            if self.lowercase {
                text.extend(kept.map(|byte| char::from(byte.to_ascii_lowercase())));
            } else {
                text.extend(kept.map(char::from));
            }
            return;
        }
        spaced.clear();
        for character in chunk.chars() {
            if self.clean_text && is_dropped(character) {
                continue;
            }
            if self.clean_text && character.is_whitespace() {
                spaced.push(' ');
            } else if self.handle_chinese_chars && is_chinese(character) {
                spaced.extend([' ', character, ' ']);
            } else {
                spaced.push(character);
            }
        }
        let mut push = |character: char| {
            if self.lowercase {
                text.extend(character.to_lowercase());
            } else {
                text.push(character);
            }
        };
        if self.strip_accents {
            let bare = spaced.chars().nfd().map(|(character, _)| character);
            bare.filter(|character| !character.is_mark_nonspacing())
                .for_each(&mut push);
        } else {
            spaced.chars().for_each(&mut push);
        }
    }
}

fn is_dropped(character: char) -> bool {
    let is_space = matches!(character, '\t' | '\n' | '\r');
    character == '\0' || character == '\u{fffd}' || (!is_space && character.is_other())
}

fn is_punctuation(character: char) -> bool {
    if character.is_ascii() {
        character.is_ascii_punctuation()
    } else {
        character.is_punctuation()
    }
}

fn is_chinese(character: char) -> bool {
    matches!(
        u32::from(character),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}
