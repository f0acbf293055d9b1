//! Where rows go, in each of the formats.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::FileReport;
use super::out_file::OutFile;
use super::rows_error::{RowsError, Stopped};
use super::table_rows::TableRows;
use super::text_rows::{JsonRows, JsonShape, write_csv, write_csv_header};
use crate::cli::output::Format;

/// Where rows go.
pub(super) struct RowSink {
    write: RowWriter,
    file: Option<OutFile>,
    rows: u64,
}

enum RowWriter {
    Table(TableRows, Box<dyn Write>),
    Csv(Box<dyn Write>),
    Json(JsonRows, Box<dyn Write>),
    Parquet(Box<ArrowWriter<File>>),
    Arrow(Box<FileWriter<BufWriter<File>>>),
}

impl RowSink {
    /// Rows of `schema` go to `file`, or to standard output.
    pub(super) fn open(format: Format, file: Option<OutFile>, schema: &SchemaRef) -> Result<Self, RowsError> {
        let own = file.as_ref().map(OutFile::writer).transpose()?;
        let write = match (format, own) {
            (Format::Parquet, Some(file)) => {
                let codec = Compression::ZSTD(ZstdLevel::try_new(1)?);
                let properties = WriterProperties::builder().set_compression(codec).build();
                let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))?;
                RowWriter::Parquet(Box::new(writer))
            }
            (Format::Arrow, Some(file)) => {
                RowWriter::Arrow(Box::new(FileWriter::try_new(BufWriter::new(file), schema)?))
            }
            (Format::Csv, file) => {
                let mut out = text_out(file);
                write_csv_header(schema, out.as_mut())?;
                RowWriter::Csv(out)
            }
            (Format::Jsonl, file) => RowWriter::Json(JsonRows::new(JsonShape::Lines), text_out(file)),
            (Format::Json, file) => RowWriter::Json(JsonRows::new(JsonShape::Array), text_out(file)),
            // Parquet and Arrow without a file were refused before.
            (Format::Table | Format::Parquet | Format::Arrow, file) => {
                RowWriter::Table(TableRows::new(schema), text_out(file))
            }
        };
        Ok(Self { write, file, rows: 0 })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), RowsError> {
        self.rows += batch.num_rows() as u64;
        match &mut self.write {
            RowWriter::Table(rows, out) => rows.write(batch, out)?,
            RowWriter::Csv(out) => write_csv(batch, out)?,
            RowWriter::Json(json, out) => json.write(batch, out)?,
            RowWriter::Parquet(writer) => writer.write(batch)?,
            RowWriter::Arrow(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    /// Ends the rows and, where they go to a file, puts it under its name.
    pub(super) fn finish(self) -> Result<Option<FileReport>, Stopped> {
        self.write.finish()?;
        let Some(file) = self.file else { return Ok(None) };
        let (file, bytes) = file.publish().map_err(Stopped::Failed)?;
        Ok(Some(FileReport { file, rows: self.rows, bytes }))
    }
}

impl RowWriter {
    fn finish(self) -> Result<(), RowsError> {
        match self {
            Self::Table(rows, mut out) => {
                rows.finish(out.as_mut())?;
                out.flush()?;
            }
            Self::Csv(mut out) => out.flush()?,
            Self::Json(json, mut out) => {
                json.finish(out.as_mut())?;
                out.flush()?;
            }
            Self::Parquet(writer) => drop(writer.close()?),
            Self::Arrow(mut writer) => {
                writer.finish()?;
                writer.into_inner()?.flush()?;
            }
        }
        Ok(())
    }
}

fn text_out(file: Option<File>) -> Box<dyn Write> {
    match file {
        Some(file) => Box::new(BufWriter::new(file)),
        None => Box::new(BufWriter::new(io::stdout())),
    }
}

/// The format that a file's name tells.
pub(super) fn format_of_name(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "json" => Some(Format::Json),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        "parquet" => Some(Format::Parquet),
        "arrow" => Some(Format::Arrow),
        _ => None,
    }
}
