//! What is due in a table, and what it costs.

use std::fmt;

use serde::Serialize;

use super::price::Price;

/// What is done to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Writes of dead writers are undone.
    Rollback,
    /// Log files are merged into base files.
    Compaction,
    /// Few large files are made of many small ones.
    Clustering,
    /// Files that no reader needs any more are deleted.
    Clean,
    /// Old instants go from the active timeline.
    Archive,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rollback => "rollback",
            Self::Compaction => "compaction",
            Self::Clustering => "clustering",
            Self::Clean => "clean",
            Self::Archive => "archive",
        })
    }
}

/// A service that is due, as far as a look tells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Due {
    /// The service.
    pub service: Service,
    /// What it is done to: writes, file groups, files or instants. Of plans that are pending, the plans.
    pub count: usize,
    /// Whether it is the carrying out of plans that are pending, of which the cost is not looked at.
    pub is_pending: bool,
    /// Bytes that it reads.
    pub read_bytes: u64,
    /// Bytes that it deletes, now or by a clean to come.
    pub freed_bytes: u64,
    /// What it saves each reader of the whole table, in bytes of base files.
    pub saved_bytes: u64,
    /// For how long it has been due by age, in milliseconds; 0 if it is not.
    pub overdue_millis: u64,
    /// What a compaction or a clustering is expected to take and bring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

impl Due {
    /// A service that costs nothing to speak of.
    pub(super) fn cheap(service: Service, count: usize) -> Self {
        Self {
            service,
            count,
            is_pending: false,
            read_bytes: 0,
            freed_bytes: 0,
            saved_bytes: 0,
            overdue_millis: 0,
            price: None,
        }
    }
}
