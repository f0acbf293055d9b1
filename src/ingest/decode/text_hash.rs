//! A hash of text, by which it is known again.

use xxhash_rust::xxh3::Xxh3;

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
