//! What it takes to write a table beside others.

use lakebed_hudi::table_config::{DeclaredZone, TableConfig};

use crate::storage::Scheme;

/// What other writers must know besides their options.
pub(super) fn sharing_notes(config: &TableConfig, scheme: Scheme) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if config.record_key.is_none() {
        notes.push("the table has no record key: rows can only be added to it");
    } else if config.bucket_index.is_none() {
        notes.push(
            "the table's properties declare no index: each writer must be told the one that the others use, or \
             rows of one key come to be there twice",
        );
    }
    if scheme != Scheme::File {
        notes.push("the lock of a table in a bucket needs Hudi's AWS bundle on the other side");
    }
    notes
}

/// What a job must state to write a table.
pub(super) fn write_conditions(config: &TableConfig) -> Vec<String> {
    let mut conditions = Vec::new();
    if config.zone == DeclaredZone::Local {
        let zone = "the zone of the JVMs that write to it (timeline_timezone): its timeline is in LOCAL time";
        conditions.push(zone.to_owned());
    }
    if !config.metadata_partitions().is_empty() {
        let drop =
            "that its metadata table is dropped (metadata_table: drop): Lakebed does not keep it up to date";
        conditions.push(drop.to_owned());
    }
    if config.bucket_index.is_none() && config.record_key.is_some() {
        let index = "the index that its other writers use (index): to update or delete rows, and where its file \
                     groups are buckets";
        conditions.push(index.to_owned());
    }
    conditions
}
