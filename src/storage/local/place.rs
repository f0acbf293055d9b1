//! A path of a local table, resolved on the disk without leaving the table.

use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::{Operation, Result, StorageError, TablePath, TablePathError};

/// One operation on one path: the evidence of every error it may end in.
#[derive(Debug, Clone)]
pub(super) struct Place {
    operation: Operation,
    root: Arc<PathBuf>,
    path: TablePath,
}

/// Runs `work` on the blocking pool.
pub(super) async fn blocking<T, W>(place: Place, work: W) -> Result<T>
where
    T: Send + 'static,
    W: FnOnce(&Place) -> Result<T> + Send + 'static,
{
    let evidence = place.clone();
    match tokio::task::spawn_blocking(move || work(&place)).await {
        Ok(done) => done,
        Err(stopped) => Err(evidence.error(io::Error::other(stopped))),
    }
}

impl Place {
    pub(super) fn new(operation: Operation, root: Arc<PathBuf>, path: TablePath) -> Self {
        Self { operation, root, path }
    }

    /// The same path, with another operation in its errors.
    pub(super) fn with_operation(&self, operation: Operation) -> Self {
        Self { operation, ..self.clone() }
    }

    /// Another path of the same operation.
    pub(super) fn at(&self, path: TablePath) -> Self {
        Self { path, ..self.clone() }
    }

    pub(super) fn path(&self) -> &TablePath {
        &self.path
    }

    /// The table's folder.
    #[cfg(target_os = "linux")]
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file is on the disk, be it there or not.
    ///
    /// Refuses the table's own folder, and every symbolic link on the way and at the end.
    pub(super) fn file(&self) -> Result<PathBuf> {
        if self.path.is_root() {
            return Err(StorageError::TableFolder { operation: self.operation, location: self.location() });
        }
        self.folder()
    }

    /// As [`Place::file`], where the table's own folder is a good answer too.
    pub(super) fn folder(&self) -> Result<PathBuf> {
        let mut at = self.root.as_path().to_owned();
        let mut exists = true;
        for segment in self.path.segments() {
            at.push(segment);
            if !exists {
                continue;
            }
            match fs::symlink_metadata(&at) {
                Ok(found) => self.refuse_irregular(found.file_type(), &at)?,
                Err(error) if is_absent(&error) => exists = false,
                Err(error) => return Err(self.error(error)),
            }
        }
        Ok(at)
    }

    /// Refuses links, devices, pipes and sockets: `at` is what the error names.
    pub(super) fn refuse_irregular(&self, found: FileType, at: &Path) -> Result<()> {
        if found.is_file() || found.is_dir() {
            return Ok(());
        }
        Err(StorageError::Irregular {
            operation: self.operation,
            location: format!("file:{}", at.display()),
            found: if found.is_symlink() { "a symbolic link" } else { "a device, pipe or socket" },
        })
    }

    /// Creates the folder of `file` and those above it, and syncs each new one's parent.
    ///
    /// The lowest folder itself is left to whoever puts an entry into it.
    pub(super) fn create_parents(&self, file: &Path) -> Result<PathBuf> {
        let folder = file.parent().unwrap_or(file).to_owned();
        let mut missing = Vec::new();
        let mut at = folder.as_path();
        while !at.is_dir() {
            missing.push(at.to_owned());
            let Some(parent) = at.parent() else { break };
            at = parent;
        }
        for new in missing.iter().rev() {
            match fs::create_dir(new) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(self.error(error)),
                // Somebody else may have created it this moment and not have synced it yet.
                _ => self.sync_folder(new.parent().unwrap_or(new))?,
            }
        }
        Ok(folder)
    }

    /// Makes the entries of a folder durable.
    pub(super) fn sync_folder(&self, folder: &Path) -> Result<()> {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| self.error(error))
    }

    /// As [`Place::sync_folder`], after something in the folder was replaced or removed: no error says
    /// that nothing has changed.
    pub(super) fn sync_changed(&self, folder: &Path) -> Result<()> {
        self.sync_folder(folder).map_err(|error| StorageError::Io {
            operation: self.operation,
            location: self.location(),
            source: Box::new(error),
        })
    }

    /// As [`Place::sync_folder`], after something in the folder has become visible.
    pub(super) fn sync_visible(&self, folder: &Path) -> Result<()> {
        self.sync_folder(folder).map_err(|error| StorageError::Ambiguous {
            operation: self.operation,
            location: self.location(),
            source: Box::new(error),
        })
    }

    pub(super) fn location(&self) -> String {
        format!("file:{}", self.root.join(self.path.as_str()).display())
    }

    pub(super) fn already_exists(&self) -> StorageError {
        StorageError::AlreadyExists { operation: self.operation, location: self.location() }
    }

    pub(super) fn not_found(&self) -> StorageError {
        StorageError::NotFound { operation: self.operation, location: self.location() }
    }

    /// A name found here that no path inside a table can spell.
    pub(super) fn bad_name(&self, source: TablePathError) -> StorageError {
        StorageError::Path { operation: self.operation, location: self.location(), source }
    }

    /// What a file system that lacks something is told.
    pub(super) fn unsupported(&self) -> StorageError {
        StorageError::Unsupported {
            operation: self.operation,
            location: self.location(),
            reason: "the file system cannot do that; it needs hard links and syncing of folders",
        }
    }

    /// `error` with its evidence, as the kind of error that a caller can act on.
    pub(super) fn error(&self, error: io::Error) -> StorageError {
        let (operation, location) = (self.operation, self.location());
        match error.kind() {
            ErrorKind::NotFound => StorageError::NotFound { operation, location },
            ErrorKind::AlreadyExists => StorageError::AlreadyExists { operation, location },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                StorageError::NoSpace { operation, location, source: Box::new(error) }
            }
            ErrorKind::ReadOnlyFilesystem => {
                StorageError::ReadOnly { operation, location, source: Box::new(error) }
            }
            ErrorKind::Unsupported => self.unsupported(),
            ErrorKind::PermissionDenied => {
                StorageError::PermissionDenied { operation, location, source: Box::new(error) }
            }
            _ => StorageError::Io { operation, location, source: Box::new(error) },
        }
    }
}

/// Whether an error means that nothing of the kind is at a path: nothing there, or a file where a
/// folder was asked for, or a folder for a file.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}
