//! What a table should be like when all who wrote to it have ended.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use lakebed::environment::Environment;
use lakebed::read::{Scan, ScanOptions};
use lakebed::sink::Sink;
use lakebed::storage::{Storage, TablePath};
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::history::HistoryColumns;
use lakebed_hudi::timeline_file::Action;
use lakebed_hudi::timeline_metadata::{CleanMetadata, CommitMetadata};

use super::clock::QuickClock;
use super::engine::options;
use super::model::Model;

/// The problems of a table that should have the rows of `model` and no trace of what was stopped.
pub async fn problems(storage: &Arc<dyn Storage>, environment: &Environment, model: &Model) -> Vec<String> {
    let table = Table::open(storage.clone(), environment, None).await.unwrap();
    let mut problems = strays(&table).await;
    if problems.iter().any(|problem| is_trace(problem)) {
        // They stay as long as their writer may live.
        problems.retain(|problem| !is_trace(problem));
        let later = QuickClock::an_hour_after(environment, 99);
        let options = options(WriteOperation::Insert);
        Sink::open(storage.clone(), &later, "later", Vec::new(), options).await.unwrap();
        problems.extend(strays(&table).await.into_iter().filter(|problem| is_trace(problem)));
    }
    match rows(&table).await {
        Ok(found) => problems.extend(model.differences(&found)),
        Err(error) => problems.push(error),
    }
    problems
}

/// Whether a problem is a marker or a heartbeat.
fn is_trace(problem: &str) -> bool {
    [".temp", ".heartbeat"]
        .iter()
        .any(|folder| problem.starts_with(&format!("left behind: .hoodie/{folder}/")))
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
    let (mut written, cleaned) = written_and_cleaned(table).await;
    for path in cleaned {
        if !written.remove(&path) {
            strays.push(format!("cleaned, but never written: {path}"));
        }
    }
    for file in table.storage.list_all(&TablePath::root()).await.unwrap() {
        let path = file.path.as_str();
        let hidden =
            [".hoodie/.temp/", ".hoodie/.heartbeat/", ".hoodie/.aux/lakebed-services/", ".hoodie/.lakebed-"];
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

/// What completed instants did, and what they say of it, archived ones included.
pub async fn history(table: &Table) -> Vec<(Action, Bytes)> {
    let mut history: Vec<(Action, Bytes)> = Vec::new();
    let first = "00000000000000000".parse().unwrap();
    for entry in table.timeline.archived(first, HistoryColumns::All).await.unwrap() {
        history.push((entry.action, entry.metadata.unwrap()));
    }
    for instant in table.timeline.load().await.unwrap().completed() {
        history.push((instant.action, table.timeline.read(&instant.file()).await.unwrap()));
    }
    history
}

/// The files that completed commits have written and that cleans have deleted.
async fn written_and_cleaned(table: &Table) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut written, mut cleaned) = (BTreeSet::new(), BTreeSet::new());
    for (action, bytes) in history(table).await {
        if action.writes_data() {
            let metadata = CommitMetadata::from_bytes(&bytes).unwrap();
            written.extend(metadata.write_stats().filter_map(|(_, stat)| stat.path.clone()));
        } else if action == Action::Clean {
            for (partition, of_partition) in CleanMetadata::from_avro(&bytes).unwrap().partition_metadata {
                let names = of_partition.success_delete_files.into_iter();
                cleaned.extend(names.map(|name| format!("{partition}/{name}")));
            }
        }
    }
    (written, cleaned)
}

/// What is wrong with dead letters: each of `bad` is the value of one line, in a file that is named by
/// a commit of `table`, and nothing else is there but the name of the table.
pub async fn letter_problems(
    table: &Table,
    letters: &Arc<dyn Storage>,
    bad: impl IntoIterator<Item = String>,
) -> Vec<String> {
    let timeline = table.timeline.load().await.unwrap();
    let published: BTreeSet<String> =
        timeline.completed_writes().map(|instant| format!("{}.jsonl", instant.time)).collect();
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for file in letters.list_all(&TablePath::root()).await.unwrap() {
        if file.path.as_str() == "_table" {
            continue;
        }
        if !published.contains(file.path.as_str()) {
            problems.push(format!("left behind: dead letters {}", file.path));
            continue;
        }
        let lines = letters.get(&file.path, u64::MAX).await.unwrap().bytes;
        let lines = serde_json::Deserializer::from_slice(&lines).into_iter::<serde_json::Value>();
        found.extend(lines.map(|line| line.unwrap()["value"].as_str().unwrap().to_owned()));
    }
    let mut bad: Vec<String> = bad.into_iter().collect();
    bad.sort();
    found.sort();
    if found != bad {
        problems.push(format!("expected the dead letters {bad:?}, found {found:?}"));
    }
    problems
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
