//! A YAML document as a tree that knows its lines, and a reader that collects every mistake.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use super::{Mistake, PolicyErrors};
use crate::names::Named;

/// A value and the line it stands on.
pub(super) struct Node {
    pub(super) line: u64,
    value: Value,
}

enum Value {
    Null,
    Bool,
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool => "a truth value (in quotes it would be a text)",
            Self::Number(_) => "a number (in quotes it would be a text)",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            line: spanned.referenced.line(),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, number, list or map")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Value, E> {
        Ok(Value::Bool)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

/// Reads a document into a tree. Only what is no YAML at all fails here.
pub(super) fn parse(yaml: &str) -> Result<Node, PolicyErrors> {
    // Repeated keys are reported by the reader, together with everything else.
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
    serde_saphyr::from_str_with_options(yaml, options).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        let formatter = serde_saphyr::UserMessageFormatter;
        let message = error.without_snippet().render_with_formatter(&formatter);
        PolicyErrors(vec![Mistake { line, message }])
    })
}

/// Reads values out of nodes. What is wrong is noted, and reading goes on.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) mistakes: Vec<Mistake>,
}

impl Reader {
    /// Notes a mistake.
    pub(super) fn mistake(&mut self, line: u64, message: impl Into<String>) {
        self.mistakes.push(Mistake {
            line,
            message: message.into(),
        });
    }

    fn expected<T>(&mut self, node: &Node, what: &str) -> Option<T> {
        self.mistake(
            node.line,
            format!("expected {what}, found {}", node.value.kind()),
        );
        None
    }

    /// The entries of a map, whose keys must be among `keys`; a key that is written twice or is
    /// unknown is a mistake.
    pub(super) fn map<'n>(&mut self, node: &'n Node, keys: &[&str]) -> Map<'n> {
        let entries = self.entries(node);
        for (key, key_line, _) in &entries {
            if !keys.contains(key) {
                let message = format!("unknown key `{key}`; known are {}", keys.join(", "));
                self.mistake(*key_line, message);
            }
        }
        Map {
            line: node.line,
            entries,
        }
    }

    /// The entries of a map with any keys: key, its line, and value.
    pub(super) fn entries<'n>(&mut self, node: &'n Node) -> Vec<(&'n str, u64, &'n Node)> {
        let Value::Map(map) = &node.value else {
            self.expected::<()>(node, "a map");
            return Vec::new();
        };
        let mut entries: Vec<(&str, u64, &Node)> = Vec::with_capacity(map.len());
        for (key, value) in map {
            let line = key.referenced.line();
            if let Some((_, first, _)) = entries.iter().find(|(known, ..)| *known == key.value) {
                let message = format!("key `{}` is already on line {first}", key.value);
                self.mistake(line, message);
            } else {
                entries.push((&key.value, line, value));
            }
        }
        entries
    }

    /// The items of a list.
    pub(super) fn list<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::List(nodes) => nodes,
            _ => self.expected(node, "a list").unwrap_or_default(),
        }
    }

    /// A text that is not empty.
    pub(super) fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        match &node.value {
            Value::Text(text) if text.trim().is_empty() => {
                self.mistake(node.line, "the text is empty");
                None
            }
            Value::Text(text) => Some(text),
            _ => self.expected(node, "a text"),
        }
    }

    /// A number.
    pub(super) fn number(&mut self, node: &Node) -> Option<f64> {
        match node.value {
            Value::Number(number) => Some(number),
            _ => self.expected(node, "a number"),
        }
    }

    /// A name out of a closed list.
    pub(super) fn name<T: Named>(&mut self, node: &Node, what: &str) -> Option<T> {
        let name = self.text(node)?;
        self.known(name, node.line, what)
    }

    /// `name` in a closed list.
    pub(super) fn known<T: Named>(&mut self, name: &str, line: u64, what: &str) -> Option<T> {
        let found = T::ALL.iter().copied().find(|one| one.as_str() == name);
        if found.is_none() {
            let known: Vec<_> = T::ALL.iter().map(|one| one.as_str()).collect();
            let message = format!("unknown {what} `{name}`; known are {}", known.join(", "));
            self.mistake(line, message);
        }
        found
    }
}

/// A map's entries, by key.
pub(super) struct Map<'n> {
    pub(super) line: u64,
    entries: Vec<(&'n str, u64, &'n Node)>,
}

impl<'n> Map<'n> {
    /// The value under `key`.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        let (_, _, node) = self.entries.iter().find(|(known, ..)| *known == key)?;
        Some(node)
    }

    /// The value under `key`, whose absence is a mistake.
    pub(super) fn require(&self, key: &str, reader: &mut Reader) -> Option<&'n Node> {
        let node = self.get(key);
        if node.is_none() {
            reader.mistake(self.line, format!("key `{key}` is missing here"));
        }
        node
    }
}
