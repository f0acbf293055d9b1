//! The columns of a new table, from a file.

use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use arrow::datatypes::Schema;
use arrow::ipc::reader::{FileReader, StreamReader};
use lakebed_hudi::schema::{TableSchema, arrow_of_avro};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use crate::error::{Error, ErrorKind};

/// A larger text is no schema.
const AVRO_BYTES_MAX: u64 = 16 << 20;

/// The first bytes of an Arrow stream: a continuation marker.
const STREAM_MAGIC: &[u8] = &[0xff; 4];

/// The schema for the table `name` that `file` has: an Avro schema, or the schema of a Parquet file,
/// an Arrow file or an Arrow stream. What it is, its first bytes tell.
///
/// # Errors
/// A file that cannot be read, or is something else; columns that no Hudi table can have.
pub(super) fn read(file: &Path, name: &str) -> Result<TableSchema, Error> {
    let problem =
        |text: String| Error::new(ErrorKind::FixInput, format!("schema {}: {text}", file.display()));
    let mut source = File::open(file).map_err(|error| problem(error.to_string()))?;
    let schema = columns(&mut source).map_err(&problem)?;
    TableSchema::from_arrow(&schema, name).map_err(|error| problem(error.to_string()))
}

fn columns(source: &mut File) -> Result<Schema, String> {
    let mut magic = [0; 6];
    let length = fill(source, &mut magic).map_err(|error| error.to_string())?;
    source.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    let magic = magic.get(..length).unwrap_or_default();
    if magic.starts_with(b"PAR1") {
        let metadata = ArrowReaderMetadata::load(source, ArrowReaderOptions::new());
        return metadata.map(|m| m.schema().as_ref().clone()).map_err(|error| error.to_string());
    }
    if magic.starts_with(b"ARROW1") {
        let reader = FileReader::try_new(source, None).map_err(|error| error.to_string())?;
        return Ok(reader.schema().as_ref().clone());
    }
    if magic.starts_with(STREAM_MAGIC) {
        let reader = StreamReader::try_new(source, None).map_err(|error| error.to_string())?;
        return Ok(reader.schema().as_ref().clone());
    }
    let mut text = String::new();
    let read = source.take(AVRO_BYTES_MAX).read_to_string(&mut text);
    let unknown = "expected an Avro schema (JSON), a Parquet file or an Arrow file";
    match read {
        Ok(_) if text.trim_start().starts_with('{') => arrow_of_avro(&text).map_err(|e| e.to_string()),
        Ok(_) => Err(unknown.to_owned()),
        Err(error) if error.kind() == IoErrorKind::InvalidData => Err(unknown.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads as many bytes as there are, at most what fits `buffer`.
fn fill(source: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match source.read(rest)? {
            0 => break,
            n => length += n,
        }
    }
    Ok(length)
}
