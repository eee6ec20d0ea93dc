//! Pages: order, size, and the token that goes on where a page ended.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::error::Refusal;

/// By what cases are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// As a queue would give them.
    #[default]
    Rank,
    /// By when they were opened.
    CreateTime,
    /// By deadline.
    DueTime,
    /// By when they were changed last.
    UpdateTime,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub by: OrderBy,
    /// Whether the greatest comes first.
    pub descending: bool,
}

impl Order {
    /// Reads `order_by` of a request.
    ///
    /// # Errors
    /// [`Refusal::BadOrder`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut words = text.split_whitespace();
        let by = match words.next() {
            None | Some("rank") => OrderBy::Rank,
            Some("create_time") => OrderBy::CreateTime,
            Some("due_time") => OrderBy::DueTime,
            Some("update_time") => OrderBy::UpdateTime,
            Some(_) => return Err(Refusal::BadOrder),
        };
        let descending = match words.next() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(Refusal::BadOrder),
        };
        match words.next() {
            None => Ok(Self { by, descending }),
            Some(_) => Err(Refusal::BadOrder),
        }
    }
}

/// Where a page ended. Opaque, safe in URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(pub String);

/// Which page is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many at most, from 1 to 500.
    pub size: usize,
    /// Where the page before ended.
    pub token: Option<PageToken>,
}

impl Page {
    /// From a request: 0 is 50, more than 500 is 500, an empty token is the first page.
    ///
    /// # Errors
    /// [`Refusal::BadPageSize`] if the size is negative.
    pub fn new(size: i32, token: &str) -> Result<Self, Refusal> {
        let size = usize::try_from(size).map_err(|_| Refusal::BadPageSize)?;
        Ok(Self {
            size: if size == 0 { 50 } else { size.min(500) },
            token: (!token.is_empty()).then(|| PageToken(token.to_owned())),
        })
    }
}

impl PageToken {
    /// A token that goes on after a row, for the same request only.
    pub(crate) fn write(scope: &str, key: i64, num: i64) -> Self {
        let text = format!("{key}.{num}.{}", hash(scope));
        Self(URL_SAFE_NO_PAD.encode(text))
    }

    /// The row after which it goes on.
    pub(crate) fn read(&self, scope: &str) -> Result<(i64, i64), Refusal> {
        let read = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(&self.0).ok()?).ok()?;
            let mut parts = text.split('.');
            let key = parts.next()?.parse().ok()?;
            let num = parts.next()?.parse().ok()?;
            (parts.next()? == hash(scope)).then_some((key, num))
        };
        read().ok_or(Refusal::BadPageToken)
    }
}

/// Tells requests apart; no secret.
fn hash(scope: &str) -> String {
    let hash = Sha256::digest(scope.as_bytes());
    URL_SAFE_NO_PAD.encode(&hash[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_others_refused() {
        let rank = Order::default();
        assert_eq!(Order::parse("").unwrap(), rank);
        assert_eq!(Order::parse("rank").unwrap(), rank);
        let latest = Order::parse(" due_time  desc ").unwrap();
        assert!(latest.by == OrderBy::DueTime && latest.descending);
        for wrong in ["text", "rank up", "rank desc desc", "rank, due_time"] {
            assert_eq!(Order::parse(wrong), Err(Refusal::BadOrder));
        }
    }

    #[test]
    fn page_sizes_are_brought_within_limits() {
        assert_eq!(Page::new(0, "").unwrap().size, 50);
        assert_eq!(Page::new(7, "").unwrap().size, 7);
        assert_eq!(Page::new(100_000, "").unwrap().size, 500);
        assert_eq!(Page::new(-1, ""), Err(Refusal::BadPageSize));
    }

    #[test]
    fn a_token_goes_on_where_it_was_given_and_nowhere_else() {
        let token = PageToken::write("rank", -5, 7);
        assert_eq!(token.read("rank"), Ok((-5, 7)));
        assert_eq!(token.read("rank desc"), Err(Refusal::BadPageToken));
        for wrong in ["", "x", "MTIz", "a.b.c", "\u{1f600}"] {
            let token = PageToken(wrong.to_owned());
            assert_eq!(token.read("rank"), Err(Refusal::BadPageToken));
        }
    }
}
