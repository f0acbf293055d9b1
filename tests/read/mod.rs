//! Reading tables.

mod conformance;
mod keys;
mod written;
