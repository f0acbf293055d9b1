//! Integration tests: one binary, a folder per subject.

mod write;
