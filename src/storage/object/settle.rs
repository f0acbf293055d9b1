//! Conditional puts whose outcome is known, as far as it can be.
//!
//! A put whose reply was lost, or that was tried again by the client and then met its own first
//! try, looks like a failure. So each carries an id of its own in the object's metadata, stored
//! together with the bytes; after anything but a plain success the object is asked whose it is.

use object_store::{
    Attribute, Attributes, GetOptions, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion,
};

use super::super::{Result, StorageError, Version};
use super::{ObjectStorage, Place};

/// Under this name (`x-amz-meta-lakebed-put`) an object says which put wrote it.
const PUT_ID: &str = "lakebed-put";

/// How often a put is repeated that lost against something that then was gone.
const TRIES: usize = 5;

/// Metadata that makes the object of one put known again.
#[derive(Debug)]
pub(super) struct PutId(String);

impl PutId {
    pub(super) fn new(storage: &ObjectStorage) -> Self {
        Self(storage.ids.uuid().to_string())
    }

    pub(super) fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(PUT_ID.into()), self.0.clone().into());
        attributes
    }

    fn options(&self, mode: PutMode) -> PutOptions {
        PutOptions { mode, attributes: self.attributes(), ..PutOptions::default() }
    }
}

/// What a look at the storage found after a put that did not plainly succeed.
enum Found {
    /// The put did happen.
    Ours(Option<Version>),
    /// Another object is there.
    Other(Option<Version>),
    Nothing,
}

pub(super) async fn put_if_absent(
    storage: &ObjectStorage,
    place: &Place,
    payload: PutPayload,
) -> Result<Option<Version>> {
    let id = PutId::new(storage);
    let mut tries = 1;
    loop {
        let put = storage.store.put_opts(&place.key, payload.clone(), id.options(PutMode::Create)).await;
        let error = match put {
            Ok(put) => return Ok(version_of(put)),
            Err(error) => error,
        };
        // Refused for something that is gone again: S3 asks to repeat (409).
        let refused = is_refused(&error);
        match settle_new(storage, place, &id, error).await {
            Err(StorageError::Ambiguous { .. }) if refused && tries < TRIES => tries += 1,
            settled => return settled,
        }
    }
}

/// The outcome of a put or completion that must not replace anything and ended in `error`.
pub(super) async fn settle_new(
    storage: &ObjectStorage,
    place: &Place,
    id: &PutId,
    error: object_store::Error,
) -> Result<Option<Version>> {
    if is_certain(&error) {
        return Err(place.write_error(error));
    }
    match look(storage, place, id).await {
        Ok(Found::Ours(version)) => Ok(version),
        Ok(Found::Other(_)) => Err(place.already_exists()),
        // It may still be under way.
        Ok(Found::Nothing) | Err(_) => Err(place.ambiguous(error)),
    }
}

pub(super) async fn replace(
    storage: &ObjectStorage,
    place: &Place,
    payload: PutPayload,
    expected: &Version,
) -> Result<Version> {
    let id = PutId::new(storage);
    let update = UpdateVersion { e_tag: Some(expected.0.clone()), version: None };
    let put = storage.store.put_opts(&place.key, payload, id.options(PutMode::Update(update))).await;
    let mismatch =
        || StorageError::VersionMismatch { location: place.location.clone(), expected: expected.to_string() };
    let error = match put.map(version_of) {
        Ok(Some(version)) => return Ok(version),
        Ok(None) => return Err(place.ambiguous(no_version())),
        Err(error) if is_certain(&error) => return Err(place.write_error(error)),
        Err(error) => error,
    };
    match look(storage, place, &id).await {
        Ok(Found::Ours(Some(version))) => Ok(version),
        Ok(Found::Other(found)) if found.as_ref() != Some(expected) => Err(mismatch()),
        Ok(Found::Nothing) => Err(mismatch()),
        // Unchanged so far, or unknown: it may still be under way.
        _ => Err(place.ambiguous(error)),
    }
}

async fn look(storage: &ObjectStorage, place: &Place, id: &PutId) -> Result<Found> {
    let head = GetOptions { head: true, ..GetOptions::default() };
    let found = match storage.fetch(place, head).await {
        Err(StorageError::NotFound { .. }) => return Ok(Found::Nothing),
        found => found?,
    };
    let version = found.meta.e_tag.map(Version);
    let writer = found.attributes.get(&Attribute::Metadata(PUT_ID.into()));
    Ok(if writer.is_some_and(|writer| writer.as_ref() == id.0) {
        Found::Ours(version)
    } else {
        Found::Other(version)
    })
}

/// Whether the store said no because of what is there.
fn is_refused(error: &object_store::Error) -> bool {
    use object_store::Error;
    matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. })
}

/// Whether the error alone says that nothing was written.
fn is_certain(error: &object_store::Error) -> bool {
    use object_store::Error;
    matches!(
        error,
        Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
    )
}

fn version_of(put: PutResult) -> Option<Version> {
    put.e_tag.map(Version)
}

fn no_version() -> object_store::Error {
    object_store::Error::NotSupported { source: "the store named no version (ETag) of what it wrote".into() }
}
