//! The rows of a workload in files.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use super::super::load::Failure;
use crate::workload::{UPSERTS, Workload};

/// Rows of a row group: enough groups for Spark to read a file with two tasks.
const ROW_GROUP_ROWS: usize = 32_768;

/// The rows of each commit as an Arrow file, and as a Parquet file beside it if Spark needs one.
#[derive(Debug)]
pub struct WorkloadFiles {
    /// The base load.
    pub base: PathBuf,
    /// The upserts.
    pub upserts: Vec<PathBuf>,
    /// The rows whose keys are deleted.
    pub delete: PathBuf,
    _folder: TempDir,
}

impl WorkloadFiles {
    /// Writes them.
    pub fn write(workload: &Workload, parquet: bool) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("lakebed-workload-").tempdir()?;
        let schema = workload.schema();
        let write = |name: &str, rows: &mut dyn Iterator<Item = RecordBatch>| {
            write_rows(&folder.path().join(name), &schema, rows, parquet)
        };
        let base = write("base.arrow", &mut workload.base())?;
        let upserts = (0..UPSERTS)
            .map(|number| write(&format!("upsert-{number}.arrow"), &mut workload.upsert(number)))
            .collect::<Result<_, _>>()?;
        let delete = write("delete.arrow", &mut workload.delete())?;
        Ok(Self { base, upserts, delete, _folder: folder })
    }
}

fn write_rows(
    path: &Path,
    schema: &SchemaRef,
    rows: &mut dyn Iterator<Item = RecordBatch>,
    parquet: bool,
) -> Result<PathBuf, Failure> {
    let mut arrow = FileWriter::try_new(BufWriter::new(File::create(path)?), schema)?;
    let mut copy = match parquet {
        true => {
            let properties =
                WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP_ROWS)).build();
            let file = File::create(path.with_extension("parquet"))?;
            Some(ArrowWriter::try_new(file, schema.clone(), Some(properties))?)
        }
        false => None,
    };
    for batch in rows {
        arrow.write(&batch)?;
        if let Some(copy) = &mut copy {
            copy.write(&batch)?;
        }
    }
    arrow.finish()?;
    copy.map(ArrowWriter::close).transpose()?;
    Ok(path.to_owned())
}
