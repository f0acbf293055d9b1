//! Listing a bucket as folders and files.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path as Key;

use super::super::{Entry, Listing, Result, StorageError, TablePath};
use super::{ObjectStorage, Place, entry_of};

pub(super) async fn list(storage: &ObjectStorage, place: &Place) -> Result<Listing> {
    let found =
        storage.store.list_with_delimiter(Some(&place.key)).await.map_err(|error| place.error(error))?;
    let mut listing = Listing::default();
    for meta in &found.objects {
        // The object that stands for the folder itself is listed in it.
        if meta.location != place.key {
            listing.files.push(entry_of(path_of(storage, place, &meta.location)?, meta));
        }
    }
    for folder in &found.common_prefixes {
        listing.folders.push(path_of(storage, place, folder)?);
    }
    listing.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    listing.folders.sort_unstable();
    Ok(listing)
}

/// One flat listing from `after` on, until `upto` if that is given; what lies in folders is passed over.
pub(super) async fn list_after(
    storage: &ObjectStorage,
    place: &Place,
    after: &str,
    upto: Option<&str>,
) -> Result<Vec<Entry>> {
    // Taken as it is; what cannot be a key is compared below alone.
    let offset = Key::parse(format!("{}/{after}", place.key)).unwrap_or_else(|_| place.key.clone());
    // Buckets list keys in order, so that what is behind `upto` need not be asked for.
    let is_upto = |meta: &ObjectMeta| {
        let name = meta.location.prefix_match(&place.key).and_then(|mut below| below.next());
        upto.is_none_or(|upto| name.is_none_or(|name| name.as_ref() <= upto))
    };
    let found: Vec<ObjectMeta> = storage
        .store
        .list_with_offset(Some(&place.key), &offset)
        .try_take_while(|meta| std::future::ready(Ok(is_upto(meta))))
        .try_collect()
        .await
        .map_err(|error| place.error(error))?;
    let mut entries = Vec::new();
    for meta in found {
        let mut below = meta.location.prefix_match(&place.key).into_iter().flatten();
        if below.next().is_some() && below.next().is_none() {
            entries.push(entry_of(path_of(storage, place, &meta.location)?, &meta));
        }
    }
    entries.retain(|entry| entry.path.file_name() > after);
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// One flat listing; and one more of each folder with empty files, because there an object that
/// stands for a folder (`p=a/`) looks like an empty file (`p=a`).
pub(super) async fn list_all(storage: &ObjectStorage, place: &Place) -> Result<Vec<Entry>> {
    let found: Vec<ObjectMeta> =
        storage.store.list(Some(&place.key)).try_collect().await.map_err(|error| place.error(error))?;
    let mut entries = Vec::with_capacity(found.len());
    for meta in found.iter().filter(|meta| meta.location != place.key) {
        entries.push(entry_of(path_of(storage, place, &meta.location)?, meta));
    }
    let mut doubtful: BTreeSet<TablePath> =
        entries.iter().filter(|entry| entry.size == 0).filter_map(|entry| entry.path.parent()).collect();
    let mut empty_files = BTreeSet::new();
    while let Some(dir) = doubtful.pop_first() {
        let listing = list(storage, &storage.place(place.operation, &dir)?).await?;
        empty_files.extend(listing.files.into_iter().filter(|file| file.size == 0).map(|file| file.path));
    }
    entries.retain(|entry| entry.size > 0 || empty_files.contains(&entry.path));
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// The path inside the table that a key of the bucket names.
fn path_of(storage: &ObjectStorage, place: &Place, key: &Key) -> Result<TablePath> {
    storage.uri.relative(&format!("/{key}")).map_err(|error| match error {
        super::super::TableUriError::Path(source) => {
            StorageError::Path { operation: place.operation, location: place.location.clone(), source }
        }
        other => StorageError::Uri(other),
    })
}
