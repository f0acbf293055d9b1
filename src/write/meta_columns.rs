//! The five columns that Hudi puts before the user's.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use lakebed_hudi::base_file::{COMMIT_SEQNO, COMMIT_TIME, FILE_NAME, PARTITION_PATH};
use lakebed_hudi::instant::InstantTime;

use super::WriteError;
use super::generated_columns::{Generated, GeneratedColumns};
use crate::merge::MergeColumns;

/// Where new rows go: what their meta columns say.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) instant: InstantTime,
    pub(super) partition: String,
    /// The base file's name, or in log blocks the file id.
    pub(super) file_name: String,
    /// The number of the writer within the instant, first part of sequence numbers.
    pub(super) task: u32,
    /// Rows that the writer has numbered so far.
    pub(super) rows_numbered: u64,
}

impl Place {
    /// New rows with all columns of `schema`: `keyed` has the record key, then the user's columns.
    pub(super) fn with_meta(
        &mut self,
        keyed: &RecordBatch,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, ArrowError> {
        let rows = keyed.num_rows();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        columns.push(constant(self.instant.as_str(), rows));
        columns.push(self.next_numbers(rows));
        columns.push(keyed.column(0).clone());
        columns.push(constant(&self.partition, rows));
        columns.push(constant(&self.file_name, rows));
        columns.extend(keyed.columns().iter().skip(1).cloned());
        RecordBatch::try_new(schema.clone(), columns)
    }

    /// What the next new rows say: all but their record keys.
    pub(super) fn generated_of_new(&self) -> GeneratedColumns {
        let mut generated = self.generated_of_kept();
        generated.push(COMMIT_TIME, Generated::Same(self.instant.to_string()));
        let counted = Generated::Counted { prefix: self.number_prefix(), from: self.rows_numbered };
        generated.push(COMMIT_SEQNO, counted);
        generated
    }

    /// What all rows say, those too that are taken over from another file.
    pub(super) fn generated_of_kept(&self) -> GeneratedColumns {
        let mut generated = GeneratedColumns::default();
        generated.push(PARTITION_PATH, Generated::Same(self.partition.clone()));
        generated.push(FILE_NAME, Generated::Same(self.file_name.clone()));
        generated
    }

    /// New rows after their commit times and sequence numbers.
    pub(super) fn stamped(&mut self, keyed: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let rows = keyed.num_rows();
        let stamps = vec![
            (COMMIT_TIME, constant(self.instant.as_str(), rows)),
            (COMMIT_SEQNO, self.next_numbers(rows)),
        ];
        before(stamps, keyed)
    }

    fn next_numbers(&mut self, rows: usize) -> ArrayRef {
        let numbers = self.sequence_numbers(rows);
        self.rows_numbered += rows as u64;
        Arc::new(numbers)
    }

    /// Rows without keys after their sequence numbers, which are their keys.
    ///
    /// Source: `AutoRecordGenWrapperKeyGenerator`.
    pub(super) fn keyed_by_number(&self, rows: &RecordBatch) -> Result<RecordBatch, WriteError> {
        Ok(MergeColumns::keyed(rows, &self.sequence_numbers(rows.num_rows()), None)?)
    }

    fn number_prefix(&self) -> String {
        format!("{}_{}_", self.instant, self.task)
    }

    /// `<instant>_<task>_<row>` for the next rows.
    ///
    /// Source: `HoodieRecord.generateSequenceId`.
    fn sequence_numbers(&self, rows: usize) -> StringArray {
        let prefix = self.number_prefix();
        let mut bytes = Vec::with_capacity(rows * (prefix.len() + 7));
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        let mut digits = itoa::Buffer::new();
        for row in (self.rows_numbered..).take(rows) {
            bytes.extend_from_slice(prefix.as_bytes());
            bytes.extend_from_slice(digits.format(row).as_bytes());
            offsets.push(bytes.len() as i32);
        }
        string_array(offsets, bytes)
    }
}

/// `rows` after other text columns.
fn before(columns: Vec<(&str, ArrayRef)>, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let text = |name: &str| Arc::new(Field::new(name, DataType::Utf8, true));
    let (names, mut arrays): (Vec<_>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let mut fields: Vec<_> = names.into_iter().map(text).collect();
    fields.extend(rows.schema_ref().fields().iter().cloned());
    arrays.extend(rows.columns().iter().cloned());
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

/// A column that says the same in all rows.
fn constant(text: &str, rows: usize) -> ArrayRef {
    let offsets = (0..=rows).map(|row| (row * text.len()) as i32).collect();
    Arc::new(string_array(offsets, text.as_bytes().repeat(rows)))
}

/// The texts in `bytes`, which are made of whole strings.
fn string_array(offsets: Vec<i32>, bytes: Vec<u8>) -> StringArray {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    StringArray::try_new(offsets, Buffer::from_vec(bytes), None).unwrap_or_else(|_| StringArray::new_null(0))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    #[test]
    fn new_rows_say_where_they_come_from_and_count_on() {
        let mut place = Place {
            instant: "20260101000000001".parse().unwrap(),
            partition: "p=a".into(),
            file_name: "f-0".into(),
            task: 3,
            rows_numbered: 9,
        };
        let field = |name: &str| Field::new(name, DataType::Utf8, true);
        let keyed: ArrayRef = Arc::new(StringArray::from(vec!["k1", "k2"]));
        let keyed = RecordBatch::try_from_iter([("k", keyed)]).unwrap();
        let names = lakebed_hudi::base_file::META_COLUMNS;
        let schema = Arc::new(Schema::new(names.map(field).to_vec()));
        let text = |batch: &RecordBatch, row: usize| -> Vec<String> {
            batch.columns().iter().map(|c| c.as_string::<i32>().value(row).to_owned()).collect()
        };
        let first = place.with_meta(&keyed, &schema).unwrap();
        assert_eq!(text(&first, 1), ["20260101000000001", "20260101000000001_3_10", "k2", "p=a", "f-0"]);
        let second = place.with_meta(&keyed, &schema).unwrap();
        assert_eq!(text(&second, 0)[1], "20260101000000001_3_11");
    }
}
