//! The fields that filters name, what may be asked of each, and the columns behind them.

use tidegate_proto::{
    escalation::v1::{CaseSource, CaseState},
    events::v1::{Channel, Label, Priority},
};

use crate::{
    life::language,
    store::{
        sql::{Bind, Sql},
        trail::of_resource,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
    Has,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    /// What an audit entry is about.
    Resource,
    /// A resource name: its prefix may be left out.
    Name(&'static str),
    /// The primary part of a language tag.
    Language,
    /// One of a closed list: its number.
    OneOf(fn(&str) -> Option<i32>),
    /// As before, and the list has an order.
    Step(fn(&str) -> Option<i32>),
    /// A set of labels, one bit for each.
    Labels,
    /// Words between bars.
    Words,
    Bool,
    /// Milliseconds since the Unix epoch; 0 if there is none.
    Time,
}

/// A field that filters may name.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    column: &'static str,
    kind: Kind,
}

const fn field(name: &'static str, column: &'static str, kind: Kind) -> Field {
    Field { name, column, kind }
}

pub(super) const CASES: &[Field] = &[
    field("state", "state", Kind::OneOf(state)),
    field("source", "source", Kind::OneOf(source)),
    field("queue", "queue", Kind::Name("queues/")),
    field("priority", "priority", Kind::Step(priority)),
    field("brand", "brand", Kind::Text),
    field("platform", "platform", Kind::Text),
    field("channel", "channel", Kind::OneOf(channel)),
    field("lang", "lang", Kind::Language),
    field("label", "labels", Kind::Labels),
    field("reason", "reasons", Kind::Words),
    field("policy_version", "policy_version", Kind::Text),
    field("event_id", "event_id", Kind::Text),
    field("conversation_id", "conversation_id", Kind::Text),
    field("author_id", "author_id", Kind::Text),
    field("assigned_to", "assigned_to", Kind::Name("agents/")),
    field("lease.agent", "lease_agent", Kind::Name("agents/")),
    field("breached", "breached", Kind::Bool),
    field("create_time", "create_time", Kind::Time),
    field("due_time", "due_time", Kind::Time),
    field("close_time", "close_time", Kind::Time),
];

pub(super) const AUDIT: &[Field] = &[
    field("resource", "resource", Kind::Resource),
    field("actor", "actor", Kind::Text),
    field("action", "action", Kind::Text),
    field("time", "time", Kind::Time),
];

fn state(name: &str) -> Option<i32> {
    CaseState::from_str_name(&full("CASE_STATE_", name)).map(Into::into)
}

fn source(name: &str) -> Option<i32> {
    CaseSource::from_str_name(&full("CASE_SOURCE_", name)).map(Into::into)
}

fn priority(name: &str) -> Option<i32> {
    Priority::from_str_name(&full("PRIORITY_", name)).map(Into::into)
}

fn channel(name: &str) -> Option<i32> {
    Channel::from_str_name(&full("CHANNEL_", name)).map(Into::into)
}

fn label(name: &str) -> Option<i32> {
    Label::from_str_name(&full("LABEL_", name)).map(Into::into)
}

/// A value's full name: `OPEN`, `open` and `CASE_STATE_OPEN` are the same.
fn full(prefix: &str, name: &str) -> String {
    let name = name.to_ascii_uppercase();
    if name.starts_with(prefix) {
        name
    } else {
        format!("{prefix}{name}")
    }
}

/// A comparison that was checked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    column: &'static str,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// `column SIGN value`.
    Compare(&'static str, Bind),
    /// An audit entry is about this.
    About(Bind),
    /// As [`Compare`](Self::Compare), and there is a time at all.
    CompareTime(&'static str, i64),
    /// There is something.
    Present(Bind),
    /// A bit is set.
    Bit(i64),
    /// A word is among those between bars.
    Word(String),
}

impl Field {
    /// Checks a comparison; an error is a sentence.
    pub(super) fn term(&self, comparison: Comparison, value: &str) -> Result<Term, String> {
        let test = self.test(comparison, value)?;
        Ok(Term {
            column: self.column,
            test,
        })
    }

    fn test(&self, comparison: Comparison, value: &str) -> Result<Test, String> {
        use Comparison::{AtLeast, AtMost, Equal, Has, Less, More, NotEqual};
        let name = self.name;
        if comparison == Has && value == "*" {
            return Ok(match self.kind {
                Kind::Text | Kind::Resource | Kind::Name(_) | Kind::Language | Kind::Words => {
                    Test::Present("".into())
                }
                _ => Test::Present(0.into()),
            });
        }
        let sign = match comparison {
            Equal | Has => "=",
            NotEqual => "<>",
            Less => "<",
            AtMost => "<=",
            More => ">",
            AtLeast => ">=",
        };
        let unordered = matches!(comparison, Equal | Has | NotEqual);
        let ordered = matches!(self.kind, Kind::Step(_) | Kind::Time);
        if !unordered && !ordered {
            return Err(format!("{name} has no order: use = or !="));
        }
        let one_of = |number: Option<i32>| {
            number
                .map(|number| Bind::Int(number.into()))
                .ok_or_else(|| format!("{name} has no value of this name"))
        };
        Ok(match self.kind {
            Kind::Resource if comparison != NotEqual => Test::About(value.into()),
            Kind::Text | Kind::Resource => Test::Compare(sign, value.into()),
            Kind::Name(prefix) if value.is_empty() || value.starts_with(prefix) => {
                Test::Compare(sign, value.into())
            }
            Kind::Name(prefix) => Test::Compare(sign, (&format!("{prefix}{value}")).into()),
            Kind::Language => Test::Compare(sign, (&language(Some(value))).into()),
            Kind::OneOf(number) | Kind::Step(number) => Test::Compare(sign, one_of(number(value))?),
            Kind::Bool => match value {
                "true" => Test::Compare(sign, true.into()),
                "false" => Test::Compare(sign, false.into()),
                _ => return Err(format!("{name} is true or false")),
            },
            Kind::Time => Test::CompareTime(
                sign,
                value
                    .parse::<jiff::Timestamp>()
                    .map_err(|_| {
                        format!("{name} is a time with its offset, such as 2026-11-25T09:00:00Z")
                    })?
                    .as_millisecond(),
            ),
            Kind::Labels | Kind::Words if comparison == NotEqual => {
                return Err(format!("{name} holds several: use NOT {name}:…"));
            }
            Kind::Labels => match one_of(label(value))? {
                Bind::Int(number) => Test::Bit(1 << number),
                _ => return Err(format!("{name} has no value of this name")),
            },
            Kind::Words => Test::Word(value.to_owned()),
        })
    }
}

/// Columns that few cases share a value of, each with an index of those where it is not empty.
const FEW: [&str; 5] = [
    "event_id",
    "author_id",
    "conversation_id",
    "assigned_to",
    "lease_agent",
];

impl Term {
    /// The value that it says a column has.
    pub(super) fn equals(&self, column: &str) -> Option<&Bind> {
        match &self.test {
            Test::Compare("=", value) if self.column == column => Some(value),
            _ => None,
        }
    }

    /// A column with the value that it must have, if few cases have it.
    pub(super) fn few(&self) -> Option<(&'static str, Bind)> {
        let column = FEW.into_iter().find(|column| *column == self.column)?;
        let value = self.equals(column)?;
        (*value != Bind::from("")).then(|| (column, value.clone()))
    }

    pub(super) fn sql(&self, sql: &mut Sql) {
        let column = self.column;
        match &self.test {
            Test::Compare(sign, value) => {
                sql.text(&format!("{column}{sign}")).bind(value.clone());
            }
            Test::About(resource) => of_resource(resource, sql),
            Test::CompareTime(sign, time) => {
                sql.text(&format!("({column}<>0 AND {column}{sign}"))
                    .bind(*time)
                    .text(")");
            }
            Test::Present(nothing) => {
                sql.text(&format!("{column}<>")).bind(nothing.clone());
            }
            Test::Bit(bit) => {
                sql.text(&format!("({column} & ")).bind(*bit).text(")<>0");
            }
            Test::Word(word) => {
                let word = word
                    .replace('!', "!!")
                    .replace('%', "!%")
                    .replace('_', "!_");
                sql.text(&format!("{column} LIKE "))
                    .bind(&format!("%|{word}|%"))
                    .text(" ESCAPE '!'");
            }
        }
    }
}
