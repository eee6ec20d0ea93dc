//! Filters (a part of AIP-160) over cases and audit entries: read, checked, and turned into SQL.

mod fields;
mod parse;
#[cfg(test)]
mod tests;

use crate::{error::Refusal, store::sql::Sql};
use fields::{AUDIT, CASES, Term};

/// How many bytes a filter may have.
pub const FILTER_LIMIT: usize = 4_096;

/// A filter that was read and checked. The default one finds everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    text: String,
    expression: Expression,
}

/// What must hold.
#[derive(Clone, Debug, PartialEq)]
enum Expression {
    /// All of them; with none, everything fits.
    All(Vec<Expression>),
    /// At least one of them.
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Term(Term),
}

impl Default for Expression {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl Filter {
    /// Reads a filter over cases; the fields are listed at `ListCasesRequest.filter`.
    ///
    /// # Errors
    /// [`Refusal::BadFilter`] with the byte where it can't be read.
    pub fn cases(text: &str) -> Result<Self, Refusal> {
        Self::over(CASES, text)
    }

    /// Reads a filter over audit entries: `resource`, `actor`, `action`, `time`.
    ///
    /// # Errors
    /// [`Refusal::BadFilter`] with the byte where it can't be read.
    pub fn audit(text: &str) -> Result<Self, Refusal> {
        Self::over(AUDIT, text)
    }

    fn over(fields: &'static [fields::Field], text: &str) -> Result<Self, Refusal> {
        Ok(Self {
            text: text.trim().to_owned(),
            expression: parse::parse(fields, text)?,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends the condition.
    pub(crate) fn sql(&self, sql: &mut Sql) {
        self.expression.sql(sql);
    }
}

impl Expression {
    fn sql(&self, sql: &mut Sql) {
        match self {
            Self::All(parts) => join(parts, " AND ", "1=1", sql),
            Self::Any(parts) => join(parts, " OR ", "1=0", sql),
            Self::Not(inner) => {
                sql.text("NOT (");
                inner.sql(sql);
                sql.text(")");
            }
            Self::Term(term) => term.sql(sql),
        }
    }
}

fn join(parts: &[Expression], between: &str, none: &str, sql: &mut Sql) {
    if parts.is_empty() {
        sql.text(none);
        return;
    }
    sql.text("(");
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            sql.text(between);
        }
        part.sql(sql);
    }
    sql.text(")");
}
