//! What an ingestion is to do: the job file.
//!
//! YAML, read strictly: an unknown setting is an error that names it and the one that was probably
//! meant, and settings that contradict each other are named both, before anything is opened. Paths
//! that are relative start at the folder of the file.
//! [`json_schema`] describes the file to editors.

mod check;
mod create;
mod paths;
mod reader;
mod settings;
mod table;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use create::{Buckets, CreateSettings, MergeKind, PartialUpdate, TableKind};
pub use settings::{
    BadRecordPolicy, BadRecordSettings, Cast, CastUnit, ColumnPolicy, CommitSettings, FormatSettings, Job,
    LateNames, MappingSettings, MissingColumns, Operation, OperationColumn, PartitionExpression,
    SourceSettings,
};
pub use table::{HeartbeatSettings, LockSettings, TableSettings};

/// A place in a job file, from 1; 0 where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

/// Why a job file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{problem}", place(.mark), setting(.path))]
pub struct JobError {
    /// Where.
    pub mark: Mark,
    /// The setting, keys joined by `.`.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

impl JobError {
    fn at(mark: Mark, path: &str, problem: impl Into<String>) -> Self {
        Self { mark, path: path.to_owned(), problem: problem.into() }
    }

    /// A problem with the setting `path`, wherever it stands.
    pub(super) fn new(path: &str, problem: impl Into<String>) -> Self {
        Self::at(Mark::default(), path, problem)
    }

    /// The same error at a place, if it has none yet.
    fn or_at(self, mark: Mark, path: &str) -> Self {
        if self.mark == Mark::default() { Self { mark, path: path.to_owned(), ..self } } else { self }
    }
}

fn place(mark: &Mark) -> String {
    if mark.line == 0 { String::new() } else { format!("line {}, column {}: ", mark.line, mark.column) }
}

fn setting(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

impl Job {
    /// Reads a job file and checks it.
    ///
    /// # Errors
    /// A file that cannot be read; as [`Job::from_yaml`].
    pub fn from_file(path: &Path) -> Result<Self, JobError> {
        let failed = |error| JobError::new("", format!("the job file cannot be read: {error}"));
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // The same folder has the same name, whichever way leads there.
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().map_err(failed)?;
        Self::read(&text, &folder)
    }

    /// Reads the text of a job file and checks it. Paths that are relative start at the working folder.
    ///
    /// # Errors
    /// Text that is no YAML, settings that do not exist, have a wrong type or contradict each other.
    pub fn from_yaml(text: &str) -> Result<Self, JobError> {
        let failed = |error| JobError::new("", format!("the working folder cannot be found: {error}"));
        Self::read(text, &std::env::current_dir().map_err(failed)?)
    }

    fn read(text: &str, folder: &Path) -> Result<Self, JobError> {
        let mut job: Self = reader::read(yaml::parse(text)?)?;
        check::check(&job)?;
        let folder = folder
            .to_str()
            .ok_or_else(|| JobError::new("", format!("the name of its folder {folder:?} is not UTF-8")))?;
        paths::resolve(&mut job, folder);
        Ok(job)
    }
}

/// The JSON Schema of job files.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Job).to_value()
}
