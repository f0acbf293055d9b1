//! From the columns of an input to those of a table.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use chrono::DateTime;
use lakebed_hudi::date_pattern::DatePattern;
use lakebed_hudi::schema::sql_type;

use super::decode::{Fault, Wanted, WantedColumn};
use super::job::{Cast, CastUnit, ColumnPolicy, Job, MissingColumns, Operation};
use crate::near_match::near_match;

/// Why a job's mapping does not fit its table or input.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// A column that the table does not have.
    #[error("{setting}: the table has no column {column:?}{}", near.as_ref().map(|near| format!("; did you mean {near:?}?")).unwrap_or_default())]
    NoColumn {
        /// The setting that names it.
        setting: String,
        /// The column.
        column: String,
        /// One with a similar name.
        near: Option<String>,
    },
    /// A column of a type that the setting is not for.
    #[error("{setting}: column {column:?} is {}, expected {expected}", sql_type(found))]
    Type {
        /// The setting.
        setting: String,
        /// The column.
        column: String,
        /// Its type.
        found: DataType,
        /// What the setting is for.
        expected: &'static str,
    },
    /// An input column of a type that does not convert.
    #[error("column {column:?} cannot be mapped: {source}")]
    Arrow {
        /// The column of the table.
        column: String,
        /// What Arrow says.
        source: ArrowError,
    },
}

/// Makes rows of a table out of decoded records.
#[derive(Debug)]
pub struct Mapping {
    columns: Vec<Column>,
    partition: Option<Partition>,
    operation: Option<OperationRule>,
    deletes: bool,
    wanted: Wanted,
}

#[derive(Debug)]
struct Column {
    target: Arc<Field>,
    source: String,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    AsIs,
    Convert,
    Pattern(DatePattern, String),
    Unit(CastUnit),
}

#[derive(Debug)]
struct Partition {
    target: Arc<Field>,
    from: String,
    pattern: DatePattern,
}

#[derive(Debug)]
struct OperationRule {
    column: String,
    upsert: Vec<String>,
    delete: Vec<String>,
}

/// Rows of a table, and the records that did not become any.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// The rows, in the order of their records.
    pub rows: RecordBatch,
    /// Which rows only delete their key.
    pub deletes: Option<BooleanArray>,
    /// The decoded row that each row was; `None` if all were taken.
    pub kept: Option<Vec<usize>>,
    /// What is wrong with the others, by decoded row, in order.
    pub faults: Vec<(usize, Fault)>,
}

impl Mapping {
    /// The mapping of `job` to a table with the columns `table`.
    ///
    /// # Errors
    /// Settings that name columns which the table does not have, or of other types.
    pub fn new(job: &Job, table: &Schema) -> Result<Self, MappingError> {
        let settings = &job.mapping;
        for (source, target) in &settings.rename {
            find(table, target, &format!("mapping.rename.{source}"))?;
        }
        for column in settings.cast.keys() {
            find(table, column, &format!("mapping.cast.{column}"))?;
        }
        let partition = match &settings.partition {
            Some(settings) => Some(Partition::new(settings, table)?),
            None => None,
        };
        let columns = table
            .fields()
            .iter()
            .filter(|field| partition.as_ref().is_none_or(|p| p.target.name() != field.name()))
            .map(|field| Column::new(field, job))
            .collect::<Result<Vec<_>, _>>()?;
        let operation = settings.operation.as_ref().map(|settings| OperationRule {
            column: settings.column.clone(),
            upsert: settings.upserts(),
            delete: settings.deletes(),
        });
        let wanted = wanted(job, &columns, operation.as_ref());
        Ok(Self { columns, partition, operation, deletes: job.operation == Operation::Delete, wanted })
    }

    /// The columns to ask of inputs.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Makes rows. Works on the caller's thread: meant for rayon.
    ///
    /// # Errors
    /// Columns of types that do not convert at all.
    pub fn map(&self, records: &RecordBatch) -> Result<Mapped, MappingError> {
        let mut faults = Faults::default();
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for column in &self.columns {
            let Some(array) = column.map(records, &mut faults)? else { continue };
            fields.push(Field::new(column.target.name(), array.data_type().clone(), true));
            arrays.push(array);
        }
        let mut schema: SchemaRef = Arc::new(Schema::new(fields));
        if let Some(partition) = &self.partition {
            let from = schema.column_with_name(&partition.from).and_then(|(index, _)| arrays.get(index));
            let made = partition.make(from, records.num_rows(), &mut faults)?;
            let mut fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
            fields.push(Field::new(partition.target.name(), DataType::Utf8, true));
            arrays.push(made);
            schema = Arc::new(Schema::new(fields));
        }
        let deletes = match &self.operation {
            Some(rule) => Some(rule.deletes(records, &mut faults)?),
            None => self.deletes.then(|| BooleanArray::from(vec![true; records.num_rows()])),
        };
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(records.num_rows()));
        let rows = RecordBatch::try_new_with_options(schema, arrays, &options)
            .map_err(|source| MappingError::Arrow { column: "all columns".to_owned(), source })?;
        faults.leave_out(rows, deletes)
    }
}

fn find<'a>(table: &'a Schema, column: &str, setting: &str) -> Result<&'a Arc<Field>, MappingError> {
    table.fields().iter().find(|field| field.name() == column).ok_or_else(|| MappingError::NoColumn {
        setting: setting.to_owned(),
        column: column.to_owned(),
        near: near_match(column, table.fields().iter().map(|f| f.name().as_str())).map(str::to_owned),
    })
}

fn wanted(job: &Job, columns: &[Column], operation: Option<&OperationRule>) -> Wanted {
    let required = job.mapping.missing_columns == MissingColumns::Fail;
    let mut wanted: Vec<WantedColumn> = columns
        .iter()
        .map(|column| {
            let data_type = match &column.rule {
                Rule::AsIs => column.target.data_type().clone(),
                Rule::Convert | Rule::Pattern(..) => DataType::Utf8,
                Rule::Unit(_) => DataType::Int64,
            };
            WantedColumn { name: column.source.clone(), data_type, required }
        })
        .collect();
    if let Some(rule) = operation {
        wanted.retain(|column| column.name != rule.column);
        wanted.push(WantedColumn { name: rule.column.clone(), data_type: DataType::Utf8, required: true });
    }
    Wanted { columns: wanted, unknown_allowed: job.mapping.unknown_columns == ColumnPolicy::Ignore }
}

impl Column {
    fn new(target: &Arc<Field>, job: &Job) -> Result<Self, MappingError> {
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
        Ok(Self { target: target.clone(), source, rule })
    }

    /// The column's values; `None` if the input lacks it.
    fn map(&self, records: &RecordBatch, faults: &mut Faults) -> Result<Option<ArrayRef>, MappingError> {
        let Some(found) = records.column_by_name(&self.source) else {
            if !self.target.is_nullable() {
                for row in 0..records.num_rows() {
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
            Rule::AsIs => found.clone(),
            Rule::Convert => self.convert(found, self.target.data_type())?,
            Rule::Unit(unit) => self.count(found, *unit)?,
            Rule::Pattern(pattern, _) => self.parse(found, pattern)?,
        };
        for row in 0..values.len() {
            if values.is_null(row) && (found.is_valid(row) || !self.target.is_nullable()) {
                faults.add(row, self.fault(found, row));
            }
        }
        Ok(Some(values))
    }

    fn fault(&self, found: &ArrayRef, row: usize) -> Fault {
        if found.is_null(row) {
            let reason = "it is null, and the table requires a value";
            return Fault { column: Some(self.source.clone()), value: None, reason: reason.to_owned() };
        }
        let value = array_value_to_string(found, row).unwrap_or_default();
        let reason = match &self.rule {
            Rule::Pattern(_, pattern) => format!("it does not match the pattern {pattern:?}"),
            _ => format!("it cannot become {}", sql_type(self.target.data_type())),
        };
        Fault::of_value(&self.source, &value, reason)
    }

    /// Converts by Arrow's rules; what does not convert is null.
    fn convert(&self, values: &ArrayRef, to: &DataType) -> Result<ArrayRef, MappingError> {
        let options = CastOptions { safe: true, ..CastOptions::default() };
        cast_with_options(values, to, &options)
            .map_err(|source| MappingError::Arrow { column: self.target.name().clone(), source })
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

impl Partition {
    fn new(settings: &super::job::PartitionExpression, table: &Schema) -> Result<Self, MappingError> {
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

    fn make(
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

fn wrong_pattern(
    setting: &str,
    field: &Field,
    error: &lakebed_hudi::date_pattern::DatePatternError,
) -> MappingError {
    let source = ArrowError::InvalidArgumentError(format!("{setting}: {error}"));
    MappingError::Arrow { column: field.name().clone(), source }
}

impl OperationRule {
    fn deletes(&self, records: &RecordBatch, faults: &mut Faults) -> Result<BooleanArray, MappingError> {
        let rows = records.num_rows();
        let values = records.column_by_name(&self.column).cloned();
        let values = values.unwrap_or_else(|| new_null_array(&DataType::Utf8, rows));
        let texts = cast_with_options(&values, &DataType::Utf8, &CastOptions::default())
            .map_err(|source| MappingError::Arrow { column: self.column.clone(), source })?;
        let mut flags = Vec::with_capacity(rows);
        for (row, text) in texts.as_string::<i32>().iter().enumerate() {
            let is = |known: &[String]| text.is_some_and(|text| known.iter().any(|k| k == text));
            flags.push(is(&self.delete));
            if !is(&self.delete) && !is(&self.upsert) {
                let reason = "it is no known operation; see mapping.operation";
                let value = text.map(super::decode::excerpt);
                let column = Some(self.column.clone());
                faults.add(row, Fault { column, value, reason: reason.to_owned() });
            }
        }
        Ok(flags.into())
    }
}

/// The first fault of each row.
#[derive(Debug, Default)]
struct Faults(std::collections::BTreeMap<usize, Fault>);

impl Faults {
    fn add(&mut self, row: usize, fault: Fault) {
        self.0.entry(row).or_insert(fault);
    }

    fn leave_out(self, rows: RecordBatch, deletes: Option<BooleanArray>) -> Result<Mapped, MappingError> {
        if self.0.is_empty() {
            return Ok(Mapped { rows, deletes, kept: None, faults: Vec::new() });
        }
        let failed = |source| MappingError::Arrow { column: "all columns".to_owned(), source };
        let kept: Vec<usize> = (0..rows.num_rows()).filter(|row| !self.0.contains_key(row)).collect();
        let flags: BooleanArray = (0..rows.num_rows()).map(|row| Some(!self.0.contains_key(&row))).collect();
        let rows = filter_record_batch(&rows, &flags).map_err(failed)?;
        let deletes = match deletes {
            Some(deletes) => {
                Some(arrow::compute::filter(&deletes, &flags).map_err(failed)?.as_boolean().clone())
            }
            None => None,
        };
        Ok(Mapped { rows, deletes, kept: Some(kept), faults: self.0.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(mapping: &str) -> Job {
        let text =
            format!("pipeline: p\ntable: {{uri: /t}}\nsource: {{files: [a.csv]}}\nmapping:\n{mapping}");
        Job::from_yaml(&text).unwrap()
    }

    fn table() -> Schema {
        Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("month", DataType::Utf8, true),
        ])
    }

    fn records(columns: &[(&str, Vec<Option<&str>>)]) -> RecordBatch {
        let columns = columns
            .iter()
            .map(|(name, values)| (*name, Arc::new(StringArray::from(values.clone())) as ArrayRef, true));
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    #[test]
    fn rows_are_renamed_cast_partitioned_and_told_to_delete() {
        let job = job(concat!(
            "  rename: {key: id}\n  cast: {id: {}, at: {pattern: \"yyyy-MM-dd HH:mm\"}}\n",
            "  partition: {column: month, from: at, pattern: yyyy-MM}\n  operation: {column: op}\n",
        ));
        let mapping = Mapping::new(&job, &table()).unwrap();
        let names: Vec<_> = mapping.wanted().columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["key", "at", "op"]);
        let records = records(&[
            ("key", vec![Some("1"), Some("x"), Some("3"), None, Some("5")]),
            ("at", vec![Some("2013-01-31 23:59"), None, Some("noon"), None, None]),
            ("op", vec![Some("I"), Some("I"), Some("D"), Some("D"), Some("?")]),
        ]);
        let mapped = mapping.map(&records).unwrap();
        let months = mapped.rows.column_by_name("month").unwrap().as_string::<i32>();
        assert_eq!((mapped.rows.num_rows(), months.value(0)), (1, "2013-01"));
        assert_eq!((mapped.kept.as_deref(), mapped.deletes), (Some(&[0][..]), Some(vec![false].into())));
        let faults: Vec<_> = mapped
            .faults
            .iter()
            .map(|(row, f)| (*row, f.column.as_deref().unwrap(), f.value.as_deref(), f.reason.as_str()))
            .collect();
        assert_eq!(
            faults,
            [
                (1, "key", Some("x"), "it cannot become bigint"),
                (2, "at", Some("noon"), "it does not match the pattern \"yyyy-MM-dd HH:mm\""),
                (3, "key", None, "it is null, and the table requires a value"),
                (4, "op", Some("?"), "it is no known operation; see mapping.operation"),
            ]
        );
    }

    #[test]
    fn numbers_become_times_by_their_unit() {
        let mapping = Mapping::new(&job("  cast: {at: {unit: millis}}\n"), &table()).unwrap();
        let id: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let at: ArrayRef = Arc::new(Int64Array::from(vec![1_500, i64::MAX]));
        let mapped = mapping.map(&RecordBatch::try_from_iter([("id", id), ("at", at)]).unwrap()).unwrap();
        let times = mapped.rows.column_by_name("at").unwrap().as_primitive::<TimestampMicrosecondType>();
        assert_eq!((times.values().as_ref(), mapped.faults.len()), (&[1_500_000][..], 1));
    }

    #[test]
    fn settings_that_do_not_fit_the_table_are_named() {
        for (mapping, expected) in [
            (
                "  rename: {a: mont}\n",
                "mapping.rename.a: the table has no column \"mont\"; did you mean \"month\"?",
            ),
            (
                "  cast: {id: {unit: millis}}\n",
                "mapping.cast.id.unit: column \"id\" is bigint, expected a date or timestamp",
            ),
            (
                "  partition: {column: month, from: id, pattern: yyyy}\n",
                "mapping.partition.from: column \"id\" is bigint, expected a date or timestamp",
            ),
        ] {
            assert_eq!(Mapping::new(&job(mapping), &table()).unwrap_err().to_string(), expected);
        }
    }
}
