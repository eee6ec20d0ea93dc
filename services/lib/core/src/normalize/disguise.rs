//! Leetspeak (`v1agra`, `$ex`), spaced letters (`f r e e`, `s.p.a.m`) and words split by emoji
//! (`fr🔥ee`): noticed, and undone in a reading of its own. Only among ASCII letters, where these
//! habits live.

use super::TextFlag;
use crate::names::Set;

/// How many single letters with the same sign between them are a spelled word.
const MIN_SPELLED: usize = 3;

/// The placeholder for an e-mail address has a sign between letters, but disguises nothing.
const EMAIL: &str = "user@email";

/// Notices disguises.
pub(super) fn detect(text: &str, flags: &mut Set<TextFlag>) {
    let bytes = text.as_bytes();
    if may_have_leetspeak(bytes) && has_leetspeak(bytes) {
        flags.insert(TextFlag::Leetspeak);
    }
    if may_have_spelled_word(bytes) && has_spelled_word(bytes) {
        flags.insert(TextFlag::SpacedLetters);
    }
    if may_have_split_word(bytes) && has_split_word(text) {
        flags.insert(TextFlag::SpacedLetters);
    }
}

/// The letter that a digit or sign stands for.
fn letter(byte: u8) -> Option<char> {
    let letter = match byte {
        b'0' => 'o',
        b'1' | b'!' | b'|' => 'i',
        b'3' => 'e',
        b'4' | b'@' => 'a',
        b'5' | b'$' => 's',
        b'7' => 't',
        b'8' => 'b',
        _ => return None,
    };
    Some(letter)
}

/// Whether there is a stand-in after a letter. Like the next one, a loop without a way out: it looks
/// at many bytes at a time.
fn may_have_leetspeak(bytes: &[u8]) -> bool {
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    pairs.fold(false, |found, (before, byte)| {
        let stands_in = matches!(byte, b'0' | b'1' | b'!' | b'|' | b'3' | b'4' | b'@')
            | matches!(byte, b'5' | b'$' | b'7' | b'8');
        found | (stands_in & before.is_ascii_alphabetic())
    })
}

/// Whether a sign stands two bytes after its like.
fn may_have_spelled_word(bytes: &[u8]) -> bool {
    let pairs = bytes.iter().zip(bytes.iter().skip(2));
    pairs.fold(false, |found, (before, byte)| {
        found | ((before == byte) & !byte.is_ascii_alphanumeric())
    })
}

/// Whether a stand-in has letters on both sides: `v1agra`, but neither `mp3` nor `2nd`.
fn has_leetspeak(bytes: &[u8]) -> bool {
    let mut opened = None;
    let mut after_letter = false;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte.is_ascii_alphabetic() {
            if opened.is_some_and(|start| !is_email_placeholder(bytes, start)) {
                return true;
            }
            (opened, after_letter) = (None, true);
        } else if letter(byte).is_none() {
            (opened, after_letter) = (None, false);
        } else if after_letter && opened.is_none() {
            opened = Some(at);
        }
    }
    false
}

fn is_email_placeholder(bytes: &[u8], at: usize) -> bool {
    let start = at.saturating_sub("user".len());
    bytes[start..].starts_with(EMAIL.as_bytes())
}

/// Whether a byte with which emoji begin stands after a letter.
fn may_have_split_word(bytes: &[u8]) -> bool {
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    pairs.fold(false, |found, (before, byte)| {
        found | (matches!(byte, 0xE2 | 0xF0) & before.is_ascii_alphabetic())
    })
}

/// Pictures, and what joins and varies them.
const fn is_emoji(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27BF}' | '\u{2B05}'..='\u{2B55}' | '\u{1F000}'..='\u{1FAFF}')
        || matches!(c, '\u{200D}' | '\u{FE0F}')
}

/// How many bytes of emoji at the start have a letter right after them. None where there are none.
fn splitting_emoji(text: &str) -> Option<usize> {
    let length = text.find(|c| !is_emoji(c)).filter(|&length| length > 0)?;
    let after = text.as_bytes().get(length)?;
    after.is_ascii_alphabetic().then_some(length)
}

fn has_split_word(text: &str) -> bool {
    let mut after_letter = false;
    text.char_indices().any(|(at, c)| {
        let splits = after_letter && is_emoji(c) && splitting_emoji(&text[at..]).is_some();
        after_letter = c.is_ascii_alphabetic();
        splits
    })
}

fn has_spelled_word(bytes: &[u8]) -> bool {
    bytes
        .windows(2 * MIN_SPELLED - 1)
        .enumerate()
        .any(|(at, window)| {
            // Looks closely only where three single letters may begin.
            window[1] == window[3]
                && !window[1].is_ascii_alphanumeric()
                && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric())
                && spelled_word(&bytes[at..]).is_some()
        })
}

/// How many bytes at the start are a spelled word.
fn spelled_word(bytes: &[u8]) -> Option<usize> {
    let separator = *bytes.get(1).filter(|byte| b" .-_*|".contains(byte))?;
    let is_letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphabetic);
    let mut letters = 0;
    while is_letter(2 * letters) {
        letters += 1;
        if bytes.get(2 * letters - 1) != Some(&separator) {
            break;
        }
    }
    // The last letter may be the first of the word that follows.
    let follows = |letters: usize| bytes.get((2 * letters).checked_sub(1)?);
    if follows(letters).is_some_and(u8::is_ascii_alphanumeric) {
        letters -= 1;
    }
    (letters >= MIN_SPELLED).then(|| 2 * letters - 1)
}

/// The text with all of them undone. `text` is folded.
pub(super) fn undo(text: &str) -> String {
    if has_split_word(text) {
        return undo_spelling(&joined(text));
    }
    undo_spelling(text)
}

/// The text without the emoji that split words.
fn joined(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after_letter = out.ends_with(|c: char| c.is_ascii_alphabetic());
        // Asked only behind a letter: a run of emoji is looked through once.
        let split = after_letter.then(|| splitting_emoji(rest)).flatten();
        let length = match split {
            Some(length) => length,
            None => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    out
}

fn undo_spelling(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after_word = out.ends_with(|c: char| c.is_alphanumeric());
        let length = match spelled_word(rest.as_bytes()).filter(|_| !after_word) {
            Some(length) => {
                out.extend(rest[..length].chars().step_by(2));
                length
            }
            None if is_in_word(c) => {
                let length = rest.find(|c| !is_in_word(c)).unwrap_or(rest.len());
                push_word(&rest[..length], &mut out);
                length
            }
            None => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    out
}

fn is_in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '$' | '@' | '!' | '|')
}

/// Writes a word with its stand-ins undone, unless it is a number or has a single letter.
fn push_word(word: &str, out: &mut String) {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    if letters < 2 || word == EMAIL {
        return out.push_str(word);
    }
    let mut chars = word.chars().peekable();
    let mut after_letter = false;
    while let Some(c) = chars.next() {
        let before_letter = chars.peek().is_some_and(|next| next.is_alphabetic());
        let stands_in = match c {
            // At a word's edge these are what they always are.
            '!' | '|' | '@' => after_letter && before_letter,
            '$' => before_letter || after_letter,
            _ => true,
        };
        let letter = u8::try_from(c).ok().and_then(letter).filter(|_| stands_in);
        out.push(letter.unwrap_or(c));
        after_letter = letter.is_some() || c.is_alphabetic();
    }
}
