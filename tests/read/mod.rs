//! Reading tables.

mod as_of;
mod conformance;
mod damaged_logs;
mod keys;
mod operations;
mod partitions;
mod projection;
mod written;
