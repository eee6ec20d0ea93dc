//! Why a value cannot be read, in words for an operator.

use std::fmt::Display;

use serde::de::{Expected, Unexpected};

use super::node::Path;

/// Why a value cannot be read; the innermost place is the one kept.
#[derive(Debug)]
pub(super) struct ReadError {
    pub(super) path: Option<Path>,
    pub(super) fault: Fault,
}

/// What is wrong with it.
#[derive(Debug)]
pub(super) enum Fault {
    Wrong(String),
    Missing(&'static str),
}

impl ReadError {
    pub(super) fn at(mut self, path: &Path) -> Self {
        self.path.get_or_insert_with(|| path.clone());
        self
    }
}

impl std::error::Error for ReadError {}

impl Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.fault {
            Fault::Wrong(message) => f.write_str(message),
            Fault::Missing(field) => write!(f, "{field} is missing"),
        }
    }
}

impl serde::de::Error for ReadError {
    fn custom<T: Display>(message: T) -> Self {
        Self {
            path: None,
            fault: Fault::Wrong(message.to_string()),
        }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let got = match unexpected {
            // Not the text itself: it may be a secret that landed in the wrong place.
            Unexpected::Str(_) => "text".to_owned(),
            Unexpected::Map => "a table".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Unit => "nothing".to_owned(),
            other => other.to_string(),
        };
        Self::custom(format_args!("must be {}, not {got}", wanted(expected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let got = match unexpected {
            Unexpected::Signed(n) => n.to_string(),
            Unexpected::Unsigned(n) => n.to_string(),
            Unexpected::Float(n) => n.to_string(),
            other => other.to_string(),
        };
        Self::custom(format_args!("must be {}, not {got}", wanted(expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let choices = expected.join(", ");
        Self::custom(format_args!("must be one of {choices}; not `{variant}`"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            path: None,
            fault: Fault::Missing(field),
        }
    }
}

/// What serde expects, in words for an operator.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    let plain = match text.as_str() {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "u128" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "text in quotes",
        "a sequence" => "a list",
        "a map" => "a table",
        t if t.starts_with("struct ") => "a table",
        t if t.starts_with("a nonzero") => "a whole number, 1 or more",
        t => t,
    };
    plain.to_owned()
}
