//! Schemas that grow.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use serde_json::Value;

use super::{SchemaError, TableSchema, from_arrow, sql_type};

/// See [`TableSchema::superset`].
pub(super) fn superset(table: &TableSchema, other: &TableSchema) -> Result<TableSchema, SchemaError> {
    let fields = merge_fields(table.arrow.fields(), other.arrow.fields(), "")?;
    if fields == *table.arrow.fields() {
        return Ok(table.clone());
    }
    let avro = extend_avro(&table.avro, table.arrow.fields(), &fields)?;
    Ok(TableSchema { avro, arrow: Arc::new(Schema::new(fields)) })
}

fn merge_fields(table: &Fields, other: &Fields, path: &str) -> Result<Fields, SchemaError> {
    let name_of = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let mut merged: Vec<Arc<Field>> = Vec::with_capacity(table.len());
    for field in table {
        let Some((_, theirs)) = other.find(field.name()) else {
            merged.push(field.clone());
            continue;
        };
        let data_type = widen(field.data_type(), theirs.data_type(), &name_of(field.name()))?;
        let nullable = field.is_nullable() || theirs.is_nullable();
        merged.push(Arc::new(Field::new(field.name(), data_type, nullable)));
    }
    for field in other {
        if table.find(field.name()).is_some() {
            continue;
        }
        if !field.is_nullable() {
            return Err(SchemaError::RequiredAddition { column: name_of(field.name()) });
        }
        merged.push(field.clone());
    }
    Ok(merged.into())
}

/// The narrower of the types that hold all values of both.
fn widen(table: &DataType, other: &DataType, path: &str) -> Result<DataType, SchemaError> {
    let incompatible = || SchemaError::Incompatible {
        column: path.to_owned(),
        table: sql_type(table),
        found: sql_type(other),
    };
    let rank = |data_type: &DataType| match data_type {
        DataType::Int32 => Some(1),
        DataType::Int64 => Some(2),
        DataType::Float32 => Some(3),
        DataType::Float64 => Some(4),
        _ => None,
    };
    match (table, other) {
        (a, b) if a == b => Ok(a.clone()),
        (DataType::Struct(a), DataType::Struct(b)) => Ok(DataType::Struct(merge_fields(a, b, path)?)),
        (DataType::List(a), DataType::List(b)) => {
            let element = widen(a.data_type(), b.data_type(), path)?;
            let nullable = a.is_nullable() || b.is_nullable();
            Ok(DataType::List(Arc::new(Field::new(a.name(), element, nullable))))
        }
        (DataType::Map(a, sorted), DataType::Map(b, _)) => {
            let entries = widen(a.data_type(), b.data_type(), path)?;
            Ok(DataType::Map(Arc::new(Field::new(a.name(), entries, false)), *sorted))
        }
        (a, b) => match (rank(a), rank(b)) {
            (Some(ra), Some(rb)) => Ok(if ra >= rb { a.clone() } else { b.clone() }),
            _ => Err(incompatible()),
        },
    }
}

/// The Avro record with changed fields replaced and new fields added; others keep their text.
fn extend_avro(avro: &Value, old: &Fields, new: &Fields) -> Result<Value, SchemaError> {
    let text = |key: &str| avro.get(key).and_then(Value::as_str).unwrap_or_default();
    let (name, namespace) = match text("name").rsplit_once('.') {
        Some((namespace, name)) => (name, namespace),
        None => (text("name"), text("namespace")),
    };
    let fresh = from_arrow::record(new, name, namespace)?;
    let fresh = fresh.get("fields").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut extended = avro.clone();
    let Some(fields) = extended.get_mut("fields").and_then(Value::as_array_mut) else {
        return Err(SchemaError::Broken { what: "expected a record with fields".into() });
    };
    let unchanged = |i: usize| old.get(i) == new.get(i);
    let kept: Vec<Value> = fields
        .drain(..)
        .map(Some)
        .chain(std::iter::repeat(None))
        .zip(fresh)
        .enumerate()
        .map(|(i, (before, fresh))| before.filter(|_| unchanged(i)).unwrap_or(fresh))
        .collect();
    *fields = kept;
    Ok(extended)
}
