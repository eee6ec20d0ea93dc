//! Whether a text needs no change: most short messages, which are then borrowed.

/// Whether `text` is printable ASCII that every step would leave alone. May say no of a text that
/// needs no change; never says yes of one that does.
pub(super) fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(b'!'..=b'~'), Some(b'!'..=b'~')) = (bytes.first(), bytes.last()) else {
        // No space at the start or the end.
        return bytes.is_empty();
    };
    // The loops have no way out, so that they look at many bytes at a time.
    let is_unprintable = |byte: u8| !matches!(byte, b' '..=b'~');
    let odd = bytes.iter().fold(false, |found, &byte| {
        // A handle or an address.
        found | is_unprintable(byte) | (byte == b'@')
    });
    let odd_pair = bytes.iter().zip(&bytes[1..]).fold(false, |found, pair| {
        let (&byte, &next) = pair;
        let is_word = next.is_ascii_alphanumeric() | (next == b'_');
        // No space after a space; `http://`; `www.` and `host.tld`, while a full stop before a
        // space is plain.
        let is_twice = (byte == next) & ((byte == b' ') | (byte == b'/'));
        found | is_twice | ((byte == b'.') & is_word)
    });
    !(odd | odd_pair | repeats_too_often(bytes))
}

/// Whether a byte follows itself more often than a character may.
fn repeats_too_often(bytes: &[u8]) -> bool {
    const { assert!(super::MAX_REPEAT == 3, "as many as are compared here") }
    let Some(later) = bytes.get(super::MAX_REPEAT..) else {
        return false;
    };
    let between = bytes[1..].iter().zip(&bytes[2..]);
    let runs = bytes.iter().zip(between).zip(later);
    runs.fold(false, |found, ((first, (second, third)), fourth)| {
        found | ((first == second) & (second == third) & (third == fourth))
    })
}
