//! Rows as tables for people.

use std::io::Write;

use arrow::array::{Array as _, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{CellAlignment, Table as Grid};

use super::rows_error::RowsError;

/// A table ends where it has so many values, or about so many bytes of them.
const TABLE_VALUES: usize = 100_000;
const TABLE_BYTES: usize = 1 << 20;

/// Lines around the columns and below the heading, as Spark draws them.
const LINES: &str = "||--+-++|    ++++++";

/// Null is shown as Spark does, or it would look like an empty text.
const TEXTS: FormatOptions<'static> = FormatOptions::new().with_display_error(true).with_null("NULL");

/// Holds rows until they make a table, for only then it is known how wide the columns are.
pub(super) struct TableRows {
    schema: SchemaRef,
    table_rows: usize,
    held: Vec<RecordBatch>,
    held_rows: usize,
    held_bytes: usize,
    is_first: bool,
}

impl TableRows {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let table_rows = (TABLE_VALUES / schema.fields().len().max(1)).max(1);
        let schema = schema.clone();
        Self { schema, table_rows, held: Vec::new(), held_rows: 0, held_bytes: 0, is_first: true }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RowsError> {
        let mut at = 0;
        while at < batch.num_rows() {
            let rows = batch.slice(at, (self.table_rows - self.held_rows).min(batch.num_rows() - at));
            at += rows.num_rows();
            self.held_rows += rows.num_rows();
            self.held_bytes += bytes(&rows)?;
            self.held.push(rows);
            if self.held_rows == self.table_rows || self.held_bytes >= TABLE_BYTES {
                self.write_table(out)?;
            }
        }
        Ok(())
    }

    /// Without any rows there is a heading.
    pub(super) fn finish(mut self, out: &mut dyn Write) -> Result<(), RowsError> {
        if self.is_first || self.held_rows > 0 {
            self.write_table(out)?;
        }
        Ok(())
    }

    fn write_table(&mut self, out: &mut dyn Write) -> Result<(), RowsError> {
        let mut grid = Grid::new();
        grid.load_preset(LINES);
        grid.set_header(self.schema.fields().iter().map(|field| visible(field.name().clone())));
        for batch in self.held.drain(..) {
            let columns =
                batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &TEXTS));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                grid.add_row(columns.iter().map(|column| visible(column.value(row).to_string())));
            }
        }
        for (column, field) in grid.column_iter_mut().zip(self.schema.fields()) {
            if field.data_type().is_numeric() {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(out, "{grid}")?;
        (self.held_rows, self.held_bytes, self.is_first) = (0, 0, false);
        Ok(())
    }
}

/// A text with its control characters spelled out, which a terminal would obey.
fn visible(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let spelled = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(spelled).collect()
}

/// What the rows themselves take, of buffers that they may share with others.
fn bytes(rows: &RecordBatch) -> Result<usize, ArrowError> {
    rows.columns().iter().map(|column| column.to_data().get_slice_memory_size()).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringArray};

    use super::*;

    /// What is written of batches of these columns: after each of them, and at the end.
    fn written(batches: &[RecordBatch]) -> Vec<String> {
        let mut rows = TableRows::new(&batches[0].schema());
        let mut texts = Vec::new();
        for batch in batches {
            let mut out = Vec::new();
            rows.write(batch, &mut out).unwrap();
            texts.push(String::from_utf8(out).unwrap());
        }
        let mut out = Vec::new();
        rows.finish(&mut out).unwrap();
        texts.push(String::from_utf8(out).unwrap());
        texts
    }

    fn batch(column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn numbers(count: usize) -> RecordBatch {
        batch(Arc::new(Int32Array::from_iter_values(0..count as i32)))
    }

    #[test]
    fn rows_that_make_a_table_are_not_held() {
        let texts = written(&[numbers(TABLE_VALUES - 1), numbers(TABLE_VALUES + 2)]);
        let headings: Vec<_> = texts.iter().map(|text| text.matches(" n |").count()).collect();
        assert_eq!(headings, [0, 2, 1]);
        let lines: Vec<_> = texts.iter().map(|text| text.lines().count()).collect();
        assert_eq!(lines, [0, 2 * (TABLE_VALUES + 4), 5]);
        assert!(texts[1].starts_with("+"), "{}", &texts[1][..100]);
    }

    #[test]
    fn values_line_up_and_are_told_apart() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(""), None, Some("\u{1b}[31m\nx")]));
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), Some(1000), None]));
        let rows = RecordBatch::try_from_iter([("text", texts), ("n", numbers)]).unwrap();
        let expected = [
            "+---------------+------+",
            "| text          |    n |",
            "+---------------+------+",
            "|               |    7 |",
            "| NULL          | 1000 |",
            "| \\u{1b}[31m\\nx | NULL |",
            "+---------------+------+",
            "",
        ];
        assert_eq!(written(&[rows])[1], expected.join("\n"));
    }

    #[test]
    fn a_few_long_values_make_a_table() {
        let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1024); 1024]));
        let texts = written(&[batch(long.slice(0, 1000)), batch(long), numbers(0)]);
        let lines: Vec<_> = texts.iter().map(|text| text.lines().count()).collect();
        assert_eq!(lines, [0, 1000 + 1024 + 4, 0, 0]);
        assert_eq!(written(&[numbers(0)])[1], "+---+\n| n |\n+---+\n+---+\n");
    }
}
