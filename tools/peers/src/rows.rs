//! Rows in Arrow IPC files.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;

use crate::Failure;

/// All rows of a file.
pub fn read(path: &Path) -> Result<Vec<RecordBatch>, Failure> {
    let reader = FileReader::try_new(BufReader::new(File::open(path)?), None)?;
    Ok(reader.collect::<Result<_, _>>()?)
}

/// Writes rows to a file.
pub fn write(path: &Path, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<(), Failure> {
    let mut writer = FileWriter::try_new(BufWriter::new(File::create(path)?), schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.finish()?)
}

/// How many rows there are.
pub fn count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}
