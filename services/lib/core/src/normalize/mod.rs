//! A message's text as the classifier reads it: the same writing for the same reading.
//!
//! In order: invisible characters go, NFKC, look-alike letters in Latin words become Latin, white
//! space becomes single spaces, repeats are cut to three, and links, e-mail addresses and handles
//! become placeholders. Applying it again changes nothing. Case, accents and emoji stay.
//!
//! Leetspeak and spaced letters are *not* undone in what the classifier reads: `iphone 13` and
//! `3 x 4 = 12` are no disguise. They are undone in a reading of their own, for keyword rules.

mod disguise;
mod fast;
mod fold;
mod lookalike;
mod mask;

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark, is_nfkc_quick};

use crate::names::{Set, closed_names};

/// How often a character may follow itself.
const MAX_REPEAT: usize = 3;

closed_names! {
    /// What was noticed about a text.
    TextFlag {
        /// It held characters that nobody sees: zero-width, bidirectional controls, NUL.
        InvisibleCharacters = "invisible_characters",
        /// It held letters of another script that look Latin, inside Latin words.
        Lookalikes = "lookalikes",
        /// Digits or signs stand for letters inside words.
        Leetspeak = "leetspeak",
        /// A word is spelled with something between its letters.
        SpacedLetters = "spaced_letters",
        /// A character was repeated more than three times.
        Repeats = "repeats",
        /// It held a link.
        Link = "link",
        /// It held an e-mail address.
        Email = "email",
        /// It held a handle.
        Handle = "handle",
    }
}

/// A message's text in its readings.
#[derive(Clone, PartialEq, Eq)]
pub struct Text<'a> {
    original: &'a str,
    scored: Cow<'a, str>,
    flags: Set<TextFlag>,
}

impl<'a> Text<'a> {
    /// The text as it came.
    #[must_use]
    pub const fn original(&self) -> &'a str {
        self.original
    }

    /// The text as the classifier reads it.
    #[must_use]
    pub fn scored(&self) -> &str {
        &self.scored
    }

    /// What was noticed.
    #[must_use]
    pub const fn flags(&self) -> Set<TextFlag> {
        self.flags
    }

    /// The text without accents, and lower-case; plain ASCII is as it stands, for those who ignore
    /// its case anyway.
    #[must_use]
    pub fn folded(&self) -> Cow<'_, str> {
        fold::fold(&self.scored)
    }

    /// The folded text with leetspeak and spaced letters undone, if there is any.
    #[must_use]
    pub fn undisguised(&self) -> Option<String> {
        let is_disguised = self.flags.contains(TextFlag::Leetspeak)
            || self.flags.contains(TextFlag::SpacedLetters);
        is_disguised.then(|| disguise::undo(&self.folded()))
    }
}

/// Shows no text, so that no log line can.
impl std::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text")
            .field("bytes", &self.original.len())
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// Reads a text.
#[must_use]
pub fn normalize(original: &str) -> Text<'_> {
    let mut flags = Set::default();
    let scored = if fast::is_plain(original) {
        Cow::Borrowed(original)
    } else {
        Cow::Owned(rewrite(original, &mut flags))
    };
    disguise::detect(&scored, &mut flags);
    Text {
        original,
        scored,
        flags,
    }
}

/// A folded phrase, as [`Text::folded`] would read it. For rules that look for it.
pub(crate) fn fold_phrase(phrase: &str) -> String {
    fold::fold(normalize(phrase).scored()).to_ascii_lowercase()
}

fn rewrite(original: &str, flags: &mut Set<TextFlag>) -> String {
    let visible = without_invisible(original, flags);
    let composed = match is_nfkc_quick(visible.chars()) {
        unicode_normalization::IsNormalized::Yes => visible,
        _ => Cow::Owned(visible.nfkc().collect()),
    };
    let latin = match lookalike::fold(&composed) {
        None => composed,
        Some(folded) => {
            flags.insert(TextFlag::Lookalikes);
            // A letter that became Latin may compose with the accent after it.
            Cow::Owned(folded.nfkc().collect())
        }
    };
    let squeezed = squeeze(&latin, flags);
    if mask::may_have_any(&squeezed) {
        mask::mask(&squeezed, flags)
    } else {
        squeezed
    }
}

/// Drops what nobody sees; white space of any kind becomes a plain space later.
fn without_invisible<'a>(text: &'a str, flags: &mut Set<TextFlag>) -> Cow<'a, str> {
    if !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    flags.insert(TextFlag::InvisibleCharacters);
    Cow::Owned(text.replace(is_invisible, ""))
}

fn is_invisible(c: char) -> bool {
    match c {
        '\t'..='\r' | '\u{85}' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Soft hyphen, joiners, the Mongolian separator, zero widths, directions, invisible
        // operators, the byte-order mark, annotations, and tags.
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' => true,
        '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// Cuts repeats to [`MAX_REPEAT`], makes single spaces of white space and trims.
fn squeeze(text: &str, flags: &mut Set<TextFlag>) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut last, mut count) = (' ', 0);
    // What stays as it is is copied in stretches, of which this one is not copied yet.
    let mut stretch = 0;
    for (at, c) in text.char_indices() {
        let (stays, becomes) = if c.is_whitespace() {
            let is_first = last != ' ';
            (last, count) = (' ', 0);
            (is_first && c == ' ', is_first.then_some(' '))
        } else {
            count = if c == last { count + 1 } else { 1 };
            last = c;
            (count <= MAX_REPEAT, None)
        };
        if !stays {
            out.push_str(&text[stretch..at]);
            out.extend(becomes);
            stretch = at + c.len_utf8();
            if count > MAX_REPEAT {
                flags.insert(TextFlag::Repeats);
            }
        }
    }
    out.push_str(&text[stretch..]);
    out.truncate(out.trim_end_matches(' ').len());
    out
}

/// Whether `c` is part of a word: a letter, a digit, an underscore or a mark on one of them.
fn is_word(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || c == '_'
    } else {
        c.is_alphanumeric() || is_combining_mark(c)
    }
}

#[cfg(test)]
mod tests;
