//! How settings are written, in files and as arguments: times, sizes, zones.
//!
//! Files are YAML, read strictly: an unknown setting is an error that names it, where it stands, and the one
//! that was probably meant. Paths in them start at the folder of the file.

mod error;
mod paths;
mod reader;
mod timezone;
mod units;
mod yaml;

use std::path::Path;

use serde::Deserialize;

pub use error::{Mark, SettingsError};
pub(crate) use paths::{absolute, has_scheme};
pub use timezone::Timezone;
pub(crate) use units::NumberOrText;
pub use units::{Size, TimeSpan, Window};

/// Reads settings out of YAML.
///
/// # Errors
/// Text that is no YAML, settings that do not exist or have a wrong type.
pub(crate) fn from_yaml<'de, T: Deserialize<'de>>(text: &str) -> Result<T, SettingsError> {
    reader::read(yaml::parse(text)?)
}

/// The text of a file of settings, and its folder; `what` the file is.
///
/// # Errors
/// A file that cannot be read; a folder whose name is not UTF-8.
pub(crate) fn read_file(path: &Path, what: &str) -> Result<(String, String), SettingsError> {
    let failed = |error| SettingsError::new("", format!("the {what} cannot be read: {error}"));
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // The same folder has the same name, whichever way leads there.
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().map_err(failed)?;
    Ok((text, name_of(&folder)?))
}

/// The folder that we run in.
///
/// # Errors
/// One that is gone, or whose name is not UTF-8.
pub(crate) fn working_folder() -> Result<String, SettingsError> {
    let failed = |error| SettingsError::new("", format!("the working folder cannot be found: {error}"));
    name_of(&std::env::current_dir().map_err(failed)?)
}

fn name_of(folder: &Path) -> Result<String, SettingsError> {
    let name = folder.to_str().map(str::to_owned);
    name.ok_or_else(|| SettingsError::new("", format!("the name of its folder {folder:?} is not UTF-8")))
}
