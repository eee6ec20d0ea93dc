//! Reads a typed value from the tree: text from outside TOML takes the type that is asked for, and
//! unknown keys are collected on the way.

use std::cell::RefCell;
use std::collections::btree_map;

use serde::de::{Deserializer, Error as _, Unexpected, Visitor};
use toml::de::DeValue;

use super::access::{ListAccess, TableAccess, VariantReader};
use super::fault::ReadError;
use super::node::{Node, Origin, Path, Value, from_value};

/// An unknown key, where it was written, and the keys that there are.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) path: Path,
    pub(super) origin: Origin,
    pub(super) known: &'static [&'static str],
}

/// What is learnt on the way.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) unknown: Vec<Unknown>,
    /// The fields of the outermost struct: the names of the sections.
    pub(super) sections: &'static [&'static str],
}

/// Reads one node.
pub(super) struct Reader<'a> {
    pub(super) node: &'a Node,
    pub(super) path: Path,
    pub(super) notes: &'a RefCell<Notes>,
}

impl<'a> Reader<'a> {
    pub(super) fn child(&self, node: &'a Node, path: Path) -> Self {
        Self {
            node,
            path,
            notes: self.notes,
        }
    }

    /// Reads raw text as a list or an inline table would be read, then gives it to `then`.
    fn reread<T>(
        &self,
        value: Value,
        then: impl FnOnce(Reader<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let node = Node::new(value, self.node.origin.clone());
        then(Reader {
            node: &node,
            path: self.path.clone(),
            notes: self.notes,
        })
    }

    fn inline(&self, text: &str) -> Result<Value, ReadError> {
        let origin = self.node.origin.clone();
        DeValue::parse(text)
            .map(|value| from_value(&value, &|_| origin.clone()).value)
            .map_err(|error| ReadError::custom(error.message()).at(&self.path))
    }

    pub(super) fn read_map<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        fields: Option<&'static [&'static str]>,
    ) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Table(table) => {
                let path = self.path.clone();
                if let (Some(fields), true) = (fields, path.0.is_empty()) {
                    self.notes.borrow_mut().sections = fields;
                }
                visitor
                    .visit_map(TableAccess {
                        entries: table.iter(),
                        next: None,
                        fields,
                        reader: self,
                    })
                    .map_err(|error| error.at(&path))
            }
            Value::Blank => visitor.visit_map(TableAccess {
                entries: btree_map::Iter::default(),
                next: None,
                fields: None,
                reader: self,
            }),
            Value::Raw(text) if text.trim_start().starts_with('{') => {
                let value = self.inline(text)?;
                self.reread(value, |reader| reader.read_map(visitor, fields))
            }
            _ => Err(ReadError::invalid_type(self.unexpected(), &visitor)),
        }
    }

    pub(super) fn read_list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::List(list) => visitor.visit_seq(ListAccess {
                items: list.iter().enumerate(),
                reader: self,
            }),
            Value::Blank => visitor.visit_seq(ListAccess {
                items: [].iter().enumerate(),
                reader: self,
            }),
            Value::Raw(text) if text.trim_start().starts_with('[') => {
                let value = self.inline(text)?;
                self.reread(value, |reader| reader.read_list(visitor))
            }
            Value::Raw(text) => {
                let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
                let origin = &self.node.origin;
                let node = |part: &str| Node::new(Value::Raw(part.to_owned()), origin.clone());
                let value = Value::List(parts.map(node).collect());
                self.reread(value, |reader| reader.read_list(visitor))
            }
            _ => Err(ReadError::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn unexpected(&self) -> Unexpected<'_> {
        match &self.node.value {
            Value::Text(text) | Value::Raw(text) => Unexpected::Str(text),
            Value::Integer(n) => Unexpected::Signed(*n),
            Value::Float(n) => Unexpected::Float(*n),
            Value::Bool(b) => Unexpected::Bool(*b),
            Value::List(_) => Unexpected::Seq,
            Value::Table(_) => Unexpected::Map,
            Value::Blank => Unexpected::Unit,
        }
    }

    /// Raw text as the type it looks like, for the rare reader that does not say what it wants.
    fn read_guess<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, ReadError> {
        if let Ok(truth) = text.parse() {
            visitor.visit_bool(truth)
        } else if let Ok(number) = text.parse() {
            visitor.visit_i64(number)
        } else if let Ok(number) = text.parse() {
            visitor.visit_f64(number)
        } else {
            visitor.visit_str(text)
        }
    }
}

/// Methods for types that raw text is parsed into, and what stands for a blank.
macro_rules! parsed {
    ($($method:ident: $type:ty => $visit:ident, $blank:expr, $words:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            match &self.node.value {
                Value::Blank => visitor.$visit($blank),
                Value::Raw(text) => match text.trim().parse::<$type>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(ReadError::custom(format_args!("must be {}, not `{text}`", $words))),
                },
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

/// Methods for types that are read from text as it stands.
macro_rules! textual {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            match &self.node.value {
                Value::Raw(text) => visitor.visit_str(text),
                Value::Blank => visitor.visit_str(""),
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::List(_) => self.read_list(visitor),
            Value::Table(_) => self.read_map(visitor, None),
            Value::Raw(text) => Self::read_guess(text, visitor),
            Value::Blank => visitor.visit_unit(),
        }
    }

    parsed! {
        deserialize_bool: bool => visit_bool, false, "true or false";
        deserialize_i8: i64 => visit_i64, 0, "a whole number";
        deserialize_i16: i64 => visit_i64, 0, "a whole number";
        deserialize_i32: i64 => visit_i64, 0, "a whole number";
        deserialize_i64: i64 => visit_i64, 0, "a whole number";
        deserialize_u8: i64 => visit_i64, 0, "a whole number";
        deserialize_u16: i64 => visit_i64, 0, "a whole number";
        deserialize_u32: i64 => visit_i64, 0, "a whole number";
        deserialize_u64: i64 => visit_i64, 0, "a whole number";
        deserialize_f32: f64 => visit_f64, 0.0, "a number";
        deserialize_f64: f64 => visit_f64, 0.0, "a number";
    }

    textual! {
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_identifier
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Blank => visitor.visit_none(),
            // A template that leaves a variable empty means "not set".
            Value::Raw(text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.read_list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.read_list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.read_list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.read_map(visitor, None)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.read_map(visitor, Some(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let (variant, content) = match &self.node.value {
            Value::Text(text) | Value::Raw(text) => (text.as_str(), None),
            Value::Blank => (variants.first().copied().unwrap_or_default(), None),
            Value::Table(table) if table.len() == 1 => match table.iter().next() {
                Some((key, node)) => (key.as_str(), Some(self.child(node, self.path.key(key)))),
                None => ("", None),
            },
            _ => {
                let choices = variants.join(", ");
                return Err(ReadError::custom(format_args!("must be one of {choices}")));
            }
        };
        visitor.visit_enum(VariantReader { variant, content })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }
}
