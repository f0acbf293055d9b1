//! Rows that know their record key and partition path.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::UInt32Type;
use arrow::error::ArrowError;
use lakebed_hudi::partition_path::{PartitionPathError, PartitionPathRule, PartitionPaths, RefusedPartition};
use lakebed_hudi::record_key::{RecordKeyRule, RefusedKey};
use lakebed_hudi::table_config::TableConfig;
use lakebed_hudi::value_text::ValueTextError;

use super::WriteError;
use crate::memory::batch_bytes;
use crate::table::hidden_partition;

/// How rows of a table get their keys and partition paths, and what they must have.
#[derive(Debug, Clone)]
pub struct KeyRules {
    pub(super) record_key: Option<RecordKeyRule>,
    pub(super) partition_path: PartitionPathRule,
    pub(super) ordering_fields: Vec<String>,
}

/// A row that cannot be written, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedRow {
    /// It has no record key.
    #[error(transparent)]
    Key(#[from] RefusedKey),
    /// Its partition cannot be a folder of the table.
    #[error(transparent)]
    Partition(#[from] RefusedPartition),
    /// Its ordering value is null: Spark could not read the file group any more.
    #[error("row {row} has no ordering value: {column:?} is null")]
    NullOrdering {
        /// The row within its batch, counted from 0.
        row: usize,
        /// The ordering column.
        column: String,
    },
}

impl RefusedRow {
    /// Counts the row from the start of a batch that has `rows` more before it.
    pub(crate) fn shift(&mut self, rows: usize) {
        match self {
            Self::Key(refused) => refused.row += rows,
            Self::Partition(refused) => refused.row += rows,
            Self::NullOrdering { row, .. } => *row += rows,
        }
    }

    /// The row within its batch, counted from 0.
    pub fn row(&self) -> usize {
        match self {
            Self::Key(refused) => refused.row,
            Self::Partition(refused) => refused.row,
            Self::NullOrdering { row, .. } => *row,
        }
    }
}

/// Rows of one table with their keys: the unit that writers take.
#[derive(Debug, Clone)]
pub struct KeyedBatch {
    /// The table's columns, without meta columns.
    pub rows: RecordBatch,
    /// The record key of each row, none of them null; `None` in a table without key columns, where
    /// rows are numbered when they are written.
    pub keys: Option<StringArray>,
    /// The partition path of each row; none is null. The values are all different.
    pub partitions: DictionaryArray<UInt32Type>,
    /// Which rows only say that their key is deleted.
    pub deletes: Option<BooleanArray>,
    /// Room for the name of the stream that the rows come from, by which partial updates will tell
    /// which columns a row speaks for and what orders them. Always `None` until those are written.
    pub stream: Option<Arc<str>>,
    /// By column, which rows say something of it (a value or null); `None` where all do. Always
    /// `None` until partial updates are written.
    pub presence: Option<Vec<Option<BooleanArray>>>,
}

impl KeyRules {
    /// The rules of a table.
    pub fn of(config: &TableConfig) -> Self {
        Self {
            record_key: config.record_key.clone(),
            partition_path: config.partition_path.clone(),
            ordering_fields: config.ordering_fields.clone(),
        }
    }

    /// Whether `column` says which row a row is, where it lies or when it came: a delete needs no other.
    pub fn needs(&self, column: &str) -> bool {
        let keys = self.record_key.iter().flat_map(RecordKeyRule::columns);
        let parts = self.partition_path.parts.iter().map(|part| &part.column);
        let needed = keys.chain(parts).chain(&self.ordering_fields);
        needed.map(|path| path.split('.').next().unwrap_or(path)).any(|needed| needed == column)
    }

    /// Keys `rows`, which have the table's columns; rows that cannot be written are left out and
    /// returned beside.
    ///
    /// # Errors
    /// Key or partition columns that are missing or of a type without text in keys.
    pub fn key(
        &self,
        rows: &RecordBatch,
        deletes: Option<&BooleanArray>,
    ) -> Result<(KeyedBatch, Vec<RefusedRow>), WriteError> {
        let keys = self.record_key.as_ref().map(|rule| rule.keys(rows)).transpose()?;
        let PartitionPaths { paths: partitions, refused: without_path } = self.partition_path.paths(rows)?;
        let (keys, refused) = keys.map_or((None, Vec::new()), |keys| (Some(keys.keys), keys.refused));
        let mut refused: Vec<RefusedRow> = refused.into_iter().map(RefusedRow::from).collect();
        refused.extend(without_path.into_iter().map(RefusedRow::from));
        refused.extend(self.hidden(&partitions).into_iter().map(RefusedRow::from));
        refused.extend(self.null_orderings(rows, deletes));
        let batch = KeyedBatch {
            rows: rows.clone(),
            keys,
            partitions,
            deletes: deletes.filter(|flags| flags.true_count() > 0).cloned(),
            stream: None,
            presence: None,
        };
        if refused.is_empty() {
            return Ok((batch, refused));
        }
        refused.sort_by_key(RefusedRow::row);
        refused.dedup_by_key(|r| r.row());
        let mut kept = vec![true; rows.num_rows()];
        for row in refused.iter().map(RefusedRow::row) {
            if let Some(kept) = kept.get_mut(row) {
                *kept = false;
            }
        }
        let mut batch = batch.filter(&kept.into())?;
        // Nobody may look for a partition that no row is left of.
        batch.partitions = self.partition_path.paths(&batch.rows)?.paths;
        Ok((batch, refused))
    }

    /// Rows whose partition no reader would find.
    fn hidden(&self, partitions: &DictionaryArray<UInt32Type>) -> Vec<RefusedPartition> {
        let paths = partitions.values().as_string::<i32>();
        let hidden: Vec<_> = paths.iter().map(|path| hidden_partition(path.unwrap_or_default())).collect();
        if hidden.iter().all(Option::is_none) {
            return Vec::new();
        }
        let columns: Vec<String> = self.partition_path.parts.iter().map(|part| part.column.clone()).collect();
        let refused = partitions.keys().iter().enumerate().filter_map(|(row, number)| {
            let number = number? as usize;
            let reason = hidden.get(number).copied().flatten()?.to_owned();
            let value = paths.value(number).chars().take(100).collect();
            Some(RefusedPartition { row, columns: columns.clone(), value, reason })
        });
        refused.collect()
    }

    /// Rows without an ordering value; a delete may do without, it is unconditional then.
    fn null_orderings<'a>(
        &'a self,
        rows: &'a RecordBatch,
        deletes: Option<&'a BooleanArray>,
    ) -> impl Iterator<Item = RefusedRow> + 'a {
        let is_delete = move |row| deletes.is_some_and(|flags| flags.is_valid(row) && flags.value(row));
        self.ordering_fields.iter().flat_map(move |column| {
            let nulls = rows.column_by_name(column).and_then(|values| values.logical_nulls());
            let nulls =
                nulls.into_iter().flat_map(|nulls| (0..nulls.len()).filter(move |row| nulls.is_null(*row)));
            nulls
                .filter(move |row| !is_delete(*row))
                .map(|row| RefusedRow::NullOrdering { row, column: column.clone() })
        })
    }
}

impl KeyedBatch {
    /// How many rows there are.
    pub fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// The partition paths that rows may have, each once.
    pub fn partition_paths(&self) -> impl Iterator<Item = &str> {
        self.partitions.values().as_string::<i32>().iter().flatten()
    }

    /// Bytes of memory that the rows take.
    pub fn memory_bytes(&self) -> usize {
        batch_bytes(&self.rows) + self.keys.as_ref().map_or(0, |keys| keys.get_array_memory_size())
    }

    fn filter(&self, kept: &BooleanArray) -> Result<Self, WriteError> {
        let rows = filter_record_batch(&self.rows, kept)?;
        self.with(rows, |array| arrow::compute::filter(array, kept))
    }

    /// `rows` of this batch, with what `pick` picks for them of everything else.
    fn with(
        &self,
        rows: RecordBatch,
        pick: impl Fn(&dyn Array) -> Result<ArrayRef, ArrowError>,
    ) -> Result<Self, WriteError> {
        let flags = |array: &BooleanArray| Ok::<_, ArrowError>(pick(array)?.as_boolean().clone());
        let deletes = self.deletes.as_ref().map(flags).transpose()?;
        let presence = |columns: &Vec<Option<BooleanArray>>| {
            columns.iter().map(|column| column.as_ref().map(flags).transpose()).collect::<Result<_, _>>()
        };
        let keys = self.keys.as_ref().map(|keys| pick(keys)).transpose()?;
        Ok(Self {
            rows,
            keys: keys.map(|keys| keys.as_string::<i32>().clone()),
            partitions: pick(&self.partitions)?.as_dictionary::<UInt32Type>().clone(),
            deletes: deletes.filter(|flags| flags.true_count() > 0),
            stream: self.stream.clone(),
            presence: self.presence.as_ref().map(presence).transpose()?,
        })
    }
}

impl From<ValueTextError> for WriteError {
    fn from(error: ValueTextError) -> Self {
        Self::Key(PartitionPathError::Column(error))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use lakebed_hudi::partition_path::{PartitionKind, PartitionPart};

    use super::*;

    fn rules() -> KeyRules {
        let parts = vec![PartitionPart { column: "p".into(), kind: PartitionKind::Simple }];
        KeyRules {
            record_key: Some(RecordKeyRule::Bare("id".into())),
            partition_path: PartitionPathRule { parts, hive_style: true, ..PartitionPathRule::none() },
            ordering_fields: vec!["ts".into()],
        }
    }

    #[test]
    fn rows_without_key_or_ordering_are_left_out_and_named() {
        let id: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c"), Some("d")]));
        let p: ArrayRef = Arc::new(StringArray::from(vec!["x", "x", "y", "y"]));
        let ts: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, None, None]));
        let rows = RecordBatch::try_from_iter([("id", id), ("p", p), ("ts", ts)]).unwrap();
        let deletes = BooleanArray::from(vec![false, false, false, true]);
        let (batch, refused) = rules().key(&rows, Some(&deletes)).unwrap();
        assert_eq!(batch.keys, Some(StringArray::from(vec!["a", "d"])));
        assert_eq!(batch.partition_paths().collect::<Vec<_>>(), ["p=x", "p=y"]);
        assert_eq!(batch.deletes, Some(BooleanArray::from(vec![false, true])));
        assert_eq!(refused.iter().map(RefusedRow::row).collect::<Vec<_>>(), [1, 2]);
        assert!(matches!(refused.as_slice(), [RefusedRow::Key(_), RefusedRow::NullOrdering { .. }]));
    }

    #[test]
    fn rows_whose_partition_is_no_folder_that_readers_see_are_left_out_and_named() {
        let long = "x".repeat(256);
        let bad =
            [".", "..", "a\\b", "a//b", "/a", "a/", "\u{1}", ".hoodie", ".hoodie/x", "a/.hoodie", &long];
        let good = ["a/b", ".a", ".hoodie2", &long[1..], "a b"];
        let values: Vec<&str> = bad.into_iter().chain(good).collect();
        let p: ArrayRef = Arc::new(StringArray::from(values.clone()));
        let ts: ArrayRef = Arc::new(Int64Array::from(vec![1; values.len()]));
        let rows = RecordBatch::try_from_iter([("id", p.clone()), ("p", p), ("ts", ts)]).unwrap();
        let mut rules = rules();
        rules.partition_path.hive_style = false;
        let (batch, refused) = rules.key(&rows, None).unwrap();
        assert_eq!(batch.partition_paths().collect::<Vec<_>>(), good);
        assert_eq!(refused.iter().map(RefusedRow::row).collect::<Vec<_>>(), Vec::from_iter(0..bad.len()));
        let told = "row 7 has no partition: p is \".hoodie\": that is Hudi's own folder";
        assert_eq!(refused[7].to_string(), told);
        // In a folder `p=.hoodie` all is well.
        rules.partition_path.hive_style = true;
        assert_eq!(rules.key(&rows.slice(7, 1), None).unwrap().1, []);
    }
}
