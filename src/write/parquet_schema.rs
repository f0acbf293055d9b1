//! How columns lie in Parquet.

use std::sync::Arc;

use arrow::datatypes::Schema;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{SchemaDescriptor, Type};

/// The Parquet schema of files with the columns of `schema`: as Arrow has it, but with every
/// decimal in fixed bytes, as Hudi writes it.
///
/// Arrow puts small decimals into integers. Where Hudi's Avro reader rewrites a base file for a
/// copy-on-write update, it takes such an integer for the value, without its scale: 20.21 becomes
/// 2021.00.
pub(super) fn parquet_schema(schema: &Schema) -> Result<SchemaDescriptor, ParquetError> {
    let converted = ArrowSchemaConverter::new().convert(schema)?;
    Ok(SchemaDescriptor::new(with_fixed_decimals(&converted.root_schema_ptr())?))
}

fn with_fixed_decimals(node: &Arc<Type>) -> Result<Arc<Type>, ParquetError> {
    let info = node.get_basic_info();
    let id = info.has_id().then(|| info.id());
    let rebuilt = match node.as_ref() {
        Type::GroupType { fields, .. } => {
            let fields = fields.iter().map(with_fixed_decimals).collect::<Result<_, _>>()?;
            let group = Type::group_type_builder(info.name())
                .with_fields(fields)
                .with_converted_type(info.converted_type())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_id(id);
            if info.has_repetition() {
                group.with_repetition(info.repetition()).build()?
            } else {
                group.build()?
            }
        }
        Type::PrimitiveType {
            physical_type: PhysicalType::INT32 | PhysicalType::INT64,
            precision,
            scale,
            ..
        } if matches!(info.logical_type_ref(), Some(LogicalType::Decimal { .. })) => {
            Type::primitive_type_builder(info.name(), PhysicalType::FIXED_LEN_BYTE_ARRAY)
                .with_length(decimal_bytes(*precision))
                .with_precision(*precision)
                .with_scale(*scale)
                .with_repetition(info.repetition())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_id(id)
                .build()?
        }
        Type::PrimitiveType { .. } => return Ok(node.clone()),
    };
    Ok(Arc::new(rebuilt))
}

/// The fewest bytes that hold every number of so many digits.
fn decimal_bytes(precision: i32) -> i32 {
    let bits = f64::from(precision) * 10_f64.log2() + 1.0;
    (bits / 8.0).ceil() as i32
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Fields};

    use super::*;

    #[test]
    fn decimals_are_fixed_bytes_at_every_level_and_nothing_else_changes() {
        let decimal = |name: &str, precision| Field::new(name, DataType::Decimal128(precision, 2), true);
        let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), decimal("value", 18)]);
        let map = DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries), false)), false);
        let schema = Schema::new(vec![
            decimal("a", 9),
            decimal("b", 38),
            Field::new("c", DataType::Int32, false),
            Field::new("d", DataType::List(Arc::new(decimal("element", 10))), true),
            Field::new("e", map, true),
        ]);
        let written = parquet_schema(&schema).unwrap();
        let plain = ArrowSchemaConverter::new().convert(&schema).unwrap();
        let lengths = [Some(4), Some(16), None, Some(5), None, Some(8)];
        for ((written, plain), length) in written.columns().iter().zip(plain.columns()).zip(lengths) {
            assert_eq!(written.path(), plain.path());
            assert_eq!(written.logical_type_ref(), plain.logical_type_ref());
            assert_eq!(
                (written.max_def_level(), written.max_rep_level()),
                (plain.max_def_level(), plain.max_rep_level())
            );
            match length {
                Some(length) => {
                    assert_eq!(written.physical_type(), PhysicalType::FIXED_LEN_BYTE_ARRAY);
                    assert_eq!(written.type_length(), length);
                }
                None => assert_eq!(written.physical_type(), plain.physical_type()),
            }
        }
    }

    #[test]
    fn decimals_take_the_bytes_that_hudi_gives_them() {
        let of = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 16, 18, 19, 21, 38].map(decimal_bytes);
        assert_eq!(of, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 9, 16]);
    }
}
