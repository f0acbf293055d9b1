//! Ordering values, kept small: most tables order by one whole number.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use lakebed_hudi::ordering_value::{OrderingClass, OrderingColumns, OrderingError, OrderingValue};

/// The ordering value of an entry or row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum EntryOrdering {
    /// A 32-bit integer or a date.
    Int(i32),
    /// A 64-bit integer or a timestamp.
    Long(i64),
    /// Anything else.
    Value(Box<OrderingValue>),
}

impl EntryOrdering {
    /// Whether this is the value that means "none": a delete with it is unconditional.
    pub(super) fn is_commit_time(&self) -> bool {
        match self {
            Self::Int(value) => *value == 0,
            Self::Long(_) => false,
            Self::Value(value) => value.is_commit_time(),
        }
    }

    /// Which of two values is the greater one.
    pub(super) fn compare(&self, other: &Self) -> Result<Ordering, OrderingError> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Ok(a.cmp(b)),
            (Self::Long(a), Self::Long(b)) => Ok(a.cmp(b)),
            (a, b) => OrderingValue::from(a).compare(&b.into()),
        }
    }

    pub(super) fn is_same_class(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(_), Self::Int(_)) | (Self::Long(_), Self::Long(_)) => true,
            (a, b) => OrderingValue::from(a).is_same_class(&b.into()),
        }
    }
}

impl From<&EntryOrdering> for OrderingValue {
    fn from(ordering: &EntryOrdering) -> Self {
        match ordering {
            EntryOrdering::Int(value) => Self::Int(*value),
            EntryOrdering::Long(value) => Self::Long(*value),
            EntryOrdering::Value(value) => value.as_ref().clone(),
        }
    }
}

impl From<OrderingValue> for EntryOrdering {
    fn from(value: OrderingValue) -> Self {
        match value {
            OrderingValue::Null => Self::Int(0),
            OrderingValue::Int(value) => Self::Int(value),
            OrderingValue::Long(value) => Self::Long(value),
            other => Self::Value(Box::new(other)),
        }
    }
}

/// The ordering values of the rows of a batch.
#[derive(Debug)]
pub(super) enum RowOrdering {
    /// One column of 32-bit integers or dates, widened.
    Ints(Int64Array),
    /// One column of 64-bit integers or timestamps.
    Longs(Int64Array),
    /// Anything else.
    Values(OrderingColumns),
    /// No column: arrival decides.
    Arrival,
}

impl RowOrdering {
    pub(super) fn of(columns: &[ArrayRef]) -> Result<Self, OrderingError> {
        if columns.is_empty() {
            return Ok(Self::Arrival);
        }
        if let [column] = columns {
            let longs = || {
                Ok::<_, OrderingError>(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            };
            match OrderingClass::of(column.data_type())? {
                OrderingClass::Integer if *column.data_type() != DataType::Date32 => {
                    return Ok(Self::Ints(longs()?));
                }
                OrderingClass::Long => return Ok(Self::Longs(longs()?)),
                _ => {}
            }
        }
        OrderingColumns::try_new(columns).map(Self::Values)
    }

    /// The value of `row`; a null counts as the integer 0.
    pub(super) fn get(&self, row: usize) -> EntryOrdering {
        match self {
            Self::Ints(values) | Self::Longs(values) if values.is_null(row) => EntryOrdering::Int(0),
            Self::Ints(values) => EntryOrdering::Int(values.value(row) as i32),
            Self::Longs(values) => EntryOrdering::Long(values.value(row)),
            Self::Values(values) => values.value(row).into(),
            Self::Arrival => EntryOrdering::Int(0),
        }
    }
}
