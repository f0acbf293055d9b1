//! From the columns of an input to those of a table.

mod column;
mod partition;

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use lakebed_hudi::schema::sql_type;

use super::decode::{Fault, Wanted, WantedColumn};
use super::job::{ColumnPolicy, Job, MissingColumns, Operation};
use crate::near_match::near_match;
use crate::write::KeyRules;

use column::{Column, Rule};
use partition::Partition;

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
    /// The mapping of `job` to a table with the columns `table`, keyed by `keys`.
    ///
    /// # Errors
    /// Settings that name columns which the table does not have, or of other types.
    pub fn new(job: &Job, table: &Schema, keys: &KeyRules) -> Result<Self, MappingError> {
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
            .map(|field| Column::new(field, job, keys))
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

    /// The columns of inputs that are taken as the table has them, by no setting of their own: names and types.
    pub(super) fn taken_as_is(&self) -> impl Iterator<Item = (String, DataType)> {
        let as_is = self.columns.iter().filter(|column| matches!(column.rule, Rule::AsIs));
        as_is.map(|column| (column.source.clone(), column.target.data_type().clone()))
    }

    /// Makes rows. Works on the caller's thread: meant for rayon.
    ///
    /// # Errors
    /// Columns of types that do not convert at all.
    pub fn map(&self, records: &RecordBatch) -> Result<Mapped, MappingError> {
        let mut faults = Faults::default();
        let deletes = match &self.operation {
            Some(rule) => Some(rule.deletes(records, &mut faults)?),
            None => self.deletes.then(|| BooleanArray::from(vec![true; records.num_rows()])),
        };
        let (mut fields, mut arrays) = (Vec::new(), Vec::new());
        for column in &self.columns {
            let Some(array) = column.map(records, deletes.as_ref(), &mut faults)? else { continue };
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
    let all_required = job.mapping.missing_columns == MissingColumns::Fail;
    let mut wanted: Vec<WantedColumn> = columns
        .iter()
        .map(|column| {
            let data_type = match &column.rule {
                Rule::AsIs => column.target.data_type().clone(),
                Rule::Convert | Rule::Pattern(..) => DataType::Utf8,
                Rule::Unit(_) => DataType::Int64,
            };
            let required = all_required && (column.is_of_deletes || job.operation != Operation::Delete);
            WantedColumn { name: column.source.clone(), data_type, required }
        })
        .collect();
    if let Some(rule) = operation {
        wanted.retain(|column| column.name != rule.column);
        wanted.push(WantedColumn { name: rule.column.clone(), data_type: DataType::Utf8, required: true });
    }
    Wanted { columns: wanted, unknown_allowed: job.mapping.unknown_columns == ColumnPolicy::Ignore }
}

#[derive(Debug)]
struct OperationRule {
    column: String,
    upsert: Vec<String>,
    delete: Vec<String>,
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
    use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, StructArray};
    use arrow::datatypes::{TimeUnit, TimestampMicrosecondType};
    use lakebed_hudi::properties::Properties;
    use lakebed_hudi::table_config::TableConfig;

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

    fn keys() -> KeyRules {
        let properties = "hoodie.table.name=t\nhoodie.table.version=9\nhoodie.table.recordkey.fields=id\n";
        KeyRules::of(
            &TableConfig::from_properties(Properties::parse(properties.as_bytes()).unwrap()).unwrap(),
        )
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
        let mapping = Mapping::new(&job, &table(), &keys()).unwrap();
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
                (1, "key", Some("x"), "it is string and cannot become bigint"),
                (2, "at", Some("noon"), "it does not match the pattern \"yyyy-MM-dd HH:mm\""),
                (3, "key", None, "it is null, and the table requires a value"),
                (4, "op", Some("?"), "it is no known operation; see mapping.operation"),
            ]
        );
    }

    #[test]
    fn numbers_become_times_by_their_unit() {
        let mapping = Mapping::new(&job("  cast: {at: {unit: millis}}\n"), &table(), &keys()).unwrap();
        let id: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let at: ArrayRef = Arc::new(Int64Array::from(vec![1_500, i64::MAX]));
        let mapped = mapping.map(&RecordBatch::try_from_iter([("id", id), ("at", at)]).unwrap()).unwrap();
        let times = mapped.rows.column_by_name("at").unwrap().as_primitive::<TimestampMicrosecondType>();
        assert_eq!((times.values().as_ref(), mapped.faults.len()), (&[1_500_000][..], 1));
    }

    /// What is wrong with each row whose `id` is none.
    fn faults_of(mapping: &str, ids: ArrayRef) -> Vec<(usize, String)> {
        let records = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let mapped = Mapping::new(&job(mapping), &table(), &keys()).unwrap().map(&records).unwrap();
        assert_eq!(mapped.rows.num_rows() + mapped.faults.len(), records.num_rows());
        let text = |fault: Fault| format!("{}: {}", fault.value.unwrap_or_default(), fault.reason);
        mapped.faults.into_iter().map(|(row, fault)| (row, text(fault))).collect()
    }

    #[test]
    fn values_of_types_that_do_not_convert_are_faults_of_their_rows() {
        let texts = || Arc::new(StringArray::from(vec!["7", "x"])) as ArrayRef;
        let by_itself = "it is string and does not become bigint by itself; see mapping.cast";
        let all = vec![(0, format!("7: {by_itself}")), (1, format!("x: {by_itself}"))];
        assert_eq!(faults_of("  missing_columns: \"null\"\n", texts()), all);
        let one = vec![(1, "x: it is string and cannot become bigint".to_owned())];
        assert_eq!(faults_of("  cast: {id: {}}\n", texts()), one);
        let days = Field::new("days", DataType::Int32, true);
        let values: ArrayRef = Arc::new(Int32Array::from(vec![5]));
        let nested: ArrayRef = Arc::new(StructArray::from(vec![(Arc::new(days), values)]));
        let cannot = vec![(0, "{days: 5}: it is struct<days:int> and cannot become bigint".to_owned())];
        assert_eq!(faults_of("  cast: {id: {}}\n", nested), cannot);
        assert_eq!(faults_of("  cast: {id: {}}\n", Arc::new(Int32Array::from(vec![5]))), []);
    }

    #[test]
    fn a_value_that_does_not_widen_is_the_fault_of_its_row_alone() {
        let mapping = Mapping::new(&job("  missing_columns: \"null\"\n"), &table(), &keys()).unwrap();
        let id: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let month: ArrayRef = Arc::new(BinaryArray::from(vec![&b"2013-01"[..], b"\xff"]));
        let records = RecordBatch::try_from_iter([("id", id), ("month", month)]).unwrap();
        let mapped = mapping.map(&records).unwrap();
        assert_eq!(mapped.kept, Some(vec![0]));
        assert_eq!(mapped.rows.column_by_name("month").unwrap().as_string::<i32>().value(0), "2013-01");
        let [(1, fault)] = mapped.faults.as_slice() else { panic!("{:?}", mapped.faults) };
        assert_eq!(fault.reason, "it is binary and does not become string by itself; see mapping.cast");
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
            assert_eq!(Mapping::new(&job(mapping), &table(), &keys()).unwrap_err().to_string(), expected);
        }
    }
}
