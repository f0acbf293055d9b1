//! The codec of all that is written.

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::Result;

/// The level of Zstandard: higher ones take more time than the bytes are worth.
pub(super) const ZSTD_LEVEL: i32 = 1;

/// The codec as Parquet names it.
pub(super) fn compression() -> Result<Compression> {
    Ok(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
}
