//! Lower case without accents, for comparing words.

use std::borrow::Cow;

use unicode_normalization::{
    UnicodeNormalization,
    char::{decompose_canonical, is_combining_mark},
};

/// ASCII is borrowed as it stands: who compares folded texts ignores its case.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let simple = is_simple(first);
        let length = rest.find(|c| is_simple(c) != simple);
        let (stretch, after) = rest.split_at(length.unwrap_or(rest.len()));
        if simple {
            for c in stretch.chars() {
                if c.is_ascii() {
                    out.push(c.to_ascii_lowercase());
                } else {
                    decompose_canonical(c, |part| push(part, &mut out));
                }
            }
        } else {
            stretch.nfd().for_each(|part| push(part, &mut out));
        }
        rest = after;
    }
    Cow::Owned(out)
}

/// Whether NFD takes this character apart, if at all, into one that stands by itself and marks that
/// are dropped: then it need not be sorted among those that follow, which takes NFD most of its
/// time. Latin letters, signs, Han and emoji are simple; other scripts are left to NFD as a whole.
const fn is_simple(c: char) -> bool {
    matches!(c, '\0'..='\u{2ff}' | '\u{2010}'..='\u{2027}' | '\u{4e00}'..='\u{9fff}'
        | '\u{1f000}'..='\u{1faff}')
}

/// Writes a character that NFD has taken apart.
fn push(c: char, out: &mut String) {
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

/// Marks on Latin, Greek and Cyrillic letters. In Devanagari, Arabic or Thai marks are vowels, and
/// stay.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}') && is_combining_mark(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded_as_a_whole(text: &str) -> String {
        let mut out = String::new();
        text.nfd().for_each(|c| push(c, &mut out));
        out
    }

    fn check(text: &str) -> Result<(), TestCaseError> {
        // ASCII is borrowed as it stands.
        let folded = fold(text).to_ascii_lowercase();
        prop_assert_eq!(folded, folded_as_a_whole(text), "{:?}", text);
        Ok(())
    }

    #[test]
    fn each_character_with_marks_behind_it_is_folded_as_nfd_would_have_it() {
        for c in '\0'..='\u{1ffff}' {
            check(&format!("{c}\u{5b0}\u{327}\u{301}\u{93c}{c}")).unwrap();
        }
    }

    proptest! {
        #[test]
        fn a_text_is_folded_in_stretches_as_it_is_as_a_whole(
            text in "[a-zA-ZÀ-ɏ\u{300}-\u{36f}\u{591}-\u{5bd}\u{900}-\u{97f}가-갡😀中’ẞΆ]{0,12}",
        ) {
            check(&text)?;
        }
    }
}
