//! Streaming a data file to a bucket, in parts.

use async_trait::async_trait;
use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::super::{FileWriter, Operation, Result, StorageError};
use super::filling::{Filling, PART_BYTES};
use super::settle::{self, PutId};
use super::{ObjectStorage, Place};

/// The protocol's limit on parts of one object.
const PARTS_MAX: usize = 10_000;

/// A file that waits while it is small, then an upload in parts.
#[derive(Debug)]
pub(super) struct ObjectWriter {
    storage: ObjectStorage,
    place: Place,
    state: State,
    filling: Filling,
    bytes_written: u64,
}

#[derive(Debug)]
enum State {
    /// All bytes still wait.
    Small,
    Upload(Upload),
    /// An earlier write failed, or the writer is used up.
    Ended,
}

/// An upload in parts; given up when it is dropped before it is complete.
#[derive(Debug)]
struct Upload {
    id: PutId,
    /// `None` when it is complete or given up.
    upload: Option<Box<dyn MultipartUpload>>,
    in_flight: JoinSet<object_store::Result<()>>,
    parts: usize,
}

impl ObjectWriter {
    pub(super) fn new(storage: ObjectStorage, place: Place) -> Self {
        let place = Place { operation: Operation::Write, ..place };
        let filling = Filling::new(storage.uploads.clone());
        Self { storage, place, state: State::Small, filling, bytes_written: 0 }
    }

    /// Moves whole parts out of the buffer into flight.
    async fn send_whole_parts(&mut self) -> Result<()> {
        while self.filling.bytes() >= PART_BYTES {
            // Whatever fails or is given up below, the writer has ended; a success puts the upload back.
            let state = std::mem::replace(&mut self.state, State::Ended);
            let permit = self.storage.uploads.part().await;
            let part = self.filling.take_part().await.map_err(|error| self.place.io_error(error))?;
            let mut upload = match state {
                State::Upload(upload) => upload,
                State::Small => Upload::begin(&self.storage, &self.place).await?,
                State::Ended => return Err(failed_before(&self.place)),
            };
            upload.send(part, permit).await.map_err(|error| self.place.write_error(error))?;
            self.state = State::Upload(upload);
        }
        Ok(())
    }
}

impl Upload {
    async fn begin(storage: &ObjectStorage, place: &Place) -> Result<Self> {
        let id = PutId::new(storage);
        let options = PutMultipartOptions { attributes: id.attributes(), ..PutMultipartOptions::default() };
        let upload = storage.store.put_multipart_opts(&place.key, options).await;
        let upload = upload.map_err(|error| place.write_error(error))?;
        Ok(Self { id, upload: Some(upload), in_flight: JoinSet::new(), parts: 0 })
    }

    async fn send(
        &mut self,
        part: PutPayload,
        permit: Option<OwnedSemaphorePermit>,
    ) -> object_store::Result<()> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            let source = format!("a file has at most {PARTS_MAX} parts of {PART_BYTES} bytes").into();
            return Err(object_store::Error::NotSupported { source });
        }
        while let Some(sent) = self.in_flight.try_join_next() {
            sent.map_err(|source| object_store::Error::JoinError { source })??;
        }
        if let Some(upload) = &mut self.upload {
            let sending = upload.put_part(part);
            self.in_flight.spawn(async move {
                let sent = sending.await;
                drop(permit);
                sent
            });
        }
        Ok(())
    }

    async fn wait_for_one(&mut self) -> object_store::Result<()> {
        match self.in_flight.join_next().await {
            None => Ok(()),
            Some(Ok(sent)) => sent,
            Some(Err(source)) => Err(object_store::Error::JoinError { source }),
        }
    }

    async fn send_last(
        &mut self,
        last: PutPayload,
        permit: Option<OwnedSemaphorePermit>,
    ) -> object_store::Result<()> {
        if last.content_length() > 0 {
            self.send(last, permit).await?;
        }
        while !self.in_flight.is_empty() {
            self.wait_for_one().await?;
        }
        Ok(())
    }

    async fn complete(&mut self) -> object_store::Result<()> {
        if let Some(upload) = &mut self.upload {
            upload.complete().await?;
        }
        self.upload = None;
        Ok(())
    }

    /// Best effort: what cannot be removed now, the bucket's lifecycle rule removes.
    async fn give_up(&mut self) {
        self.in_flight.shutdown().await;
        if let Some(upload) = self.upload.take() {
            abort(upload).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(abort(upload));
    }
}

async fn abort(mut upload: Box<dyn MultipartUpload>) {
    if let Err(error) = upload.abort().await {
        tracing::debug!(%error, "an upload in parts was not aborted");
    }
}

#[async_trait]
impl FileWriter for ObjectWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if matches!(self.state, State::Ended) {
            return Err(failed_before(&self.place));
        }
        self.bytes_written += bytes.len() as u64;
        // Whatever fails or is given up meanwhile, the writer has ended.
        let state = std::mem::replace(&mut self.state, State::Ended);
        self.filling.push(bytes).await.map_err(|error| self.place.io_error(error))?;
        self.state = state;
        self.send_whole_parts().await
    }

    fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    async fn finish(mut self: Box<Self>) -> Result<u64> {
        let place = Place { operation: Operation::Finish, ..self.place.clone() };
        let permit = self.storage.uploads.part().await;
        let last = self.filling.take_part().await.map_err(|error| place.io_error(error))?;
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Ended => return Err(failed_before(&place)),
            State::Small => {
                settle::put_if_absent(&self.storage, &place, last).await?;
            }
            State::Upload(mut upload) => {
                upload.send_last(last, permit).await.map_err(|error| place.write_error(error))?;
                if let Err(error) = upload.complete().await {
                    settle::settle_new(&self.storage, &place, &upload.id, error).await?;
                }
            }
        }
        Ok(self.bytes_written)
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        if let State::Upload(mut upload) = std::mem::replace(&mut self.state, State::Ended) {
            upload.give_up().await;
        }
        Ok(())
    }
}

fn failed_before(place: &Place) -> StorageError {
    StorageError::Io {
        operation: place.operation,
        location: place.location.clone(),
        source: "an earlier write to this file failed".into(),
    }
}
