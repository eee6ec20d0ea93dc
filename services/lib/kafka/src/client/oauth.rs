//! The OAUTHBEARER token out of a file that something else keeps fresh.

use std::{error::Error, path::Path, time::SystemTime};

use base64::Engine as _;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

/// How long a token without an end of its own is used before the file is read again.
const UNDATED_LIFETIME_MS: i64 = 5 * 60 * 1000;

#[derive(Default, Deserialize)]
struct Claims {
    sub: Option<String>,
    /// Seconds since the Unix epoch.
    exp: Option<f64>,
}

/// Reads the token. Its text never gets into an error.
pub(crate) fn token(file: Option<&Path>) -> Result<OAuthToken, Box<dyn Error>> {
    let file = file.ok_or("security.token_file is not set")?;
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("token file {} can't be read: {error}", file.display()))?;
    let token = text.trim();
    if token.is_empty() || token.contains('\0') {
        return Err(format!("token file {} holds no token", file.display()).into());
    }
    let claims = claims(token).unwrap_or_default();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    Ok(OAuthToken {
        token: token.to_owned(),
        principal_name: claims
            .sub
            .filter(|name| !name.contains('\0'))
            .unwrap_or_else(|| "tidegate".to_owned()),
        lifetime_ms: claims
            .exp
            .map_or(now + UNDATED_LIFETIME_MS, |exp| (exp * 1000.0) as i64),
    })
}

/// What a JSON web token says of itself; `None` for a token of another kind.
fn claims(token: &str) -> Option<Claims> {
    let body = token.split('.').nth(1)?;
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(body.trim_end_matches('='))
        .ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_web_token_says_itself_whose_it_is_and_when_it_ends() {
        let body = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .encode(r#"{"sub":"moderator","exp":2000000000}"#);
        let file = file(&format!("h.{body}.s\n"));
        let token = token(Some(file.path())).unwrap();
        assert_eq!(token.principal_name, "moderator");
        assert_eq!(token.lifetime_ms, 2_000_000_000_000);
        assert!(!token.token.ends_with('\n'));
    }

    #[test]
    fn any_other_token_is_read_again_soon() {
        let file = file("opaque");
        let token = token(Some(file.path())).unwrap();
        assert!(token.lifetime_ms > 1_700_000_000_000);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = token(Some(Path::new("/nowhere/token"))).err().unwrap();
        assert!(error.to_string().contains("/nowhere/token"), "{error}");
    }
}
