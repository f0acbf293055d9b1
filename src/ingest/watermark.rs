//! How far the event time of a source has come.

use arrow::array::{ArrayRef, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter, max};
use arrow::datatypes::{DataType, Int64Type, Schema, TimeUnit};

use super::job::Job;
use crate::write::RefusedRow;

const DAY_MILLIS: i64 = 86_400_000;

/// The column that says when what a row tells has happened, if the table has one.
#[derive(Debug)]
pub(super) struct EventTime {
    column: Option<String>,
}

impl EventTime {
    /// The column that orders the rows of a key, else the one that the job makes partitions of, where
    /// it is a date or a timestamp: a number has no unit here.
    pub(super) fn of(job: &Job, ordering_fields: &[String], schema: &Schema) -> Self {
        let is_time = |column: &&String| {
            let field = schema.field_with_name(column);
            field.is_ok_and(|f| matches!(f.data_type(), DataType::Date32 | DataType::Timestamp(..)))
        };
        let partition = job.mapping.partition.as_ref().map(|partition| &partition.from);
        Self { column: ordering_fields.iter().chain(partition).find(is_time).cloned() }
    }

    /// The greatest time in `rows`, milliseconds since the epoch, without those that were `refused`.
    pub(super) fn greatest(&self, rows: &RecordBatch, refused: &[RefusedRow]) -> Option<i64> {
        let values = rows.column_by_name(self.column.as_ref()?)?;
        if refused.is_empty() {
            return greatest_millis(values);
        }
        let mut taken = vec![true; rows.num_rows()];
        for row in refused {
            if let Some(taken) = taken.get_mut(row.row()) {
                *taken = false;
            }
        }
        greatest_millis(&filter(values, &BooleanArray::from(taken)).ok()?)
    }
}

fn greatest_millis(values: &ArrayRef) -> Option<i64> {
    let numbers = cast(values, &DataType::Int64).ok()?;
    let greatest = max(numbers.as_primitive::<Int64Type>())?;
    Some(match values.data_type() {
        DataType::Date32 => greatest.saturating_mul(DAY_MILLIS),
        DataType::Timestamp(TimeUnit::Second, _) => greatest.saturating_mul(1000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => greatest.div_euclid(1000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => greatest.div_euclid(1_000_000),
        _ => greatest,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, TimestampMicrosecondArray, TimestampNanosecondArray};

    use super::*;

    #[test]
    fn times_of_any_unit_become_milliseconds() {
        let micros = vec![Some(-1_500), None, Some(-500)];
        let times: [(ArrayRef, Option<i64>); 4] = [
            (Arc::new(Date32Array::from(vec![1, 15_706, 3])), Some(15_706 * DAY_MILLIS)),
            (Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("+09:00")), Some(-1)),
            (Arc::new(TimestampNanosecondArray::from(vec![2_999_999])), Some(2)),
            (Arc::new(Date32Array::from(vec![None])), None),
        ];
        for (values, expected) in times {
            assert_eq!(greatest_millis(&values), expected, "{values:?}");
        }
    }
}
