//! Avro object container files.

use std::io::BufRead;

use arrow_avro::reader::ReaderBuilder;

use super::batch_reader::Skipping;
use super::guard::guarded;
use super::{BatchReader, DecodeProblem, Limits};

const KIND: &str = "avro";

/// Opens an Avro file.
///
/// Each block of a file is read into memory as a whole, at most as large as the file.
pub(super) fn open(
    read: impl BufRead + Send + 'static,
    limits: &Limits,
) -> Result<Box<dyn BatchReader>, DecodeProblem> {
    let reader = guarded(KIND, || ReaderBuilder::new().with_batch_size(limits.batch_rows).build(read))?;
    let schema = reader.schema();
    Ok(Box::new(Skipping::new(Opaque(reader), KIND, schema, limits)))
}

/// A reader without a debug form of its own.
struct Opaque<R: BufRead>(arrow_avro::reader::Reader<R>);

impl<R: BufRead> std::fmt::Debug for Opaque<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AvroReader")
    }
}

impl<R: BufRead> Iterator for Opaque<R> {
    type Item = Result<arrow::array::RecordBatch, arrow::error::ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
