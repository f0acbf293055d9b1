//! Tables as hudi-core reads and writes them.
//!
//! Rows come from and go to Arrow IPC files. Each command prints one line of JSON: how many rows it
//! has read or written, and what that took, the reading of files of rows included.

mod figures;
mod rows;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser};
use hudi_core::table::{ReadOptions, Table};

use figures::{Figures, measure};

type Failure = Box<dyn std::error::Error>;

/// Reads and writes Hudi tables with hudi-core.
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    /// Read a table's rows, meta columns included.
    Read(Read),
    /// Create a merge-on-read table and append rows to it.
    Load(write::Load),
    /// Upsert rows and delete keys, a commit per file, in the order that they are named.
    Change(write::Change),
    /// Compact every file group that has log files.
    Compact(write::Compact),
}

#[derive(Debug, Args)]
struct Read {
    /// The table's folder or address; buckets take the usual `AWS_*` variables.
    table: String,
    /// The rows as of an instant.
    #[arg(long)]
    as_of: Option<String>,
    /// These columns alone.
    #[arg(long, value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// Where to write the rows to; nowhere if not given.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Read {
    async fn run(self) -> Result<u64, Failure> {
        let table = Table::new(&self.table).await?;
        let mut options = ReadOptions::new();
        if let Some(as_of) = &self.as_of {
            options = options.with_as_of_timestamp(as_of);
        }
        if let Some(columns) = self.columns {
            options = options.with_projection(columns);
        }
        let batches = table.read(&options).await?;
        if let Some(out) = &self.out {
            let schema = match batches.first() {
                Some(batch) => batch.schema(),
                None => table.get_schema_with_meta_fields().await?.into(),
            };
            rows::write(out, &schema, &batches)?;
        }
        Ok(rows::count(&batches))
    }
}

fn run(command: Command) -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    measure(|| match command {
        Command::Read(read) => runtime.block_on(read.run()),
        Command::Load(load) => runtime.block_on(load.run()),
        Command::Change(change) => runtime.block_on(change.run()),
        Command::Compact(compact) => runtime.block_on(compact.run()),
    })
}

fn main() -> ExitCode {
    let printed =
        run(Command::parse()).and_then(|figures| Ok(println!("{}", serde_json::to_string(&figures)?)));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
