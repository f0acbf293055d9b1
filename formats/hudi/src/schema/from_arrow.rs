//! Arrow types to those that Hudi knows, and on to Avro JSON.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde_json::{Value, json};

use super::{LIST_ELEMENT, SchemaError, sql_type};

/// The field with the type that stands for it in a table.
pub(super) fn canonical_field(field: &Field) -> Result<Field, SchemaError> {
    let data_type = canonical(field.data_type(), field.name())?;
    Ok(Field::new(field.name(), data_type, field.is_nullable()))
}

fn canonical(data_type: &DataType, column: &str) -> Result<DataType, SchemaError> {
    let refuse = |why| Err(SchemaError::Type { column: column.to_owned(), found: sql_type(data_type), why });
    Ok(match data_type {
        DataType::Boolean
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32 => data_type.clone(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            return refuse("is finer than the microseconds of a Hudi table: cast it");
        }
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s)
            if *s >= 0 && *s as u8 <= *p =>
        {
            DataType::Decimal128(*p, *s)
        }
        DataType::Dictionary(_, values) => canonical(values, column)?,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::FixedSizeList(item, _) => {
            let element = canonical(item.data_type(), column)?;
            DataType::List(Arc::new(Field::new(LIST_ELEMENT, element, item.is_nullable())))
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|f| canonical_child(f, column));
            DataType::Struct(fields.collect::<Result<Fields, _>>()?)
        }
        DataType::Map(entries, _) => canonical_map(entries, column)?,
        DataType::Null => return refuse("has no values to tell its type by: name the type"),
        DataType::Time32(_) | DataType::Time64(_) => {
            return refuse("Spark cannot read: cast it to a string or number");
        }
        _ => return refuse("no Hudi table can have"),
    })
}

fn canonical_child(field: &Field, column: &str) -> Result<Field, SchemaError> {
    let path = format!("{column}.{}", field.name());
    Ok(Field::new(field.name(), canonical(field.data_type(), &path)?, field.is_nullable()))
}

fn canonical_map(entries: &Field, column: &str) -> Result<DataType, SchemaError> {
    let refuse = || {
        Err(SchemaError::Type {
            column: column.to_owned(),
            found: sql_type(entries.data_type()),
            why: "is no map from strings",
        })
    };
    let DataType::Struct(fields) = entries.data_type() else { return refuse() };
    let [key, value] = fields.as_ref() else { return refuse() };
    if canonical(key.data_type(), column)? != DataType::Utf8 {
        return refuse();
    }
    let value = Field::new("value", canonical(value.data_type(), column)?, value.is_nullable());
    let fields = vec![Field::new("key", DataType::Utf8, false), value];
    Ok(DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(fields.into()), false)), false))
}

/// The Avro record of canonical fields.
///
/// Names follow Spark's converter: a nested record is called after its field, in the namespace of
/// the record around it.
pub(super) fn record(fields: &Fields, name: &str, namespace: &str) -> Result<Value, SchemaError> {
    let inner = format!("{namespace}.{name}");
    let fields = fields
        .iter()
        .map(|field| {
            let avro = avro(field.data_type(), field.name(), &inner)?;
            Ok(if field.is_nullable() {
                json!({ "name": field.name(), "type": ["null", avro], "default": null })
            } else {
                json!({ "name": field.name(), "type": avro })
            })
        })
        .collect::<Result<Vec<_>, SchemaError>>()?;
    Ok(json!({ "type": "record", "name": name, "namespace": namespace, "fields": fields }))
}

fn avro(data_type: &DataType, name: &str, namespace: &str) -> Result<Value, SchemaError> {
    let optional = |field: &Field| {
        let avro = avro(field.data_type(), name, namespace)?;
        Ok::<_, SchemaError>(if field.is_nullable() { json!(["null", avro]) } else { avro })
    };
    Ok(match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::FixedSizeBinary(size) => {
            json!({ "type": "fixed", "name": "fixed", "namespace": format!("{namespace}.{name}"), "size": size })
        }
        DataType::Date32 => json!({ "type": "int", "logicalType": "date" }),
        DataType::Time32(_) => json!({ "type": "int", "logicalType": "time-millis" }),
        DataType::Time64(_) => json!({ "type": "long", "logicalType": "time-micros" }),
        DataType::Timestamp(unit, zone) => {
            let local = if zone.is_some() { "" } else { "local-" };
            let unit = if *unit == TimeUnit::Millisecond { "millis" } else { "micros" };
            json!({ "type": "long", "logicalType": format!("{local}timestamp-{unit}") })
        }
        DataType::Decimal128(precision, scale) => json!({
            "type": "fixed", "name": "fixed", "namespace": format!("{namespace}.{name}"),
            "size": decimal_bytes(*precision), "logicalType": "decimal",
            "precision": precision, "scale": scale,
        }),
        DataType::List(item) => json!({ "type": "array", "items": optional(item)? }),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                let value = fields.get(1).map(|value| optional(value)).transpose()?;
                json!({ "type": "map", "values": value })
            }
            _ => return Err(unknown(data_type, name)),
        },
        DataType::Struct(fields) => record(fields, name, namespace)?,
        _ => return Err(unknown(data_type, name)),
    })
}

fn unknown(data_type: &DataType, name: &str) -> SchemaError {
    SchemaError::Type { column: name.to_owned(), found: sql_type(data_type), why: "has no Avro type" }
}

/// The smallest number of bytes that holds every unscaled value of `precision` digits.
fn decimal_bytes(precision: u8) -> usize {
    let limit = 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    (1..=16).find(|bytes| *bytes == 16 || (1i128 << (8 * bytes - 1)) >= limit).unwrap_or(16)
}
