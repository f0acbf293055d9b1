//! What a table should be like when all who wrote to it have ended.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt as _;
use lakebed::environment::Environment;
use lakebed::read::{Scan, ScanOptions};
use lakebed::storage::{Storage, TablePath};
use lakebed::table::Table;

use super::model::Model;

/// The problems of a table that should have the rows of `model` and no trace of what was stopped.
pub async fn problems(storage: &Arc<dyn Storage>, environment: &Environment, model: &Model) -> Vec<String> {
    let table = Table::open(storage.clone(), environment, None).await.unwrap();
    let mut problems = strays(&table).await;
    match rows(&table).await {
        Ok(found) => problems.extend(model.differences(&found)),
        Err(error) => problems.push(error),
    }
    problems
}

pub async fn rows(table: &Table) -> Result<Model, String> {
    let snapshot = table.snapshot(None).await.map_err(|error| error.to_string())?;
    let scan = Scan::plan(&snapshot, ScanOptions::default()).await.map_err(|error| error.to_string())?;
    Model::of_rows(&scan.stream().try_collect::<Vec<_>>().await.map_err(|error| error.to_string())?)
}

/// Pending instants, and files that belong to no completed one.
pub async fn strays(table: &Table) -> Vec<String> {
    let timeline = table.timeline.load().await.unwrap();
    let mut strays: Vec<String> =
        timeline.pending().map(|i| format!("pending: {} {}", i.time, i.action.as_str())).collect();
    let mut written = BTreeSet::new();
    for instant in timeline.completed_writes() {
        let metadata = table.timeline.commit_metadata(instant).await.unwrap();
        written.extend(metadata.write_stats().filter_map(|(_, stat)| stat.path.clone()));
    }
    for file in table.storage.list_all(&TablePath::root()).await.unwrap() {
        let path = file.path.as_str();
        let hidden = [".hoodie/.temp/", ".hoodie/.heartbeat/", ".hoodie/.lakebed-"];
        let is_left = hidden.iter().any(|folder| path.starts_with(folder)) || path == ".hoodie/lock";
        let is_data = !path.starts_with(".hoodie/") && file.path.file_name() != ".hoodie_partition_metadata";
        if path.starts_with(".hoodie/timeline/2") && path.contains('_') && file.size == 0 {
            strays.push(format!("completed and empty: {path}"));
        }
        if is_left || is_data && !written.remove(path) {
            strays.push(format!("left behind: {path}"));
        }
    }
    strays.extend(written.into_iter().map(|path| format!("missing: {path}")));
    strays
}

/// The temporary files below a folder of this machine, which listings leave out.
pub fn temporary_files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.display().to_string().contains("/.lakebed-tmp-") {
                found.push(format!("left behind: {}", path.display()));
            }
        }
    }
    found
}
