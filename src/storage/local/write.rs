//! Writing and deleting local files.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::super::{Result, StorageError};
use super::TEMPORARY_PREFIX;
use super::place::{Place, is_absent};
use super::read::temporaries;
use crate::environment::{Ids, unix_millis_of};

/// A file under a temporary name; removed when dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// Opens a new file in `folder`.
    ///
    /// A name may be taken by what a stopped run of the same seed left; the next one is not.
    pub(super) fn create(place: &Place, folder: &Path, ids: &dyn Ids) -> Result<(Self, File)> {
        const TRIES: usize = 100;
        for _ in 0..TRIES {
            let path = folder.join(format!("{TEMPORARY_PREFIX}{}", ids.uuid().simple()));
            match create_new(&path) {
                Ok(file) => return Ok((Self { path }, file)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(place.error(error)),
            }
        }
        Err(place.error(io::Error::other("no free temporary name was found; sweep the folder")))
    }

    /// Gives the file the name `to`, unless something has that name, and drops the temporary one.
    ///
    /// The folder is left to be synced, once for both changes.
    pub(super) fn link(self, place: &Place, to: &Path) -> Result<()> {
        fs::hard_link(&self.path, to).map_err(|error| not_linked(place, error))
    }

    /// Gives the file the name `to`, in the place of whatever has it.
    fn rename(self, place: &Place, to: &Path) -> Result<()> {
        fs::rename(&self.path, to).map_err(|error| place.error(error))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename it is gone already; else `sweep` gets what this cannot.
        let _ = fs::remove_file(&self.path);
    }
}

/// Why a file could not be linked. It was just created in this folder, so who may not link it, as
/// opposed to who has no access, is on a file system without hard links.
fn not_linked(place: &Place, error: io::Error) -> StorageError {
    /// The same number on every Unix.
    const EPERM: i32 = 1;
    if error.raw_os_error() == Some(EPERM) { place.unsupported() } else { place.error(error) }
}

pub(super) fn put_if_absent(place: &Place, ids: &dyn Ids, bytes: &[u8]) -> Result<()> {
    let file = place.file()?;
    // Who polls for a file to go away should not pay for syncing each try.
    if fs::symlink_metadata(&file).is_ok() {
        return Err(place.already_exists());
    }
    let folder = place.create_parents(&file)?;
    remove_checksum(place, &file)?;
    if bytes.is_empty() {
        // An empty file is whole as soon as it has its name.
        create_new(&file).map_err(|error| place.error(error))?;
    } else {
        write_temporary(place, &folder, ids, bytes)?.link(place, &file)?;
    }
    place.sync_visible(&folder)
}

pub(super) fn put(place: &Place, ids: &dyn Ids, bytes: &[u8]) -> Result<()> {
    let file = place.file()?;
    let folder = place.create_parents(&file)?;
    let temporary = write_temporary(place, &folder, ids, bytes)?;
    remove_checksum(place, &file)?;
    temporary.rename(place, &file)?;
    place.sync_changed(&folder)
}

/// Makes a file that is there and the entry of it durable.
pub(super) fn sync(place: &Place) -> Result<()> {
    let file = place.file()?;
    File::open(&file).and_then(|file| file.sync_all()).map_err(|error| place.error(error))?;
    place.sync_folder(file.parent().unwrap_or(&file))
}

/// Creates the empty file of a marker, or takes the one that is there, and makes it durable.
pub(super) fn put_marker(place: &Place) -> Result<()> {
    let file = place.file()?;
    let folder = place.create_parents(&file)?;
    match create_new(&file) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(place.error(error)),
        _ => place.sync_changed(&folder),
    }
}

pub(super) fn delete(place: &Place) -> Result<bool> {
    let file = place.file()?;
    remove_checksum(place, &file)?;
    match fs::remove_file(&file) {
        Ok(()) => place.sync_changed(file.parent().unwrap_or(&file)).map(|()| true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(place.error(error)),
    }
}

pub(super) fn delete_dir(place: &Place) -> Result<()> {
    let folder = place.file()?;
    match remove_folder(&folder) {
        Ok(()) => place.sync_changed(folder.parent().unwrap_or(&folder)),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(place.error(error)),
    }
}

/// Removes a folder into which somebody may still put files.
fn remove_folder(folder: &Path) -> io::Result<()> {
    const TRIES: usize = 100;
    for _ in 1..TRIES {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            removed => return removed,
        }
    }
    fs::remove_dir_all(folder)
}

pub(super) fn sweep(place: &Place, before_unix_millis: i64) -> Result<u64> {
    let mut swept = 0;
    for (path, metadata) in temporaries(place)? {
        if metadata.modified().map_or(i64::MAX, unix_millis_of) < before_unix_millis {
            swept += u64::from(delete(&place.at(path))?);
        }
    }
    Ok(swept)
}

fn write_temporary(place: &Place, folder: &Path, ids: &dyn Ids, bytes: &[u8]) -> Result<Temporary> {
    let (temporary, mut file) = Temporary::create(place, folder, ids)?;
    if !bytes.is_empty() {
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| place.error(error))?;
    }
    Ok(temporary)
}

/// Removes the checksums that Hadoop keeps in `.<name>.crc` beside a file it has written: of other
/// bytes under the same name Hadoop's readers would say that they are damaged.
///
/// Source: `org.apache.hadoop.fs.ChecksumFileSystem`.
fn remove_checksum(place: &Place, file: &Path) -> Result<()> {
    let Some(name) = file.file_name() else { return Ok(()) };
    let mut checksum = OsString::from(".");
    checksum.push(name);
    checksum.push(".crc");
    match fs::remove_file(file.with_file_name(checksum)) {
        Err(error) if !is_absent(&error) => Err(place.error(error)),
        _ => Ok(()),
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::{Operation, TablePath};
    use super::*;

    #[test]
    fn a_file_system_without_hard_links_is_told_so() {
        let place = Place::new(Operation::PutIfAbsent, Arc::new("/t".into()), TablePath::literal("x"));
        let said = |number| not_linked(&place, io::Error::from_raw_os_error(number)).to_string();
        assert!(said(1).contains("it needs hard links"), "{}", said(1));
        assert!(said(13).contains("permission denied"), "{}", said(13));
    }
}
