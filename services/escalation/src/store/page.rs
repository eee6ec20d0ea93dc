//! Pages: order, size, and the token that goes on where a page ended.

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
