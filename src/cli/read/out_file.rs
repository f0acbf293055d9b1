//! A file that is there as a whole or not at all.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, ErrorKind};

/// A file under a hidden name beside the one it is to have.
#[derive(Debug)]
pub(super) struct OutFile {
    path: PathBuf,
    hidden: NamedTempFile,
    overwrite: bool,
}

impl OutFile {
    /// Starts the file `path`.
    ///
    /// # Errors
    /// A file of that name, unless it may be overwritten; a folder that cannot be written.
    pub(super) fn create(path: &Path, overwrite: bool) -> Result<Self, Error> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => {
                let text = format!("{}: it is there and no plain file: it was left as it is", path.display());
                return Err(Error::new(ErrorKind::Refused, text));
            }
            Ok(_) if !overwrite => return Err(exists(path)),
            _ => {}
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut prefix = OsString::from(".");
        prefix.push(path.file_name().unwrap_or_default());
        prefix.push(".");
        let hidden = tempfile::Builder::new()
            .prefix(&prefix)
            // What the umask takes away is taken from these.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound if !folder.exists() => {
                    problem(path, format!("there is no folder {}", folder.display()))
                }
                _ => problem(path, unnamed(&error)),
            })?;
        Ok(Self { path: path.to_owned(), hidden, overwrite })
    }

    /// What its bytes are written to.
    pub(super) fn writer(&self) -> io::Result<File> {
        self.hidden.as_file().try_clone()
    }

    /// Gives the file its name; says what it is called and how large it is.
    pub(super) fn publish(self) -> Result<(PathBuf, u64), Error> {
        let Self { path, hidden, overwrite } = self;
        let failed = |error: &io::Error| problem(&path, error);
        hidden.as_file().sync_all().map_err(|error| failed(&error))?;
        let bytes = hidden.as_file().metadata().map_err(|error| failed(&error))?.len();
        let named = if overwrite { hidden.persist(&path) } else { hidden.persist_noclobber(&path) };
        match named {
            Ok(_) => Ok((path, bytes)),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(exists(&path)),
            Err(error) => Err(failed(&error.error)),
        }
    }
}

fn exists(path: &Path) -> Error {
    let text = format!("{}: it is there already and was left as it is; add --overwrite", path.display());
    Error::new(ErrorKind::Refused, text)
}

/// What the system says, without the hidden name that the library adds.
fn unnamed(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" at path ").map_or(text.as_str(), |(said, _)| said).to_owned()
}

fn problem(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::FixInput, format!("{}: it cannot be written: {why}", path.display()))
}
