//! The text of a partition, out of a time.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono::DateTime;
use lakebed_hudi::date_pattern::{DatePattern, DatePatternError};

use super::{Faults, MappingError, find};
use crate::ingest::decode::Fault;
use crate::ingest::job::PartitionExpression;

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) target: Arc<Field>,
    pub(super) from: String,
    pattern: DatePattern,
}

impl Partition {
    pub(super) fn new(settings: &PartitionExpression, table: &Schema) -> Result<Self, MappingError> {
        let target = find(table, &settings.column, "mapping.partition.column")?;
        let from = find(table, &settings.from, "mapping.partition.from")?;
        let wrong = |key: &str, field: &Field, expected| MappingError::Type {
            setting: format!("mapping.partition.{key}"),
            column: field.name().clone(),
            found: field.data_type().clone(),
            expected,
        };
        if target.data_type() != &DataType::Utf8 {
            return Err(wrong("column", target, "a string"));
        }
        if !matches!(from.data_type(), DataType::Date32 | DataType::Timestamp(_, _)) {
            return Err(wrong("from", from, "a date or timestamp"));
        }
        let pattern = DatePattern::parse(&settings.pattern)
            .map_err(|error| wrong_pattern("mapping.partition.pattern", target, &error))?;
        Ok(Self { target: target.clone(), from: settings.from.clone(), pattern })
    }

    pub(super) fn make(
        &self,
        from: Option<&ArrayRef>,
        rows: usize,
        faults: &mut Faults,
    ) -> Result<ArrayRef, MappingError> {
        let Some(from) = from else { return Ok(new_null_array(&DataType::Utf8, rows)) };
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let failed = |source| MappingError::Arrow { column: self.target.name().clone(), source };
        // A time with a zone is spelled in UTC: the instant stays, the zone goes.
        let times = match from.data_type() {
            DataType::Timestamp(unit, Some(_)) => {
                let utc = DataType::Timestamp(*unit, Some("UTC".into()));
                cast_with_options(from, &utc, &CastOptions::default()).map_err(failed)?
            }
            _ => from.clone(),
        };
        let times = cast_with_options(&times, &micros, &CastOptions::default()).map_err(failed)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let mut spell = |(row, micros): (usize, Option<i64>)| {
            let time = DateTime::from_timestamp_micros(micros?);
            if time.is_none() {
                faults.add(
                    row,
                    Fault::of_value(&self.from, &micros?.to_string(), "the time has no calendar date"),
                );
            }
            Some(self.pattern.format(time?.naive_utc(), 0))
        };
        let texts: StringArray = times.iter().enumerate().map(&mut spell).collect();
        Ok(Arc::new(texts))
    }
}

fn wrong_pattern(setting: &str, field: &Field, error: &DatePatternError) -> MappingError {
    let source = ArrowError::InvalidArgumentError(format!("{setting}: {error}"));
    MappingError::Arrow { column: field.name().clone(), source }
}
