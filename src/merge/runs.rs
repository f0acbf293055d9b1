//! Runs of rows of several arrays, one after the other.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, GenericByteArray, MutableArrayData, PrimitiveArray,
    downcast_primitive_array, make_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{BinaryType, ByteArrayType, DataType, Utf8Type};
use arrow::error::ArrowError;

/// Neighbouring rows of one of several arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) array: usize,
    pub(super) rows: Range<usize>,
}

/// The `rows` rows that `runs` are, which lie within `arrays`, all of one type.
///
/// Runs are short where many rows were updated: numbers and text without nulls, most columns of
/// most tables, are joined faster than Arrow joins what may be anything.
pub(super) fn join_runs(arrays: &[&dyn Array], rows: usize, runs: &[Run]) -> Result<ArrayRef, ArrowError> {
    let Some(&first) = arrays.first() else {
        return Err(ArrowError::InvalidArgumentError("there is nothing to join".to_owned()));
    };
    if arrays.iter().any(|array| array.null_count() > 0) {
        return join_any(arrays, rows, runs);
    }
    downcast_primitive_array! {
        first => join_numbers(first, arrays, rows, runs),
        DataType::Utf8 => join_bytes::<Utf8Type>(arrays, rows, runs),
        DataType::Binary => join_bytes::<BinaryType>(arrays, rows, runs),
        _ => join_any(arrays, rows, runs),
    }
}

fn join_any(arrays: &[&dyn Array], rows: usize, runs: &[Run]) -> Result<ArrayRef, ArrowError> {
    let data: Vec<_> = arrays.iter().map(|array| array.to_data()).collect();
    let mut joined = MutableArrayData::new(data.iter().collect(), false, rows);
    for Run { array, rows } in runs {
        joined.try_extend(*array, rows.start, rows.end)?;
    }
    Ok(make_array(joined.freeze()))
}

fn join_numbers<T: ArrowPrimitiveType>(
    first: &PrimitiveArray<T>,
    arrays: &[&dyn Array],
    rows: usize,
    runs: &[Run],
) -> Result<ArrayRef, ArrowError> {
    let sources: Vec<&[T::Native]> =
        arrays.iter().map(|array| array.as_primitive::<T>().values().as_ref()).collect();
    let mut joined = Vec::with_capacity(rows);
    for Run { array, rows } in runs {
        joined.extend_from_slice(part(&sources, *array, rows)?);
    }
    let joined = PrimitiveArray::<T>::new(joined.into(), None);
    Ok(Arc::new(joined.with_data_type(first.data_type().clone())))
}

fn join_bytes<T: ByteArrayType<Offset = i32>>(
    arrays: &[&dyn Array],
    rows: usize,
    runs: &[Run],
) -> Result<ArrayRef, ArrowError> {
    let sources: Vec<(&[i32], &[u8])> = arrays
        .iter()
        .map(|array| array.as_bytes::<T>())
        .map(|array| (array.value_offsets(), array.value_data()))
        .collect();
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    // As much as the first has, from which most rows come as a rule.
    let span = sources.first().and_then(|(ends, _)| Some((ends.last()? - ends.first()?) as usize));
    let mut values = Vec::with_capacity(span.unwrap_or_default());
    for Run { array, rows } in runs {
        let (ends, bytes) = sources.get(*array).ok_or_else(outside)?;
        let ends = ends.get(rows.start..=rows.end).ok_or_else(outside)?;
        let Some((start, ends)) = ends.split_first() else { continue };
        let end = ends.last().unwrap_or(start);
        let length = values.len() + (end - start) as usize;
        let Ok(_) = i32::try_from(length) else { return Err(ArrowError::OffsetOverflowError(length)) };
        let moved = values.len() as i32 - start;
        offsets.extend(ends.iter().map(|end| end + moved));
        values.extend_from_slice(bytes.get(*start as usize..*end as usize).ok_or_else(outside)?);
    }
    let joined = GenericByteArray::<T>::try_new(OffsetBuffer::new(offsets.into()), values.into(), None)?;
    Ok(Arc::new(joined))
}

fn part<'a, T>(sources: &[&'a [T]], array: usize, rows: &Range<usize>) -> Result<&'a [T], ArrowError> {
    sources.get(array).and_then(|values| values.get(rows.clone())).ok_or_else(outside)
}

fn outside() -> ArrowError {
    ArrowError::InvalidArgumentError("a run lies outside of its array".to_owned())
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryArray, BooleanArray, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };

    use super::*;

    /// Every type is joined as Arrow itself does it.
    #[test]
    fn runs_are_joined_as_arrow_joins_them() {
        let rows = 0..20_i64;
        let text = |n: i64| "é".repeat(n as usize % 4);
        let time = TimestampMicrosecondArray::from_iter_values(rows.clone()).with_timezone("UTC");
        let decimal = Decimal128Array::from_iter_values(rows.clone().map(i128::from));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.clone())),
            Arc::new(Int64Array::from_iter(rows.clone().map(|n| (n % 3 > 0).then_some(n)))),
            Arc::new(time),
            Arc::new(decimal.with_precision_and_scale(12, 2).unwrap()),
            Arc::new(StringArray::from_iter_values(rows.clone().map(text))),
            Arc::new(StringArray::from_iter(rows.clone().map(|n| (n % 3 > 0).then(|| text(n))))),
            Arc::new(BinaryArray::from_iter_values(rows.clone().map(|n| vec![n as u8; n as usize % 5]))),
            Arc::new(BooleanArray::from_iter(rows.map(|n| Some(n % 2 == 0)))),
        ];
        let run = |array, rows| Run { array, rows };
        let runs = [run(0, 3..7), run(1, 2..3), run(0, 0..0), run(2, 0..5), run(1, 5..6), run(0, 19..20)];
        for column in columns {
            let parts = [column.clone(), column.slice(4, 12), column.slice(13, 6)];
            let arrays: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            let joined = join_runs(&arrays, 12, &runs).unwrap();
            assert_eq!(&joined, &join_any(&arrays, 12, &runs).unwrap());
            assert_eq!((joined.len(), joined.data_type()), (12, column.data_type()));
        }
    }

    #[test]
    fn a_run_outside_of_its_array_is_an_error() {
        let numbers = Int64Array::from_iter_values(0..3);
        let texts = StringArray::from(vec!["a", "b"]);
        for (array, rows) in [(0, 2..4), (1, 0..1)] {
            let runs = [Run { array, rows }];
            assert!(join_runs(&[&numbers], 2, &runs).is_err());
            assert!(join_runs(&[&texts], 2, &runs).is_err());
        }
    }
}
