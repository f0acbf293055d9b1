use std::borrow::Borrow;
use std::sync::Arc;

use arrow::array::{
    BinaryArray, Date32Array, Int16Array, LargeStringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray,
};
use proptest::prelude::*;

use super::*;

fn order(left: impl Borrow<OrderingValue>, right: impl Borrow<OrderingValue>) -> Ordering {
    left.borrow().compare(right.borrow()).unwrap()
}

fn decimal(unscaled: i128, scale: i8) -> OrderingValue {
    OrderingValue::Decimal { unscaled, scale }
}

#[test]
fn floats_follow_java_and_not_ieee() {
    let ascending = [f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1.0, f64::INFINITY, f64::NAN];
    for (i, left) in ascending.iter().enumerate() {
        for (j, right) in ascending.iter().enumerate() {
            assert_eq!(order(OrderingValue::Double(*left), OrderingValue::Double(*right)), i.cmp(&j));
            let (left, right) = (*left as f32, *right as f32);
            assert_eq!(order(OrderingValue::Float(left), OrderingValue::Float(right)), i.cmp(&j));
        }
    }
    assert_eq!(order(OrderingValue::Double(-f64::NAN), OrderingValue::Double(f64::NAN)), Ordering::Equal);
}

#[test]
fn strings_order_by_code_point_as_in_spark() {
    // Spark 3.5 with Hudi 1.2.0 kept the smiley over U+E000, whose UTF-16 unit is the greater one.
    let smiley = OrderingValue::String("\u{1F600}".into());
    assert_eq!(order(smiley, OrderingValue::String("\u{E000}".into())), Ordering::Greater);
}

#[test]
fn bytes_are_signed() {
    let bytes = |b: &[u8]| OrderingValue::Bytes(b.to_vec());
    assert_eq!(order(bytes(&[0x80]), bytes(&[0x01])), Ordering::Less);
    assert_eq!(order(bytes(&[1]), bytes(&[1, 0])), Ordering::Less);
}

#[test]
fn decimals_order_by_value_over_all_scales() {
    assert_eq!(order(decimal(10, 1), decimal(100, 2)), Ordering::Equal);
    assert_eq!(order(decimal(-15, 1), decimal(-1_500_000_000_000_001, 15)), Ordering::Greater);
    assert_eq!(order(decimal(i128::MAX, -38), decimal(i128::MAX, 38)), Ordering::Greater);
    assert_eq!(order(decimal(i128::MIN, -100), decimal(i128::MIN, 100)), Ordering::Less);
    assert_eq!(order(decimal(0, -100), decimal(0, 100)), Ordering::Equal);
    assert_eq!(order(decimal(0, 100), decimal(-1, -100)), Ordering::Greater);
}

#[test]
fn other_classes_are_refused_with_both_names() {
    let error = OrderingValue::Int(1).compare(&OrderingValue::Long(1)).unwrap_err();
    assert_eq!(error, OrderingError::Class { left: OrderingClass::Integer, right: OrderingClass::Long });
    assert!(error.to_string().starts_with("ordering values of class Integer and Long do not compare"));
    let error = OrderingValue::Date(1).compare(&OrderingValue::Int(1)).unwrap_err();
    assert!(error.to_string().contains("java.sql.Date and Integer"));
}

#[test]
fn null_alone_counts_as_the_integer_zero() {
    assert!(OrderingValue::Null.is_commit_time());
    assert!(OrderingValue::Int(0).is_commit_time());
    assert!(!OrderingValue::Long(0).is_commit_time());
    assert_eq!(order(OrderingValue::Null, OrderingValue::Int(-1)), Ordering::Greater);
    assert!(OrderingValue::Null.compare(&OrderingValue::Long(1)).is_err());
    assert!(OrderingValue::Null.is_same_class(&OrderingValue::Int(7)));
}

#[test]
fn arrays_compare_field_by_field() {
    let pair =
        |a, b: &str| OrderingValue::Array(vec![OrderingValue::Int(a), OrderingValue::String(b.into())]);
    assert_eq!(order(pair(1, "b"), pair(1, "a")), Ordering::Greater);
    assert_eq!(order(pair(1, "b"), pair(2, "a")), Ordering::Less);
    assert!(pair(1, "b").is_same_class(&pair(0, "")));
    let other = OrderingValue::Array(vec![OrderingValue::Int(1), OrderingValue::Null]);
    assert!(!pair(1, "b").is_same_class(&other));
    assert!(matches!(pair(1, "b").compare(&other), Err(OrderingError::Class { .. })));
    let longer = OrderingValue::Array(vec![OrderingValue::Int(1); 3]);
    assert_eq!(pair(1, "b").compare(&longer), Err(OrderingError::FieldCount { left: 2, right: 3 }));
    assert!(!pair(0, "").is_commit_time());
}

#[test]
fn columns_are_boxed_as_spark_boxes_them() {
    let cases: [(ArrayRef, OrderingValue); 9] = [
        (Arc::new(BooleanArray::from(vec![true])), OrderingValue::Bool(true)),
        (Arc::new(Int16Array::from(vec![-3])), OrderingValue::Int(-3)),
        (Arc::new(Date32Array::from(vec![19_000])), OrderingValue::Int(19_000)),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![1_700_000_000_123_456]).with_timezone("UTC")),
            OrderingValue::Long(1_700_000_000_123_456),
        ),
        (Arc::new(TimestampMillisecondArray::from(vec![7])), OrderingValue::Long(7)),
        (Arc::new(Float32Array::from(vec![2.5])), OrderingValue::Float(2.5)),
        (Arc::new(Float64Array::from(vec![2.5])), OrderingValue::Double(2.5)),
        (Arc::new(LargeStringArray::from(vec!["c"])), OrderingValue::String("c".into())),
        (
            Arc::new(Decimal128Array::from(vec![125]).with_precision_and_scale(10, 2).unwrap()),
            decimal(125, 2),
        ),
    ];
    for (column, want) in cases {
        assert_eq!(OrderingColumns::try_new(&[column]).unwrap().value(0), want);
    }
}

#[test]
fn nulls_are_kept_alone_and_zero_among_several() {
    let column: ArrayRef = Arc::new(StringArray::from(vec![None, Some("x")]));
    let one = OrderingColumns::try_new(std::slice::from_ref(&column)).unwrap();
    assert_eq!(one.value(0), OrderingValue::Null);
    let two = OrderingColumns::try_new(&[column.clone(), column]).unwrap();
    assert_eq!(two.value(0), OrderingValue::Array(vec![OrderingValue::Int(0); 2]));
    assert_eq!(two.value(1), OrderingValue::Array(vec![OrderingValue::String("x".into()); 2]));
    assert_eq!(OrderingColumns::try_new(&[]).unwrap().value(5), OrderingValue::Int(0));
}

#[test]
fn types_that_spark_cannot_order_by_are_refused() {
    let binary: ArrayRef = Arc::new(BinaryArray::from(vec![b"a".as_slice()]));
    let error = OrderingColumns::try_new(&[binary]).unwrap_err();
    assert!(error.to_string().starts_with("a column of type binary cannot be an ordering field"));
    for data_type in [
        DataType::UInt32,
        DataType::Decimal256(40, 2),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Time64(TimeUnit::Microsecond),
    ] {
        assert!(OrderingClass::of(&data_type).is_err(), "{data_type}");
    }
}

pub(crate) fn any_value() -> impl Strategy<Value = OrderingValue> {
    let leaf = prop_oneof![
        Just(OrderingValue::Null),
        any::<bool>().prop_map(OrderingValue::Bool),
        any::<i32>().prop_map(OrderingValue::Int),
        any::<i64>().prop_map(OrderingValue::Long),
        any::<f32>().prop_map(OrderingValue::Float),
        any::<f64>().prop_map(OrderingValue::Double),
        "\\PC{0,4}".prop_map(OrderingValue::String),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(OrderingValue::Bytes),
        (any::<i128>(), any::<i8>()).prop_map(|(unscaled, scale)| decimal(unscaled, scale)),
        (-20i128..20, -2i8..2).prop_map(|(unscaled, scale)| decimal(unscaled, scale)),
    ];
    prop_oneof![
        8 => leaf.clone(),
        2 => prop::collection::vec(leaf, 0..3).prop_map(OrderingValue::Array),
        1 => any::<i32>().prop_map(OrderingValue::Date),
    ]
}

proptest! {
    #[test]
    fn order_is_antisymmetric(left in any_value(), right in any_value()) {
        match (left.compare(&right), right.compare(&left)) {
            (Ok(one), Ok(other)) => prop_assert_eq!(one, other.reverse()),
            (Err(_), Err(_)) => {}
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn decimals_of_one_scale_order_as_integers(left in any::<i64>(), right in any::<i64>(), shift in 0u32..10) {
        let scaled = decimal(i128::from(right) * 10i128.pow(shift), 3 + shift as i8);
        prop_assert_eq!(order(decimal(left.into(), 3), scaled), left.cmp(&right));
    }
}
