//! Hashes of what was read of an input.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::Xxh3;

/// XXH3 of what was read of a stream: of its plain bytes, or of those that say what its records are.
/// Clones are of the same stream.
#[derive(Clone, Default)]
pub struct ReadHash(Arc<Mutex<Xxh3>>);

/// XXH3 of the plain text of an input up to some record, its header included.
#[derive(Clone)]
pub struct TextHash(Box<Xxh3>);

impl TextHash {
    /// The hash in hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    pub(super) fn new() -> Self {
        Self(Box::new(Xxh3::new()))
    }

    pub(super) fn update(&mut self, text: &[u8]) {
        self.0.update(text);
    }
}

impl std::fmt::Debug for TextHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.hex())
    }
}

/// A hash in hexadecimal digits.
pub(in crate::ingest) fn hex(hash: &Xxh3) -> String {
    format!("{:016x}", hash.digest())
}

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
