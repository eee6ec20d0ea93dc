//! One table of a manifest, read entry by entry while mistakes are collected.

use std::path::Path;

use toml::{Table, Value};

use crate::labels::Row;

/// Takes known entries out of a table and notes what is wrong; what is left at the end is unknown.
pub(super) struct Part<'m> {
    prefix: &'static str,
    table: Table,
    mistakes: &'m mut Vec<String>,
}

impl<'m> Part<'m> {
    pub(super) fn new(prefix: &'static str, table: Table, mistakes: &'m mut Vec<String>) -> Self {
        Self {
            prefix,
            table,
            mistakes,
        }
    }

    pub(super) fn mistake(&mut self, key: &str, what: &str) {
        self.mistakes.push(format!("{}{key} {what}", self.prefix));
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn optional(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    /// Takes `key`, which must be there and must convert; `None` when a mistake was noted.
    pub(super) fn take<T>(
        &mut self,
        key: &str,
        form: &str,
        get: impl Fn(Value) -> Option<T>,
    ) -> Option<T> {
        let Some(value) = self.table.remove(key) else {
            self.mistake(key, "is missing");
            return None;
        };
        let taken = get(value);
        if taken.is_none() {
            self.mistake(key, &format!("must be {form}"));
        }
        taken
    }

    pub(super) fn text(&mut self, key: &str) -> String {
        self.take(key, "a text that is not empty", |value| match value {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            _ => None,
        })
        .unwrap_or_default()
    }

    pub(super) fn optional_text(&mut self, key: &str) -> Option<String> {
        self.has(key).then(|| self.text(key))
    }

    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        self.take(key, "a list of texts", |value| {
            let Value::Array(values) = value else {
                return None;
            };
            let text = |value: Value| match value {
                Value::String(text) => Some(text),
                _ => None,
            };
            let texts: Vec<String> = values.into_iter().map(text).collect::<Option<_>>()?;
            (!texts.is_empty()).then_some(texts)
        })
        .unwrap_or_default()
    }

    pub(super) fn file(&mut self, key: &str) -> String {
        self.take(key, "a file name without folders", |value| match value {
            Value::String(text) if Path::new(&text).file_name() == Some(text.as_ref()) => {
                Some(text)
            }
            _ => None,
        })
        .unwrap_or_default()
    }

    pub(super) fn sha256(&mut self, key: &str) -> String {
        let is_hex =
            |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.take(key, "64 hex digits", |value| match value {
            Value::String(text) if is_hex(&text) => Some(text.to_ascii_lowercase()),
            _ => None,
        })
        .unwrap_or_default()
    }

    pub(super) fn integer(&mut self, key: &str, low: i64, high: i64) -> i64 {
        let form = format!("a whole number from {low} to {high}");
        self.take(key, &form, |value| match value {
            Value::Integer(number) if (low..=high).contains(&number) => Some(number),
            _ => None,
        })
        .unwrap_or_default()
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
        self.take(key, "true or false", |value| match value {
            Value::Boolean(flag) => Some(flag),
            _ => None,
        })
        .unwrap_or_default()
    }

    pub(super) fn row(&mut self, key: &str) -> Row {
        self.take(key, "a list of ten finite numbers", |value| {
            let Value::Array(values) = value else {
                return None;
            };
            let numbers: Vec<f32> = values.iter().map(number).collect::<Option<_>>()?;
            Row::try_from(numbers).ok()
        })
        .unwrap_or_default()
    }

    pub(super) fn probability(&mut self, key: &str) -> f32 {
        self.take(key, "a number from 0 to 1", |value| {
            number(&value).filter(|number| (0.0..=1.0).contains(number))
        })
        .unwrap_or_default()
    }

    pub(super) fn band(&mut self, key: &str) -> Option<(f32, f32)> {
        self.has(key)
            .then(|| {
                self.take(
                    key,
                    "[low, high] with 0 <= low <= high <= 1",
                    |value| match value {
                        Value::Array(values) => match values.as_slice() {
                            [low, high] => Some((number(low)?, number(high)?))
                                .filter(|&(low, high)| 0.0 <= low && low <= high && high <= 1.0),
                            _ => None,
                        },
                        _ => None,
                    },
                )
            })
            .flatten()
    }

    pub(super) fn part(&mut self, key: &str) -> Table {
        self.take(key, "a table", |value| match value {
            Value::Table(table) => Some(table),
            _ => None,
        })
        .unwrap_or_default()
    }

    pub(super) fn end(self) {
        let unknown = self.table.into_iter().map(|(key, _)| key);
        self.mistakes
            .extend(unknown.map(|key| format!("{}{key} is not known", self.prefix)));
    }
}

fn number(value: &Value) -> Option<f32> {
    let number = match value {
        Value::Float(number) => *number as f32,
        Value::Integer(number) => *number as f32,
        _ => return None,
    };
    number.is_finite().then_some(number)
}
