//! SQL that is put together, with its values beside it: never in the text.

use std::fmt::Write;

use sqlx::{
    Any,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use super::database::Dialect;

/// A value beside the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bind {
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Bind {
    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn into_int(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(number),
            _ => None,
        }
    }
}

impl From<i64> for Bind {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Bind {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Bind {
    /// PostgreSQL's text cannot hold a zero byte.
    fn from(value: &str) -> Self {
        Self::Text(if value.contains('\0') {
            value.replace('\0', "\u{fffd}")
        } else {
            value.to_owned()
        })
    }
}

impl From<&String> for Bind {
    fn from(value: &String) -> Self {
        value.as_str().into()
    }
}

impl From<Vec<u8>> for Bind {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<&[u8]> for Bind {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

/// A statement in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sql {
    /// With `$1`, `$2`, … for the values.
    text: String,
    /// With `?` for each: SQLite looks for a place's name in all names before it.
    unnamed: String,
    binds: Vec<Bind>,
}

impl Sql {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            unnamed: text.to_owned(),
            binds: Vec::new(),
        }
    }

    /// A statement that changes many rows: `INSERT` or `UPDATE`, and what follows. Whoever sees it
    /// fail gives the transaction up, so SQLite need not copy each page before it changes, to be
    /// able to take the statement back alone: it takes back the transaction.
    pub(crate) fn change(verb: &str, text: &str) -> Self {
        Self {
            text: format!("{verb} {text}"),
            unnamed: format!("{verb} OR ROLLBACK {text}"),
            binds: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// How long the text is.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Appends text.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self.unnamed.push_str(text);
        self
    }

    /// Appends the place of a value.
    pub(crate) fn bind(&mut self, value: impl Into<Bind>) -> &mut Self {
        self.binds.push(value.into());
        self.unnamed.push('?');
        write!(self.text, "${}", self.binds.len()).expect("a string takes any text");
        self
    }

    /// Appends values, with commas between them.
    pub(crate) fn binds<T: Into<Bind>>(
        &mut self,
        values: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        for (at, value) in values.into_iter().enumerate() {
            self.text(if at > 0 { "," } else { "" }).bind(value);
        }
        self
    }

    /// Appends ` IN (…)`; nothing is in an empty list.
    pub(crate) fn within<T: Into<Bind>>(
        &mut self,
        values: impl ExactSizeIterator<Item = T>,
    ) -> &mut Self {
        if values.len() == 0 {
            return self.text(" IN (NULL)");
        }
        self.text(" IN (").binds(values).text(")")
    }

    /// Appends rows of values: `(…),(…)`.
    pub(crate) fn rows(&mut self, rows: impl IntoIterator<Item = Vec<Bind>>) -> &mut Self {
        for (at, row) in rows.into_iter().enumerate() {
            self.text(if at > 0 { ",(" } else { "(" })
                .binds(row)
                .text(")");
        }
        self
    }

    /// Appends walks along an index, each in the same order, as one list in this order: `keys` of
    /// each walk, `places` of the list's columns. Each is walked only as far as the list goes: in
    /// SQLite, if a walk says nothing of its order; in PostgreSQL, if it does.
    pub(crate) fn merge(
        &mut self,
        dialect: Dialect,
        walks: &[Self],
        (keys, places): (&str, &str),
        limit: usize,
    ) -> &mut Self {
        if let [one] = walks {
            return self
                .append(one)
                .text(&format!(" ORDER BY {keys} LIMIT {limit}"));
        }
        for (at, walk) in walks.iter().enumerate() {
            self.text(if at > 0 { " UNION ALL " } else { "" });
            match dialect {
                Dialect::Sqlite => self.append(walk),
                Dialect::Postgres => self
                    .text("SELECT * FROM (")
                    .append(walk)
                    .text(&format!(" ORDER BY {keys} LIMIT {limit}) AS w{at}")),
            };
        }
        self.text(&format!(" ORDER BY {places} LIMIT {limit}"))
    }

    /// Appends another statement's text with its values.
    fn append(&mut self, other: &Self) -> &mut Self {
        // Its places are numbered anew.
        let mut binds = other.binds.iter();
        for (at, part) in other.unnamed.split('?').enumerate() {
            if at > 0 {
                self.binds.extend(binds.next().cloned());
                self.unnamed.push('?');
                write!(self.text, "${}", self.binds.len()).expect("a string takes any text");
            }
            self.text(part);
        }
        self
    }

    /// Ready to be run on either database.
    pub(crate) fn query(&self) -> Query<'_, Any, AnyArguments<'_>> {
        self.with(&self.text)
    }

    /// Ready to be run, with many values, on this one.
    pub(crate) fn query_on(&self, dialect: Dialect) -> Query<'_, Any, AnyArguments<'_>> {
        self.with(match dialect {
            Dialect::Sqlite => &self.unnamed,
            Dialect::Postgres => &self.text,
        })
    }

    fn with<'a>(&'a self, text: &'a str) -> Query<'a, Any, AnyArguments<'a>> {
        let query = sqlx::query(text);
        self.binds.iter().fold(query, |query, bind| match bind {
            Bind::Int(value) => query.bind(*value),
            Bind::Text(value) => query.bind(value.as_str()),
            Bind::Bytes(value) => query.bind(value.as_slice()),
        })
    }
}

/// A column's value.
pub(crate) fn get<'r, T>(row: &'r AnyRow, column: usize) -> Result<T, sqlx::Error>
where
    T: sqlx::Decode<'r, Any> + sqlx::Type<Any>,
{
    sqlx::Row::try_get(row, column)
}
