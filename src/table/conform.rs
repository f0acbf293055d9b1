//! Rows brought to another schema: columns by name, older types widened, missing columns null.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, ListArray, MapArray, RecordBatch, RecordBatchOptions,
    StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Fields, Float32Type, SchemaRef};
use arrow::error::ArrowError;
use lakebed_hudi::schema::sql_type;

/// Why rows do not fit a schema.
#[derive(Debug, thiserror::Error)]
pub enum ConformError {
    /// Values of one type cannot be had as another.
    #[error("column {column:?} is {} and cannot become {}: {source}", sql_type(found), sql_type(expected))]
    Type {
        /// The column, nested fields joined by `.`.
        column: String,
        /// Its type.
        found: DataType,
        /// The type asked for.
        expected: DataType,
        /// What Arrow says.
        source: ArrowError,
    },
    /// A required column has nulls, or is missing.
    #[error("column {column:?} is required by the table and {found}")]
    Required {
        /// The column, nested fields joined by `.`.
        column: String,
        /// What is wrong with it.
        found: &'static str,
    },
}

/// The rows of `batch` with exactly the columns of `schema`, in its order.
///
/// Columns are found by name at every level. Numbers widen; a float becomes the double that is
/// spelled the same, as in Spark, and not the one nearest in value. Columns that `batch` lacks
/// are null. Arrays that fit already are shared and not copied.
///
/// # Errors
/// Types that do not convert, and nulls where the schema allows none.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ConformError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let rows = batch.num_rows();
    let columns = schema
        .fields()
        .iter()
        .map(|field| conform_column(batch.column_by_name(field.name()), field, rows, field.name()))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|source| {
        ConformError::Type {
            column: "all columns".into(),
            found: DataType::Struct(batch.schema_ref().fields().clone()),
            expected: DataType::Struct(schema.fields().clone()),
            source,
        }
    })
}

fn conform_column(
    column: Option<&ArrayRef>,
    field: &Field,
    rows: usize,
    path: &str,
) -> Result<ArrayRef, ConformError> {
    let required = |found| ConformError::Required { column: path.to_owned(), found };
    let Some(column) = column else {
        if !field.is_nullable() && rows > 0 {
            return Err(required("is missing"));
        }
        return Ok(new_null_array(field.data_type(), rows));
    };
    let array = conform_array(column, field.data_type(), path)?;
    if !field.is_nullable() && array.logical_null_count() > 0 {
        return Err(required("has nulls"));
    }
    Ok(array)
}

/// The values of `array`, those of the column `path`, as [`conform`] brings them to the type `target`.
///
/// # Errors
/// As [`conform`].
pub(crate) fn conform_array(
    array: &ArrayRef,
    target: &DataType,
    path: &str,
) -> Result<ArrayRef, ConformError> {
    let failed = |source| ConformError::Type {
        column: path.to_owned(),
        found: array.data_type().clone(),
        expected: target.clone(),
        source,
    };
    match (array.data_type(), target) {
        (from, to) if from == to => Ok(array.clone()),
        (DataType::Struct(_), DataType::Struct(fields)) => conform_struct(array.as_struct(), fields, path),
        (DataType::List(_), DataType::List(element)) => {
            let list = array.as_list::<i32>();
            let values = conform_column(Some(list.values()), element, list.values().len(), path)?;
            ListArray::try_new(element.clone(), list.offsets().clone(), values, list.nulls().cloned())
                .map(|list| Arc::new(list) as ArrayRef)
                .map_err(failed)
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            conform_map(array.as_map(), entries, *sorted, path)
        }
        (DataType::Float32, DataType::Float64) => Ok(widen_floats(array)),
        (from, to) if converts(from, to) => {
            cast_with_options(array, to, &CastOptions { safe: false, ..Default::default() }).map_err(failed)
        }
        _ => Err(failed(ArrowError::CastError("not a type that widens to it".into()))),
    }
}

/// Whether Hudi lets a column of type `from` become one of type `to`: values stay equal, but for whole
/// numbers too long for the digits of a floating point number.
fn converts(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Dictionary(_, values), to) => values.as_ref() == to || converts(values, to),
        (Int8 | Int16 | UInt8 | UInt16, Int32) | (Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32, Int64) => {
            true
        }
        (Int8 | Int16 | Int32 | Int64, Float32 | Float64) => true,
        // Text without the annotation that makes it text, as enums have it.
        (Utf8View | LargeUtf8 | Binary, Utf8) => true,
        (BinaryView | LargeBinary | FixedSizeBinary(_), Binary) => true,
        (Date64, Date32) => true,
        (Timestamp(from, zone), Timestamp(to, to_zone)) => from <= to && zone.is_some() == to_zone.is_some(),
        (Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s), Decimal128(to_p, to_s)) => {
            to_s >= s && i16::from(*to_p) - i16::from(*to_s) >= i16::from(*p) - i16::from(*s)
        }
        (LargeList(_) | FixedSizeList(_, _) | ListView(_), List(_)) => true,
        _ => false,
    }
}

fn conform_struct(array: &StructArray, fields: &Fields, path: &str) -> Result<ArrayRef, ConformError> {
    let columns = fields
        .iter()
        .map(|field| {
            let path = format!("{path}.{}", field.name());
            // Below a null struct a required field may hold anything.
            let lenient = Field::new(field.name(), field.data_type().clone(), true);
            conform_column(array.column_by_name(field.name()), &lenient, array.len(), &path)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let nulls = array.nulls().cloned();
    let array = StructArray::try_new_with_length(fields.clone(), columns, nulls, array.len());
    array.map(|array| Arc::new(array) as ArrayRef).map_err(|source| ConformError::Type {
        column: path.to_owned(),
        found: DataType::Struct(fields.clone()),
        expected: DataType::Struct(fields.clone()),
        source,
    })
}

fn conform_map(
    array: &MapArray,
    entries: &Arc<Field>,
    sorted: bool,
    path: &str,
) -> Result<ArrayRef, ConformError> {
    let failed = |source| ConformError::Type {
        column: path.to_owned(),
        found: array.data_type().clone(),
        expected: DataType::Map(entries.clone(), sorted),
        source,
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(failed(ArrowError::SchemaError("map entries are no struct".into())));
    };
    let [key, value] = fields.as_ref() else {
        return Err(failed(ArrowError::SchemaError("map entries are no pairs".into())));
    };
    // Writers name the two fields of an entry as they like: they go by position.
    let rows = array.entries().len();
    let columns = vec![
        conform_column(Some(array.keys()), key, rows, path)?,
        conform_column(Some(array.values()), value, rows, path)?,
    ];
    let pairs = StructArray::try_new(fields.clone(), columns, None).map_err(failed)?;
    MapArray::try_new(entries.clone(), array.offsets().clone(), pairs, array.nulls().cloned(), sorted)
        .map(|map| Arc::new(map) as ArrayRef)
        .map_err(failed)
}

fn widen_floats(array: &ArrayRef) -> ArrayRef {
    let floats = array.as_primitive::<Float32Type>();
    let doubles: Float64Array =
        floats.iter().map(|f| f.map(|f| f.to_string().parse().unwrap_or(f64::from(f)))).collect();
    Arc::new(doubles)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Array, Int32Array, Int64Array, StringArray};
    use arrow::datatypes::Schema;

    use super::*;

    fn schema(fields: Vec<Field>) -> SchemaRef {
        Arc::new(Schema::new(fields))
    }

    #[test]
    fn columns_are_found_by_name_widened_and_added() {
        let batch = RecordBatch::try_from_iter([
            ("f", Arc::new(Float32Array::from(vec![1.1])) as ArrayRef),
            ("n", Arc::new(Int32Array::from(vec![7]))),
        ])
        .unwrap();
        let target = schema(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("new", DataType::Utf8, true),
            Field::new("f", DataType::Float64, true),
        ]);
        let got = conform(&batch, &target).unwrap();
        assert_eq!(got.column(0).as_ref(), &Int64Array::from(vec![7]));
        assert_eq!(got.column(1).as_ref(), &StringArray::from(vec![None::<&str>]));
        assert_eq!(got.column(2).as_ref(), &Float64Array::from(vec![1.1]));
    }

    #[test]
    fn nested_columns_conform_as_well() {
        let inner = |data_type, name: &str| vec![Field::new(name, data_type, true)];
        let list_of = |name: &str, data_type, element: &str| {
            let item = Field::new(element, DataType::Struct(inner(data_type, "x").into()), true);
            Field::new(name, DataType::List(Arc::new(item)), true)
        };
        let from = schema(vec![list_of("a", DataType::Int32, "array")]);
        let to = schema(vec![list_of("a", DataType::Int64, "element")]);
        let empty = RecordBatch::new_empty(from.clone());
        assert_eq!(conform(&empty, &to).unwrap().schema(), to);
        let nulls =
            RecordBatch::try_new(from.clone(), vec![new_null_array(from.field(0).data_type(), 3)]).unwrap();
        assert_eq!(conform(&nulls, &to).unwrap().num_rows(), 3);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let batch =
            RecordBatch::try_from_iter([("a", Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef)])
                .unwrap();
        let required = schema(vec![Field::new("a", DataType::Int32, false)]);
        assert!(
            matches!(conform(&batch, &required), Err(ConformError::Required { column, .. }) if column == "a")
        );
        let missing = schema(vec![Field::new("b", DataType::Int32, false)]);
        assert!(
            matches!(conform(&batch, &missing), Err(ConformError::Required { column, .. }) if column == "b")
        );
        let list = DataType::List(Arc::new(Field::new("element", DataType::Int32, true)));
        let wrong =
            schema(vec![Field::new("a", DataType::Map(Arc::new(Field::new("x", list, true)), false), true)]);
        assert!(matches!(conform(&batch, &wrong), Err(ConformError::Type { .. })));
    }
}
