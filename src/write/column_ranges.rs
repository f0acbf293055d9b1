//! Column statistics of a file, from its Parquet footer.

use parquet::basic::{ConvertedType, LogicalType};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;

use crate::table::{ColumnBound, ColumnRange};

/// The range of every leaf column over all row groups, in the order of the file's columns.
pub(super) fn column_ranges(metadata: &ParquetMetaData) -> Vec<ColumnRange> {
    let mut ranges: Vec<ColumnRange> = Vec::new();
    for group in metadata.row_groups() {
        for (column, chunk) in group.columns().iter().enumerate() {
            match ranges.get_mut(column) {
                Some(range) => range.extend(&range_of(chunk)),
                None => ranges.push(range_of(chunk)),
            }
        }
    }
    ranges
}

fn range_of(chunk: &ColumnChunkMetaData) -> ColumnRange {
    let count = |n: i64| u64::try_from(n).unwrap_or_default();
    let statistics = chunk.statistics();
    ColumnRange {
        name: chunk.column_path().parts().join("."),
        bounds: statistics.and_then(|statistics| bounds(statistics, chunk)),
        nulls: statistics.and_then(Statistics::null_count_opt).unwrap_or_default(),
        values: count(chunk.num_values()),
        compressed_bytes: count(chunk.compressed_size()),
        uncompressed_bytes: count(chunk.uncompressed_size()),
    }
}

fn bounds(statistics: &Statistics, chunk: &ColumnChunkMetaData) -> Option<(ColumnBound, ColumnBound)> {
    use ColumnBound::*;
    Some(match statistics {
        Statistics::Boolean(s) => (Boolean(*s.min_opt()?), Boolean(*s.max_opt()?)),
        Statistics::Int32(s) => (Whole((*s.min_opt()?).into()), Whole((*s.max_opt()?).into())),
        Statistics::Int64(s) => (Whole(*s.min_opt()?), Whole(*s.max_opt()?)),
        Statistics::Float(s) => (Floating((*s.min_opt()?).into()), Floating((*s.max_opt()?).into())),
        Statistics::Double(s) => (Floating(*s.min_opt()?), Floating(*s.max_opt()?)),
        Statistics::ByteArray(s) => {
            (Bytes(s.min_opt()?.data().to_vec()), Bytes(s.max_opt()?.data().to_vec()))
        }
        Statistics::FixedLenByteArray(s) if is_decimal(chunk) => {
            (Unscaled(s.min_opt()?.data().to_vec()), Unscaled(s.max_opt()?.data().to_vec()))
        }
        Statistics::FixedLenByteArray(_) | Statistics::Int96(_) => return None,
    })
}

fn is_decimal(chunk: &ColumnChunkMetaData) -> bool {
    let column = chunk.column_descr();
    matches!(column.logical_type_ref(), Some(LogicalType::Decimal { .. }))
        || column.converted_type() == ConvertedType::DECIMAL
}
