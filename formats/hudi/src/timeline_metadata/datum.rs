//! Serde over an encoded Avro record, directed by the schema it was written with.
//!
//! Reads straight from the bytes into the value, instead of by way of `apache_avro`'s own
//! values: that reader reserves memory for declared counts before it has seen the items, and
//! takes a record that was cut off for one whose last fields are null.
//!
//! Nulls are left out: a null field is an absent field, so that a type's own default stands
//! for it. Fields that the type does not know are passed over. That is all of schema
//! resolution that timeline files need.

use std::fmt;
use std::slice;

use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, NamesRef, RecordField, RecordSchema, UnionSchema};
use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{self, Deserialize, DeserializeSeed, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::cursor::Cursor;
use super::room::Room;

/// How deep values may nest; Hudi's own nest eight deep.
const DEPTH_MAX: u8 = 32;

/// Values may take no bytes (a record of nulls), so their number needs a bound of its own.
const VALUES_PER_BYTE: usize = 4;
const VALUES_FREE: usize = 1024;

/// What is wrong with a record.
#[derive(Debug)]
pub(super) struct DatumError(String);

impl fmt::Display for DatumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DatumError {}

impl de::Error for DatumError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self(problem.to_string())
    }
}

impl From<&'static str> for DatumError {
    fn from(problem: &'static str) -> Self {
        Self(problem.to_owned())
    }
}

/// Reads the one value that `bytes` hold; an error comes with the offset of the problem.
pub(super) fn deserialize<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    schema: &Schema,
    names: &NamesRef<'_>,
) -> Result<T, (usize, DatumError)> {
    let values_left = bytes.len().saturating_mul(VALUES_PER_BYTE).saturating_add(VALUES_FREE);
    let mut source = Source { cursor: Cursor::new(bytes), names, values_left, room: Room::of(bytes.len()) };
    let value = source.value(schema, 0).and_then(T::deserialize);
    match value {
        Ok(value) if source.cursor.remaining() == 0 => Ok(value),
        Ok(_) => Err((source.cursor.offset(), "bytes are left after the record".into())),
        Err(error) => Err((source.cursor.offset(), error)),
    }
}

struct Source<'de, 's> {
    cursor: Cursor<'de>,
    names: &'s NamesRef<'s>,
    values_left: usize,
    room: Room,
}

impl<'de, 's> Source<'de, 's> {
    /// The next value, which was written as `schema`.
    fn value<'a>(&'a mut self, schema: &'s Schema, depth: u8) -> Result<Datum<'a, 'de, 's>, DatumError> {
        let schema = self.concrete(schema)?;
        if depth == DEPTH_MAX {
            return Err("values nest too deep".into());
        }
        Ok(Datum { source: self, schema, depth })
    }

    /// The schema of the next value, past references and the choice of a union's branch.
    fn concrete(&mut self, schema: &'s Schema) -> Result<&'s Schema, DatumError> {
        self.values_left = self.values_left.checked_sub(1).ok_or("there are fewer bytes than values")?;
        let schema = match schema {
            Schema::Union(union) => self.branch(union)?,
            other => other,
        };
        match schema {
            Schema::Ref { name } => self
                .names
                .get(name)
                .copied()
                .ok_or_else(|| de::Error::custom(format_args!("no schema {name}"))),
            other => Ok(other),
        }
    }

    fn branch(&mut self, union: &'s UnionSchema) -> Result<&'s Schema, DatumError> {
        let branch = usize::try_from(self.cursor.long()?).ok();
        Ok(branch.and_then(|branch| union.variants().get(branch)).ok_or("a union has no such branch")?)
    }

    fn int(&mut self) -> Result<i32, DatumError> {
        Ok(i32::try_from(self.cursor.long()?).map_err(|_| "an int is longer than 32 bits")?)
    }
}

/// One value: where it is and what it was written as. Never a union, never a reference.
struct Datum<'a, 'de, 's> {
    source: &'a mut Source<'de, 's>,
    schema: &'s Schema,
    depth: u8,
}

impl<'de> de::Deserializer<'de> for Datum<'_, 'de, '_> {
    type Error = DatumError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DatumError> {
        let Self { source, schema, depth } = self;
        match schema {
            Schema::Null => visitor.visit_unit(),
            Schema::Boolean => match source.cursor.array()? {
                [0] => visitor.visit_bool(false),
                [1] => visitor.visit_bool(true),
                _ => Err("a boolean is neither 0 nor 1".into()),
            },
            Schema::Int | Schema::Date | Schema::TimeMillis => visitor.visit_i32(source.int()?),
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => visitor.visit_i64(source.cursor.long()?),
            Schema::Float => visitor.visit_f32(f32::from_le_bytes(source.cursor.array()?)),
            Schema::Double => visitor.visit_f64(f64::from_le_bytes(source.cursor.array()?)),
            Schema::String | Schema::Uuid => visitor.visit_borrowed_str(source.cursor.text()?),
            Schema::Bytes | Schema::BigDecimal => visitor.visit_borrowed_bytes(source.cursor.bytes()?),
            Schema::Fixed(fixed) => visitor.visit_borrowed_bytes(source.cursor.take(fixed.size)?),
            Schema::Duration => visitor.visit_borrowed_bytes(source.cursor.take(12)?),
            Schema::Decimal(DecimalSchema { inner, .. }) => {
                source.value(inner, depth + 1)?.deserialize_any(visitor)
            }
            Schema::Enum(symbols) => {
                let symbol = usize::try_from(source.int()?).ok().and_then(|at| symbols.symbols.get(at));
                visitor.visit_str(symbol.ok_or("an enum has no such symbol")?)
            }
            Schema::Array(array) => visitor.visit_seq(Items::new(source, &array.items, depth)),
            Schema::Map(map) => visitor.visit_map(Items::new(source, &map.types, depth)),
            Schema::Record(record) => visitor.visit_map(Fields::new(source, record, depth)),
            Schema::Union(_) | Schema::Ref { .. } => Err("a union is directly in a union".into()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DatumError> {
        if matches!(self.schema, Schema::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DatumError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DatumError> {
        visitor.visit_enum(String::deserialize(self)?.into_deserializer())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The fields of a record that are not null.
struct Fields<'a, 'de, 's> {
    source: &'a mut Source<'de, 's>,
    fields: slice::Iter<'s, RecordField>,
    value: &'s Schema,
    depth: u8,
}

impl<'a, 'de, 's> Fields<'a, 'de, 's> {
    fn new(source: &'a mut Source<'de, 's>, record: &'s RecordSchema, depth: u8) -> Self {
        Self { source, fields: record.fields.iter(), value: &Schema::Null, depth }
    }
}

impl<'de> de::MapAccess<'de> for Fields<'_, 'de, '_> {
    type Error = DatumError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DatumError> {
        for field in self.fields.by_ref() {
            self.value = self.source.concrete(&field.schema)?;
            if !matches!(self.value, Schema::Null) {
                return seed.deserialize(StrDeserializer::new(&field.name)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DatumError> {
        seed.deserialize(self.source.value(self.value, self.depth + 1)?)
    }
}

/// The items of an array, or the entries of a map, that are not null.
struct Items<'a, 'de, 's> {
    source: &'a mut Source<'de, 's>,
    item: &'s Schema,
    value: &'s Schema,
    left_in_block: usize,
    depth: u8,
}

impl<'a, 'de, 's> Items<'a, 'de, 's> {
    fn new(source: &'a mut Source<'de, 's>, item: &'s Schema, depth: u8) -> Self {
        Self { source, item, value: &Schema::Null, left_in_block: 0, depth }
    }

    /// Moves to the next item; `false` after the last.
    fn advance(&mut self) -> Result<bool, DatumError> {
        if self.left_in_block == 0 {
            self.left_in_block = self.source.cursor.block_count()?;
        }
        let more = self.left_in_block > 0;
        self.left_in_block = self.left_in_block.saturating_sub(1);
        Ok(more)
    }

    /// Chooses the schema of the item ahead; `false` where it is null.
    fn has_value(&mut self) -> Result<bool, DatumError> {
        self.value = self.source.concrete(self.item)?;
        Ok(!matches!(self.value, Schema::Null))
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de, '_> {
    type Error = DatumError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DatumError> {
        while self.advance()? {
            if self.has_value()? {
                self.source.room.make_for::<T::Value>(1)?;
                return seed.deserialize(self.source.value(self.value, self.depth + 1)?).map(Some);
            }
        }
        Ok(None)
    }
}

impl<'de> de::MapAccess<'de> for Items<'_, 'de, '_> {
    type Error = DatumError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DatumError> {
        while self.advance()? {
            let key = self.source.cursor.text()?;
            if self.has_value()? {
                self.source.room.make_for::<K::Value>(1)?;
                return seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DatumError> {
        self.source.room.make_for::<V::Value>(1)?;
        seed.deserialize(self.source.value(self.value, self.depth + 1)?)
    }
}
