use arrow::datatypes::TimeUnit;
use proptest::prelude::*;

use super::*;

fn schema(fields: Vec<Field>) -> Schema {
    Schema::new(fields)
}

fn wide() -> Schema {
    let point = DataType::Struct(vec![Field::new("x", DataType::Float64, true)].into());
    let entries = vec![Field::new("key", DataType::Utf8, false), Field::new("value", point.clone(), true)];
    schema(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("n", DataType::Int32, true),
        Field::new("amount", DataType::Decimal128(10, 2), true),
        Field::new("day", DataType::Date32, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("local", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("raw", DataType::Binary, true),
        Field::new("at_home", point.clone(), true),
        Field::new("path", DataType::List(Arc::new(Field::new(LIST_ELEMENT, point, true))), true),
        Field::new(
            "by_name",
            DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries.into()), false)), false),
            true,
        ),
    ])
}

#[test]
fn every_type_round_trips_through_avro() {
    let table = TableSchema::from_arrow(&wide(), "t").unwrap();
    assert_eq!(table.arrow().as_ref(), &wide());
    assert_eq!(TableSchema::from_avro(&table.to_avro()).unwrap(), table);
    assert_eq!(TableSchema::from_avro(&table.to_avro_with_meta()).unwrap(), table);
    let with_meta = arrow_of_avro(&table.to_avro_with_meta()).unwrap();
    assert_eq!(&with_meta, table.arrow_with_meta().as_ref());
}

#[test]
fn names_are_those_of_sparks_converter() {
    let text = TableSchema::from_arrow(&wide(), "my-table").unwrap().to_avro();
    for part in [
        r#""name":"my__table_record","namespace":"hoodie.my__table""#,
        r#"{"type":"fixed","name":"fixed","namespace":"hoodie.my__table.my__table_record.amount","size":5,"logicalType":"decimal","precision":10,"scale":2}"#,
        r#"{"type":"record","name":"at_home","namespace":"hoodie.my__table.my__table_record","fields""#,
        r#"{"name":"n","type":["null","int"],"default":null}"#,
        r#"{"name":"id","type":"string"}"#,
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn narrow_and_foreign_types_become_tables_types() {
    let given = schema(vec![
        Field::new("a", DataType::Int16, true),
        Field::new("b", DataType::LargeUtf8, true),
        Field::new("c", DataType::Timestamp(TimeUnit::Second, Some("+02:00".into())), true),
        Field::new_dictionary("d", DataType::Int8, DataType::Utf8, true),
        Field::new("_hoodie_record_key", DataType::Utf8, true),
    ]);
    let table = TableSchema::from_arrow(&given, "t").unwrap();
    let types: Vec<_> = table.arrow().fields().iter().map(|f| f.data_type().clone()).collect();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(types, [DataType::Int32, DataType::Utf8, micros, DataType::Utf8]);
}

#[test]
fn what_hudi_cannot_hold_is_refused_by_name() {
    let refuse = |field: Field| TableSchema::from_arrow(&schema(vec![field]), "t").unwrap_err();
    let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
    for (field, part) in [
        (Field::new("t", nanos, true), "\"t\""),
        (Field::new("n", DataType::Null, true), "no values"),
        (Field::new("u", DataType::UInt64, true), "UInt64"),
        (Field::new("a b", DataType::Int32, true), "\"a b\""),
        (Field::new("1a", DataType::Int32, true), "\"1a\""),
    ] {
        let error = refuse(field).to_string();
        assert!(error.contains(part), "{error}");
    }
    let twice = schema(vec![Field::new("a", DataType::Int32, true), Field::new("A", DataType::Int32, true)]);
    assert!(matches!(TableSchema::from_arrow(&twice, "t"), Err(SchemaError::Duplicate { .. })));
}

#[test]
fn a_schema_grows_and_widens() {
    let table = TableSchema::from_avro(
        r#"{"type":"record","name":"r","namespace":"n","fields":[
            {"name":"id","type":"string","doc":"kept"},
            {"name":"n","type":["int","null"]},
            {"name":"s","type":["null",{"type":"record","name":"s","fields":[{"name":"x","type":["null","int"]}]}]}]}"#,
    )
    .unwrap();
    let inner = vec![Field::new("x", DataType::Int64, true), Field::new("y", DataType::Utf8, true)];
    let other = TableSchema::from_arrow(
        &schema(vec![
            Field::new("new", DataType::Date32, true),
            Field::new("n", DataType::Float64, true),
            Field::new("s", DataType::Struct(inner.clone().into()), true),
        ]),
        "t",
    )
    .unwrap();
    let merged = table.superset(&other).unwrap();
    let want = schema(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("n", DataType::Float64, true),
        Field::new("s", DataType::Struct(inner.into()), true),
        Field::new("new", DataType::Date32, true),
    ]);
    assert_eq!(merged.arrow().as_ref(), &want);
    assert_eq!(TableSchema::from_avro(&merged.to_avro()).unwrap(), merged);
    assert!(merged.to_avro().contains(r#""doc":"kept""#));
    assert_eq!(merged.superset(&other).unwrap().to_avro(), merged.to_avro());
}

#[test]
fn changes_that_old_rows_cannot_follow_are_refused() {
    let one = |name: &str, data_type, nullable| {
        TableSchema::from_arrow(&schema(vec![Field::new(name, data_type, nullable)]), "t").unwrap()
    };
    let table = one("a", DataType::Utf8, true);
    assert!(matches!(
        table.superset(&one("a", DataType::Int32, true)),
        Err(SchemaError::Incompatible { .. })
    ));
    assert!(matches!(
        table.superset(&one("b", DataType::Int32, false)),
        Err(SchemaError::RequiredAddition { .. })
    ));
}

#[test]
fn strange_avro_is_an_error() {
    for text in [
        "",
        "[]",
        "\"string\"",
        r#"{"type":"record","name":"r"}"#,
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":["int","string"]}]}"#,
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":"later"}]}"#,
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":60}}]}"#,
    ] {
        assert!(TableSchema::from_avro(text).is_err(), "{text}");
    }
    let deep = format!(
        r#"{{"type":"record","name":"r","fields":[{{"name":"a","type":{}"int"{}}}]}}"#,
        r#"{"type":"array","items":"#.repeat(70),
        "}".repeat(70)
    );
    assert!(TableSchema::from_avro(&deep).is_err());
    // Each record holds the one before twice: small text, 2^40 types.
    let record = |i: i32, fields: &str| format!(r#"{{"type":"record","name":"r{i}","fields":[{fields}]}}"#);
    let doubling = (1..40).fold(record(0, ""), |inner, i| {
        record(i, &format!(r#"{{"name":"a","type":{inner}}},{{"name":"b","type":"r{}"}}"#, i - 1))
    });
    assert!(TableSchema::from_avro(&doubling).unwrap_err().to_string().contains("types"));
}

proptest! {
    #[test]
    fn reading_avro_never_panics(text in "[\\[\\]{}:,\"a-z]{0,60}") {
        let _ = TableSchema::from_avro(&text);
    }
}
