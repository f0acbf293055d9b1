//! Compactions of tables that Spark wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use arrow::array::{AsArray as _, RecordBatch};
use futures::TryStreamExt as _;
use lakebed::environment::Environment;
use lakebed::maintain::{MaintainError, MaintainOptions, Maintainer};
use lakebed::read::{Scan, ScanOptions};
use lakebed::storage;
use lakebed::table::{FileSlice, TableSnapshot};
use lakebed_hudi::base_file::BaseFileFooter;
use lakebed_hudi::instant::TimelineZone;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{CommitMetadata, CompactionPlan, RuntimeStats, WriteStat};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::fixtures::{Fixture, catalogue, rows, unpack};
use crate::test_table::services;

const FILE_NAME: &str = "_hoodie_file_name";

/// Tables that are read and not maintained, and a word of why.
const REFUSED: [(&str, &str); 2] =
    [("cdc_mor", "hoodie.table.cdc.enabled"), ("metadata_table", "a metadata table")];

/// Merge-on-read tables of the layout that we write.
fn tables() -> impl Iterator<Item = Fixture> {
    let is_of_layout = |f: &Fixture| f.table_type == "MERGE_ON_READ" && f.version != "6";
    // Spark does not read HFile blocks either.
    let is_read = |f: &Fixture| f.refused.is_none() && f.name != "log_hfile";
    catalogue().into_iter().filter(is_of_layout).filter(is_read)
}

async fn open(folder: &Path) -> Result<Maintainer, MaintainError> {
    let environment = Environment::real();
    let storage = storage::open(&folder.display().to_string().parse().unwrap(), &environment).await?;
    let options = MaintainOptions {
        memory_bytes: 128 << 20,
        timeline_zone: Some(TimelineZone::Utc),
        ..MaintainOptions::default()
    };
    Maintainer::open(storage, &environment, options).await
}

/// All rows with meta columns, and the names of the files that they are in.
async fn read(snapshot: &TableSnapshot) -> (Vec<RecordBatch>, BTreeSet<String>) {
    let scan = Scan::plan(snapshot, ScanOptions { with_meta: true, ..ScanOptions::default() }).await.unwrap();
    let empty = RecordBatch::new_empty(scan.schema());
    let mut batches: Vec<RecordBatch> = scan.stream().try_collect().await.unwrap();
    batches.push(empty);
    (batches.iter().map(without_file_name).collect(), batches.iter().flat_map(file_names).collect())
}

fn without_file_name(batch: &RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let kept = (0..batch.num_columns()).filter(|column| schema.field(*column).name() != FILE_NAME);
    batch.project(&kept.collect::<Vec<_>>()).unwrap()
}

fn file_names(batch: &RecordBatch) -> BTreeSet<String> {
    let names = batch.column_by_name(FILE_NAME).unwrap().as_string::<i32>();
    names.iter().flatten().map(str::to_owned).collect()
}

/// What is wrong with a table after everything in it was compacted.
async fn compacted(maintainer: &Maintainer) -> Option<String> {
    let table = maintainer.table();
    let (before, _) = read(&table.snapshot(None).await.unwrap()).await;
    for instant in services::planned(table).await {
        services::run(maintainer, instant).await.unwrap();
    }
    if let Some(instant) = services::schedule(maintainer).await.unwrap() {
        services::run(maintainer, instant).await.unwrap();
    }
    let survey = maintainer.survey().await.unwrap();
    let (after, names) = read(&survey.snapshot).await;
    if let Some(difference) = rows::difference(&before, &after).unwrap() {
        return Some(difference.to_string());
    }
    // Groups that a clustering is to rewrite stay as they are.
    let done = survey.groups.iter().filter(|group| !survey.busy.contains_key(&group.id));
    let slices: Vec<&FileSlice> = done.filter_map(|group| group.latest()).collect();
    if let Some(slice) = slices.iter().find(|slice| !slice.logs.is_empty()) {
        return Some(format!("log files are left: {slice:?}"));
    }
    let bases: BTreeSet<String> =
        slices.iter().map(|slice| slice.base.as_ref().unwrap().name.to_string()).collect();
    if survey.busy.is_empty() && !names.is_subset(&bases) {
        return Some(format!("rows say that they are in {names:?}, of {bases:?}"));
    }
    let again = services::schedule(maintainer).await.unwrap();
    again.map(|instant| format!("{instant} was planned once more"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_has_the_same_rows_after_a_compaction() {
    let (mut wrong, mut refused) = (Vec::new(), Vec::new());
    for fixture in tables() {
        let folder = unpack(&fixture.name);
        match open(folder.path()).await {
            Ok(maintainer) => {
                wrong.extend(compacted(&maintainer).await.map(|what| format!("{}: {what}", fixture.name)));
            }
            Err(error) => refused.push((fixture.name, error.to_string())),
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(refused.len(), REFUSED.len(), "{refused:?}");
    for ((name, error), (expected, word)) in refused.iter().zip(REFUSED) {
        assert!(name == expected && error.contains(word), "{name}: {error}");
    }
}

/// A base file's rows but for the column of its name, and what its footer says of keys.
fn base_file(path: &Path) -> (Vec<RecordBatch>, BaseFileFooter) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let said = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let said = said.iter().filter_map(|said| Some((said.key.as_str(), said.value.as_deref()?)));
    let footer = BaseFileFooter::from_key_values(said).unwrap();
    let mut rows = vec![RecordBatch::new_empty(reader.schema().clone())];
    rows.extend(reader.build().unwrap().map(Result::unwrap));
    for keys in rows.iter().map(|rows| rows.column_by_name("_hoodie_record_key").unwrap().as_string::<i32>())
    {
        let filter = footer.bloom_filter.as_ref().unwrap();
        assert!(keys.iter().flatten().all(|key| filter.might_contain(key)), "{}", path.display());
    }
    (rows.iter().map(without_file_name).collect(), footer)
}

/// What two engines need not agree on: names of attempts, how well they pack, how long they take.
fn said_alike(metadata: CommitMetadata) -> CommitMetadata {
    let alike = |stat: WriteStat| WriteStat {
        path: None,
        total_write_bytes: 0,
        file_size_in_bytes: 0,
        total_log_read_time_ms: 0,
        runtime_stats: Some(RuntimeStats::default()),
        ..stat
    };
    let stats = metadata.partition_to_write_stats.into_iter();
    let stats = stats.map(|(partition, stats)| (partition, stats.into_iter().map(alike).collect()));
    CommitMetadata { partition_to_write_stats: stats.collect(), ..metadata }
}

/// Carries out once more what Spark has planned and carried out, and compares what both made of it.
async fn done_again(folder: &Path, maintainer: &Maintainer, file: TimelineFile) {
    let table = maintainer.table();
    let (storage, path) = (&table.storage, table.timeline.path(&file));
    let bytes = storage.get(&path, u64::MAX).await.unwrap().bytes;
    let theirs = CommitMetadata::from_bytes(&bytes).unwrap();
    let of_theirs: Vec<_> = paths(&theirs).iter().map(|path| base_file(&folder.join(path))).collect();
    assert!(storage.delete(&path).await.unwrap());
    for path in paths(&theirs) {
        assert!(storage.delete(&path.parse().unwrap()).await.unwrap());
    }
    services::run(maintainer, file.instant).await.unwrap();

    let timeline = table.timeline.load().await.unwrap();
    let done = timeline.get(file.instant, Action::Compaction).unwrap();
    let ours = table.timeline.commit_metadata(done).await.unwrap();
    for ((path, theirs), ours) in paths(&ours).iter().zip(&of_theirs).zip(paths(&ours)) {
        let (rows, footer) = base_file(&folder.join(&ours));
        let difference = rows::difference(&theirs.0, &rows).unwrap();
        assert!(difference.is_none(), "{path}: {}", difference.unwrap());
        let keys = |footer: &BaseFileFooter| (footer.min_record_key.clone(), footer.max_record_key.clone());
        assert_eq!(keys(&footer), keys(&theirs.1), "{path}");
    }
    assert_eq!(said_alike(ours), said_alike(theirs), "{}", folder.display());
}

fn paths(metadata: &CommitMetadata) -> Vec<String> {
    metadata.write_stats().map(|(_, stat)| stat.path.clone().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn spark_makes_the_same_of_its_plans() {
    let mut compared = 0;
    for fixture in tables() {
        let folder = unpack(&fixture.name);
        let Ok(maintainer) = open(folder.path()).await else { continue };
        let timeline = maintainer.table().timeline.load().await.unwrap();
        let done = timeline.completed().filter(|instant| instant.requested_as == Action::Compaction);
        // What it merged there is cleaned away.
        for instant in done.filter(|_| !fixture.name.starts_with("cleaned")) {
            done_again(folder.path(), &maintainer, instant.file()).await;
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared}");
}

/// What a plan says of each group; Spark orders them by its strategy.
fn by_group(plan: CompactionPlan) -> BTreeMap<String, lakebed_hudi::timeline_metadata::CompactionOperation> {
    plan.operations.into_iter().map(|operation| (operation.file_id.to_string(), operation)).collect()
}

#[tokio::test]
async fn spark_plans_the_same() {
    let folder = unpack("compaction_pending");
    let maintainer = open(folder.path()).await.unwrap();
    let table = maintainer.table();
    let [planned] = services::planned(table).await.try_into().unwrap();
    let theirs = TimelineFile::requested(planned, Action::Compaction);
    let read = async |file: &TimelineFile| {
        CompactionPlan::from_avro(&table.timeline.read(file).await.unwrap()).unwrap()
    };
    let plan = read(&theirs).await;
    // The table as it was then.
    for file in table.storage.list(&".hoodie/timeline".parse().unwrap()).await.unwrap().files {
        if file.path.file_name() >= planned.as_str() {
            table.storage.delete(&file.path).await.unwrap();
        }
    }
    let ours = services::schedule(&maintainer).await.unwrap().unwrap();
    let ours = read(&TimelineFile::requested(ours, Action::Compaction)).await;
    assert_eq!((ours.version, &ours.extra_metadata), (plan.version, &plan.extra_metadata));
    assert_eq!(ours.missing_schedule_partitions, plan.missing_schedule_partitions);
    assert!(plan.operations.len() > 1);
    assert_eq!(by_group(ours), by_group(plan));
}
