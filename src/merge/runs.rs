//! Runs of rows of several arrays, one after the other.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BooleanBufferBuilder, GenericByteArray,
    MutableArrayData, PrimitiveArray, StringViewArray, downcast_primitive_array, make_array, make_view,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{BinaryType, ByteArrayType, DataType, Utf8Type};
use arrow::error::ArrowError;

/// Neighbouring rows of one of several arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) array: usize,
    pub(super) rows: Range<usize>,
}

/// Runs that make one array of several.
#[derive(Debug)]
pub(super) struct Runs {
    runs: Vec<Run>,
    rows: usize,
    /// Rows of the first array stand where they stood.
    in_place: bool,
}

impl Runs {
    pub(super) fn new(runs: Vec<Run>) -> Self {
        let (mut rows, mut in_place) = (0, true);
        for run in &runs {
            in_place &= run.array > 0 || run.rows.start == rows;
            rows += run.rows.len();
        }
        Self { runs, rows, in_place }
    }

    /// Of single rows, as (array, row).
    pub(super) fn of_rows(rows: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (array, row) in rows {
            match runs.last_mut() {
                Some(run) if run.array == array && run.rows.end == row => run.rows.end += 1,
                _ => runs.push(Run { array, rows: row..row + 1 }),
            }
        }
        Self::new(runs)
    }

    /// How many rows they are.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn as_slice(&self) -> &[Run] {
        &self.runs
    }

    /// The values that they make of those of several arrays.
    fn joined<T: Copy>(&self, sources: &[&[T]]) -> Result<Vec<T>, ArrowError> {
        match sources.first() {
            Some(first) if self.in_place && first.len() == self.rows => {
                self.put_into(first.to_vec(), sources)
            }
            _ => {
                let mut joined = Vec::with_capacity(self.rows);
                for Run { array, rows } in &self.runs {
                    joined.extend_from_slice(part(sources, *array, rows)?);
                }
                Ok(joined)
            }
        }
    }

    /// The first of `sources`, with values of the others in the places of some of its own.
    fn put_into<T: Copy>(&self, mut first: Vec<T>, sources: &[&[T]]) -> Result<Vec<T>, ArrowError> {
        let mut at = 0;
        for Run { array, rows } in &self.runs {
            if *array > 0 {
                let places = first.get_mut(at..at + rows.len()).ok_or_else(outside)?;
                for (place, value) in places.iter_mut().zip(part(sources, *array, rows)?) {
                    *place = *value;
                }
            }
            at += rows.len();
        }
        Ok(first)
    }

    /// Which of the rows that they make are there, if some are not.
    fn nulls(&self, arrays: &[&dyn Array]) -> Result<Option<NullBuffer>, ArrowError> {
        if arrays.iter().all(|array| array.null_count() == 0) {
            return Ok(None);
        }
        let sources: Vec<Option<&NullBuffer>> = arrays.iter().map(|array| array.nulls()).collect();
        let mut there = BooleanBufferBuilder::new(self.rows);
        for Run { array, rows } in &self.runs {
            match sources.get(*array).ok_or_else(outside)? {
                None => there.append_n(rows.len(), true),
                Some(nulls) if rows.end <= nulls.len() => {
                    there.append_buffer(&nulls.inner().slice(rows.start, rows.len()));
                }
                Some(_) => return Err(outside()),
            }
        }
        Ok(Some(NullBuffer::new(there.finish())))
    }
}

/// The rows that `runs` are, which lie within `arrays`, all of one type; but the first may have views of text
/// where the others have text: then the answer has views of its bytes.
///
/// Runs are short where many rows were updated: numbers and text, most columns of most tables, are joined
/// faster than Arrow joins what may be anything.
pub(super) fn join_runs(arrays: &[&dyn Array], runs: &Runs) -> Result<ArrayRef, ArrowError> {
    let Some((&first, others)) = arrays.split_first() else {
        return Err(ArrowError::InvalidArgumentError("there is nothing to join".to_owned()));
    };
    downcast_primitive_array! {
        first => join_numbers(first, arrays, runs),
        DataType::Utf8 => join_bytes::<Utf8Type>(arrays, runs),
        DataType::Binary => join_bytes::<BinaryType>(arrays, runs),
        DataType::Utf8View => join_views(first.as_string_view(), others, runs, runs.nulls(arrays)?),
        _ => join_any(arrays, runs),
    }
}

fn join_any(arrays: &[&dyn Array], runs: &Runs) -> Result<ArrayRef, ArrowError> {
    let data: Vec<_> = arrays.iter().map(|array| array.to_data()).collect();
    let mut joined = MutableArrayData::new(data.iter().collect(), false, runs.rows);
    for Run { array, rows } in &runs.runs {
        joined.try_extend(*array, rows.start, rows.end)?;
    }
    Ok(make_array(joined.freeze()))
}

fn join_numbers<T: ArrowPrimitiveType>(
    first: &PrimitiveArray<T>,
    arrays: &[&dyn Array],
    runs: &Runs,
) -> Result<ArrayRef, ArrowError> {
    let sources: Vec<&[T::Native]> =
        arrays.iter().map(|array| array.as_primitive::<T>().values().as_ref()).collect();
    let joined = PrimitiveArray::<T>::try_new(runs.joined(&sources)?.into(), runs.nulls(arrays)?)?;
    Ok(Arc::new(joined.with_data_type(first.data_type().clone())))
}

fn join_bytes<T: ByteArrayType<Offset = i32>>(
    arrays: &[&dyn Array],
    runs: &Runs,
) -> Result<ArrayRef, ArrowError> {
    let sources: Vec<(&[i32], &[u8])> = arrays
        .iter()
        .map(|array| array.as_bytes::<T>())
        .map(|array| (array.value_offsets(), array.value_data()))
        .collect();
    let mut offsets = Vec::with_capacity(runs.rows + 1);
    offsets.push(0);
    // As much as the first has, from which most rows come as a rule.
    let span = sources.first().and_then(|(ends, _)| Some((ends.last()? - ends.first()?) as usize));
    let mut values = Vec::with_capacity(span.unwrap_or_default());
    for Run { array, rows } in &runs.runs {
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
    let (offsets, nulls) = (OffsetBuffer::new(offsets.into()), runs.nulls(arrays)?);
    Ok(Arc::new(GenericByteArray::<T>::try_new(offsets, values.into(), nulls)?))
}

/// Joins views of text and text: no bytes are copied, and none are looked through for what is no text, which
/// they were when they were read.
fn join_views(
    first: &StringViewArray,
    others: &[&dyn Array],
    runs: &Runs,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    let mut buffers = first.data_buffers().to_vec();
    let mut sources: Vec<(u32, &[i32], &[u8])> = Vec::with_capacity(others.len());
    for other in others {
        let texts = other.as_string::<i32>();
        let block = u32::try_from(buffers.len()).map_err(|_| outside())?;
        buffers.push(texts.values().clone());
        sources.push((block, texts.value_offsets(), texts.value_data()));
    }
    let mut joined: Vec<u128> = Vec::with_capacity(runs.rows);
    for Run { array, rows } in &runs.runs {
        let Some(other) = array.checked_sub(1) else {
            joined.extend_from_slice(first.views().get(rows.clone()).ok_or_else(outside)?);
            continue;
        };
        let (block, ends, bytes) = sources.get(other).ok_or_else(outside)?;
        let ends = ends.get(rows.start..=rows.end).ok_or_else(outside)?;
        for (start, end) in ends.iter().zip(ends.iter().skip(1)) {
            let text = bytes.get(*start as usize..*end as usize).ok_or_else(outside)?;
            joined.push(make_view(text, *block, *start as u32));
        }
    }
    Ok(Arc::new(BinaryViewArray::try_new(joined.into(), buffers, nulls)?))
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
    use arrow::compute::cast;

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
        let moved =
            vec![run(0, 3..7), run(1, 2..3), run(0, 0..0), run(2, 0..5), run(1, 5..6), run(0, 19..20)];
        let in_place =
            vec![run(0, 0..3), run(1, 2..3), run(0, 4..8), run(2, 0..5), run(1, 5..6), run(0, 14..20)];
        for (runs, rows) in [(moved, 12), (in_place, 20)] {
            let runs = Runs::new(runs);
            assert_eq!((runs.rows(), runs.in_place), (rows, rows == 20));
            for column in &columns {
                let parts = [column.clone(), column.slice(4, 12), column.slice(13, 6)];
                let arrays: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                let joined = join_runs(&arrays, &runs).unwrap();
                let by_arrow = join_any(&arrays, &runs).unwrap();
                assert_eq!(&joined, &by_arrow);
                assert_eq!((joined.len(), joined.data_type()), (rows, column.data_type()));
                if *column.data_type() == DataType::Utf8 {
                    let views = cast(column, &DataType::Utf8View).unwrap();
                    let joined = join_runs(&[&views, arrays[1], arrays[2]], &runs).unwrap();
                    assert_eq!(*joined.data_type(), DataType::BinaryView);
                    assert_eq!(&cast(&joined, &DataType::Utf8).unwrap(), &by_arrow);
                }
            }
        }
    }

    #[test]
    fn single_rows_make_runs() {
        let run = |array, rows| Run { array, rows };
        let runs = Runs::of_rows([(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (0, 2)]);
        assert_eq!(runs.as_slice(), [run(0, 0..2), run(1, 2..4), run(2, 4..5), run(0, 2..3)]);
        assert_eq!((runs.rows(), runs.in_place), (6, false));
    }

    #[test]
    fn a_run_outside_of_its_array_is_an_error() {
        let numbers = Int64Array::from_iter_values(0..3);
        let texts = StringArray::from(vec!["a", "b"]);
        for (array, rows) in [(0, 2..4), (0, 4..5), (2, 0..1)] {
            let runs = Runs::new(vec![Run { array, rows }]);
            assert!(join_runs(&[&numbers], &runs).is_err());
            assert!(join_runs(&[&texts], &runs).is_err());
            assert!(join_runs(&[&StringViewArray::from(&texts), &texts], &runs).is_err());
        }
    }
}
