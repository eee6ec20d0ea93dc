//! Links, e-mail addresses and handles become placeholders: who is named must not matter.
//!
//! Reads left to right and looks at most a few hundred bytes ahead from any place, so that no
//! text takes more than linear time. What it writes it would leave alone if it read it again.

use super::{TextFlag, is_word};
use crate::names::Set;

const LINK: &str = "http://url";
const EMAIL: &str = "user@email";
const HANDLE: &str = "@user";

/// The longest part before an address's `@`, and the longest host name, in bytes.
const MAX_LOCAL: usize = 64;
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
        let found = if is_word(before) {
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
    if let Some(length) = link(rest) {
        return Some((length, LINK, TextFlag::Link));
    }
    if let Some(length) = email(rest) {
        return Some((length, EMAIL, TextFlag::Email));
    }
    let may_begin_host = !matches!(before, '@' | '.' | '/');
    let length = may_begin_host.then(|| bare_link(rest)).flatten()?;
    Some((length, LINK, TextFlag::Link))
}

fn handle(before: char, rest: &str) -> Option<usize> {
    if matches!(before, '@' | '.' | '/') {
        return None;
    }
    let name = &rest[1..];
    let end = name.find(|c| !is_word(c) && c != '.').unwrap_or(name.len());
    let name = name[..end].trim_end_matches('.');
    name.starts_with(is_word).then_some(1 + name.len())
}

fn link(rest: &str) -> Option<usize> {
    let is = |prefix: &str| {
        let start = rest.as_bytes().get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let prefix = ["http://", "https://", "www."]
        .into_iter()
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
            .is_none_or(|c| !is_word(c) && c != '@'),
        Some(c) => !is_word(c) && !matches!(c, '@' | '/' | '?' | '#' | ':' | '%'),
    }
}

fn end_of_link(rest: &str) -> usize {
    rest.find([' ', '<', '>', '"', '\'']).unwrap_or(rest.len())
}

fn email(rest: &str) -> Option<usize> {
    if rest.strip_prefix(EMAIL).is_some_and(ends_email) {
        return Some(EMAIL.len());
    }
    let is_local = |b: &u8| b.is_ascii_alphanumeric() || b"._%+-".contains(b);
    let local = rest
        .bytes()
        .take(MAX_LOCAL + 1)
        .take_while(|b| is_local(b))
        .count();
    let after = rest[local..].strip_prefix('@')?;
    let host = host(after)?;
    let end = &after[host.len()..];
    (host.contains('.') && end.chars().next().is_none_or(|c| !is_word(c)))
        .then_some(local + 1 + host.len())
}

/// Whether the placeholder that stands before `after` is not the start of a longer address.
fn ends_email(after: &str) -> bool {
    let beyond = after.trim_start_matches(['.', '-']);
    !after.starts_with(is_word) && !beyond.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn bare_link(rest: &str) -> Option<usize> {
    let host = host(rest)?;
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

/// The host name at the start, without full stops and hyphens at its end.
fn host(rest: &str) -> Option<&str> {
    let is_host = |b: &u8| b.is_ascii_alphanumeric() || b".-".contains(b);
    let length = rest
        .bytes()
        .take(MAX_HOST + 1)
        .take_while(|b| is_host(b))
        .count();
    let host = rest[..length].trim_end_matches(['.', '-']);
    (length <= MAX_HOST && !host.is_empty() && !host.contains("..")).then_some(host)
}
