//! Table services.

pub mod archive;
