//! The types of a schema, with all names written out.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::super::shape::{Shape, VALUE_BYTES};
use super::{AvroSchemaError, Origin};

/// Columns, nested ones included.
const COLUMNS_MAX: usize = 16_384;
/// Names and types alone, with all references written out.
const EXPANDED_BYTES_MAX: usize = 4 * 1024 * 1024;
const DEPTH_MAX: usize = 64;
const FIXED_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) part: Part,
}

/// A type with all names written out.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) json: Value,
    pub(super) shape: Shape,
    columns: usize,
    depth: usize,
    text_bytes: usize,
    /// The fewest bytes that a value takes in Avro.
    pub(super) bytes_min: u64,
    /// The bytes that values of `fixed` types take in memory, whether null or not.
    fixed_bytes: u64,
}

impl Part {
    /// A guess at what a null of this type takes in memory.
    fn null_bytes(&self) -> u64 {
        self.fixed_bytes.saturating_add(VALUE_BYTES * self.columns as u64)
    }
}

/// Named types seen so far and where the walk is.
#[derive(Default)]
pub(super) struct Expansion {
    named: HashMap<String, Option<Part>>,
    columns: usize,
    text_bytes: usize,
    path: Vec<String>,
    origin: Origin,
}

impl Expansion {
    pub(super) fn of(origin: Origin) -> Self {
        Self { origin, ..Self::default() }
    }

    /// The full name of a record, and its columns.
    pub(super) fn columns(
        &mut self,
        record: &Value,
        enclosing: &str,
    ) -> Result<(String, Vec<Column>), AvroSchemaError> {
        let (full, namespace) = self.full_name(record, enclosing)?;
        self.named.insert(full.clone(), None);
        let columns = self.fields(record, &namespace)?;
        Ok((full, columns))
    }

    fn fields(&mut self, record: &Value, namespace: &str) -> Result<Vec<Column>, AvroSchemaError> {
        let Some(fields) = record.get("fields").and_then(Value::as_array) else {
            return Err(self.wrong("fields of a record", record));
        };
        let mut seen = HashSet::new();
        let mut columns = Vec::with_capacity(fields.len());
        for field in fields {
            let (Some(name), Some(schema)) = (text_of(field, "name"), field.get("type")) else {
                return Err(self.wrong("a field with a name and a type", field));
            };
            if !seen.insert(name) {
                return Err(self.wrong("a name once per record", field));
            }
            self.path.push(name.to_owned());
            let part = self.part(schema, namespace)?;
            self.path.pop();
            columns.push(Column { name: name.to_owned(), part });
        }
        Ok(columns)
    }

    fn part(&mut self, schema: &Value, namespace: &str) -> Result<Part, AvroSchemaError> {
        match schema {
            Value::String(name) if is_primitive(name) => {
                self.leaf(json!(name), primitive_shape(name), primitive_bytes_min(name), 0)
            }
            Value::String(name) => self.reference(schema, name, namespace),
            Value::Array(branches) => self.union(schema, branches, namespace),
            Value::Object(attributes) => match text_of(schema, "type") {
                Some("record") => self.record(schema, namespace),
                Some("array") => self.array(schema, attributes, namespace),
                Some("map") => self.map(schema, attributes, namespace),
                Some("fixed") => self.fixed(schema, namespace),
                Some("enum") => self.enumeration(schema, namespace),
                Some(name) if is_primitive(name) => self.logical(schema, name),
                Some(name) => self.reference(schema, name, namespace),
                None => Err(self.wrong("a type", schema)),
            },
            _ => Err(self.wrong("a type", schema)),
        }
    }

    fn leaf(
        &mut self,
        json: Value,
        shape: Shape,
        bytes_min: u64,
        fixed_bytes: u64,
    ) -> Result<Part, AvroSchemaError> {
        let text_bytes = json.to_string().len();
        self.count(Part { json, shape, columns: 1, depth: 1, text_bytes, bytes_min, fixed_bytes })
    }

    /// Adds what a new part brings to the totals.
    fn count(&mut self, part: Part) -> Result<Part, AvroSchemaError> {
        self.columns += part.columns;
        self.text_bytes += part.text_bytes;
        let too_large = |what, max| Err(AvroSchemaError::TooLarge { what, max });
        if self.columns > COLUMNS_MAX {
            return too_large("columns", COLUMNS_MAX);
        }
        if self.text_bytes > EXPANDED_BYTES_MAX {
            return too_large("bytes with all names written out", EXPANDED_BYTES_MAX);
        }
        Ok(part)
    }

    /// The type around `inner`, of which `json` and `shape` say everything but the inner type.
    fn around(
        &mut self,
        inner: &Part,
        json: Value,
        shape: Shape,
        bytes_min: u64,
    ) -> Result<Part, AvroSchemaError> {
        let depth = inner.depth + 1;
        if depth > DEPTH_MAX {
            return Err(AvroSchemaError::TooLarge { what: "nested types", max: DEPTH_MAX });
        }
        let itself = Part {
            json: Value::Null,
            shape: Shape::Null,
            columns: 1,
            depth,
            text_bytes: 32,
            bytes_min,
            fixed_bytes: 0,
        };
        self.count(itself)?;
        Ok(Part {
            json,
            shape,
            columns: inner.columns + 1,
            depth,
            text_bytes: inner.text_bytes + 32,
            bytes_min,
            fixed_bytes: inner.fixed_bytes,
        })
    }

    fn union(&mut self, union: &Value, branches: &[Value], namespace: &str) -> Result<Part, AvroSchemaError> {
        let is_nullable = matches!(branches, [one, other] if is_null(one) != is_null(other));
        if !is_nullable && self.origin == Origin::Table {
            return Err(self.wrong("a union of null and one type", union));
        }
        let parts = branches.iter().map(|branch| match branch {
            branch if is_null(branch) => Ok(null_part()),
            branch => self.part(branch, namespace),
        });
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        if parts.is_empty() || parts.iter().any(|part| part.json.is_array()) {
            return Err(self.wrong("a union of types, and not of unions", union));
        }
        let json = parts.iter().map(|part| part.json.clone()).collect();
        // Beside several types, a null takes the number of its branch and a place there.
        let null_bytes = if is_nullable { parts.iter().map(Part::null_bytes).sum() } else { VALUE_BYTES };
        let shape =
            Shape::Union { branches: parts.iter().map(|part| part.shape.clone()).collect(), null_bytes };
        self.around(&joined(&parts), Value::Array(json), shape, 1)
    }

    fn array(
        &mut self,
        schema: &Value,
        attributes: &Map<String, Value>,
        namespace: &str,
    ) -> Result<Part, AvroSchemaError> {
        let items = attributes.get("items").ok_or_else(|| self.wrong("items of an array", schema))?;
        let items = self.part(items, namespace)?;
        if items.bytes_min == 0 {
            return Err(self.wrong("array items that take bytes", schema));
        }
        let json = json!({"type": "array", "items": items.json});
        self.around(&items, json, Shape::List(Box::new(items.shape.clone())), 1)
    }

    fn map(
        &mut self,
        schema: &Value,
        attributes: &Map<String, Value>,
        namespace: &str,
    ) -> Result<Part, AvroSchemaError> {
        let values = attributes.get("values").ok_or_else(|| self.wrong("values of a map", schema))?;
        let values = self.part(values, namespace)?;
        let json = json!({"type": "map", "values": values.json});
        self.around(&values, json, Shape::Map(Box::new(values.shape.clone())), 1)
    }

    fn record(&mut self, schema: &Value, namespace: &str) -> Result<Part, AvroSchemaError> {
        let (full, columns) = self.columns(schema, namespace)?;
        let fields: Vec<_> = columns.iter().map(|c| json!({"name": c.name, "type": c.part.json})).collect();
        let json = json!({"type": "record", "name": full, "fields": fields});
        let names: usize = columns.iter().map(|c| c.name.len() + 24).sum();
        let parts: Vec<_> = columns.into_iter().map(|column| column.part).collect();
        let mut inner = joined(&parts);
        inner.text_bytes += names + full.len();
        let shape = Shape::Record(parts.into_iter().map(|part| part.shape).collect());
        let part = self.around(&inner, json, shape, inner.bytes_min)?;
        self.named.insert(full, Some(part.clone()));
        Ok(part)
    }

    fn fixed(&mut self, schema: &Value, namespace: &str) -> Result<Part, AvroSchemaError> {
        let (full, _) = self.full_name(schema, namespace)?;
        let size = schema.get("size").and_then(Value::as_u64).filter(|size| *size <= FIXED_BYTES_MAX);
        let size = size.ok_or_else(|| self.wrong("a size of at most 1 MiB", schema))?;
        let mut json = json!({"type": "fixed", "name": full, "size": size});
        if text_of(schema, "logicalType") == Some("decimal") {
            self.add_decimal(schema, &mut json)?;
        }
        let part = self.leaf(json, Shape::Fixed(size), size, size)?;
        self.named.insert(full, Some(part.clone()));
        Ok(part)
    }

    fn enumeration(&mut self, schema: &Value, namespace: &str) -> Result<Part, AvroSchemaError> {
        let (full, _) = self.full_name(schema, namespace)?;
        let symbols = schema.get("symbols").and_then(Value::as_array);
        let symbols = symbols.filter(|s| !s.is_empty() && s.iter().all(Value::is_string));
        let symbols = symbols.ok_or_else(|| self.wrong("symbols of an enum", schema))?;
        let json = json!({"type": "enum", "name": full, "symbols": symbols});
        let bytes_max = symbols.iter().filter_map(Value::as_str).map(str::len).max().unwrap_or_default();
        let shape = Shape::Symbol { count: symbols.len() as u64, bytes_max: bytes_max as u64 };
        let part = self.leaf(json, shape, 1, 0)?;
        self.named.insert(full, Some(part.clone()));
        Ok(part)
    }

    /// A primitive with attributes, of which those stay that Hudi's engines give a type to.
    fn logical(&mut self, schema: &Value, primitive: &str) -> Result<Part, AvroSchemaError> {
        let logical = text_of(schema, "logicalType");
        let mut json = json!(primitive);
        match (primitive, logical) {
            ("int", Some("date" | "time-millis"))
            | (
                "long",
                Some(
                    "time-micros"
                    | "timestamp-millis"
                    | "timestamp-micros"
                    | "timestamp-nanos"
                    | "local-timestamp-millis"
                    | "local-timestamp-micros"
                    | "local-timestamp-nanos",
                ),
            ) => json = json!({"type": primitive, "logicalType": logical}),
            ("bytes", Some("decimal")) => {
                json = json!({"type": primitive});
                self.add_decimal(schema, &mut json)?;
            }
            _ => {}
        }
        self.leaf(json, primitive_shape(primitive), primitive_bytes_min(primitive), 0)
    }

    fn add_decimal(&self, schema: &Value, json: &mut Value) -> Result<(), AvroSchemaError> {
        let (digits_max, expected) = match self.origin {
            Origin::Table => (38, "a decimal of at most 38 digits"),
            Origin::Input => (76, "a decimal of at most 76 digits"),
        };
        let number = |key: &str| schema.get(key).map_or(Some(0), Value::as_u64);
        let fits =
            |(precision, scale): &(u64, u64)| (1..=digits_max).contains(precision) && scale <= precision;
        let decimal = number("precision").zip(number("scale")).filter(fits);
        let (precision, scale) = decimal.ok_or_else(|| self.wrong(expected, schema))?;
        if let Some(attributes) = json.as_object_mut() {
            attributes.insert("logicalType".into(), "decimal".into());
            attributes.insert("precision".into(), precision.into());
            attributes.insert("scale".into(), scale.into());
        }
        Ok(())
    }

    fn reference(&mut self, schema: &Value, name: &str, namespace: &str) -> Result<Part, AvroSchemaError> {
        let qualified = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") };
        let full = if name.contains('.') { name } else { qualified.as_str() };
        match self.named.get(full).or_else(|| self.named.get(name)) {
            Some(Some(part)) => {
                let part = part.clone();
                self.count(part)
            }
            Some(None) => Err(self.wrong("a type that does not hold itself", schema)),
            None => Err(self.wrong("the name of a type defined before", schema)),
        }
    }

    /// The full name of a named type, and the namespace for what it holds.
    fn full_name(&self, schema: &Value, enclosing: &str) -> Result<(String, String), AvroSchemaError> {
        let name = text_of(schema, "name").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| self.wrong("a name", schema))?;
        let (namespace, name) = match name.rsplit_once('.') {
            Some((namespace, name)) => (namespace, name),
            None => (text_of(schema, "namespace").unwrap_or(enclosing), name),
        };
        let full = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") };
        Ok((full, namespace.to_owned()))
    }

    pub(super) fn wrong(&self, expected: &'static str, found: &Value) -> AvroSchemaError {
        let at = if self.path.is_empty() { "its root".to_owned() } else { self.path.join(".") };
        let bounded = |text: String| text.chars().take(120).collect();
        AvroSchemaError::Shape { at: bounded(at), expected, found: bounded(found.to_string()) }
    }
}

fn text_of<'a>(schema: &'a Value, key: &str) -> Option<&'a str> {
    schema.get(key).and_then(Value::as_str)
}

/// Whether a schema is that of null, in either spelling.
fn is_null(schema: &Value) -> bool {
    schema.as_str().or_else(|| text_of(schema, "type")) == Some("null")
}

/// The null of a union: there is no column for it.
fn null_part() -> Part {
    let json = Value::from("null");
    Part { json, shape: Shape::Null, columns: 0, depth: 0, text_bytes: 0, bytes_min: 0, fixed_bytes: 0 }
}

/// What `parts` are together.
fn joined(parts: &[Part]) -> Part {
    let sum = |of: fn(&Part) -> u64| parts.iter().fold(0_u64, |sum, part| sum.saturating_add(of(part)));
    Part {
        json: Value::Null,
        shape: Shape::Null,
        columns: parts.iter().map(|part| part.columns).sum(),
        depth: parts.iter().map(|part| part.depth).max().unwrap_or_default(),
        text_bytes: parts.iter().map(|part| part.text_bytes).sum(),
        bytes_min: sum(|part| part.bytes_min),
        fixed_bytes: sum(|part| part.fixed_bytes),
    }
}

fn primitive_shape(name: &str) -> Shape {
    match name {
        "null" => Shape::Null,
        "boolean" => Shape::Fixed(1),
        "float" => Shape::Fixed(4),
        "double" => Shape::Fixed(8),
        "bytes" | "string" => Shape::Bytes,
        _ => Shape::Number,
    }
}

fn is_primitive(name: &str) -> bool {
    matches!(name, "null" | "boolean" | "int" | "long" | "float" | "double" | "bytes" | "string")
}

fn primitive_bytes_min(name: &str) -> u64 {
    match name {
        "null" => 0,
        "float" => 4,
        "double" => 8,
        _ => 1,
    }
}
