//! Integration tests: one binary, a folder per subject.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod cli;
mod fixtures;
mod ingest;
mod quickstart;
mod read;
mod write;
