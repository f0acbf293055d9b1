//! Reading tables.

mod written;
