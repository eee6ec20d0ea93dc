//! SHA-256 in the form in which manifests and pins write it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The SHA-256 of `bytes` in lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        if write!(text, "{byte:02x}").is_err() {
            unreachable!("writing to a string cannot fail");
        }
    }
    text
}
