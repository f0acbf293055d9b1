//! The limit: the same rows with meta columns, as Parquet at the library's default encodings.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use lakebed_hudi::base_file::META_COLUMNS;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use rayon::prelude::*;

/// The batches of one file.
pub type FileRows = Vec<RecordBatch>;

/// Deals `rows` out to `files` files and gives them meta columns, before anything is measured.
pub fn deal(rows: impl Iterator<Item = RecordBatch>, files: usize) -> Vec<FileRows> {
    let mut dealt: Vec<FileRows> = vec![Vec::new(); files];
    for (number, batch) in rows.enumerate() {
        if let Some(file) = dealt.get_mut(number % files) {
            let from = file.iter().map(RecordBatch::num_rows).sum();
            file.extend(with_meta(&batch, number % files, from));
        }
    }
    dealt
}

/// As [`deal`], row by row: each file gets its share of every batch, as buckets do.
pub fn deal_rows(batches: &[RecordBatch], files: usize) -> Vec<FileRows> {
    let mut dealt: Vec<FileRows> = vec![Vec::new(); files];
    for batch in batches {
        let share = batch.num_rows().div_ceil(files);
        for (number, file) in dealt.iter_mut().enumerate() {
            let from = (number * share).min(batch.num_rows());
            let rows = batch.slice(from, share.min(batch.num_rows() - from));
            file.extend(with_meta(&rows, number, file.iter().map(RecordBatch::num_rows).sum()));
        }
    }
    dealt
}

fn with_meta(rows: &RecordBatch, file: usize, from: usize) -> Option<RecordBatch> {
    let count = rows.num_rows();
    let same = |text: String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count)))
    };
    let numbers = (from..from + count).map(|row| format!("20260101000000000_{file}_{row}"));
    let mut columns = vec![
        same("20260101000000000".to_owned()),
        Arc::new(StringArray::from_iter_values(numbers)),
        rows.column(0).clone(),
        same(format!("region=region-{}", file % 8)),
        same(format!("0000000{file}-0000-0000-0000-000000000000-0_{file}-1-0_20260101000000000.parquet")),
    ];
    columns.extend(rows.columns().iter().cloned());
    let meta = META_COLUMNS.map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
    let fields: Vec<_> = meta.into_iter().chain(rows.schema().fields().iter().cloned()).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).ok()
}

/// Writes each file, as many at a time as there are threads; returns the bytes of all.
pub fn write(folder: &Path, files: &[FileRows]) -> Result<u64, ParquetError> {
    files
        .par_iter()
        .enumerate()
        .map(|(number, batches)| {
            let Some(first) = batches.first() else { return Ok(0) };
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
                .build();
            let path = folder.join(format!("{number}.parquet"));
            let mut writer = ArrowWriter::try_new(File::create(&path)?, first.schema(), Some(properties))?;
            for batch in batches {
                writer.write(batch)?;
            }
            writer.close()?;
            Ok(std::fs::metadata(&path)?.len())
        })
        .try_reduce(|| 0, |a, b| Ok(a + b))
}
