//! Reading tables.

mod conformance;
mod written;
