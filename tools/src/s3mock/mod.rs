//! Adobe S3Mock: a bucket of S3 on this machine, with conditional puts.

mod command;
mod server;

pub use command::S3MockArguments;
pub use server::S3Mock;
