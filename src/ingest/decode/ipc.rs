//! Arrow IPC, as a file or a stream.

use std::io::{BufRead, Read, Seek};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};

use super::batch_reader::Skipping;
use super::guard::guarded;
use super::{BatchReader, DecodeProblem};

const KIND: &str = "arrow";

/// What an Arrow IPC file starts with; a stream does not.
pub(super) const FILE_MAGIC: &[u8] = b"ARROW1";

/// Opens an Arrow IPC file.
pub(super) fn open_file(
    read: impl Read + Seek + Send + 'static,
) -> Result<Box<dyn BatchReader>, DecodeProblem> {
    let reader = guarded(KIND, || FileReader::try_new(read, None))?;
    let schema = reader.schema();
    Ok(Box::new(Skipping::new(Opaque(reader), KIND, schema)))
}

/// Opens an Arrow IPC stream.
pub(super) fn open_stream(
    read: impl BufRead + Send + 'static,
) -> Result<Box<dyn BatchReader>, DecodeProblem> {
    let reader = guarded(KIND, || StreamReader::try_new(read, None))?;
    let schema = reader.schema();
    Ok(Box::new(Skipping::new(Opaque(reader), KIND, schema)))
}

/// A reader without a debug form of its own.
struct Opaque<I>(I);

impl<I> std::fmt::Debug for Opaque<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IpcReader")
    }
}

impl<I: Iterator<Item = Result<RecordBatch, ArrowError>>> Iterator for Opaque<I> {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
