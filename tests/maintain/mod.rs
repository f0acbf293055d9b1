//! Table services.

mod archive;
