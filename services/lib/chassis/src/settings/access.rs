//! Walks tables, lists and enums for the reader, and remembers where it is.

use std::collections::btree_map;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::fault::ReadError;
use super::node::Node;
use super::read::{Reader, Unknown};

pub(super) struct TableAccess<'a> {
    pub(super) entries: btree_map::Iter<'a, String, Node>,
    pub(super) next: Option<(&'a str, &'a Node)>,
    pub(super) fields: Option<&'static [&'static str]>,
    pub(super) reader: Reader<'a>,
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
                    known: fields,
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

pub(super) struct ListAccess<'a> {
    pub(super) items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    pub(super) reader: Reader<'a>,
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

pub(super) struct VariantReader<'a> {
    pub(super) variant: &'a str,
    pub(super) content: Option<Reader<'a>>,
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

pub(super) struct Content<'a>(Option<Reader<'a>>);

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
