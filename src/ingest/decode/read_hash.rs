//! A hash of what was read of a stream.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::Xxh3;

use super::text_hash::hex;

/// XXH3 of what was read of a stream: of its plain bytes, or of those that say what its records are.
/// Clones are of the same stream.
#[derive(Clone, Default)]
pub struct ReadHash(Arc<Mutex<Xxh3>>);

impl ReadHash {
    /// The hash so far, in hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.hash())
    }

    /// Hashes what is read of `read`.
    pub(super) fn of<R: Read + Send>(&self, read: R) -> impl Read + Send + use<R> {
        Hashed { read, hash: self.clone() }
    }

    /// Hashes bytes that were read.
    pub(super) fn update(&self, bytes: &[u8]) {
        self.hash().update(bytes);
    }

    fn hash(&self) -> MutexGuard<'_, Xxh3> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for ReadHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadHash")
    }
}

struct Hashed<R> {
    read: R,
    hash: ReadHash,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}
