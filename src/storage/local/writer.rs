//! Streaming a data file to a local disk.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::super::{FileWriter, Operation, Result, StorageError};
use super::place::{Place, blocking};
use super::write::{Temporary, put_marker};
use crate::environment::Ids;

/// How much is collected before a task of the blocking pool is paid for.
const BUFFER_BYTES: usize = 1 << 20;

/// A file under a temporary name, which it loses when it is finished.
#[derive(Debug)]
pub(super) struct LocalWriter {
    place: Place,
    path: PathBuf,
    folder: PathBuf,
    temporary: Temporary,
    /// `None` after a failed write: what is in the file is then unknown.
    file: Option<File>,
    buffered: Vec<Bytes>,
    buffered_bytes: usize,
    bytes_written: u64,
}

impl LocalWriter {
    pub(super) async fn create(place: Place, marker: Option<Place>, ids: Arc<dyn Ids>) -> Result<Self> {
        blocking(place, move |place| {
            if let Some(marker) = marker {
                put_marker(&marker)?;
            }
            let path = place.file()?;
            let folder = place.create_parents(&path)?;
            let (temporary, file) = Temporary::create(place, &folder, ids.as_ref())?;
            Ok(Self {
                place: place.clone(),
                path,
                folder,
                temporary,
                file: Some(file),
                buffered: Vec::new(),
                buffered_bytes: 0,
                bytes_written: 0,
            })
        })
        .await
    }

    async fn flush(&mut self) -> Result<()> {
        let place = self.place.with_operation(Operation::Write);
        let file = self.file.take().ok_or_else(|| failed_before(&place))?;
        let buffered = std::mem::take(&mut self.buffered);
        self.buffered_bytes = 0;
        let write = move |place: &Place| write_all(place, file, &buffered);
        self.file = Some(blocking(place, write).await?);
        Ok(())
    }
}

#[async_trait]
impl FileWriter for LocalWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.bytes_written += bytes.len() as u64;
        self.buffered_bytes += bytes.len();
        self.buffered.push(bytes);
        if self.buffered_bytes < BUFFER_BYTES && self.file.is_some() {
            return Ok(());
        }
        self.flush().await
    }

    fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    async fn finish(self: Box<Self>) -> Result<u64> {
        let Self { place, path, folder, temporary, file, buffered, bytes_written, .. } = *self;
        blocking(place.with_operation(Operation::Finish), move |place| {
            let file = file.ok_or_else(|| failed_before(place))?;
            let file = write_all(place, file, &buffered)?;
            file.sync_all().map_err(|error| place.error(error))?;
            temporary.link(place, &path)?;
            place.sync_visible(&folder)?;
            Ok(bytes_written)
        })
        .await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        let Self { place, temporary, .. } = *self;
        blocking(place.with_operation(Operation::Abort), move |_| {
            drop(temporary);
            Ok(())
        })
        .await
    }
}

fn write_all(place: &Place, mut file: File, buffered: &[Bytes]) -> Result<File> {
    for bytes in buffered {
        file.write_all(bytes).map_err(|error| place.error(error))?;
    }
    Ok(file)
}

fn failed_before(place: &Place) -> StorageError {
    place.error(io::Error::other("an earlier write to this file failed"))
}
