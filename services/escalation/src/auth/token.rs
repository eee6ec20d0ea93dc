//! Bearer tokens: made with 256 random bits, shown once, and kept as their SHA-256 alone.
//!
//! A plain hash is enough: nothing that is drawn from 2²⁵⁶ values can be guessed from it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

/// What every token begins with, so that a scanner for leaked secrets knows it.
pub const PREFIX: &str = "tg_";
/// 32 bytes in base64 without padding.
const BODY: usize = 43;

/// A SHA-256.
pub type TokenHash = [u8; 32];

/// The system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no token can be made: the system gives no random bytes")]
pub struct NoRandomness;

/// A new token.
///
/// # Errors
/// The system gives no random bytes.
pub fn generate() -> Result<String, NoRandomness> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| NoRandomness)?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// What is kept of a token.
#[must_use]
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether `text` can be a token at all; what cannot be one is refused without a look at the store.
#[must_use]
pub fn is_token(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|body| {
        body.len() == BODY
            && body
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_and_no_two_are_alike() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert!(is_token(&one) && is_token(&other));
        assert_ne!(hash(&one), hash(&other));
    }

    #[test]
    fn what_is_no_token_is_seen_without_a_look_at_the_store() {
        let token = generate().unwrap();
        for text in ["", "tg_", "tg_short", &token[3..], &format!("{token}x")] {
            assert!(!is_token(text), "{} bytes", text.len());
        }
        assert!(!is_token(&token.replace(&token[5..6], "é")));
    }
}
