//! Reading local files and folders.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;

use bytes::Bytes;

use super::super::error::excerpt;
use super::super::{Entry, FolderStamp, Listing, Object, Result, StorageError, TablePath, TablePathError};
use super::is_temporary;
use super::place::{Place, is_absent};
use crate::environment::unix_millis_of;

pub(super) fn get(place: &Place, max_bytes: u64) -> Result<Object> {
    let (file, entry) = open(place)?;
    let too_large = |size| Err(StorageError::TooLarge { location: place.location(), size, max_bytes });
    if entry.size > max_bytes {
        return too_large(entry.size);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(entry.size).unwrap_or_default());
    // The file may have grown since; it is ours to refuse, not to believe.
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| place.error(error))?;
    let size = bytes.len() as u64;
    if size > max_bytes {
        return too_large(size);
    }
    Ok(Object { entry: Entry { size, ..entry }, version: None, bytes: bytes.into() })
}

pub(super) fn get_ranges(place: &Place, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
    let (mut file, entry) = open(place)?;
    let size = entry.size;
    if let Some(range) = ranges.iter().find(|range| range.start > range.end || range.end > size) {
        return Err(StorageError::OutOfRange { location: place.location(), range: range.clone(), size });
    }
    ranges.iter().map(|range| read_range(&mut file, range).map_err(|error| place.error(error))).collect()
}

fn read_range(file: &mut File, range: &Range<u64>) -> std::io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(std::io::Error::other)?;
    let mut bytes = Vec::with_capacity(length);
    file.seek(SeekFrom::Start(range.start))?;
    // Into memory that nobody has filled with zeros first.
    let read = file.take(length as u64).read_to_end(&mut bytes)?;
    if read < length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.into())
}

pub(super) fn stat(place: &Place) -> Result<Entry> {
    let found = fs::symlink_metadata(place.file()?);
    match found {
        Ok(metadata) if metadata.is_file() => Ok(entry_of(place.path().clone(), &metadata)),
        Ok(_) => Err(place.not_found()),
        Err(error) if is_absent(&error) => Err(place.not_found()),
        Err(error) => Err(place.error(error)),
    }
}

/// The time of the folder's last change.
pub(super) fn stamp(place: &Place) -> Result<Option<FolderStamp>> {
    match fs::symlink_metadata(place.folder()?) {
        Ok(metadata) => {
            let nanos = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
            Ok(Some(FolderStamp(nanos)))
        }
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(place.error(error)),
    }
}

pub(super) fn list(place: &Place) -> Result<Listing> {
    let mut listing = Listing::default();
    visit(place, |path, found| match found {
        Found::Folder => listing.folders.push(path),
        Found::File(metadata) => listing.files.push(entry_of(path, &metadata)),
        Found::Temporary(_) => {}
    })?;
    listing.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    listing.folders.sort_unstable();
    Ok(listing)
}

/// What is no folder, or cannot be one of a table, is passed by.
pub(super) fn folders(place: &Place) -> Result<Vec<TablePath>> {
    let mut folders = Vec::new();
    for entry in entries(place)? {
        match look_at(place, &entry?) {
            Ok(Some((path, Found::Folder))) => folders.push(path),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "passed by"),
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

/// Names are read, but only those after `after`, until `upto` if that is given, are looked at.
pub(super) fn list_after(place: &Place, after: &str, upto: Option<&str>) -> Result<Vec<Entry>> {
    let mut files = Vec::new();
    for entry in entries(place)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name <= after.as_bytes() || upto.is_some_and(|upto| name > upto.as_bytes()) {
            continue;
        }
        if let Some((path, Found::File(metadata))) = look_at(place, &entry)? {
            files.push(entry_of(path, &metadata));
        }
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

pub(super) fn list_all(place: &Place) -> Result<Vec<Entry>> {
    let mut files = Vec::new();
    let mut folders = vec![place.path().clone()];
    while let Some(folder) = folders.pop() {
        visit(&place.at(folder), |path, found| match found {
            Found::Folder => folders.push(path),
            Found::File(metadata) => files.push(entry_of(path, &metadata)),
            Found::Temporary(_) => {}
        })?;
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The temporary files directly in the folder of `place`; nothing else is looked at.
pub(super) fn temporaries(place: &Place) -> Result<Vec<(TablePath, Metadata)>> {
    let mut found = Vec::new();
    for entry in entries(place)? {
        let entry = entry?;
        if !is_temporary(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if let Some((path, Found::Temporary(metadata))) = look_at(place, &entry)? {
            found.push((path, metadata));
        }
    }
    Ok(found)
}

/// What is found in a folder.
enum Found {
    Folder,
    File(Metadata),
    Temporary(Metadata),
}

/// Shows `visitor` everything directly in the folder of `place`; nothing if it is absent.
fn visit(place: &Place, mut visitor: impl FnMut(TablePath, Found)) -> Result<()> {
    for entry in entries(place)? {
        if let Some((path, found)) = look_at(place, &entry?)? {
            visitor(path, found);
        }
    }
    Ok(())
}

/// Everything directly in the folder of `place`; nothing if it is absent.
fn entries(place: &Place) -> Result<impl Iterator<Item = Result<DirEntry>>> {
    let entries = match fs::read_dir(place.folder()?) {
        Ok(entries) => Some(entries),
        Err(error) if is_absent(&error) => None,
        Err(error) => return Err(place.error(error)),
    };
    Ok(entries.into_iter().flatten().map(|entry| entry.map_err(|error| place.error(error))))
}

/// `None` if it was deleted since the folder was read.
fn look_at(place: &Place, entry: &DirEntry) -> Result<Option<(TablePath, Found)>> {
    let file_type = entry.file_type().map_err(|error| place.error(error))?;
    place.refuse_irregular(file_type, &entry.path())?;
    let path = child(place, &entry.file_name())?;
    if file_type.is_dir() {
        return Ok(Some((path, Found::Folder)));
    }
    match entry.metadata() {
        Ok(metadata) if is_temporary(path.file_name()) => Ok(Some((path, Found::Temporary(metadata)))),
        Ok(metadata) => Ok(Some((path, Found::File(metadata)))),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(place.error(error)),
    }
}

fn child(place: &Place, name: &OsStr) -> Result<TablePath> {
    let joined = match name.to_str() {
        Some(name) => place.path().join(name),
        None => Err(TablePathError { found: excerpt(&name.to_string_lossy()), reason: "it is not UTF-8" }),
    };
    joined.map_err(|source| place.bad_name(source))
}

fn open(place: &Place) -> Result<(File, Entry)> {
    let file = match File::open(place.file()?) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Err(place.not_found()),
        Err(error) => return Err(place.error(error)),
    };
    let metadata = file.metadata().map_err(|error| place.error(error))?;
    if metadata.is_dir() {
        return Err(place.not_found());
    }
    Ok((file, entry_of(place.path().clone(), &metadata)))
}

pub(super) fn entry_of(path: TablePath, metadata: &Metadata) -> Entry {
    let modified = metadata.modified().map_or(0, unix_millis_of);
    Entry { path, size: metadata.len(), modified_unix_millis: modified }
}
