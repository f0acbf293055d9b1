//! What the footer of a file of archived instants tells.

use std::panic::AssertUnwindSafe;

use parquet::file::metadata::{ParquetMetaDataReader, RowGroupMetaData};

use super::HistoryError;
use super::entries::{COMPLETION, guarded};
use crate::instant::InstantTime;
use crate::parquet_guard::check_footer;

/// So many bytes from the end of a file have its footer, unless it has thousands of row groups.
pub const TAIL_BYTES: u64 = 64 << 10;

/// The length of the footer and the magic word behind it.
const ENDING_BYTES: usize = 8;

/// When the instant of a file completed that did so last, by the statistics in its footer; `None` where
/// they do not tell, or `tail`, the last bytes of the file, does not have all of the footer.
///
/// Instants do not complete in the order in which they began. So where the newest is looked for, the names of
/// files do not tell which one to read.
///
/// # Errors
/// [`HistoryError::Parquet`] for a broken footer.
pub fn greatest_completion(tail: &[u8]) -> Result<Option<InstantTime>, HistoryError> {
    let Some((rest, ending)) = tail.split_last_chunk::<ENDING_BYTES>() else { return Ok(None) };
    let [a, b, c, d, ..] = *ending;
    let start =
        usize::try_from(u32::from_le_bytes([a, b, c, d])).ok().and_then(|len| rest.len().checked_sub(len));
    let Some(footer) = start.and_then(|start| rest.get(start..)) else { return Ok(None) };
    check_footer(tail).map_err(HistoryError::parquet)?;
    let footer = AssertUnwindSafe(footer);
    let metadata = guarded(|| ParquetMetaDataReader::decode_metadata(footer.0))?;
    let of_groups: Option<Vec<InstantTime>> = metadata.row_groups().iter().map(of_group).collect();
    Ok(of_groups.and_then(|times| times.into_iter().max()))
}

fn of_group(group: &RowGroupMetaData) -> Option<InstantTime> {
    let column = group.columns().iter().find(|column| column.column_path().string() == COMPLETION)?;
    std::str::from_utf8(column.statistics()?.max_bytes_opt()?).ok()?.parse().ok()
}
