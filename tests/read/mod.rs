//! Reading tables.

mod as_of;
mod conformance;
mod damaged_logs;
mod keys;
mod partitions;
mod written;
