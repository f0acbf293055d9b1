//! From the tree to settings: strict, and every error with its place.

use serde::Deserialize;
use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::yaml::{Node, Value};
use super::{Mark, SettingsError};
use crate::near_match::near_match;

/// Reads settings out of a tree.
pub(super) fn read<'de, T: Deserialize<'de>>(node: Node) -> Result<T, SettingsError> {
    T::deserialize(At { node, path: String::new() })
}

/// A node and the keys that lead to it.
struct At {
    node: Node,
    path: String,
}

impl de::Error for SettingsError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::at(Mark::default(), "", message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(value) => value.to_string(),
            Unexpected::Unsigned(value) => value.to_string(),
            Unexpected::Signed(value) => value.to_string(),
            Unexpected::Float(value) => value.to_string(),
            Unexpected::Char(value) => format!("{value:?}"),
            Unexpected::Str(text) => format!("{text:?}"),
            Unexpected::Unit => kind(&Value::Null).to_owned(),
            Unexpected::Seq => kind(&Value::List(Vec::new())).to_owned(),
            Unexpected::Map => kind(&Value::Map(Vec::new())).to_owned(),
            other => other.to_string(),
        };
        Self::custom(format!("expected {}, found {found}", in_words(&expected.to_string())))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(unknown("setting", field, expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(unknown("value", variant, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("setting {field:?} is missing"))
    }
}

fn unknown(what: &str, found: &str, expected: &[&str]) -> String {
    match near_match(found, expected.iter().copied()) {
        Some(near) => format!("unknown {what} {found:?}; did you mean {near:?}?"),
        None => format!("unknown {what} {found:?}; expected one of {}", expected.join(", ")),
    }
}

/// What serde expects, as people say it.
fn in_words(expected: &str) -> String {
    match expected {
        "a string" => "a text".to_owned(),
        "a character" => "one character".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "usize" => "a whole number from 0 on".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" => "a whole number from 0 on".to_owned(),
        other => other.to_owned(),
    }
}

impl At {
    /// Refuses all but settings: a list would else be taken for the values of a struct in order.
    fn visit_settings<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        match &self.node.value {
            Value::Map(_) => self.deserialize_any(visitor),
            other => {
                let problem = format!("expected settings, found {}", kind(other));
                Err(SettingsError::at(self.node.mark, &self.path, problem))
            }
        }
    }

    fn child(&self, key: &str, node: Node) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { node, path }
    }

    fn placed<T>(mark: Mark, path: &str, result: Result<T, SettingsError>) -> Result<T, SettingsError> {
        result.map_err(|error| error.or_at(mark, path))
    }
}

impl<'de> Deserializer<'de> for At {
    type Error = SettingsError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        let (mark, path) = (self.node.mark, self.path.clone());
        let result = match self.node.value.clone() {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Int(value) => visitor.visit_i64(value),
            Value::Float(value) => visitor.visit_f64(value),
            Value::Text(value) => visitor.visit_string(value),
            Value::List(items) => {
                visitor.visit_seq(Items { parent: self, items: items.into_iter(), index: 0 })
            }
            Value::Map(entries) => {
                visitor.visit_map(Entries { parent: self, entries: entries.into_iter(), open: None })
            }
        };
        Self::placed(mark, &path, result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        let (mark, path) = (self.node.mark, self.path.clone());
        let result = match self.node.value {
            Value::Text(name) => {
                let name: StringDeserializer<SettingsError> = spelled(name, variants).into_deserializer();
                visitor.visit_enum(name)
            }
            other => {
                let expected = variants.join(", ");
                Err(de::Error::custom(format!("expected one of {expected}, found {}", kind(&other))))
            }
        };
        Self::placed(mark, &path, result)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        self.visit_settings(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        self.visit_settings(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct identifier ignored_any
    }
}

/// The one of `values` that is written as `name`: in capitals or with dashes it is the same.
fn spelled(name: String, values: &[&str]) -> String {
    let plain = name.to_lowercase().replace('-', "_");
    if values.contains(&plain.as_str()) { plain } else { name }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "settings",
    }
}

struct Items {
    parent: At,
    items: std::vec::IntoIter<Node>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = SettingsError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, SettingsError> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let path = format!("{}[{}]", self.parent.path, self.index);
        self.index += 1;
        let mark = item.mark;
        At::placed(mark, &path.clone(), seed.deserialize(At { node: item, path })).map(Some)
    }
}

struct Entries {
    parent: At,
    entries: std::vec::IntoIter<(Mark, String, Node)>,
    open: Option<(String, Node)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = SettingsError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, SettingsError> {
        let Some((mark, key, node)) = self.entries.next() else { return Ok(None) };
        self.open = Some((key.clone(), node));
        let key: StringDeserializer<SettingsError> = key.into_deserializer();
        At::placed(mark, &self.parent.path, seed.deserialize(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, SettingsError> {
        let Some((key, node)) = self.open.take() else {
            return Err(de::Error::custom("a setting without a value"));
        };
        let mark = node.mark;
        let child = self.parent.child(&key, node);
        let path = child.path.clone();
        At::placed(mark, &path, seed.deserialize(child))
    }
}
