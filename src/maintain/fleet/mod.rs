//! Many tables, and what is due in each of them.
//!
//! ```text
//! fleet file -> FleetTables -> looks, at many tables at once -> order (pure) -> table by table: Served
//! ```
//!
//! A look changes nothing and says what is due and what it would cost. Whoever serves a table plans anew,
//! one service after the other, since each changes what is due of the next: first what dead processes left
//! and pending plans, then compaction, clustering, clean and archival.
//!
//! A table that has not changed since nothing was due there is not looked at again for an hour: what was
//! known of it is kept in a folder outside of the table, which may be deleted at any time.

mod cluster;
mod due;
mod known;
mod look;
mod order;
mod serve;
mod settings;
mod tables;

pub use due::{Due, Service};
pub use known::KnownTables;
pub use look::{Look, Looked};
pub use order::order;
pub use serve::{ServeEvent, Served, serve};
pub use settings::{
    ArchiveSettings, Budget, CleanSettings, ClusteringSettings, CompactionSettings, Fleet, Services,
    TableEntry, json_schema,
};
pub use tables::{FleetError, FleetTable, FleetTables};
