//! The limit of a compaction: decoding base and logs, a merge by hash of the key, and encoding, with arrow and
//! parquet alone at the library's default encodings.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rayon::prelude::*;

use super::limit;
use super::load::Failure;

/// A flag beside the columns of logs.
const DELETED: &str = "deleted";

/// Plain files with the rows of base files and logs, the same number of each.
pub struct Inputs {
    folder: PathBuf,
    files: usize,
}

impl Inputs {
    /// Writes the rows of each file, and those of its logs, of which some only delete.
    pub fn write(
        folder: &Path,
        base: &[Vec<RecordBatch>],
        logs: &[Vec<(RecordBatch, bool)>],
    ) -> Result<Self, Failure> {
        for (name, number) in
            ["base", "logs"].into_iter().flat_map(|name| (0..base.len()).map(move |n| (name, n)))
        {
            let rows: Vec<RecordBatch> = match name {
                "base" => base.get(number).cloned().unwrap_or_default(),
                _ => flagged(logs.get(number).map_or(&[][..], Vec::as_slice))?,
            };
            let folder = folder.join(name).join(number.to_string());
            fs::create_dir_all(&folder)?;
            limit::write(&folder, &limit::deal_rows(&rows, 1))?;
        }
        Ok(Self { folder: folder.to_owned(), files: base.len() })
    }

    fn file(&self, name: &str, number: usize) -> PathBuf {
        self.folder.join(name).join(number.to_string()).join("0.parquet")
    }

    /// Merges each base file with its logs into a new file; returns the bytes of all.
    pub fn merge(&self, into: &Path) -> Result<u64, String> {
        let one = |number: usize| {
            let path = into.join(format!("merged-{number}.parquet"));
            merge(&self.file("base", number), &self.file("logs", number), &path)
                .map_err(|error| error.to_string())
        };
        (0..self.files).into_par_iter().map(one).try_reduce(|| 0, |a, b| Ok(a + b))
    }
}

fn flagged(logs: &[(RecordBatch, bool)]) -> Result<Vec<RecordBatch>, Failure> {
    let flagged = logs.iter().map(|(rows, delete)| {
        let mut columns = rows.columns().to_vec();
        columns.push(std::sync::Arc::new(BooleanArray::from(vec![*delete; rows.num_rows()])));
        let mut fields = rows.schema().fields().to_vec();
        fields.push(std::sync::Arc::new(Field::new(DELETED, DataType::Boolean, true)));
        Ok(RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns)?)
    });
    flagged.collect()
}

fn merge(base: &Path, logs: &Path, into: &Path) -> Result<u64, Failure> {
    let logs = ParquetRecordBatchReaderBuilder::try_new(File::open(logs)?)?.with_batch_size(8192).build()?;
    let logs: Vec<RecordBatch> = logs.collect::<Result<_, _>>()?;
    let schema = logs.first().map(RecordBatch::schema).ok_or("there are no logs")?;
    let logs = concat_batches(&schema, &logs)?;
    let mut newest: HashMap<&str, usize> = HashMap::with_capacity(logs.num_rows());
    let times = logs.column_by_name("ts").ok_or("no ts")?.as_primitive::<TimestampMicrosecondType>();
    let deleted = logs.column_by_name(DELETED).ok_or("no flag")?.as_boolean();
    for (row, key) in logs.column(2).as_string::<i32>().iter().enumerate() {
        let entry = newest.entry(key.unwrap_or_default()).or_insert(row);
        if times.value(row) >= times.value(*entry) {
            *entry = row;
        }
    }
    let base = ParquetRecordBatchReaderBuilder::try_new(File::open(base)?)?.with_batch_size(8192).build()?;
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let mut writer: Option<ArrowWriter<File>> = None;
    for batch in base {
        let batch = batch?;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(ArrowWriter::try_new(
                File::create(into)?,
                batch.schema(),
                Some(properties.clone()),
            )?),
        };
        let times = batch.column_by_name("ts").ok_or("no ts")?.as_primitive::<TimestampMicrosecondType>();
        let log_times = logs.column_by_name("ts").ok_or("no ts")?.as_primitive::<TimestampMicrosecondType>();
        let mut places = Vec::with_capacity(batch.num_rows());
        for (row, key) in batch.column(2).as_string::<i32>().iter().enumerate() {
            match newest.remove(key.unwrap_or_default()) {
                Some(log) if log_times.value(log) >= times.value(row) => {
                    if !deleted.value(log) {
                        places.push((1, log));
                    }
                }
                _ => places.push((0, row)),
            }
        }
        writer.write(&placed(&batch, &logs, &places)?)?;
    }
    let mut writer = writer.ok_or("there is no base")?;
    let mut new: Vec<usize> = newest.into_values().filter(|row| !deleted.value(*row)).collect();
    new.sort_unstable();
    if !new.is_empty() {
        let empty = RecordBatch::new_empty(std::sync::Arc::new(
            logs.schema().project(&(0..logs.num_columns() - 1).collect::<Vec<_>>())?,
        ));
        for rows in new.chunks(8192) {
            let places: Vec<(usize, usize)> = rows.iter().map(|row| (1, *row)).collect();
            writer.write(&placed(&empty, &logs, &places)?)?;
        }
    }
    writer.close()?;
    Ok(fs::metadata(into)?.len())
}

/// Rows of a base batch (array 0) and of the logs (array 1).
fn placed(base: &RecordBatch, logs: &RecordBatch, places: &[(usize, usize)]) -> Result<RecordBatch, Failure> {
    let columns = base.columns().iter().zip(logs.columns());
    let columns = columns.map(|(base, log)| {
        let arrays: [&dyn Array; 2] = [base, log];
        interleave(&arrays, places)
    });
    Ok(RecordBatch::try_new(base.schema(), columns.collect::<Result<_, _>>()?)?)
}
