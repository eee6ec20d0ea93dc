//! Whether a text needs no change: most short messages, which are then borrowed.

/// Whether `text` is printable ASCII that every step would leave alone. May say no of a text that
/// needs no change; never says yes of one that does.
pub(super) fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut run = 0;
    let mut last = b' ';
    for (at, &byte) in bytes.iter().enumerate() {
        run = if byte == last { run + 1 } else { 1 };
        let is_plain = match byte {
            // No space at the start, none after a space.
            b' ' => last != b' ',
            // A handle or an address.
            b'@' => false,
            // `www.` and `host.tld`; a full stop before a space is plain.
            b'.' => bytes
                .get(at + 1)
                .is_none_or(|&next| !super::is_word(next.into())),
            // `http://`
            b'/' => last != b'/',
            b'!'..=b'~' => true,
            _ => false,
        };
        if !is_plain || run > super::MAX_REPEAT {
            return false;
        }
        last = byte;
    }
    last != b' ' || bytes.is_empty()
}
