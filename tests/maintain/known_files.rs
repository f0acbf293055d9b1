//! Files of a table that are known from before.

use std::time::Duration;

use lakebed::environment::Environment;
use lakebed::maintain::MaintainOptions;
use lakebed::maintain::fleet::{
    CleanSettings, CompactionSettings, FleetTable, KnownTables, Look, Looked, Service, Services,
};
use lakebed::settings::TimeSpan;
use lakebed::storage::fault::FaultStorage;
use lakebed::storage::{Operation, TablePath};
use lakebed::table::TableFiles;

use super::place::*;
use crate::recovery::clock::QuickClock;
use crate::recovery::model::Change;
use crate::test_table::services;

/// The partitions that are listed while `known` is brought up to date.
async fn listed(place: &Place, known: TableFiles) -> (TableFiles, Vec<String>) {
    let storage = FaultStorage::new(place.disk.clone());
    let snapshot = place.process(std::sync::Arc::new(storage.clone()), 9).table().await.snapshot(None).await;
    let known = known.advance(&snapshot.unwrap()).await.unwrap();
    let of_data = |path: &TablePath| !path.as_str().starts_with(".hoodie");
    let listings = storage.operations().into_iter().filter(|o| o.operation == Operation::List);
    let mut partitions: Vec<String> =
        listings.filter(|o| of_data(&o.path)).map(|o| o.path.to_string()).collect();
    partitions.sort();
    (known, partitions)
}

#[tokio::test]
async fn only_partitions_are_listed_in_which_something_came_or_went() {
    let (place, _) = Place::written().await;
    let (known, all) = listed(&place, TableFiles::default()).await;
    assert_eq!(all, ["", "p=x", "p=y"]);
    let (known, none) = listed(&place, known).await;
    assert_eq!(none, [""; 0], "nothing has changed");

    let mut sink = place.sink("before").await;
    commit(&mut sink, &[Change::put("a", "y", 7, "later")]).await;
    let (known, written) = listed(&place, known).await;
    assert_eq!(written, ["p=y"]);
    commit(&mut sink, &[Change::put("a", "z", 7, "in a new partition")]).await;
    let (known, new) = listed(&place, known).await;
    assert_eq!(new, ["p=z"]);
    assert_eq!(
        known.partitions().iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["p=x", "p=y", "p=z"]
    );

    services::compact(&place.table().await).await;
    let (known, compacted) = listed(&place, known).await;
    assert_eq!(compacted, ["p=x", "p=y"], "there was nothing to compact in z");
    services::clean_to_latest(&place.table().await).await;
    let (known, cleaned) = listed(&place, known).await;
    assert_eq!(cleaned, ["p=x", "p=y"], "there was nothing to clean in z");

    let snapshot = place.table().await.snapshot(None).await.unwrap();
    assert_eq!(known, TableFiles::list(&snapshot).await.unwrap());
}

/// What is due in a table after so many minutes; `None` if it was not listed.
async fn due_after(
    minutes: u64,
    table: &FleetTable,
    known: &KnownTables,
    before: &Environment,
) -> Option<Vec<Service>> {
    let environment = QuickClock::later(before, Duration::from_secs(minutes * 60), 1);
    let options = MaintainOptions::default();
    let look = Look { environment: &environment, known, options: &options, pace: None };
    match look.at(table).await.unwrap() {
        Looked::Unchanged => None,
        Looked::Due(due) => Some(due.iter().map(|due| due.service).collect()),
    }
}

#[tokio::test]
async fn a_table_at_which_nothing_is_due_is_looked_at_again_when_something_is_by_age() {
    let (files, _) = Place::template().await;
    let folder = tempfile::tempdir().unwrap();
    let place = Place::on_disk(folder.path(), &files).await;
    let services = Services {
        compaction: CompactionSettings {
            min_log_files: Some(1_000),
            min_log_ratio: Some(1e9),
            min_log_age: Some(TimeSpan(Duration::from_secs(13 * 60))),
            ..CompactionSettings::default()
        },
        clean: CleanSettings { enabled: Some(false), ..CleanSettings::default() },
        ..Services::default()
    };
    let table = FleetTable::new(place.disk.uri().clone(), services);
    let known = KnownTables::new(Some(folder.path().join("known")));
    let environment = &place.environment;
    assert_eq!(due_after(0, &table, &known, environment).await, Some(vec![]));
    assert_eq!(due_after(11, &table, &known, environment).await, None, "nothing has changed");
    assert_eq!(due_after(14, &table, &known, environment).await, Some(vec![Service::Compaction]));
}
