//! Filters: a column, a comparison, a value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Scalar, StringArray, UInt64Array};
use arrow::compute::kernels::cmp;
use arrow::compute::{CastOptions, and_kleene, cast_with_options, is_not_null, is_null, or_kleene};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use lakebed_hudi::schema::sql_type;

use super::filter_value::{value_form, with_seconds, would_be_cut};
use crate::near_match::near_match;

/// Why a filter cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A text that is no filter.
    #[error(
        "filter {filter:?}, character {position}: expected {expected}, found {found}; a filter is \
         `column op value` with one of = != < <= > >=, `column in (a, b)`, `column is null` or \
         `column is not null`"
    )]
    Syntax {
        /// The text, cut to a bounded length.
        filter: String,
        /// Which of its characters is wrong, counted from 1.
        position: usize,
        /// What should stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A column that the table does not have.
    #[error("the table has no column {column:?}; {hint}")]
    Column {
        /// The column asked for.
        column: String,
        /// The one that may have been meant, or those there are.
        hint: String,
    },
    /// A column that is asked for twice.
    #[error("column {column:?} is asked for twice: name each column once")]
    Repeated {
        /// The column.
        column: String,
    },
    /// A value that is none of the column's type.
    #[error("{value:?} is no value of column {column:?}, which is {data_type}: expected {expected}")]
    Value {
        /// The column.
        column: String,
        /// The value, cut to a bounded length.
        value: String,
        /// The column's type, as in SQL.
        data_type: String,
        /// What its values look like.
        expected: &'static str,
    },
}

/// How values are compared. A null compares with nothing, so its row does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// What a filter asks of a column; values are texts of the column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterTest {
    /// The column's value compares so with this one.
    Compare(Comparison, String),
    /// It is one of these.
    In(Vec<String>),
    /// It is null.
    IsNull,
    /// It is not null.
    IsNotNull,
}

/// Rows that pass have a column that passes the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// A top-level column.
    pub column: String,
    /// What it is asked.
    pub test: FilterTest,
}

/// A filter with values of its column's type.
#[derive(Debug, Clone)]
pub(super) struct BoundFilter {
    pub(super) column: String,
    pub(super) data_type: DataType,
    pub(super) test: BoundTest,
}

#[derive(Debug, Clone)]
pub(super) enum BoundTest {
    Compare(Comparison, Scalar<ArrayRef>),
    In(Vec<Scalar<ArrayRef>>),
    IsNull,
    IsNotNull,
}

impl Filter {
    /// The filter over rows of `schema`.
    pub(super) fn bind(&self, schema: &Schema) -> Result<BoundFilter, FilterError> {
        let field = schema.field_with_name(&self.column).map_err(|_| unknown_column(&self.column, schema))?;
        let scalar = |value: &String| self.scalar(value, field.data_type());
        let test = match &self.test {
            FilterTest::Compare(comparison, value) => BoundTest::Compare(*comparison, scalar(value)?),
            FilterTest::In(values) => BoundTest::In(values.iter().map(scalar).collect::<Result<_, _>>()?),
            FilterTest::IsNull => BoundTest::IsNull,
            FilterTest::IsNotNull => BoundTest::IsNotNull,
        };
        Ok(BoundFilter { column: self.column.clone(), data_type: field.data_type().clone(), test })
    }

    fn scalar(&self, value: &str, data_type: &DataType) -> Result<Scalar<ArrayRef>, FilterError> {
        let failed = || FilterError::Value {
            column: self.column.clone(),
            value: value.chars().take(100).collect(),
            data_type: sql_type(data_type),
            expected: value_form(data_type),
        };
        if data_type.is_nested() || would_be_cut(value, data_type) {
            return Err(failed());
        }
        let text: ArrayRef = Arc::new(StringArray::from(vec![&*with_seconds(value, data_type)]));
        let options = CastOptions { safe: false, ..Default::default() };
        let typed = cast_with_options(&text, data_type, &options).map_err(|_| failed())?;
        Ok(Scalar::new(signless_zeros(&typed)))
    }
}

pub(super) fn unknown_column(column: &str, schema: &Schema) -> FilterError {
    let names = schema.fields().iter().map(|field| field.name().as_str());
    // Those of the table's own are looked for more often than Hudi's.
    let (hudis, mut known): (Vec<&str>, Vec<&str>) = names.partition(|name| name.starts_with("_hoodie_"));
    known.extend(hudis);
    let hint = near_match(column, known.iter().copied())
        .map_or_else(|| format!("it has {}", known.join(", ")), |near| format!("did you mean {near:?}?"));
    FilterError::Column { column: column.to_owned(), hint }
}

/// Zeros without their sign: Arrow's order tells them apart, Spark's does not.
fn signless_zeros(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(|v| v + 0.0))
        }
        DataType::Float64 => {
            Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|v| v + 0.0))
        }
        _ => array.clone(),
    }
}

/// The least and greatest values of some runs of rows, as far as they are known, and their nulls.
pub(super) struct Ranges {
    pub(super) min: ArrayRef,
    pub(super) max: ArrayRef,
    pub(super) nulls: UInt64Array,
    pub(super) rows: Vec<u64>,
}

impl BoundFilter {
    /// Which rows pass; null counts as no.
    pub(super) fn passes(&self, column: &ArrayRef) -> Result<BooleanArray, ArrowError> {
        let column = signless_zeros(column);
        match &self.test {
            BoundTest::IsNull => is_null(&column),
            BoundTest::IsNotNull => is_not_null(&column),
            BoundTest::Compare(comparison, value) => comparison.compare(&column, value),
            BoundTest::In(values) => {
                let none = BooleanArray::from(vec![false; column.len()]);
                values.iter().try_fold(none, |any, value| or_kleene(&any, &cmp::eq(&column, value)?))
            }
        }
    }

    /// Which runs of rows may hold one that passes.
    pub(super) fn may_pass(&self, ranges: &Ranges) -> Result<Vec<bool>, ArrowError> {
        // A NaN is greater than every bound and not within it.
        let bounded = !matches!(self.data_type, DataType::Float16 | DataType::Float32 | DataType::Float64);
        let within = |value: &dyn Datum| {
            and_kleene(&cmp::lt_eq(&ranges.min, value)?, &cmp::gt_eq(&ranges.max, value)?)
        };
        let nulls = |at: usize| ranges.nulls.is_valid(at).then(|| ranges.nulls.value(at));
        let runs = ranges.rows.iter().enumerate();
        let may = match &self.test {
            BoundTest::IsNull => return Ok(runs.map(|(at, _)| nulls(at) != Some(0)).collect()),
            BoundTest::IsNotNull => return Ok(runs.map(|(at, rows)| nulls(at) != Some(*rows)).collect()),
            _ if !bounded => return Ok(vec![true; ranges.rows.len()]),
            BoundTest::Compare(Comparison::NotEqual, _) => return Ok(vec![true; ranges.rows.len()]),
            BoundTest::Compare(Comparison::Equal, value) => within(value)?,
            BoundTest::Compare(less @ (Comparison::Less | Comparison::LessOrEqual), value) => {
                less.compare(&ranges.min, value)?
            }
            BoundTest::Compare(greater, value) => greater.compare(&ranges.max, value)?,
            BoundTest::In(values) => {
                let none = BooleanArray::from(vec![false; ranges.rows.len()]);
                values.iter().try_fold(none, |any, value| or_kleene(&any, &within(value)?))?
            }
        };
        // Bounds that are not known may hold anything.
        Ok(may.iter().map(|passes| passes != Some(false)).collect())
    }

    /// Whether it asks only for null or not.
    pub(super) fn is_null_test(&self) -> bool {
        matches!(self.test, BoundTest::IsNull | BoundTest::IsNotNull)
    }

    /// The values that the column must have one of, if the test says so.
    pub(super) fn equal_to(&self) -> Option<Vec<ArrayRef>> {
        let array = |scalar: &Scalar<ArrayRef>| scalar.clone().into_inner();
        match &self.test {
            BoundTest::Compare(Comparison::Equal, value) => Some(vec![array(value)]),
            BoundTest::In(values) => Some(values.iter().map(array).collect()),
            _ => None,
        }
    }
}

impl Comparison {
    fn compare(self, left: &dyn Datum, right: &dyn Datum) -> Result<BooleanArray, ArrowError> {
        match self {
            Self::Equal => cmp::eq(left, right),
            Self::NotEqual => cmp::neq(left, right),
            Self::Less => cmp::lt(left, right),
            Self::LessOrEqual => cmp::lt_eq(left, right),
            Self::Greater => cmp::gt(left, right),
            Self::GreaterOrEqual => cmp::gt_eq(left, right),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Float64Array, Int64Array};
    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("x", DataType::Float64, true),
            Field::new("day", DataType::Date32, true),
            Field::new("price", DataType::Decimal128(10, 2), true),
        ])
    }

    fn bound(text: &str) -> BoundFilter {
        text.parse::<Filter>().unwrap().bind(&schema()).unwrap()
    }

    #[test]
    fn a_value_of_another_type_is_named() {
        let filter: Filter = "day = tomorrow".parse().unwrap();
        let error = filter.bind(&schema()).unwrap_err();
        let expected =
            "\"tomorrow\" is no value of column \"day\", which is date: expected a date such as 2026-03-07";
        assert_eq!(error.to_string(), expected);
        let filter: Filter = "n = 1.5".parse().unwrap();
        let error = filter.bind(&schema()).unwrap_err().to_string();
        assert!(error.contains("which is bigint: expected a whole number"), "{error}");
        let filter: Filter = "nope = 1".parse().unwrap();
        let error = filter.bind(&schema()).unwrap_err().to_string();
        assert_eq!(error, "the table has no column \"nope\"; it has n, x, day, price");
        let filter: Filter = "dayy = 2026-03-07".parse().unwrap();
        assert!(filter.bind(&schema()).unwrap_err().to_string().ends_with("did you mean \"day\"?"));
    }

    #[test]
    fn a_decimal_is_compared_as_it_was_written_or_not_at_all() {
        let prices = Decimal128Array::from(vec![100, 101]).with_precision_and_scale(10, 2).unwrap();
        let prices: ArrayRef = Arc::new(prices);
        for (text, passes) in [("price = 1.010", [false, true]), ("price >= 1", [true, true])] {
            let passed = bound(text).passes(&prices).unwrap();
            assert_eq!(passed.values().iter().collect::<Vec<_>>(), passes, "{text}");
        }
        for text in ["price = 1.005", "price >= 1.004", "price in (1, 1.001)", "price < 123456789"] {
            let error = text.parse::<Filter>().unwrap().bind(&schema()).unwrap_err().to_string();
            assert!(
                error.contains("which is decimal(10,2): expected a number with no more digits"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_time_is_compared_as_it_was_written_or_not_at_all() {
        let utc = || Some("UTC".into());
        let schema = Schema::new(vec![
            Field::new("ms", DataType::Timestamp(TimeUnit::Millisecond, utc()), true),
            Field::new("us", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("ns", DataType::Timestamp(TimeUnit::Nanosecond, None), true),
            Field::new("day", DataType::Date32, true),
        ]);
        let bind = |text: &str| text.parse::<Filter>().unwrap().bind(&schema).map_err(|e| e.to_string());
        for text in [
            "ms = '2026-03-07 16:25:57.123'",
            "ms = '2026-03-07T16:25:57.123000Z'",
            "ms = '2026-03-07 16:25:57.120+02:00'",
            "us >= '2026-03-07 16:25:57.123456'",
            "ns < '2026-03-07 16:25:57.123456789'",
            "us > 2026-03-07",
        ] {
            bind(text).unwrap();
        }
        let value = |text: &str| bind(text).unwrap().equal_to().unwrap();
        assert_eq!(value("us = '2026-03-07 16:25'"), value("us = '2026-03-07 16:25:00'"));
        assert_eq!(value("ms = '2026-03-07T16:25+02:00'"), value("ms = '2026-03-07 14:25:00Z'"));
        for (text, form) in [
            ("us = '2026-03-07 16'", "57.123456', with no more digits"),
            ("us = '2026-03-07 16:25.5'", "57.123456', with no more digits"),
            ("ms = '2026-03-07 16:25:57.123456'", "57.123', with no more digits"),
            ("ms in (2026-03-07, '2026-03-07 16:25:57.1234Z')", "57.123', with no more digits"),
            ("us >= '2026-03-07 16:25:57.1234567+02:00'", "57.123456', with no more digits"),
            ("ns < '2026-03-07 16:25:57.1234567891'", "16:25:57'"),
            ("day = '2026-03-07 16:25:57'", "a date such as 2026-03-07"),
        ] {
            let error = bind(text).unwrap_err();
            assert!(error.ends_with(form), "{text}: {error}");
        }
    }

    #[test]
    fn nulls_pass_no_comparison_and_zeros_have_no_sign() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let passes = |text: &str, column: &ArrayRef| {
            bound(text).passes(column).unwrap().iter().map(|p| p == Some(true)).collect::<Vec<_>>()
        };
        assert_eq!(passes("n != 1", &column), [false, false, true]);
        assert_eq!(passes("n in (1, 2)", &column), [true, false, false]);
        assert_eq!(passes("n is null", &column), [false, true, false]);
        let zeros: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN]));
        assert_eq!(passes("x = -0.0", &zeros), [true, true, false]);
        assert_eq!(passes("x > 1", &zeros), [false, false, true]);
    }

    #[test]
    fn only_runs_that_cannot_hold_a_match_are_left_out() {
        let ranges = Ranges {
            min: Arc::new(Int64Array::from(vec![Some(0), Some(10), None])),
            max: Arc::new(Int64Array::from(vec![Some(9), Some(19), None])),
            nulls: UInt64Array::from(vec![Some(0), Some(5), None]),
            rows: vec![5, 5, 5],
        };
        let may = |text: &str| bound(text).may_pass(&ranges).unwrap();
        assert_eq!(may("n = 9"), [true, false, true]);
        assert_eq!(may("n < 10"), [true, false, true]);
        assert_eq!(may("n > 9"), [false, true, true]);
        assert_eq!(may("n in (50, 12)"), [false, true, true]);
        assert_eq!(may("n != 3"), [true, true, true]);
        assert_eq!(may("n is null"), [false, true, true]);
        assert_eq!(may("n is not null"), [true, false, true]);
    }
}
