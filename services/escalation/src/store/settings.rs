//! How the store works.

use std::sync::Arc;

use crate::times::DAY;

/// Says what time it is: milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_millis() as i64)
    })
}

/// How the store works.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `sqlite:PATH` or `postgres://…`. Secret: it may hold a password.
    pub url: String,
    /// How many connections read at once.
    pub readers: u32,
    /// How many commands one commit may hold.
    pub group: usize,
    /// How long closed cases that name an order are kept, in milliseconds.
    pub keep_transactional_ms: i64,
    /// How long other closed cases are kept, in milliseconds.
    pub keep_chat_ms: i64,
    /// How long answers are kept for repeated request ids, in milliseconds.
    pub keep_replies_ms: i64,
    /// Topics that hold what cases are made of, each with its retention in milliseconds (none:
    /// without limit): what an erasure's receipt names.
    pub topics: Vec<(String, Option<i64>)>,
}

impl StoreSettings {
    /// The defaults for a database.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            readers: 4,
            group: 256,
            keep_transactional_ms: 365 * DAY,
            keep_chat_ms: 183 * DAY,
            keep_replies_ms: DAY,
            topics: Vec::new(),
        }
    }
}
