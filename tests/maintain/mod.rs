//! Table services.

pub mod archive;
mod clock;
