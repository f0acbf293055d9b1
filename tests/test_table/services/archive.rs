use lakebed::storage::TablePath;
use lakebed::table::Table;
use lakebed::timeline::Instant;
use lakebed_hudi::history::{
    HistoryEntry, HistoryFile, HistoryFileName, HistoryManifest, VERSION_FILE, manifest_name, parse_version,
    write_entries,
};
use lakebed_hudi::timeline_file::{Action, TimelineFile};

/// Archives all completed instants but the newest `kept`, and never the newest write, whatever is pending and
/// whoever may still bring files, as Hudi does it with `hoodie.archive.beyond.savepoint`. Lakebed's own archival
/// would not.
pub async fn archive(table: &Table, kept: usize) {
    let timeline = table.timeline.load().await.unwrap();
    let has_savepoint = |i: &&Instant| timeline.get(i.time, Action::Savepoint).is_some();
    let completed: Vec<_> = timeline.completed().filter(|i| !has_savepoint(i)).copied().collect();
    let newest = timeline.completed_writes().next_back().map(|instant| instant.time);
    let before = completed.iter().take_while(|i| newest.is_none_or(|newest| i.time < newest)).count();
    let old = &completed[..completed.len().saturating_sub(kept).min(before)];
    let (Some(first), Some(last)) = (old.first(), old.last()) else { return };
    let mut entries = Vec::new();
    for instant in old {
        let requested = TimelineFile::requested(instant.time, instant.requested_as);
        let plan = match instant.requested_as {
            Action::Clean | Action::Compaction => Some(table.timeline.read(&requested).await.unwrap()),
            _ => None,
        };
        entries.push(HistoryEntry {
            instant: instant.time,
            completion: instant.completion().unwrap(),
            action: instant.action,
            metadata: Some(table.timeline.read(&instant.file()).await.unwrap()),
            plan,
            version: HistoryEntry::VERSION,
        });
    }
    let bytes = write_entries(&entries).unwrap();
    let file = HistoryFile {
        file_name: HistoryFileName { min: first.time, max: last.time, level: 0 },
        file_len: bytes.len() as u64,
    };
    table.storage.put(&in_history(&file.file_name.to_string()), bytes.into()).await.unwrap();
    let (version, mut manifest) = history(table).await;
    manifest.files.push(file);
    table.storage.put(&in_history(&manifest_name(version + 1)), manifest.to_json().into()).await.unwrap();
    table.storage.put(&in_history(VERSION_FILE), (version + 1).to_string().into()).await.unwrap();
    for instant in old {
        let (requested, inflight) = (
            TimelineFile::requested(instant.time, instant.requested_as),
            TimelineFile::inflight(instant.time, instant.requested_as),
        );
        for file in [requested, inflight, instant.file()] {
            assert!(table.storage.delete(&table.timeline.path(&file)).await.unwrap());
        }
    }
}

/// The number of the snapshot of the archived timeline, 0 before the first, and what it consists of.
async fn history(table: &Table) -> (u32, HistoryManifest) {
    let Ok(version) = table.storage.get(&in_history(VERSION_FILE), 100).await else {
        return (0, HistoryManifest::default());
    };
    let version = parse_version(&version.bytes).unwrap();
    let manifest = table.storage.get(&in_history(&manifest_name(version)), u64::MAX).await.unwrap();
    (version, HistoryManifest::from_json(&manifest.bytes).unwrap())
}

fn in_history(name: &str) -> TablePath {
    format!(".hoodie/timeline/history/{name}").parse().unwrap()
}
