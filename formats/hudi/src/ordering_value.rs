//! Ordering values: what decides between two versions of a record.

use std::cmp::Ordering;
use std::fmt;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimeUnit, i256,
};
use arrow::error::ArrowError;

use crate::schema::sql_type;

#[cfg(test)]
pub(crate) mod tests;

/// What a value of the ordering fields is boxed as, named as Hudi's errors name it.
///
/// Values of different classes do not compare: Java throws, and the file group cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderingClass {
    /// No value.
    Null,
    /// `java.lang.Boolean`.
    Boolean,
    /// `java.lang.Integer`: int, short, byte and date columns.
    Integer,
    /// `java.lang.Long`: long and timestamp columns.
    Long,
    /// `java.lang.Float`.
    Float,
    /// `java.lang.Double`.
    Double,
    /// `java.nio.ByteBuffer`.
    Bytes,
    /// `java.lang.String`, or the engine's own string.
    String,
    /// `java.sql.Date`: no column is boxed so, only what foreign delete blocks hold.
    Date,
    /// `java.time.LocalDate`: as [`OrderingClass::Date`].
    LocalDate,
    /// `java.math.BigDecimal`, or the engine's own decimal.
    Decimal,
    /// `java.sql.Timestamp`: as [`OrderingClass::Date`].
    Timestamp,
    /// Hudi's `ArrayComparable`: the values of several ordering fields.
    Array,
}

impl OrderingClass {
    /// The class of a column's values in Spark's merge of a file slice.
    ///
    /// Source: `BaseSparkInternalRecordContext.getValue`, Hudi 1.2.0, table versions 6 to 9.
    ///
    /// # Errors
    /// A type that Spark cannot order by (binary, nested), or has no column of.
    pub fn of(data_type: &DataType) -> Result<Self, OrderingError> {
        match data_type {
            DataType::Boolean => Ok(Self::Boolean),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Date32 => Ok(Self::Integer),
            DataType::Int64 | DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, _) => {
                Ok(Self::Long)
            }
            DataType::Float32 => Ok(Self::Float),
            DataType::Float64 => Ok(Self::Double),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(Self::String),
            DataType::Decimal128(_, _) => Ok(Self::Decimal),
            other => Err(OrderingError::Type { data_type: sql_type(other).chars().take(200).collect() }),
        }
    }

    /// The class as Java names it, without its package.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "Boolean",
            Self::Integer => "Integer",
            Self::Long => "Long",
            Self::Float => "Float",
            Self::Double => "Double",
            Self::Bytes => "ByteBuffer",
            Self::String => "String",
            Self::Date => "java.sql.Date",
            Self::LocalDate => "LocalDate",
            Self::Decimal => "BigDecimal",
            Self::Timestamp => "java.sql.Timestamp",
            Self::Array => "ArrayComparable",
        }
    }
}

impl fmt::Display for OrderingClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why two ordering values do not compare, or a column gives none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderingError {
    /// Two versions of one record hold values of different classes.
    #[error(
        "ordering values of class {left} and {right} do not compare: a delete block was written with \
         another type than the ordering column has, or the ordering value of a row is null"
    )]
    Class {
        /// The class on the left.
        left: OrderingClass,
        /// The class on the right.
        right: OrderingClass,
    },
    /// Two versions of one record hold values of different numbers of fields.
    #[error("ordering values of {left} and {right} fields do not compare: the ordering fields were changed")]
    FieldCount {
        /// Fields on the left.
        left: usize,
        /// Fields on the right.
        right: usize,
    },
    /// A column cannot be an ordering field.
    #[error(
        "a column of type {data_type} cannot be an ordering field: use boolean, an integer, float, double, \
         string, date, timestamp (milliseconds or microseconds) or decimal"
    )]
    Type {
        /// The type, as in SQL.
        data_type: String,
    },
    /// Arrow could not take a column as the type that Java boxes it as.
    #[error("ordering column could not be read: {reason}")]
    Arrow {
        /// What Arrow says.
        reason: String,
    },
}

impl From<ArrowError> for OrderingError {
    fn from(error: ArrowError) -> Self {
        Self::Arrow { reason: error.to_string().chars().take(200).collect() }
    }
}

/// The value of a record's ordering fields, boxed and compared as Spark boxes and compares it.
///
/// Source: `OrderingValues`, `ArrayComparable`, `OrderingValueEngineTypeConverter`, Hudi 1.2.0.
#[derive(Debug, Clone, PartialEq)]
pub enum OrderingValue {
    /// No value. Alone it counts as `Int(0)`; inside an array it compares with nothing.
    Null,
    /// False before true.
    Bool(bool),
    /// A 32-bit integer, or a date as its epoch day.
    Int(i32),
    /// A 64-bit integer, or a timestamp in the unit of its column.
    Long(i64),
    /// Ordered as `Float.compare`: -0.0 before 0.0, NaN after all.
    Float(f32),
    /// Ordered as `Double.compare`.
    Double(f64),
    /// Ordered as `ByteBuffer.compareTo`: by *signed* bytes.
    Bytes(Vec<u8>),
    /// Ordered by its UTF-8 bytes, as Spark's and Flink's strings are, and not by UTF-16 units.
    String(String),
    /// A `java.sql.Date` as its epoch day.
    Date(i32),
    /// A `java.time.LocalDate` as its epoch day.
    LocalDate(i32),
    /// Ordered by value: 1.0 equals 1.00.
    Decimal {
        /// The digits.
        unscaled: i128,
        /// How many of them stand behind the point.
        scale: i8,
    },
    /// A `java.sql.Timestamp` in microseconds since the epoch.
    Timestamp(i64),
    /// The values of several ordering fields, compared field by field.
    Array(Vec<Self>),
}

impl OrderingValue {
    /// What the value is boxed as.
    pub fn class(&self) -> OrderingClass {
        match self {
            Self::Null => OrderingClass::Null,
            Self::Bool(_) => OrderingClass::Boolean,
            Self::Int(_) => OrderingClass::Integer,
            Self::Long(_) => OrderingClass::Long,
            Self::Float(_) => OrderingClass::Float,
            Self::Double(_) => OrderingClass::Double,
            Self::Bytes(_) => OrderingClass::Bytes,
            Self::String(_) => OrderingClass::String,
            Self::Date(_) => OrderingClass::Date,
            Self::LocalDate(_) => OrderingClass::LocalDate,
            Self::Decimal { .. } => OrderingClass::Decimal,
            Self::Timestamp(_) => OrderingClass::Timestamp,
            Self::Array(_) => OrderingClass::Array,
        }
    }

    /// Whether this is the value that means "none": null or the integer 0.
    ///
    /// A delete with it is unconditional. It beats whatever is older and loses to whatever is newer.
    ///
    /// Source: `OrderingValues.isCommitTimeOrderingValue`, Hudi 1.2.0.
    pub fn is_commit_time(&self) -> bool {
        matches!(self, Self::Null | Self::Int(0))
    }

    /// Whether the values, and in arrays those of every field, are of one class.
    ///
    /// Source: `OrderingValues.isSameClass`, Hudi 1.2.0.
    pub fn is_same_class(&self, other: &Self) -> bool {
        match (self.or_default(), other.or_default()) {
            (Self::Array(left), Self::Array(right)) => {
                left.iter().zip(right).all(|(left, right)| left.class() == right.class())
            }
            (left, right) => left.class() == right.class(),
        }
    }

    /// Which value is the greater one.
    ///
    /// # Errors
    /// Values of different classes, or arrays of different lengths: Hudi's read fails on them.
    pub fn compare(&self, other: &Self) -> Result<Ordering, OrderingError> {
        compare_boxed(self.or_default(), other.or_default())
    }

    fn or_default(&self) -> &Self {
        static DEFAULT: OrderingValue = OrderingValue::Int(0);
        match self {
            Self::Null => &DEFAULT,
            value => value,
        }
    }
}

fn compare_boxed(left: &OrderingValue, right: &OrderingValue) -> Result<Ordering, OrderingError> {
    use OrderingValue as V;
    Ok(match (left, right) {
        (V::Bool(left), V::Bool(right)) => left.cmp(right),
        (V::Int(left), V::Int(right))
        | (V::Date(left), V::Date(right))
        | (V::LocalDate(left), V::LocalDate(right)) => left.cmp(right),
        (V::Long(left), V::Long(right)) | (V::Timestamp(left), V::Timestamp(right)) => left.cmp(right),
        (V::Float(left), V::Float(right)) => java_float_order(f64::from(*left), f64::from(*right)),
        (V::Double(left), V::Double(right)) => java_float_order(*left, *right),
        (V::Bytes(left), V::Bytes(right)) => {
            let signed = |bytes: &[u8]| bytes.iter().map(|b| b.cast_signed()).collect::<Vec<_>>();
            signed(left).cmp(&signed(right))
        }
        (V::String(left), V::String(right)) => left.cmp(right),
        (
            V::Decimal { unscaled: left, scale: left_scale },
            V::Decimal { unscaled: right, scale: right_scale },
        ) => compare_decimals(*left, *left_scale, *right, *right_scale),
        (V::Array(left), V::Array(right)) => return compare_arrays(left, right),
        (left, right) => return Err(OrderingError::Class { left: left.class(), right: right.class() }),
    })
}

fn compare_arrays(left: &[OrderingValue], right: &[OrderingValue]) -> Result<Ordering, OrderingError> {
    if left.len() != right.len() {
        return Err(OrderingError::FieldCount { left: left.len(), right: right.len() });
    }
    for (left, right) in left.iter().zip(right) {
        let order = compare_boxed(left, right)?;
        if order.is_ne() {
            return Ok(order);
        }
    }
    Ok(Ordering::Equal)
}

/// `Double.compare`; widening a float changes neither its order nor its zero's sign.
fn java_float_order(left: f64, right: f64) -> Ordering {
    // Java sees one NaN where IEEE 754 has many, of either sign.
    let canonical = |v: f64| if v.is_nan() { f64::NAN.abs() } else { v };
    canonical(left).total_cmp(&canonical(right))
}

fn compare_decimals(left: i128, left_scale: i8, right: i128, right_scale: i8) -> Ordering {
    if left == 0 || left_scale == right_scale || left.signum() != right.signum() {
        return left.cmp(&right);
    }
    if left_scale > right_scale {
        return compare_decimals(right, right_scale, left, left_scale).reverse();
    }
    let shift = i32::from(right_scale) - i32::from(left_scale);
    let shifted = i256::from_i128(10)
        .checked_pow(shift.unsigned_abs())
        .and_then(|power| i256::from_i128(left).checked_mul(power));
    match shifted {
        Some(left) => left.cmp(&i256::from_i128(right)),
        // Both have the same sign and the shifted one does not fit 256 bits: it is the larger one.
        None if left < 0 => Ordering::Less,
        None => Ordering::Greater,
    }
}

/// The ordering columns of a batch, ready to give the ordering value of each row.
///
/// Rows of Avro and Parquet data blocks and of base files give the same values: a value is boxed
/// by the type of its column and not by the format it was stored in. The columns must have the
/// types of the table's schema; a timestamp counts in the unit of its column.
#[derive(Debug, Clone)]
pub struct OrderingColumns {
    columns: Vec<Column>,
}

#[derive(Debug, Clone)]
enum Column {
    Bool(BooleanArray),
    Int(Int32Array),
    Long(Int64Array),
    Float(Float32Array),
    Double(Float64Array),
    String(StringArray),
    Decimal(Decimal128Array),
}

impl OrderingColumns {
    /// Takes the columns in the order of `hoodie.table.ordering.fields`.
    ///
    /// # Errors
    /// A column that cannot be an ordering field.
    pub fn try_new(columns: &[ArrayRef]) -> Result<Self, OrderingError> {
        Ok(Self { columns: columns.iter().map(Column::try_new).collect::<Result<_, _>>()? })
    }

    /// The ordering value of a row: the field's, an array for several fields, `Int(0)` for none.
    ///
    /// A null field is [`OrderingValue::Null`] alone, and `Int(0)` among several, as in Spark.
    ///
    /// Source: `RecordContext.getOrderingValue`, Hudi 1.2.0.
    ///
    /// # Panics
    /// If the batch has no such row.
    pub fn value(&self, row: usize) -> OrderingValue {
        match self.columns.as_slice() {
            [] => OrderingValue::Int(0),
            [column] => column.value(row).unwrap_or(OrderingValue::Null),
            columns => OrderingValue::Array(
                columns.iter().map(|column| column.value(row).unwrap_or(OrderingValue::Int(0))).collect(),
            ),
        }
    }
}

impl Column {
    fn try_new(column: &ArrayRef) -> Result<Self, OrderingError> {
        let class = OrderingClass::of(column.data_type())?;
        Ok(match class {
            OrderingClass::Boolean => Self::Bool(column.as_boolean().clone()),
            OrderingClass::Integer => {
                Self::Int(cast(column, &DataType::Int32)?.as_primitive::<Int32Type>().clone())
            }
            OrderingClass::Long => {
                Self::Long(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            OrderingClass::Float => Self::Float(column.as_primitive::<Float32Type>().clone()),
            OrderingClass::Double => Self::Double(column.as_primitive::<Float64Type>().clone()),
            OrderingClass::String => Self::String(cast(column, &DataType::Utf8)?.as_string::<i32>().clone()),
            OrderingClass::Decimal => Self::Decimal(column.as_primitive::<Decimal128Type>().clone()),
            class => return Err(OrderingError::Type { data_type: class.to_string() }),
        })
    }

    fn value(&self, row: usize) -> Option<OrderingValue> {
        use OrderingValue as V;
        match self {
            Self::Bool(column) => column.is_valid(row).then(|| V::Bool(column.value(row))),
            Self::Int(column) => column.is_valid(row).then(|| V::Int(column.value(row))),
            Self::Long(column) => column.is_valid(row).then(|| V::Long(column.value(row))),
            Self::Float(column) => column.is_valid(row).then(|| V::Float(column.value(row))),
            Self::Double(column) => column.is_valid(row).then(|| V::Double(column.value(row))),
            Self::String(column) => column.is_valid(row).then(|| V::String(column.value(row).to_owned())),
            Self::Decimal(column) => column
                .is_valid(row)
                .then(|| V::Decimal { unscaled: column.value(row), scale: column.scale() }),
        }
    }
}
