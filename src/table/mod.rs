//! A table: what it declares and which files its rows are in.

mod conform;

pub use conform::{ConformError, conform};
