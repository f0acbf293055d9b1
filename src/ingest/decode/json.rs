//! JSON records, one object a line.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use lakebed_hudi::schema::sql_type;
use serde_json::{Map, Value};

use super::Wanted;
use super::json_numbers::{find_fraction, may_hold_fractions};
use super::record::{Fault, near_match_note};
use super::text_block::RecordDecoder;

/// Decodes JSON objects; keys that a record lacks are null.
#[derive(Debug)]
pub(super) struct JsonDecoder {
    schema: SchemaRef,
    has_integers: bool,
    unknown_allowed: bool,
}

impl JsonDecoder {
    pub(super) fn new(wanted: &Wanted) -> Self {
        let schema = wanted.schema();
        let has_integers =
            schema.fields().iter().any(|field| super::json_numbers::has_integers(field.data_type()));
        Self { schema, has_integers, unknown_allowed: wanted.unknown_allowed }
    }

    fn decode_as(&self, schema: SchemaRef, text: &[u8], records: usize) -> Result<RecordBatch, ArrowError> {
        let mut decoder = ReaderBuilder::new(schema)
            .with_batch_size(records + 1)
            .with_strict_mode(!self.unknown_allowed)
            .build_decoder()?;
        let count = decoder.decode(text)?;
        if decoder.has_partial_record() {
            return Err(ArrowError::JsonError("the object does not end on its line".to_owned()));
        }
        if count < text.len() {
            return Err(ArrowError::JsonError("more values than lines".to_owned()));
        }
        Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(self.schema.clone())))
    }

    fn unknown_key(&self, object: &Map<String, Value>) -> Option<Fault> {
        let known: Vec<String> = self.schema.fields().iter().map(|f| f.name().clone()).collect();
        let key = object.keys().find(|key| !known.contains(key))?;
        let near = near_match_note(key, &known);
        let value = object.get(key).map(Value::to_string).unwrap_or_default();
        Some(Fault::of_value(key, &value, format!("the table has no such column{near}")))
    }
}

impl RecordDecoder for JsonDecoder {
    fn kind(&self) -> &'static str {
        "jsonl"
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode(&self, text: &[u8], records: usize) -> Result<RecordBatch, ArrowError> {
        let batch = self.decode_as(self.schema.clone(), text, records)?;
        if self.has_integers && may_hold_fractions(text) {
            for line in text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
                if let Some((column, value)) = find_fraction(line, &self.schema) {
                    return Err(ArrowError::JsonError(format!("{column}: {value} is no whole number")));
                }
            }
        }
        Ok(batch)
    }

    fn explain(&self, record: &[u8], reason: &str) -> Fault {
        let object = match serde_json::from_slice::<Value>(record.trim_ascii_end()) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Fault::of_record("it is no JSON object"),
            Err(error) if error.is_eof() => return Fault::of_record("the object does not end on its line"),
            Err(error) => return Fault::of_record(format!("it is no JSON: {error}")),
        };
        if let Some(fault) = self.unknown_key(&object).filter(|_| !self.unknown_allowed) {
            return fault;
        }
        if let Some((column, value)) = find_fraction(record, &self.schema) {
            return Fault::of_value(&column, &value, "it is no whole number");
        }
        for field in self.schema.fields() {
            let Some(value) = object.get(field.name()) else { continue };
            if let Err(reason) = self.decode_value(field, value) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                return Fault::of_value(field.name(), &text, reason);
            }
        }
        Fault::of_record(reason)
    }
}

impl JsonDecoder {
    fn decode_value(&self, field: &Arc<Field>, value: &Value) -> Result<(), String> {
        let object: Map<String, Value> = [(field.name().clone(), value.clone())].into_iter().collect();
        let text = Value::Object(object).to_string();
        let schema = Arc::new(Schema::new(vec![field.clone()]));
        match self.decode_as(schema, text.as_bytes(), 1) {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("it is no {}", sql_type(field.data_type()))),
        }
    }
}
