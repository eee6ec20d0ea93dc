//! Filters (a part of AIP-160) over cases and audit entries: read, checked, and turned into SQL.

mod fields;
mod parse;
#[cfg(test)]
mod tests;

use crate::{
    error::Refusal,
    store::sql::{Bind, Sql},
};
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

    /// The queues that it names, if it keeps to some.
    pub(crate) fn queues(&self) -> Option<Vec<String>> {
        let queues = self.choices(QUEUE)?.into_iter();
        Some(queues.filter_map(Bind::into_text).collect())
    }

    /// The states that it names, if it keeps to some.
    pub(crate) fn states(&self) -> Option<Vec<i64>> {
        let states = self.choices(STATE)?.into_iter();
        Some(states.filter_map(Bind::into_int).collect())
    }

    /// A column with the value that it must have, if that leaves only a few cases.
    pub(crate) fn few(&self) -> Option<(&'static str, Bind)> {
        self.parts().iter().find_map(|part| match part {
            Expression::Term(term) => term.few(),
            _ => None,
        })
    }

    /// Whether it asks for more than [`queues`](Self::queues) and [`states`](Self::states) say.
    pub(crate) fn has_rest(&self) -> bool {
        self.rest().next().is_some()
    }

    /// Appends what it asks for beyond queues and states.
    pub(crate) fn rest_sql(&self, sql: &mut Sql) {
        sql.text("1=1");
        for part in self.rest() {
            sql.text(" AND ");
            part.sql(sql);
        }
    }

    /// What must hold, each by itself.
    fn parts(&self) -> &[Expression] {
        match &self.expression {
            Expression::All(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }

    /// The part that names all values that a column may have.
    fn choosing(&self, column: &str) -> Option<usize> {
        let choosing = |part: &Expression| part.choices(column).is_some();
        self.parts().iter().position(choosing)
    }

    fn choices(&self, column: &str) -> Option<Vec<Bind>> {
        let mut choices = self.parts()[self.choosing(column)?].choices(column)?;
        let mut known = Vec::new();
        choices.retain(|one| {
            let new = !known.contains(one);
            known.push(one.clone());
            new
        });
        Some(choices)
    }

    fn rest(&self) -> impl Iterator<Item = &Expression> {
        let taken = [self.choosing(QUEUE), self.choosing(STATE)];
        let parts = self.parts().iter().enumerate();
        parts
            .filter(move |(at, _)| !taken.contains(&Some(*at)))
            .map(|(_, part)| part)
    }
}

const QUEUE: &str = "queue";
const STATE: &str = "state";

impl Expression {
    /// The values that it lets a column have, if it says no more than that.
    fn choices(&self, column: &str) -> Option<Vec<Bind>> {
        match self {
            Self::Term(term) => Some(vec![term.equals(column)?.clone()]),
            Self::Any(parts) => {
                let each = parts.iter().map(|part| part.choices(column));
                Some(each.collect::<Option<Vec<_>>>()?.concat())
            }
            Self::All(_) | Self::Not(_) => None,
        }
    }

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
