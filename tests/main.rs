//! Integration tests: one binary, a folder per subject.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod cli;
mod fixtures;
mod ingest;
mod maintain;
mod quickstart;
mod read;
mod recovery;
mod skipped;
mod small_disk;
mod storage;
mod test_table;
mod write;
