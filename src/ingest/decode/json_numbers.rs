//! Fractions where whole numbers belong.
//!
//! The JSON library reads `1.5` into an integer column as 1. What it would cut is found here.

use std::fmt;

use arrow::datatypes::{DataType, Fields, Schema};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Whether values of a type hold integers, at any depth.
pub(super) fn has_integers(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|field| has_integers(field.data_type())),
        DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
            has_integers(item.data_type())
        }
        other => other.is_integer(),
    }
}

/// Whether `text` has a number with a point or an exponent. May say so wrongly, never the other way.
pub(super) fn may_hold_fractions(text: &[u8]) -> bool {
    text.windows(2).any(|pair| matches!(pair, [before, b'.' | b'e' | b'E'] if before.is_ascii_digit()))
}

/// The first number of `record` that is no whole one and stands where `schema` has an integer.
pub(super) fn find_fraction(record: &[u8], schema: &Schema) -> Option<(String, String)> {
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_slice(record);
    let columns = Columns { fields: schema.fields(), path: "", found: &mut found };
    // A record that is no JSON at all is found by the decoder itself.
    let _ = columns.deserialize(&mut deserializer);
    found
}

type Found = Option<(String, String)>;

/// Looks at the columns of an object.
struct Columns<'a> {
    fields: &'a Fields,
    path: &'a str,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for Columns<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Columns<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let field = self.fields.iter().find(|field| *field.name() == key);
            match field.filter(|field| has_integers(field.data_type())) {
                Some(field) => {
                    let path = if self.path.is_empty() { key } else { format!("{}.{key}", self.path) };
                    map.next_value_seed(One {
                        data_type: field.data_type(),
                        path: &path,
                        found: self.found,
                    })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Looks at one value of a type that holds integers.
struct One<'a> {
    data_type: &'a DataType,
    path: &'a str,
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        if self.data_type.is_integer() && number.fract() != 0.0 && self.found.is_none() {
            *self.found = Some((self.path.to_owned(), number.to_string()));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (DataType::List(item) | DataType::LargeList(item)) = self.data_type else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        while seq
            .next_element_seed(One { data_type: item.data_type(), path: self.path, found: self.found })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match self.data_type {
            DataType::Struct(fields) => Columns { fields, path: self.path, found: self.found }.visit_map(map),
            DataType::Map(entries, _) => {
                let value = match entries.data_type() {
                    DataType::Struct(pair) => pair.get(1).map(|value| value.data_type()),
                    _ => None,
                };
                while map.next_key::<IgnoredAny>()?.is_some() {
                    match value {
                        Some(data_type) => {
                            map.next_value_seed(One { data_type, path: self.path, found: self.found })?;
                        }
                        None => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(())
            }
            _ => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(())
            }
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        // Numbers in quotes are read as numbers, too.
        let fraction = text.parse::<f64>().is_ok_and(|number| number.fract() != 0.0);
        if self.data_type.is_integer() && fraction && self.found.is_none() {
            *self.found = Some((self.path.to_owned(), text.to_owned()));
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn fractions_in_integer_columns_are_found_at_any_depth() {
        let int = |name: &str| Arc::new(Field::new(name, DataType::Int64, true));
        let schema = Schema::new(vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::Float64, true),
            Field::new("c", DataType::List(int("item")), true),
            Field::new("d", DataType::Struct(vec![int("x")].into()), true),
        ]);
        let find = |text: &str| find_fraction(text.as_bytes(), &schema).map(|(column, _)| column);
        assert_eq!(find(r#"{"a": 1, "b": 1.5, "c": [2.0, 1e3], "d": {"x": -4}}"#), None);
        assert_eq!(find(r#"{"a": 1.5}"#).as_deref(), Some("a"));
        assert_eq!(find(r#"{"a": "1.5"}"#).as_deref(), Some("a"));
        assert_eq!(find(r#"{"c": [1, 2.25]}"#).as_deref(), Some("c"));
        assert_eq!(find(r#"{"d": {"y": 1.5, "x": 0.1}}"#).as_deref(), Some("d.x"));
        assert_eq!(find(r#"{"a": null, "d": null, "c": [null]"#), None);
        assert!(may_hold_fractions(b"{\"a\": 1.5}") && may_hold_fractions(b"1E3"));
        assert!(!may_hold_fractions(br#"{"a": 1, "b": "x.e"}"#));
    }
}
