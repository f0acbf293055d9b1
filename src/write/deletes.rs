//! Rows that only delete their key, and what they need not say.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StructArray, make_array, new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::KeyRules;
use crate::table::{ConformError, conform, conform_array};

impl KeyRules {
    /// The rows of `rows` with exactly the columns of the table, as [`conform`] brings them there.
    ///
    /// A delete may lack what the table requires but in columns that it [needs](KeyRules::needs): it gets
    /// zeros and empty values there, which go to no file.
    ///
    /// # Errors
    /// As [`conform`].
    pub fn conform(
        &self,
        rows: &RecordBatch,
        deletes: Option<&BooleanArray>,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, ConformError> {
        let Some(deletes) = deletes.filter(|deletes| deletes.true_count() > 0) else {
            return conform(rows, schema);
        };
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for field in schema.fields() {
            let found = rows.column_by_name(field.name());
            let column = match field.is_nullable() || self.needs(field.name()) {
                true => found.cloned(),
                false => Some(filled(found, field, deletes)?),
            };
            if let Some(column) = column {
                fields.push(Field::new(field.name(), column.data_type().clone(), true));
                columns.push(column);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let filled = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options);
        conform(&filled.map_err(|source| failed("all columns", rows.schema_ref(), source))?, schema)
    }
}

fn failed(column: &str, schema: &SchemaRef, source: ArrowError) -> ConformError {
    let found = DataType::Struct(schema.fields().clone());
    ConformError::Type { column: column.to_owned(), expected: found.clone(), found, source }
}

/// The values of a required column; those that deletes lack are filled in.
fn filled(
    found: Option<&ArrayRef>,
    field: &Arc<Field>,
    deletes: &BooleanArray,
) -> Result<ArrayRef, ConformError> {
    let (name, data_type, rows) = (field.name(), field.data_type(), deletes.len());
    let values = match found {
        Some(values) => conform_array(values, data_type, name)?,
        None => new_null_array(data_type, rows),
    };
    let lacks = |row| deletes.is_valid(row) && deletes.value(row) && values.is_null(row);
    let lacking: BooleanArray = (0..rows).map(|row| Some(lacks(row))).collect();
    let filled = empty(data_type, rows).and_then(|empty| zip(&lacking, &empty, &values));
    filled.map_err(|source| failed(name, &Arc::new(Schema::new(vec![field.clone()])), source))
}

/// Zeros, empty texts, empty lists.
fn empty(data_type: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
    let DataType::Struct(fields) = data_type else {
        let nulls = new_null_array(data_type, rows).to_data();
        return Ok(make_array(nulls.into_builder().nulls(None).build()?));
    };
    let columns = fields.iter().map(|field| match field.is_nullable() {
        true => Ok(new_null_array(field.data_type(), rows)),
        false => empty(field.data_type(), rows),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, rows)?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray as _, Int64Array, StringArray};
    use arrow::datatypes::{Fields, Int64Type};
    use lakebed_hudi::partition_path::PartitionPathRule;
    use lakebed_hudi::record_key::RecordKeyRule;

    use super::*;

    #[test]
    fn deletes_need_only_the_columns_that_say_which_row_and_when() {
        let keys = KeyRules {
            record_key: Some(RecordKeyRule::Bare("id".into())),
            partition_path: PartitionPathRule::none(),
            ordering_fields: vec!["at.ts".into()],
        };
        assert_eq!(["id", "at", "ts", "v"].map(|column| keys.needs(column)), [true, true, false, false]);
        let inner: Fields =
            vec![Field::new("a", DataType::Int64, false), Field::new("b", DataType::Utf8, true)].into();
        let list = DataType::List(Arc::new(Field::new("element", DataType::Int64, false)));
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("n", DataType::Int64, false),
            Field::new("s", DataType::Struct(inner), false),
            Field::new("l", list, false),
        ]));
        let id: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), Some("y"), None]));
        let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None, None]));
        let rows = RecordBatch::try_from_iter_with_nullable([("id", id, true), ("n", n, true)]).unwrap();
        let deletes = BooleanArray::from(vec![true, true]);
        let got = keys.conform(&rows.slice(0, 2), Some(&deletes), &schema).unwrap();
        assert_eq!(got.column(1).as_primitive::<Int64Type>().values(), &[7, 0]);
        assert_eq!(got.column(2).as_struct().column(0).as_primitive::<Int64Type>().values(), &[0, 0]);
        let required = |deletes: &[bool]| {
            let conformed = keys.conform(&rows, Some(&deletes.to_vec().into()), &schema);
            let Err(ConformError::Required { column, .. }) = conformed else { panic!("{conformed:?}") };
            column
        };
        assert_eq!([required(&[true, true, true]), required(&[false, true, false])], ["id", "id"]);
        let alone = rows.slice(0, 2);
        let one = keys.conform(&alone, Some(&vec![false, true].into()), &schema);
        assert!(matches!(one, Err(ConformError::Required { column, .. }) if column == "s"));
    }
}
