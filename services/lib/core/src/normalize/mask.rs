//! Links, e-mail addresses and handles become placeholders: who is named must not matter.
//!
//! Reads left to right. For a link it looks at most a few hundred bytes ahead, for an address back
//! and ahead from its `@` to what can't be part of it: no text takes more than linear time. What it
//! writes it would leave alone if it read it again.

use super::{TextFlag, is_word};
use crate::names::Set;

const LINK: &str = "http://url";
const EMAIL: &str = "user@email";
const HANDLE: &str = "@user";

/// The longest host name of a link without `http://`, in bytes.
const MAX_HOST: usize = 253;

/// Endings that make `name.ending` a link without `http://`. A short list on purpose: most words
/// around a missing space after a full stop are no links.
const TOP_LEVEL: &[&str] = &[
    "com", "net", "org", "io", "co", "me", "info", "biz", "shop", "store", "xyz", "site", "online",
    "top", "club", "link", "live", "app", "gg", "ly", "uk", "de", "fr", "es", "it", "br", "in",
    "id", "tr", "ru",
];

/// The text with placeholders.
pub(super) fn mask(text: &str, flags: &mut Set<TextFlag>) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let found = if let Some((local, length)) = email(&out, rest) {
            out.truncate(out.len() - local);
            if out.ends_with(is_word) {
                // Writing without spaces: the placeholder must not become a part of its last word.
                out.push(' ');
            }
            Some((length, EMAIL, TextFlag::Email))
        } else if is_word(before) {
            None
        } else {
            placeholder(before, rest)
        };
        let length = match found {
            Some((length, placeholder, flag)) => {
                out.push_str(placeholder);
                flags.insert(flag);
                length
            }
            None if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                out.push_str(&rest[..length]);
                length
            }
            None => {
                out.push(c);
                c.len_utf8()
            }
        };
        before = rest[..length].chars().next_back().unwrap_or(c);
        rest = &rest[length..];
    }
    out
}

/// Whether there can be anything to mask: a handle or an address has an `@`, a link has `//` or a
/// full stop inside.
pub(super) fn may_have_any(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| match pair {
        [b'@', _] | [b'/', b'/'] => true,
        [b'.', next] => *next != b' ' && *next != b'.',
        _ => false,
    })
}

/// What stands at the start of `rest`, and how many bytes of it.
fn placeholder(before: char, rest: &str) -> Option<(usize, &'static str, TextFlag)> {
    if rest.starts_with('@') {
        return handle(before, rest).map(|length| (length, HANDLE, TextFlag::Handle));
    }
    if !rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    // A host name may go on here that began before.
    let is_inside_host = matches!(before, '@' | '.' | '/');
    let length = link(rest, is_inside_host || before == '-')
        .or_else(|| (!is_inside_host).then(|| bare_link(rest)).flatten())?;
    Some((length, LINK, TextFlag::Link))
}

fn handle(before: char, rest: &str) -> Option<usize> {
    if matches!(before, '@' | '.' | '/') {
        return None;
    }
    let name = &rest[1..];
    let is_inside = |c| is_word(c) || matches!(c, '.' | '-');
    let end = name.find(|c| !is_inside(c)).unwrap_or(name.len());
    let name = name[..end].trim_end_matches(['.', '-']);
    name.starts_with(is_word).then_some(1 + name.len())
}

fn link(rest: &str, needs_scheme: bool) -> Option<usize> {
    let is = |prefix: &str| {
        let start = rest.as_bytes().get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let prefixes = &["http://", "https://", "www."];
    let prefix = prefixes[..if needs_scheme { 2 } else { 3 }]
        .iter()
        .find(|prefix| is(prefix))?;
    if is_placeholder(rest) {
        return Some(LINK.len());
    }
    rest[prefix.len()..]
        .starts_with(is_word)
        .then(|| end_of_link(rest))
}

/// Whether the placeholder itself stands here, and not the start of a longer address.
fn is_placeholder(rest: &str) -> bool {
    rest.strip_prefix(LINK).is_some_and(ends_link)
}

/// Whether a host name that ends before `after` has really ended there.
fn ends_link(after: &str) -> bool {
    let mut after = after.chars();
    match after.next() {
        None => true,
        Some('.' | '-') => after
            .as_str()
            .trim_start_matches(['.', '-'])
            .chars()
            .next()
            .is_none_or(|c| !is_word(c) && !matches!(c, '@' | '%' | '+')),
        Some(c) => !is_word(c) && !matches!(c, '@' | '/' | '?' | '#' | ':' | '%' | '+'),
    }
}

fn end_of_link(rest: &str) -> usize {
    rest.find([' ', '<', '>', '"', '\'']).unwrap_or(rest.len())
}

/// If `rest` begins with the `@` of an address: how many bytes of it stand at the end of `done`, and
/// how many in `rest`.
fn email(done: &str, rest: &str) -> Option<(usize, usize)> {
    let after = rest.strip_prefix('@')?;
    let is_local = |b: &u8| b.is_ascii_alphanumeric() || b"._%+-".contains(b);
    let local = done.bytes().rev().take_while(is_local).count();
    let local = done[done.len() - local..].trim_start_matches(['.', '_', '%', '+', '-']);
    let host = host(after, usize::MAX)?;
    let is_whole = !after[host.len()..].starts_with(is_word);
    (!local.is_empty() && host.contains('.') && is_whole).then_some((local.len(), 1 + host.len()))
}

fn bare_link(rest: &str) -> Option<usize> {
    let host = host(rest, MAX_HOST)?;
    let (_, ending) = host.rsplit_once('.')?;
    if !TOP_LEVEL
        .iter()
        .any(|known| known.eq_ignore_ascii_case(ending))
    {
        return None;
    }
    let after = &rest[host.len()..];
    if after.starts_with(['/', '?', '#', ':']) {
        return Some(host.len() + end_of_link(after));
    }
    ends_link(after).then_some(host.len())
}

/// The host name of at most `longest` bytes at the start, without full stops and hyphens at its end.
fn host(rest: &str, longest: usize) -> Option<&str> {
    let is_host = |b: &u8| b.is_ascii_alphanumeric() || b".-".contains(b);
    let length = rest
        .bytes()
        .take(longest.saturating_add(1))
        .take_while(is_host)
        .count();
    let host = rest[..length].trim_end_matches(['.', '-']);
    let is_named = host.starts_with(|c: char| c.is_ascii_alphanumeric());
    (length <= longest && is_named && !host.contains("..")).then_some(host)
}
