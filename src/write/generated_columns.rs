//! Which columns of a file are not given row by row.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use lakebed_hudi::base_file::RECORD_KEY;

/// Of fewer rows it does not pay to look whether they say the same.
const LEAST_ROWS: usize = 1_000;

/// Longer texts have their statistics shortened, which the ordinary writer does.
const TEXT_BYTES_MAX: usize = 64;

/// What stands in the rows of a column of which none is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Generated {
    /// The same text in all.
    Same(String),
    /// A number after a text, in each row greater by one.
    Counted {
        /// The text.
        prefix: String,
        /// The number in the first row of the file.
        from: u64,
    },
    /// The record key of each row.
    Key,
}

/// Optional text columns at the top level of a file of which rows are not given.
#[derive(Debug, Clone, Default)]
pub(super) struct GeneratedColumns(Vec<(String, Generated)>);

impl GeneratedColumns {
    pub(super) fn push(&mut self, column: &str, generated: Generated) {
        self.0.push((column.to_owned(), generated));
    }

    /// What stands in a column, if its rows are not given.
    pub(super) fn get(&self, column: &str) -> Option<&Generated> {
        self.0.iter().find(|(name, _)| name == column).map(|(_, generated)| generated)
    }

    /// Whether a column repeats the record key.
    pub(super) fn repeat_keys(&self) -> bool {
        self.0.iter().any(|(_, generated)| *generated == Generated::Key)
    }

    /// Takes the columns out of `rows`, which are all rows of a file of `schema`, that need not be given
    /// row by row: those that say the same in each, as the partition column does as a rule, and those
    /// that repeat the record key, as a table's only key column does. Record keys stay.
    pub(super) fn take_generated(
        &mut self,
        schema: &Schema,
        rows: Vec<RecordBatch>,
    ) -> Result<Vec<RecordBatch>, ArrowError> {
        let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
        let Some(first) = rows.first().filter(|_| count >= LEAST_ROWS) else { return Ok(rows) };
        let mut given = Vec::with_capacity(first.num_columns());
        for (number, field) in first.schema_ref().fields().iter().enumerate() {
            match generated(schema.field_with_name(field.name())?, number, &rows) {
                Some(generated) => self.push(field.name(), generated),
                None => given.push(number),
            }
        }
        if given.len() == first.num_columns() {
            return Ok(rows);
        }
        rows.iter().map(|batch| batch.project(&given)).collect()
    }
}

/// What stands in the rows of a column, if it need not be given row by row.
fn generated(stored: &Field, column: usize, rows: &[RecordBatch]) -> Option<Generated> {
    if stored.name() == RECORD_KEY || !stored.is_nullable() || *stored.data_type() != DataType::Utf8 {
        return None;
    }
    let key = || repeats_key(column, rows).then_some(Generated::Key);
    same_text(column, rows).map(Generated::Same).or_else(key)
}

fn repeats_key(column: usize, rows: &[RecordBatch]) -> bool {
    rows.iter().all(|batch| batch.column_by_name(RECORD_KEY).is_some_and(|keys| keys == batch.column(column)))
}

fn same_text(column: usize, rows: &[RecordBatch]) -> Option<String> {
    let mut texts = rows.iter().map(|batch| batch.column(column)).filter(|texts| !texts.is_empty());
    let first = texts.clone().next()?.as_string_opt::<i32>()?.value(0);
    if first.len() > TEXT_BYTES_MAX {
        return None;
    }
    let same = texts.all(|texts| {
        let texts = texts.as_string_opt::<i32>();
        texts.is_some_and(|texts| texts.null_count() == 0 && texts.iter().flatten().all(|text| text == first))
    });
    same.then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn batch(texts: [Option<&str>; 2], rows: usize) -> RecordBatch {
        let column = |text: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
        let [a, b] = texts.map(column);
        RecordBatch::try_from_iter_with_nullable([
            (RECORD_KEY, column(Some("k")), true),
            ("a", a, true),
            ("b", b, true),
        ])
        .unwrap()
    }

    fn taken(rows: Vec<RecordBatch>) -> (Vec<String>, Option<Generated>) {
        let schema = batch([None, None], 0).schema();
        let mut generated = GeneratedColumns::default();
        let rows = generated.take_generated(&schema, rows).unwrap();
        let left = rows[0].schema_ref().fields().iter().map(|field| field.name().clone()).collect();
        (left, generated.get("a").cloned())
    }

    #[test]
    fn columns_of_one_text_are_taken_and_keys_stay() {
        let (x, y) = (Some("x"), Some("y"));
        let all = names(&[RECORD_KEY, "a", "b"]);
        let same = Generated::Same("x".to_owned());
        assert_eq!(
            taken(vec![batch([x, x], 600), batch([x, y], 600)]),
            (names(&[RECORD_KEY, "b"]), Some(same))
        );
        assert_eq!(taken(vec![batch([x, y], 600), batch([y, x], 600)]), (all.clone(), None));
        assert_eq!(taken(vec![batch([x, None], 600), batch([None, x], 600)]), (all.clone(), None));
        assert_eq!(taken(vec![batch([x, x], LEAST_ROWS - 1)]), (all.clone(), None));
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(taken(vec![batch([Some(&long), Some(&long)], LEAST_ROWS)]), (all, None));
    }

    #[test]
    fn columns_that_repeat_the_key_in_every_row_are_taken() {
        let numbers = |from: usize| -> ArrayRef {
            Arc::new((from..from + LEAST_ROWS).map(|n| Some(n.to_string())).collect::<StringArray>())
        };
        let keys_and = |a: ArrayRef| {
            let b: ArrayRef = Arc::new(StringArray::from(vec!["x"; LEAST_ROWS]));
            let schema = batch([None, None], 0).schema();
            RecordBatch::try_new(schema, vec![numbers(0), a, b]).unwrap()
        };
        let (same, others) = (keys_and(numbers(0)), keys_and(numbers(1)));
        assert_eq!(taken(vec![same.clone(), same.clone()]), (names(&[RECORD_KEY]), Some(Generated::Key)));
        assert_eq!(taken(vec![same, others]), (names(&[RECORD_KEY, "a"]), None));
    }
}
