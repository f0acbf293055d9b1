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
//! A table that has not changed since nothing was due there is not looked at again for an hour. Of one that
//! has, only those partitions are listed in which the timeline says that files came or went: what was known of
//! it is kept in a folder outside of the table, which may be deleted at any time. Where the timeline does not
//! tell, and once a day, the table is listed as a whole; and what a plan names is looked for anew.

mod cluster;
mod due;
mod known;
mod look;
mod order;
mod price;
mod serve;
mod settings;
mod still_there;
mod tables;
mod totals;

pub use due::{Due, Service};
pub use known::KnownTables;
pub use look::{Look, Looked};
pub use order::order;
pub use price::Price;
pub use serve::{ServeEvent, Served, serve};
pub use settings::{
    ArchiveSettings, Budget, CleanSettings, ClusteringSettings, CompactionSettings, Fleet, Services,
    TableEntry, json_schema,
};
pub use tables::{FleetError, FleetTable, FleetTables};
pub use totals::Totals;
