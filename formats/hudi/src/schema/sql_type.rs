//! Types as people know them.

use arrow::datatypes::DataType;

/// A type as Spark's SQL spells it, for messages; Arrow's name where SQL has none.
pub fn sql_type(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Null => "void",
        DataType::Boolean => "boolean",
        DataType::Int8 => "tinyint",
        DataType::Int16 => "smallint",
        DataType::Int32 => "int",
        DataType::Int64 => "bigint",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary"
        }
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(_, Some(_)) => "timestamp",
        DataType::Timestamp(_, None) => "timestamp_ntz",
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => return format!("decimal({precision},{scale})"),
        DataType::Dictionary(_, values) => return sql_type(values),
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::FixedSizeList(element, _) => return format!("array<{}>", sql_type(element.data_type())),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|f| format!("{}:{}", f.name(), sql_type(f.data_type())));
            return format!("struct<{}>", fields.collect::<Vec<_>>().join(","));
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                let types: Vec<String> = pair.iter().map(|field| sql_type(field.data_type())).collect();
                return format!("map<{}>", types.join(","));
            }
            other => return other.to_string(),
        },
        other => return other.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_spelled_as_in_sql() {
        let schema = r#"{"type":"record","name":"r","fields":[
            {"name":"m","type":{"type":"map","values":["null",{"type":"array","items":"long"}]}},
            {"name":"s","type":{"type":"record","name":"s","fields":[{"name":"x","type":"float"}]}},
            {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
            {"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}}]}"#;
        let schema = crate::schema::arrow_of_avro(schema).unwrap();
        let types: Vec<String> = schema.fields().iter().map(|field| sql_type(field.data_type())).collect();
        let expected = ["map<string,array<bigint>>", "struct<x:float>", "decimal(9,2)", "timestamp"];
        assert_eq!(types, expected);
    }
}
