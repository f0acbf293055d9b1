//! Archives that real Spark and Hudi began, gone on with.

use bytes::Bytes;
use lakebed::sink::{Sink, SinkOptions, StatedIndex};
use lakebed::storage;
use lakebed::table::WriteOperation;
use lakebed_hudi::history::{HistoryEntry, HistoryManifest, VERSION_FILE, manifest_name, parse_version};

use super::*;
use crate::fixtures::unpack;
use crate::maintain::clock::StepClock;

/// After all that was done to the tables, on 2027-01-01.
const LATER_UNIX_MILLIS: i64 = 1_798_761_600_000;

struct Place {
    _folder: tempfile::TempDir,
    storage: Arc<dyn Storage>,
    environment: Environment,
}

impl Place {
    async fn new(fixture: &str) -> Self {
        let folder = unpack(fixture);
        let environment = StepClock::environment(LATER_UNIX_MILLIS).0;
        let uri = folder.path().display().to_string().parse().unwrap();
        let storage = storage::open(&uri, &environment).await.unwrap();
        Self { _folder: folder, storage, environment }
    }

    async fn table(&self) -> Table {
        Table::open(self.storage.clone(), &self.environment, None).await.unwrap()
    }

    async fn texts(&self) -> Vec<String> {
        texts_of(&self.table().await.snapshot(None).await.unwrap()).await
    }

    async fn in_history(&self, name: &str) -> Bytes {
        let path = format!(".hoodie/timeline/history/{name}").parse().unwrap();
        self.storage.get(&path, 1 << 30).await.unwrap().bytes
    }

    /// The files of the archive, in order, with their bytes.
    async fn files(&self) -> Vec<(String, Bytes)> {
        let version = parse_version(&self.in_history(VERSION_FILE).await).unwrap();
        let manifest = HistoryManifest::from_json(&self.in_history(&manifest_name(version)).await).unwrap();
        let mut files = Vec::new();
        for file in manifest.files {
            let bytes = self.in_history(&file.file_name.to_string()).await;
            assert_eq!(bytes.len() as u64, file.file_len);
            files.push((file.file_name.to_string(), bytes));
        }
        files
    }

    async fn entries(&self) -> Vec<HistoryEntry> {
        let first = "00000000000000000".parse().unwrap();
        let timeline = self.table().await.timeline;
        let mut entries = timeline.archived(first, HistoryColumns::All).await.unwrap();
        entries.sort_by_key(|entry| entry.instant);
        entries
    }

    async fn insert(&self, numbers: std::ops::RangeInclusive<u64>) {
        let options = SinkOptions {
            operation: WriteOperation::Insert,
            index: StatedIndex::None,
            ..SinkOptions::default()
        };
        let sink = Sink::open(self.storage.clone(), &self.environment, "p1", Vec::new(), options).await;
        let mut sink = sink.unwrap();
        for number in numbers {
            let id = format!("new{number}");
            sink.write(&rows(&[(&id, "n", number as i64, None)]), None).await.unwrap();
            let outcome = checkpoint(&mut sink, number).await;
            assert!(is_committed(&outcome), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn what_spark_archived_stays_and_what_comes_is_added() {
    for (fixture, of_spark) in [("archived_cow", 6), ("archived_mor", 10)] {
        let place = Place::new(fixture).await;
        let (rows, files, entries) = (place.texts().await, place.files().await, place.entries().await);
        assert_eq!(entries.len(), of_spark, "{fixture}");
        place.insert(1..=8).await;
        let active: Vec<_> =
            places(&place.table().await).await.into_iter().filter(|(_, at)| at[0] > 0).collect();
        let report = archive(&place.storage, &place.environment, 1).await.unwrap();
        assert!(report.commits >= 3, "{fixture}: {report:?}");

        // The files of Spark's are as they were, with one of ours behind them.
        let now = place.files().await;
        assert_eq!((now.len(), &now[..files.len()]), (files.len() + 1, &files[..]), "{fixture}");
        let archived = place.entries().await;
        assert_eq!(archived[..of_spark], entries, "{fixture}");
        let ours: Vec<_> = archived[of_spark..].iter().map(|entry| (entry.instant, entry.action)).collect();
        let want: Vec<_> = active.iter().take(report.instants).map(|(instant, _)| *instant).collect();
        assert_eq!(ours, want, "{fixture}: Spark's and our own commits in the order in which they began");

        let found = place.texts().await;
        let (new, old): (Vec<_>, Vec<_>) = found.into_iter().partition(|row| row.starts_with("new"));
        assert_eq!((old, new.len()), (rows, 8), "{fixture}");
    }
}
