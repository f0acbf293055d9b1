//! A file as plans name it.

use serde::{Deserialize, Serialize};

/// A file of a slice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SliceFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}
