//! Lower case without accents, for comparing words.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// ASCII is borrowed as it stands: who compares folded texts ignores its case.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.nfd() {
        match c {
            // The Turkish dotless i, and letters whose stroke is no mark that can be taken off.
            'ı' => out.push('i'),
            'ß' => out.push_str("ss"),
            'ø' | 'Ø' => out.push('o'),
            'ł' | 'Ł' => out.push('l'),
            'đ' | 'Đ' => out.push('d'),
            _ if c.is_ascii() => out.push(c.to_ascii_lowercase()),
            _ if is_accent(c) => {}
            _ => out.extend(c.to_lowercase().filter(|c| !is_accent(*c))),
        }
    }
    Cow::Owned(out)
}

/// Marks on Latin, Greek and Cyrillic letters. In Devanagari, Arabic or Thai marks are vowels, and
/// stay.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}') && is_combining_mark(c)
}
