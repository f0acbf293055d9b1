//! One column of the table, out of one of the input.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt64Array, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, concat, take};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use arrow::util::display::array_value_to_string;
use lakebed_hudi::date_pattern::DatePattern;
use lakebed_hudi::schema::sql_type;

use super::{Faults, MappingError};
use crate::ingest::decode::Fault;
use crate::ingest::job::{Cast, CastUnit, Job};
use crate::table::conform_array;
use crate::write::KeyRules;

#[derive(Debug)]
pub(super) struct Column {
    pub(super) target: Arc<Field>,
    pub(super) source: String,
    pub(super) rule: Rule,
    /// Whether a row that only deletes must have it as any other.
    pub(super) is_of_deletes: bool,
}

#[derive(Debug)]
pub(super) enum Rule {
    AsIs,
    Convert,
    Pattern(DatePattern, String),
    Unit(CastUnit),
}

impl Column {
    pub(super) fn new(target: &Arc<Field>, job: &Job, keys: &KeyRules) -> Result<Self, MappingError> {
        let settings = &job.mapping;
        let renamed = settings.rename.iter().find(|(_, to)| *to == target.name());
        let source = renamed.map_or(target.name(), |(from, _)| from).clone();
        let is_time = matches!(target.data_type(), DataType::Date32 | DataType::Timestamp(_, _));
        let check_time = |key: &str| {
            let (setting, column) = (format!("mapping.cast.{}.{key}", target.name()), target.name().clone());
            let found = target.data_type().clone();
            let error = MappingError::Type { setting, column, found, expected: "a date or timestamp" };
            if is_time { Ok(()) } else { Err(error) }
        };
        let rule = match settings.cast.get(target.name()) {
            None => Rule::AsIs,
            Some(Cast { pattern: Some(pattern), .. }) => {
                check_time("pattern")?;
                // The job was checked: its patterns are sound.
                DatePattern::parse(pattern)
                    .map_or(Rule::Convert, |parsed| Rule::Pattern(parsed, pattern.clone()))
            }
            Some(Cast { unit: Some(unit), .. }) => {
                check_time("unit")?;
                Rule::Unit(*unit)
            }
            Some(_) => Rule::Convert,
        };
        let makes_partition = settings.partition.as_ref().is_some_and(|p| p.from == *target.name());
        let is_of_deletes = keys.needs(target.name()) || makes_partition;
        Ok(Self { target: target.clone(), source, rule, is_of_deletes })
    }

    /// The column's values; `None` if the input lacks it.
    pub(super) fn map(
        &self,
        records: &RecordBatch,
        deletes: Option<&BooleanArray>,
        faults: &mut Faults,
    ) -> Result<Option<ArrayRef>, MappingError> {
        let deletes = deletes.filter(|_| !self.is_of_deletes);
        let needs = |row: usize| !self.target.is_nullable() && deletes.is_none_or(|flags| !flags.value(row));
        let Some(found) = records.column_by_name(&self.source) else {
            if !self.target.is_nullable() {
                for row in (0..records.num_rows()).filter(|row| needs(*row)) {
                    faults.add(
                        row,
                        Fault::of_record(format!("it has no {:?}, which the table requires", self.source)),
                    );
                }
                return Ok(Some(new_null_array(self.target.data_type(), records.num_rows())));
            }
            return Ok(None);
        };
        let values = match &self.rule {
            Rule::AsIs => self.widen(found)?,
            Rule::Convert => self.convert(found, self.target.data_type())?,
            Rule::Unit(unit) => self.count(found, *unit)?,
            Rule::Pattern(pattern, _) => self.parse(found, pattern)?,
        };
        let nulls = found.logical_nulls();
        let is_there = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        for row in 0..values.len() {
            if values.is_null(row) && is_there(row) {
                faults.add(row, self.fault(found, row));
            } else if values.is_null(row) && needs(row) {
                let reason = "it is null, and the table requires a value".to_owned();
                faults.add(row, Fault { column: Some(self.source.clone()), value: None, reason });
            }
        }
        Ok(Some(values))
    }

    /// What is wrong with a value that could not be had as the table has it.
    fn fault(&self, found: &ArrayRef, row: usize) -> Fault {
        let value = array_value_to_string(found, row).unwrap_or_default();
        let (from, to) = (sql_type(found.data_type()), sql_type(self.target.data_type()));
        let reason = match &self.rule {
            Rule::Pattern(_, pattern) => format!("it does not match the pattern {pattern:?}"),
            Rule::AsIs => format!("it is {from} and does not become {to} by itself; see mapping.cast"),
            Rule::Convert | Rule::Unit(_) => format!("it is {from} and cannot become {to}"),
        };
        Fault::of_value(&self.source, &value, reason)
    }

    /// Widens as the table does; what does not fit is null.
    fn widen(&self, values: &ArrayRef) -> Result<ArrayRef, MappingError> {
        let to = self.target.data_type();
        self.as_far_as_it_goes(values, to, |values| conform_array(values, to, self.target.name()).ok())
    }

    /// Converts by Arrow's rules; what does not convert is null.
    fn convert(&self, values: &ArrayRef, to: &DataType) -> Result<ArrayRef, MappingError> {
        let options = CastOptions { safe: true, ..CastOptions::default() };
        self.as_far_as_it_goes(values, to, |values| cast_with_options(values, to, &options).ok())
    }

    /// What `convert` makes of all values, else of each of them; of the others null.
    fn as_far_as_it_goes(
        &self,
        values: &ArrayRef,
        to: &DataType,
        convert: impl Fn(&ArrayRef) -> Option<ArrayRef>,
    ) -> Result<ArrayRef, MappingError> {
        if let Some(converted) = convert(values) {
            return Ok(converted);
        }
        // A slice would share the bytes of all values, and the fault in one of them.
        let one = |row| take(values, &UInt64Array::from(vec![row]), None).ok().and_then(|one| convert(&one));
        let rows = 0..values.len() as u64;
        let mut each: Vec<ArrayRef> =
            rows.map(|row| one(row).unwrap_or_else(|| new_null_array(to, 1))).collect();
        each.push(new_null_array(to, 0));
        let each: Vec<&dyn Array> = each.iter().map(AsRef::as_ref).collect();
        concat(&each).map_err(|source| MappingError::Arrow { column: self.target.name().clone(), source })
    }

    fn count(&self, values: &ArrayRef, unit: CastUnit) -> Result<ArrayRef, MappingError> {
        let numbers = self.convert(values, &DataType::Int64)?;
        let factor = match unit {
            CastUnit::Seconds => 1_000_000,
            CastUnit::Millis => 1_000,
            CastUnit::Micros => 1,
        };
        let micros = numbers.as_primitive::<Int64Type>().iter().map(|n| n?.checked_mul(factor));
        self.times(micros.collect())
    }

    fn parse(&self, values: &ArrayRef, pattern: &DatePattern) -> Result<ArrayRef, MappingError> {
        let texts = self.convert(values, &DataType::Utf8)?;
        let micros = texts.as_string::<i32>().iter().map(|text| {
            let (time, offset) = pattern.read(text?)?;
            let micros = time.and_utc().timestamp_micros();
            micros.checked_sub(i64::from(offset.unwrap_or(0)) * 1_000_000)
        });
        self.times(micros.collect())
    }

    fn times(&self, micros: Int64Array) -> Result<ArrayRef, MappingError> {
        let zone = match self.target.data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let times =
            self.convert(&(Arc::new(micros) as ArrayRef), &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
        self.convert(&times, self.target.data_type())
    }
}
