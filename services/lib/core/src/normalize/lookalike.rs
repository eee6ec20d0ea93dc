//! Letters of other scripts that look Latin, inside Latin words: `pаypаl` with Cyrillic `а`.
//!
//! A word is rewritten only if it has a Latin letter and every other letter in it has a Latin
//! look-alike: real Cyrillic and Greek words, and `iphone15про`, stay.

use super::is_word;

/// The text with look-alikes replaced, or `None` if there are none.
pub(super) fn fold(text: &str) -> Option<String> {
    // In UTF-8 each of them begins with one of these bytes, and little else does.
    if !text.bytes().any(|byte| matches!(byte, 0xc9..=0xd6)) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    for word in text.split_inclusive(|c| !is_word(c) || c == '_') {
        if is_disguised(word) {
            changed = true;
            out.extend(word.chars().map(|c| latin(c).unwrap_or(c)));
        } else {
            out.push_str(word);
        }
    }
    changed.then_some(out)
}

fn is_disguised(word: &str) -> bool {
    let (mut has_latin, mut has_lookalike) = (false, false);
    for c in word.chars() {
        if is_latin(c) {
            has_latin = true;
        } else if latin(c).is_some() {
            has_lookalike = true;
        } else if c.is_alphabetic() {
            return false;
        }
    }
    has_latin && has_lookalike
}

fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic()
        || (matches!(c, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}') && c.is_alphabetic())
}

/// The Latin letter that `c`, a letter of another script, looks like. Full-width and mathematical
/// letters are not here: NFKC has already made them plain.
fn latin(c: char) -> Option<char> {
    let latin = match c {
        // Cyrillic
        'а' => 'a',
        'А' => 'A',
        'В' => 'B',
        'с' => 'c',
        'С' => 'C',
        'ԁ' => 'd',
        'е' => 'e',
        'Е' => 'E',
        'ё' => 'ë',
        'Ё' => 'Ë',
        'һ' => 'h',
        'Н' => 'H',
        'і' => 'i',
        'І' => 'I',
        'ї' => 'ï',
        'Ї' => 'Ï',
        'ј' => 'j',
        'Ј' => 'J',
        'к' => 'k',
        'К' => 'K',
        'ӏ' => 'l',
        'Ӏ' => 'I',
        'м' => 'm',
        'М' => 'M',
        'о' => 'o',
        'О' => 'O',
        'р' => 'p',
        'Р' => 'P',
        'ԛ' => 'q',
        'ѕ' => 's',
        'Ѕ' => 'S',
        'т' => 't',
        'Т' => 'T',
        'у' => 'y',
        'У' => 'Y',
        'ѵ' => 'v',
        'ԝ' => 'w',
        'х' => 'x',
        'Х' => 'X',
        'ү' => 'y',
        'Ү' => 'Y',
        'ɡ' => 'g',
        // Greek
        'α' => 'a',
        'Α' => 'A',
        'Β' => 'B',
        'ε' => 'e',
        'Ε' => 'E',
        'Ζ' => 'Z',
        'Η' => 'H',
        'ι' => 'i',
        'Ι' => 'I',
        'κ' => 'k',
        'Κ' => 'K',
        'Μ' => 'M',
        'Ν' => 'N',
        'ν' => 'v',
        'ο' => 'o',
        'Ο' => 'O',
        'ρ' => 'p',
        'Ρ' => 'P',
        'τ' => 't',
        'Τ' => 'T',
        'υ' => 'u',
        'Υ' => 'Y',
        'χ' => 'x',
        'Χ' => 'X',
        // Armenian
        'օ' => 'o',
        'ս' => 'u',
        'ո' => 'n',
        'հ' => 'h',
        _ => return None,
    };
    Some(latin)
}
