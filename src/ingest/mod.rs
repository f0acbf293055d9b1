//! From files and streams to a table, and on from where the table says the last run came to.

pub mod decode;
pub mod job;
pub mod mapping;
