//! A tree of values that remember where they were written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file and its line, counted from 1.
    File(Arc<FilePath>, usize),
    /// An environment variable.
    Variable(String),
    /// The key of a `--set` flag; never its value, which may be a secret.
    Flag(String),
    /// The program's own default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "{name}"),
            Self::Flag(key) => write!(f, "--set {key}"),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// One step from a table or a list to what it holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The way from the root to a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(pub(super) Vec<Step>);

impl Path {
    pub(super) fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    pub(super) fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// True for `outer` itself and for everything in it; the root does not count as an outer.
    pub(super) fn is_within(&self, outer: &Self) -> bool {
        !outer.0.is_empty() && self.0.starts_with(&outer.0)
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Reads `section."key.with.dots".name`; `None` when a part is empty or a quote stays open.
    pub(super) fn parse(dotted: &str) -> Option<Self> {
        let mut parts = vec![String::new()];
        let mut quoted = false;
        for c in dotted.chars() {
            match c {
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(String::new()),
                c => parts.last_mut()?.push(c),
            }
        }
        let whole = !quoted && parts.iter().all(|part| !part.is_empty());
        whole.then(|| Self(parts.into_iter().map(Step::Key).collect()))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let dot = if at == 0 { "" } else { "." };
                    let quote = if key.contains('.') { "\"" } else { "" };
                    write!(f, "{dot}{quote}{key}{quote}")?;
                }
            }
        }
        Ok(())
    }
}

/// What was written.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// Text from outside TOML, which takes the type that the reader asks for.
    Raw(String),
    /// Stands for a value that was wrong or missing, so that reading can go on to the next mistake.
    Blank,
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Node {
    pub(super) fn new(value: Value, origin: Origin) -> Self {
        Self { value, origin }
    }

    pub(super) fn root() -> Self {
        Self::new(Value::Table(BTreeMap::new()), Origin::Default)
    }

    /// Lays `over` upon this: tables are joined, anything else is replaced.
    pub(super) fn overlay(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Table(below), Value::Table(above)) => {
                for (key, node) in above {
                    match below.get_mut(&key) {
                        Some(under) => under.overlay(node),
                        None => {
                            below.insert(key, node);
                        }
                    }
                }
            }
            (_, value) => *self = Self::new(value, over.origin),
        }
    }

    /// The node that `node` becomes when it is put at the end of `path`.
    pub(super) fn nested(path: &Path, node: Self) -> Self {
        path.0.iter().rev().fold(node, |inner, step| match step {
            Step::Index(_) => inner,
            Step::Key(key) => {
                let origin = inner.origin.clone();
                Self::new(Value::Table([(key.clone(), inner)].into()), origin)
            }
        })
    }

    pub(super) fn child(&self, step: &Step) -> Option<&Self> {
        match (&self.value, step) {
            (Value::Table(table), Step::Key(key)) => table.get(key),
            (Value::List(list), Step::Index(index)) => list.get(*index),
            _ => None,
        }
    }

    /// The origin of the value at `path`, or the default's when nobody wrote it.
    pub(super) fn origin_of(&self, path: &Path) -> Origin {
        let mut node = self;
        for step in &path.0 {
            match node.child(step) {
                Some(child) => node = child,
                // Within one raw text (a list, an inline table) all parts have its origin.
                None if matches!(node.value, Value::Raw(_)) => break,
                None => return Origin::Default,
            }
        }
        node.origin.clone()
    }

    /// Takes the value at `path` away, or blanks it where others would move up (a list) or where
    /// `blank` says so. False when there is no such place.
    pub(super) fn clear(&mut self, path: &Path, blank: bool) -> bool {
        let Some((last, way)) = path.0.split_last() else {
            return false;
        };
        let mut node = self;
        for step in way {
            let next = match (&mut node.value, step) {
                (Value::Table(table), Step::Key(key)) => {
                    if blank && !table.contains_key(key) {
                        table.insert(key.clone(), Self::root());
                    }
                    table.get_mut(key)
                }
                (Value::List(list), Step::Index(index)) => list.get_mut(*index),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => return false,
            }
        }
        match (&mut node.value, last) {
            (Value::Table(table), Step::Key(key)) if blank => {
                let origin = table.get(key).map_or(Origin::Default, |n| n.origin.clone());
                table.insert(key.clone(), Self::new(Value::Blank, origin));
                true
            }
            (Value::Table(table), Step::Key(key)) => table.remove(key).is_some(),
            (Value::List(list), Step::Index(index)) => match list.get_mut(*index) {
                Some(node) => {
                    node.value = Value::Blank;
                    true
                }
                None => false,
            },
            _ => false,
        }
    }
}

/// The line, counted from 1, on which byte `at` of `text` lies.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let end = at.min(text.len());
    1 + text.as_bytes()[..end]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
}

/// The tree of a TOML table; `origin` makes an origin from a byte position.
pub(super) fn from_table(table: &DeTable<'_>, origin: &dyn Fn(usize) -> Origin) -> Value {
    Value::Table(
        table
            .iter()
            .map(|(key, value)| {
                let mut node = from_value(value, origin);
                // The key's line: that is where a reader looks for the setting.
                node.origin = origin(key.span().start);
                (key.get_ref().to_string(), node)
            })
            .collect(),
    )
}

/// The tree of a TOML value.
pub(super) fn from_value(value: &Spanned<DeValue<'_>>, origin: &dyn Fn(usize) -> Origin) -> Node {
    let tree = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Text(number.as_str().to_owned()), Value::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or_else(|_| Value::Text(number.as_str().to_owned()), Value::Float),
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(list) => {
            Value::List(list.iter().map(|item| from_value(item, origin)).collect())
        }
        DeValue::Table(table) => from_table(table, origin),
    };
    Node::new(tree, origin(value.span().start))
}
