//! What is in a table.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::column::Column;
use crate::cli::human;
use crate::error::Error;
use crate::table::{Table, TableError, TableSnapshot};
use crate::timeline::Timeline;

/// What is in a table.
#[derive(Debug, Serialize)]
pub(super) struct Content {
    pub(super) columns: Vec<Column>,
    timeline: TimelineSummary,
    files: FileSummary,
}

#[derive(Debug, Serialize)]
struct TimelineSummary {
    /// Completed instants by action.
    completed: BTreeMap<String, u64>,
    last_commit: Option<String>,
    last_completed: Option<String>,
    pending: Vec<Pending>,
}

#[derive(Debug, Serialize)]
struct Pending {
    instant: String,
    action: String,
    age_ms: Option<u64>,
}

/// Counts of the files that readers see.
#[derive(Debug, Default, Serialize)]
struct FileSummary {
    partitions: u64,
    file_groups: u64,
    base_files: u64,
    log_files: u64,
    base_bytes: u64,
    log_bytes: u64,
}

/// Counts what readers of the newest rows see.
pub(super) async fn look_into(snapshot: &TableSnapshot) -> Result<Content, Error> {
    let columns = match snapshot.schema().await {
        Ok(schema) => Column::all(&schema),
        Err(TableError::NoSchema { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut files = FileSummary::default();
    for (_, groups) in snapshot.all_file_groups().await? {
        files.partitions += 1;
        files.file_groups += groups.len() as u64;
        for slice in groups.iter().filter_map(|group| group.latest()) {
            files.base_files += u64::from(slice.base.is_some());
            files.base_bytes += slice.base.as_ref().map_or(0, |base| base.size_bytes);
            files.log_files += slice.logs.len() as u64;
            files.log_bytes += slice.log_bytes();
        }
    }
    Ok(Content { columns, timeline: summary(&snapshot.table, &snapshot.timeline), files })
}

fn summary(table: &Table, timeline: &Timeline) -> TimelineSummary {
    let mut completed = BTreeMap::new();
    for instant in timeline.completed() {
        *completed.entry(instant.requested_as.to_string()).or_insert(0) += 1;
    }
    let last = timeline.completed_writes().next_back();
    let now = table.environment.clock.unix_millis();
    let pending = timeline.pending().map(|instant| Pending {
        instant: instant.time.to_string(),
        action: instant.requested_as.to_string(),
        age_ms: instant.time.to_unix_millis(table.zone).and_then(|time| u64::try_from(now - time).ok()),
    });
    TimelineSummary {
        completed,
        last_commit: last.map(|instant| instant.time.to_string()),
        last_completed: last.and_then(|i| i.completion()).map(|time| time.to_string()),
        pending: pending.collect(),
    }
}

impl Content {
    /// What it is, a line each.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let Self { timeline, files, .. } = self;
        let completed: Vec<String> =
            timeline.completed.iter().map(|(action, n)| human::counted(*n, action)).collect();
        let last = match (&timeline.last_commit, &timeline.last_completed) {
            (Some(commit), Some(completed)) => {
                let moment = completed.parse().map_or_else(|_| completed.clone(), human::moment);
                format!("{commit}, completed {moment}")
            }
            _ => "none yet".to_owned(),
        };
        let pending = timeline.pending.iter().map(|pending| {
            let age = pending.age_ms.map_or_else(String::new, |age| format!(" for {}", human::duration(age)));
            format!("{} {}{age}", pending.action, pending.instant)
        });
        let pending: Vec<String> = pending.collect();
        let counts = [
            human::counted(files.partitions, "partition"),
            human::counted(files.file_groups, "file group"),
            format!("{} ({})", human::counted(files.base_files, "base file"), human::bytes(files.base_bytes)),
            format!("{} ({})", human::counted(files.log_files, "log file"), human::bytes(files.log_bytes)),
        ];
        vec![
            ("timeline", if completed.is_empty() { "empty".to_owned() } else { completed.join(", ") }),
            ("last write", last),
            ("pending", if pending.is_empty() { "none".to_owned() } else { pending.join("\n") }),
            ("files", counts.join(", ")),
        ]
    }
}
