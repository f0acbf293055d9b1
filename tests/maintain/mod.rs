//! Table services.

mod catalogue;
