//! Reads a typed value from the tree: text from outside TOML takes the type that is asked for, and
//! unknown keys are collected on the way.

use std::cell::RefCell;
use std::collections::btree_map;
use std::fmt::Display;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use toml::de::DeValue;

use super::node::{Node, Origin, Path, Value, from_value};

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
    fn at(mut self, path: &Path) -> Self {
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
        "u32" | "u64" | "u128" | "usize" => "a whole number, 0 or more",
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

/// An unknown key, where it was written and what may have been meant.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) path: Path,
    pub(super) origin: Origin,
    pub(super) nearest: Option<&'static str>,
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
    fn child(&self, node: &'a Node, path: Path) -> Self {
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

    fn read_map<'de, V: Visitor<'de>>(
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

    fn read_list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
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

struct TableAccess<'a> {
    entries: btree_map::Iter<'a, String, Node>,
    next: Option<(&'a str, &'a Node)>,
    fields: Option<&'static [&'static str]>,
    reader: Reader<'a>,
}

impl<'de> MapAccess<'de> for TableAccess<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        for (key, node) in self.entries.by_ref() {
            if let Some(fields) = self.fields.filter(|fields| !fields.contains(&key.as_str())) {
                self.reader.notes.borrow_mut().unknown.push(Unknown {
                    path: self.reader.path.key(key),
                    origin: node.origin.clone(),
                    nearest: nearest(key, fields),
                });
                continue;
            }
            self.next = Some((key, node));
            let name: StrDeserializer<'_, ReadError> = key.as_str().into_deserializer();
            let path = self.reader.path.key(key);
            return seed.deserialize(name).map(Some).map_err(|e| e.at(&path));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some((key, node)) = self.next.take() else {
            return Err(ReadError::custom("a value was asked for before its key"));
        };
        let path = self.reader.path.key(key);
        seed.deserialize(self.reader.child(node, path.clone()))
            .map_err(|error| error.at(&path))
    }
}

struct ListAccess<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    reader: Reader<'a>,
}

impl<'de> SeqAccess<'de> for ListAccess<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        let path = self.reader.path.index(index);
        seed.deserialize(self.reader.child(node, path.clone()))
            .map(Some)
            .map_err(|error| error.at(&path))
    }
}

struct VariantReader<'a> {
    variant: &'a str,
    content: Option<Reader<'a>>,
}

impl<'de, 'a> EnumAccess<'de> for VariantReader<'a> {
    type Error = ReadError;
    type Variant = Content<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content<'a>), ReadError> {
        let name: StrDeserializer<'_, ReadError> = self.variant.into_deserializer();
        Ok((seed.deserialize(name)?, Content(self.content)))
    }
}

struct Content<'a>(Option<Reader<'a>>);

impl<'a> Content<'a> {
    fn reader(self) -> Result<Reader<'a>, ReadError> {
        self.0
            .ok_or_else(|| ReadError::custom("needs a table with its details"))
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(ReadError::custom("takes no details")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        let reader = self.reader()?;
        let path = reader.path.clone();
        seed.deserialize(reader).map_err(|error| error.at(&path))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.reader()?.read_list(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.reader()?.read_map(visitor, Some(fields))
    }
}

/// The name most like `key`, when one is near enough to be what was meant.
pub(super) fn nearest(key: &str, names: &'static [&'static str]) -> Option<&'static str> {
    let near = |name: &&str| strsim::damerau_levenshtein(key, name);
    names
        .iter()
        .copied()
        .min_by_key(near)
        .filter(|name| near(name) <= (name.len() / 3).max(2))
}
