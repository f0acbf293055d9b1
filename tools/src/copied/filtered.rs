//! The rows of a query, read by parquet-rs with its page index.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, Scalar, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::kernels::cmp::{gt_eq, lt_eq};
use arrow::compute::{and, concat_batches};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::file::metadata::PageIndexPolicy;

use super::query::{Query, Range};
use crate::bench::load::Failure;

/// The year 2026 in microseconds since the epoch.
const YEAR_MICROS: i64 = 1_767_225_600_000_000;

/// The rows of `file` that `query` asks for, of all pages that may have some.
pub fn read(file: &Path, query: &Query) -> Result<RecordBatch, Failure> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(File::open(file)?, options)?;
    let schema = reader.schema().clone();
    let column = ProjectionMask::columns(reader.parquet_schema(), [query.column]);
    let range = query.range;
    let holds = ArrowPredicateFn::new(column, move |batch| is_in(range, batch.column(0)));
    let rows = reader.with_row_filter(RowFilter::new(vec![Box::new(holds)])).build()?;
    Ok(concat_batches(&schema, &rows.collect::<Result<Vec<_>, _>>()?)?)
}

fn is_in(range: Range, values: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    let (from, to): (ArrayRef, ArrayRef) = match range {
        Range::Texts(from, to) => (text(from), text(to)),
        Range::Numbers(from, to) => (number(from), number(to)),
        Range::Seconds(from, to) => (time(from), time(to)),
    };
    and(&gt_eq(values, &Scalar::new(from))?, &lt_eq(values, &Scalar::new(to))?)
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn number(value: f64) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value]))
}

fn time(seconds: u32) -> ArrayRef {
    let micros = YEAR_MICROS + i64::from(seconds) * 1_000_000;
    Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"))
}
