//! A base file made of another one: what the logs leave as it is, is copied as bytes.
//!
//! Decided row group by row group, and there column by column:
//!
//! | the logs, for a row group | its column chunks |
//! |---|---|
//! | name none of its keys | all are copied, but `_hoodie_file_name` |
//! | update rows | those are encoded anew in which a value changes; the others are copied |
//! | delete rows | all are encoded anew |
//! | have new keys | rows of a row group of their own, behind all others |
//!
//! Chunks are copied whole, under the file's own Parquet schema, with statistics and page index. Never
//! pages: of a chunk in which pages with and without a dictionary take turns Spark's vectorised reader gives
//! wrong rows, and no error.
//!
//! Where row groups lie as no writer of ours would make them, the file is written anew: see [`unfit`].

mod columns;
mod run;
#[cfg(test)]
mod tests;
mod unfit;

use arrow::array::ArrayRef;
use bytes::Bytes;
use lakebed_hudi::base_file::BaseFileFooter;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::KeyValue;

use super::WriteError;
use super::base_file::BaseFileFormat;
use super::row_format::RowFormat;
use crate::read::{BaseChunks, SliceReader};

use columns::Columns;
pub(super) use run::splice;
use unfit::{Unfit, unfit};

/// Where a column of a row group comes from.
pub(super) enum SplicedColumn {
    /// It is known beforehand.
    Generated,
    /// Its chunks, as they were, with what their file says of them.
    Copied(Vec<(Bytes, ColumnCloseResult)>),
    /// Its rows.
    Encoded(Vec<ArrayRef>),
}

/// A base file that can be copied from.
#[derive(Debug)]
pub(super) struct Source {
    chunks: BaseChunks,
    columns: Columns,
    footer: BaseFileFooter,
}

impl Source {
    /// The base file of a slice, if it has one that can be copied from.
    pub(super) fn of(slice: &SliceReader, format: &RowFormat) -> Result<Option<Self>, WriteError> {
        let Some(chunks) = slice.base_chunks() else { return Ok(None) };
        let footer = footer(&chunks, &format.base);
        let why = match &footer {
            Some(_) => unfit(&chunks, &format.base)?,
            None => Some(Unfit::BloomFilter),
        };
        if let Some(why) = why {
            tracing::debug!(%why, "a base file is written anew");
        } else if let Some(footer) = footer {
            let columns = Columns::of(&chunks, &format.rewritten);
            return Ok(Some(Self { chunks, columns, footer }));
        }
        Ok(None)
    }
}

/// What Hudi keeps in the footer; `None` if the new file is to have a filter and this one has none that can
/// be read.
fn footer(chunks: &BaseChunks, format: &BaseFileFormat) -> Option<BaseFileFooter> {
    let entries = chunks.metadata().file_metadata().key_value_metadata();
    let pairs = entries.into_iter().flatten();
    let pairs = pairs.filter_map(|KeyValue { key, value }| Some((key.as_str(), value.as_deref()?)));
    let footer = BaseFileFooter::from_key_values(pairs).ok()?;
    (footer.bloom_filter.is_some() || !format.bloom_filter).then_some(footer)
}
