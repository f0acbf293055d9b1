//! A hash of what was read of a stream.

use std::io::{self, BufRead, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::Xxh3;

/// XXH3 of the plain bytes that were read of a stream. Clones are of the same stream.
#[derive(Clone, Default)]
pub struct ReadHash(Arc<Mutex<Xxh3>>);

impl ReadHash {
    /// The hash so far.
    pub fn so_far(&self) -> Xxh3 {
        self.hash().clone()
    }

    /// Hashes what is read of `read`, and not what is only looked at.
    pub(super) fn of<R: BufRead + Send>(&self, read: R) -> impl BufRead + Send + use<R> {
        Hashed { read, hash: self.clone() }
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

impl<R: BufRead> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read.read(buffer)?;
        self.hash.hash().update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Hashed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.read.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        // They are in the buffer already, which is not filled again then.
        if count > 0
            && let Ok(buffer) = self.read.fill_buf()
        {
            self.hash.hash().update(buffer.get(..count).unwrap_or_default());
        }
        self.read.consume(count);
    }
}
