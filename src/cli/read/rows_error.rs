//! Why rows are not written, or no more of them.

use std::io;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use crate::error::{Error, ErrorKind};

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowsError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

/// Why no more rows are written.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Who reads our output has seen enough.
    Enough,
    Failed(Error),
}

impl From<RowsError> for Stopped {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => Self::Enough,
            error => {
                let text = format!("the rows could not be written: {error}");
                Self::Failed(Error::new(ErrorKind::Failed, text))
            }
        }
    }
}
