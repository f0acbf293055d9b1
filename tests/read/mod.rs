//! Reading tables.

mod conformance;
mod damaged_logs;
mod keys;
mod written;
