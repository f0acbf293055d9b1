//! Avro JSON to Arrow types.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use serde_json::Value;

use super::{LIST_ELEMENT, SchemaError};

/// Deeper nesting than this is no schema that any engine writes.
const MAX_DEPTH: usize = 64;
/// Nor are more types than this, each use of a named type counted with all that is in it.
const MAX_TYPES: usize = 100_000;

/// The Arrow schema of an Avro record as it stands, meta columns included.
///
/// Used for the schemas of log blocks and footers, which describe exactly the rows beside them.
///
/// # Errors
/// Text that is no record, or types that no Hudi table has.
pub fn arrow_of_avro(text: &str) -> Result<Schema, SchemaError> {
    let avro: Value = serde_json::from_str(text).map_err(|e| SchemaError::Broken { what: e.to_string() })?;
    record(&avro)
}

/// The Arrow schema of an Avro record.
pub(super) fn record(avro: &Value) -> Result<Schema, SchemaError> {
    let mut reader = Reader { named: HashMap::new(), depth: 0, types: 0 };
    match reader.data_type(avro, "", "")? {
        DataType::Struct(fields) => Ok(Schema::new(fields)),
        _ => Err(SchemaError::Broken { what: format!("expected a record, found {}", excerpt(avro)) }),
    }
}

struct Reader {
    /// Named types with the number of types in them.
    named: HashMap<String, (DataType, usize)>,
    depth: usize,
    types: usize,
}

impl Reader {
    fn data_type(&mut self, avro: &Value, column: &str, namespace: &str) -> Result<DataType, SchemaError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SchemaError::Broken { what: format!("nested deeper than {MAX_DEPTH} levels") });
        }
        self.count(1)?;
        let data_type = match avro {
            Value::String(name) => self.by_name(name, column, namespace),
            Value::Object(_) => self.complex(avro, column, namespace),
            _ => Err(unsupported(column, avro, "is no single type")),
        };
        self.depth -= 1;
        data_type
    }

    fn field(
        &mut self,
        name: &str,
        avro: &Value,
        column: &str,
        namespace: &str,
    ) -> Result<Field, SchemaError> {
        let Value::Array(branches) = avro else {
            return Ok(Field::new(name, self.data_type(avro, column, namespace)?, false));
        };
        let is_null = |branch: &&Value| branch.as_str() == Some("null");
        let nullable = branches.iter().any(|b| is_null(&b));
        let mut others = branches.iter().filter(|b| !is_null(b));
        match (others.next(), others.next()) {
            (Some(one), None) => Ok(Field::new(name, self.data_type(one, column, namespace)?, nullable)),
            _ => Err(unsupported(column, avro, "is a union of several types")),
        }
    }

    fn count(&mut self, types: usize) -> Result<(), SchemaError> {
        self.types = self.types.saturating_add(types);
        if self.types > MAX_TYPES {
            return Err(SchemaError::Broken { what: format!("more than {MAX_TYPES} types") });
        }
        Ok(())
    }

    fn by_name(&mut self, name: &str, column: &str, namespace: &str) -> Result<DataType, SchemaError> {
        if let Some(primitive) = primitive(name) {
            return Ok(primitive);
        }
        let full = full_name(name, namespace);
        let Some((data_type, types)) = self.named.get(&full).or_else(|| self.named.get(name)).cloned() else {
            return Err(SchemaError::Type {
                column: column.to_owned(),
                found: name.chars().take(100).collect(),
                why: "is not defined before its use",
            });
        };
        self.count(types)?;
        Ok(data_type)
    }

    fn complex(&mut self, avro: &Value, column: &str, namespace: &str) -> Result<DataType, SchemaError> {
        let text = |key: &str| avro.get(key).and_then(Value::as_str);
        let Some(kind) = text("type") else {
            // {"type": {...}}: one more level that means nothing.
            let inner = avro.get("type").ok_or_else(|| unsupported(column, avro, "has no type"))?;
            return self.data_type(inner, column, namespace);
        };
        let own_namespace = text("namespace").unwrap_or(namespace).to_owned();
        let types_before = self.types;
        let data_type = match kind {
            "record" | "error" => self.fields(avro, column, &own_namespace)?,
            "array" => {
                let items = avro.get("items").ok_or_else(|| unsupported(column, avro, "has no items"))?;
                DataType::List(Arc::new(self.field(LIST_ELEMENT, items, column, namespace)?))
            }
            "map" => {
                let values = avro.get("values").ok_or_else(|| unsupported(column, avro, "has no values"))?;
                let entries = vec![
                    Field::new("key", DataType::Utf8, false),
                    self.field("value", values, column, namespace)?,
                ];
                DataType::Map(
                    Arc::new(Field::new("key_value", DataType::Struct(entries.into()), false)),
                    false,
                )
            }
            "enum" => DataType::Utf8,
            "fixed" => match text("logicalType") {
                Some("decimal") => decimal(avro, column)?,
                _ => {
                    let size = avro.get("size").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
                    DataType::FixedSizeBinary(size.ok_or_else(|| unsupported(column, avro, "has no size"))?)
                }
            },
            simple => match logical(simple, text("logicalType")) {
                Some(data_type) => data_type,
                None if text("logicalType") == Some("decimal") => decimal(avro, column)?,
                None => return self.by_name(simple, column, namespace),
            },
        };
        if let Some(name) = text("name") {
            let full = full_name(name, &own_namespace);
            self.named.insert(full, (data_type.clone(), self.types - types_before));
        }
        Ok(data_type)
    }

    fn fields(&mut self, avro: &Value, column: &str, namespace: &str) -> Result<DataType, SchemaError> {
        let fields = avro.get("fields").and_then(Value::as_array);
        let fields = fields.ok_or_else(|| unsupported(column, avro, "has no fields"))?;
        // A name with dots brings its own namespace for the names within.
        let name = avro.get("name").and_then(Value::as_str).unwrap_or_default();
        let inner = name.rsplit_once('.').map_or(namespace, |(own, _)| own).to_owned();
        let fields: Vec<Field> = fields
            .iter()
            .map(|field| {
                let name = field.get("name").and_then(Value::as_str);
                let name = name.ok_or_else(|| unsupported(column, avro, "has a field without a name"))?;
                let path = if column.is_empty() { name.to_owned() } else { format!("{column}.{name}") };
                let field_type = field.get("type").ok_or_else(|| unsupported(&path, field, "has no type"))?;
                self.field(name, field_type, &path, &inner)
            })
            .collect::<Result<_, _>>()?;
        Ok(DataType::Struct(fields.into()))
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn primitive(name: &str) -> Option<DataType> {
    Some(match name {
        "boolean" => DataType::Boolean,
        "int" => DataType::Int32,
        "long" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "string" => DataType::Utf8,
        "bytes" => DataType::Binary,
        _ => return None,
    })
}

fn logical(primitive_name: &str, logical_type: Option<&str>) -> Option<DataType> {
    let utc = || Some(Arc::from("UTC"));
    Some(match (primitive_name, logical_type) {
        ("int", Some("date")) => DataType::Date32,
        ("int", Some("time-millis")) => DataType::Time32(TimeUnit::Millisecond),
        ("long", Some("time-micros")) => DataType::Time64(TimeUnit::Microsecond),
        ("long", Some("timestamp-millis")) => DataType::Timestamp(TimeUnit::Millisecond, utc()),
        ("long", Some("timestamp-micros")) => DataType::Timestamp(TimeUnit::Microsecond, utc()),
        ("long", Some("local-timestamp-millis")) => DataType::Timestamp(TimeUnit::Millisecond, None),
        ("long", Some("local-timestamp-micros")) => DataType::Timestamp(TimeUnit::Microsecond, None),
        ("bytes", Some("decimal")) => return None,
        // Unknown logical types mean their base type, as Avro says.
        (name, _) => return primitive(name),
    })
}

fn decimal(avro: &Value, column: &str) -> Result<DataType, SchemaError> {
    let number = |key: &str| avro.get(key).and_then(Value::as_i64);
    let precision = number("precision").and_then(|p| u8::try_from(p).ok()).filter(|p| (1..=38).contains(p));
    let scale = i8::try_from(number("scale").unwrap_or(0)).ok().filter(|s| *s >= 0);
    match (precision, scale) {
        (Some(precision), Some(scale)) if scale as u8 <= precision => {
            Ok(DataType::Decimal128(precision, scale))
        }
        _ => Err(unsupported(column, avro, "needs a precision of 1 to 38 and a scale of at most that")),
    }
}

fn unsupported(column: &str, avro: &Value, why: &'static str) -> SchemaError {
    SchemaError::Type { column: column.to_owned(), found: excerpt(avro), why }
}

fn excerpt(avro: &Value) -> String {
    avro.to_string().chars().take(200).collect()
}
