//! What an ingestion is to do: the job file.
//!
//! YAML, read strictly: an unknown setting is an error that names it and the one that was probably
//! meant, and settings that contradict each other are named both, before anything is opened. Paths
//! that are relative start at the folder of the file.
//! [`json_schema`] describes the file to editors.

mod check;
mod create;
mod paths;
mod services;
mod settings;
mod table;

#[cfg(test)]
mod tests;

use std::path::Path;

use crate::settings::{SettingsError, from_yaml, read_file, working_folder};

pub use create::{Buckets, CreateSettings, MergeKind, PartialUpdate, TableKind};
pub use services::ServiceSettings;
pub use settings::{
    BadRecordPolicy, BadRecordSettings, Cast, CastUnit, ColumnPolicy, CommitSettings, FormatSettings, Job,
    LateNames, MappingSettings, MissingColumns, Operation, OperationColumn, PartitionExpression,
    SourceSettings,
};
pub use table::TableSettings;

impl Job {
    /// Reads a job file and checks it.
    ///
    /// # Errors
    /// A file that cannot be read; as [`Job::from_yaml`].
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let (text, folder) = read_file(path, "job file")?;
        Self::read(&text, &folder)
    }

    /// Reads the text of a job file and checks it. Paths that are relative start at the working folder.
    ///
    /// # Errors
    /// Text that is no YAML, settings that do not exist, have a wrong type or contradict each other.
    pub fn from_yaml(text: &str) -> Result<Self, SettingsError> {
        Self::read(text, &working_folder()?)
    }

    fn read(text: &str, folder: &str) -> Result<Self, SettingsError> {
        let mut job: Self = from_yaml(text)?;
        check::check(&job)?;
        paths::resolve(&mut job, folder);
        Ok(job)
    }
}

/// The JSON Schema of job files.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Job).to_value()
}
