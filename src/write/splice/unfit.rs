//! Why a base file is not copied from.

use std::fmt;

use arrow::datatypes::Schema;
use lakebed_hudi::base_file::{FILE_NAME, PARTITION_PATH};
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::SchemaDescriptor;

use super::BaseFileFormat;
use crate::read::BaseChunks;
use crate::write::WriteError;
use crate::write::encoding::ROW_GROUP_ROWS;
use crate::write::parquet_schema::parquet_schema;

/// Row groups are held in memory while they are copied, one while the next one is fetched.
const ROW_GROUP_BYTES_MAX: i64 = 64 << 20;
/// Row groups of so many more rows than ours are touched by every change.
const ROWS_TOO_MANY: i64 = 4;
/// So many row groups of a file may be small, or packed in another way than ours.
const WORN_MAX: usize = 4;

/// Why a base file is not copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Its columns are others than the table's now, or may not be null that may be so now.
    Columns,
    /// They lie in Parquet in another way than we write them.
    Schema { column: String },
    /// Its footer leaves open, or gets wrong, where chunks begin, or which of them have an index.
    Footer { column: String },
    /// A row group of more rows or bytes than ours have.
    LargeRowGroup { rows: i64, bytes: i64 },
    /// It has no bloom filter that can be read, and the new file is to have one.
    BloomFilter,
    /// Too many row groups are small, or packed in another way.
    Worn { groups: usize },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns => f.write_str("its columns are others than the table's"),
            Self::Schema { column } => write!(f, "column {column} lies in it in another way"),
            Self::Footer { column } => write!(f, "its footer leaves chunks of column {column} open"),
            Self::LargeRowGroup { rows, bytes } => {
                write!(f, "it has a row group of {rows} rows in {bytes} bytes")
            }
            Self::BloomFilter => f.write_str("it has no bloom filter that can be read"),
            Self::Worn { groups } => write!(f, "{groups} of its row groups are small, or of another codec"),
        }
    }
}

/// Why a base file is not copied from, if so. The footer is looked at before the library is handed any of
/// it, which takes offsets as they are.
pub(super) fn unfit(chunks: &BaseChunks, format: &BaseFileFormat) -> Result<Option<Unfit>, WriteError> {
    let metadata = chunks.metadata();
    if !same_columns(chunks.schema(), &format.schema) {
        return Ok(Some(Unfit::Columns));
    }
    let ours = parquet_schema(&format.schema)?;
    let found = other_schema(metadata.file_metadata().schema_descr(), &ours)
        .or_else(|| bad_footer(metadata))
        .or_else(|| metadata.row_groups().iter().find_map(large))
        .or_else(|| worn(metadata));
    Ok(found)
}

/// Whether the columns have the same names and types, in the same order, and whatever may be null by now may be so
/// in the file, too: chunks of columns that may not have no place for a null.
fn same_columns(theirs: &Schema, ours: &Schema) -> bool {
    let pairs = theirs.fields().iter().zip(ours.fields());
    theirs.fields().len() == ours.fields().len()
        && pairs.into_iter().all(|(a, b)| {
            let takes_nulls = a.is_nullable() || !b.is_nullable();
            takes_nulls && a.name() == b.name() && a.data_type() == b.data_type()
        })
}

fn other_schema(theirs: &SchemaDescriptor, ours: &SchemaDescriptor) -> Option<Unfit> {
    let is_generated = |name: &str| name == FILE_NAME || name == PARTITION_PATH;
    let pairs = theirs.columns().iter().zip(ours.columns());
    let differs = pairs.into_iter().find(|(a, b)| {
        let same = a.path() == b.path()
            && a.physical_type() == b.physical_type()
            && a.type_length() == b.type_length()
            && a.max_rep_level() == b.max_rep_level();
        // Chunks that are made by hand are those of optional columns.
        let is_optional = !is_generated(a.name()) || a.max_def_level() == b.max_def_level();
        !(same && is_optional)
    });
    let column = match differs {
        Some((column, _)) => Some(column.path().string()),
        None => (theirs.num_columns() != ours.num_columns()).then(String::new),
    };
    column.map(|column| Unfit::Schema { column })
}

fn bad_footer(metadata: &ParquetMetaData) -> Option<Unfit> {
    let mut indexed = None;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        for (leaf, column) in group.columns().iter().enumerate() {
            let offsets = metadata.offset_index().and_then(|groups| groups.get(number)?.get(leaf));
            let has_index = offsets.is_some_and(|offsets| !offsets.page_locations().is_empty());
            let is_uneven = *indexed.get_or_insert(has_index) != has_index;
            if is_uneven || !starts_right(column) {
                return Some(Unfit::Footer { column: column.column_path().string() });
            }
        }
    }
    None
}

/// Whether a chunk starts at its dictionary, else at its first page, and not at the file's start.
fn starts_right(column: &ColumnChunkMetaData) -> bool {
    let (dictionary, data) = (column.dictionary_page_offset(), column.data_page_offset());
    data > 0 && column.compressed_size() > 0 && dictionary.is_none_or(|offset| 0 < offset && offset < data)
}

fn large(group: &RowGroupMetaData) -> Option<Unfit> {
    let (rows, bytes) = (group.num_rows(), group.compressed_size());
    let is_large = rows > ROWS_TOO_MANY * ROW_GROUP_ROWS as i64 || bytes > ROW_GROUP_BYTES_MAX;
    is_large.then_some(Unfit::LargeRowGroup { rows, bytes })
}

/// Whether so many row groups were left small, by deletes or by rows that were added, or are packed in
/// another way, that it is time to write them anew.
fn worn(metadata: &ParquetMetaData) -> Option<Unfit> {
    let is_worn = |group: &&RowGroupMetaData| {
        let is_small = group.num_rows() < ROW_GROUP_ROWS as i64 / 4 && group.compressed_size() < 1 << 20;
        let is_ours = |column: &ColumnChunkMetaData| matches!(column.compression(), Compression::ZSTD(_));
        is_small || !group.columns().iter().all(is_ours)
    };
    let groups = metadata.row_groups().iter().filter(is_worn).count();
    (groups > WORN_MAX).then_some(Unfit::Worn { groups })
}
