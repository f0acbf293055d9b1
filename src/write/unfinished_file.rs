//! A base file that is written and that nobody sees yet.

use super::WriteError;
use crate::storage::FileWriter;
use crate::table::StagedFile;

/// A base file that is written and that nobody sees yet.
#[derive(Debug)]
pub struct UnfinishedFile {
    pub(super) file: Box<dyn FileWriter>,
    /// All but its size.
    pub(super) staged: StagedFile,
}

impl UnfinishedFile {
    /// Makes the file durable.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn finish(self) -> Result<StagedFile, WriteError> {
        let size_bytes = self.file.finish().await?;
        Ok(StagedFile { size_bytes, ..self.staged })
    }

    /// Gives the file up.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn abort(self) -> Result<(), WriteError> {
        Ok(self.file.abort().await?)
    }
}
