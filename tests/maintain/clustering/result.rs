//! What a clustering makes of tables that we wrote.

use arrow::array::{Array as _, AsArray as _, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use futures::TryStreamExt as _;
use lakebed::maintain::clean::{CleanPolicy, CleanRules};
use lakebed::maintain::clustering::ClusteringRules;
use lakebed::maintain::{MaintainOptions, Maintainer, RunOutcome};
use lakebed::read::{Scan, ScanOptions};
use lakebed::sink::SinkOptions;
use lakebed::table::WriteOperation;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::NewTable;

use super::*;
use crate::fixtures::rows as of_rows;
use crate::recovery::audit;
use crate::test_table::{TestTable, append_table, checkpoint, is_committed, rows, texts_of};

/// All rows and meta columns but for the name of the file, and the names.
async fn with_meta(table: &TestTable) -> (Vec<RecordBatch>, Vec<String>) {
    let options = ScanOptions { with_meta: true, ..ScanOptions::default() };
    let scan = Scan::plan(&table.snapshot().await, options).await.unwrap();
    let mut batches = vec![RecordBatch::new_empty(scan.schema())];
    batches.extend(scan.stream().try_collect::<Vec<_>>().await.unwrap());
    let mut names = Vec::new();
    for batch in &mut batches {
        let removed = batch.remove_column(batch.schema().index_of("_hoodie_file_name").unwrap());
        names.extend(removed.as_string::<i32>().iter().map(|name| name.unwrap().to_owned()));
    }
    names.dedup();
    (batches, names)
}

async fn maintainer(table: &TestTable) -> Maintainer {
    let options = MaintainOptions { memory_bytes: MEMORY_OF_ONE, ..MaintainOptions::default() };
    Maintainer::open(table.storage.clone(), &table.environment, options).await.unwrap()
}

/// A table with so many commits of `rows_each` rows to two partitions.
async fn written(new: &NewTable, commits: u64, rows_each: i64) -> TestTable {
    let table = TestTable::create(new).await;
    let options = SinkOptions { operation: WriteOperation::Insert, ..SinkOptions::default() };
    let mut sink = table.sink("p", options).await;
    for number in 1..=commits {
        let ids: Vec<(String, i64)> = (0..rows_each)
            .map(|row| (format!("k{number}-{row}"), (row * 7_919 + number as i64 * 31) % 10_007))
            .collect();
        let batch: Vec<_> = ids
            .iter()
            .map(|(id, ts)| (id.as_str(), ["x", "y"][(ts % 2) as usize], *ts, (ts % 3 > 0).then_some("some")))
            .collect();
        sink.write(&rows(&batch), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }
    table
}

fn tables() -> [NewTable; 3] {
    [keyed_table(), append_table(), NewTable { partition_fields: Vec::new(), ..append_table() }]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_comes_of_many_with_the_same_rows_and_meta_columns() {
    for new in tables() {
        let table = written(&new, 5, 20).await;
        let partitions = table.live_files().await.len();
        let (before, files) = with_meta(&table).await;
        assert_eq!(files.len(), 5 * partitions);
        let maintainer = maintainer(&table).await;
        let instant = planned(&maintainer).await;
        let report = services::clustered(&maintainer, instant).await.unwrap();
        assert_eq!((report.groups, report.finished, report.resumed), (5 * partitions, 5 * partitions, 0));
        assert_eq!((report.files, report.rows, report.left_out.len()), (partitions, 100, 0));
        let (after, files) = with_meta(&table).await;
        let difference = of_rows::difference(&before, &after).unwrap();
        assert!(difference.is_none(), "{}", difference.unwrap());
        assert_eq!(files.len(), partitions);
        assert!(files.iter().all(|name| name.contains(instant.as_str())), "{files:?}");
        assert_eq!(audit::strays(&table.snapshot().await.table).await, [""; 0]);
        assert_eq!(services::schedule_clustering(&maintainer, &everything()).await.unwrap(), None);
    }
}

/// Whatever the memory: some of it is sorted on the local disk.
#[tokio::test(flavor = "multi_thread")]
async fn rows_come_in_order_over_several_files() {
    let table = written(&append_table(), 3, 40_000).await;
    let (before, _) = with_meta(&table).await;
    let maintainer = maintainer(&table).await;
    let bytes: u64 = maintainer
        .survey()
        .await
        .unwrap()
        .groups
        .iter()
        .filter(|group| group.id.partition == "p=x")
        .map(|group| group.latest().unwrap().total_bytes())
        .sum();
    let rules = ClusteringRules { sort_columns: vec!["v".into(), "ts".into()], ..everything() };
    let rules = ClusteringRules { small_file_bytes: bytes, target_file_bytes: bytes / 5 * 3, ..rules };
    let instant = services::schedule_clustering(&maintainer, &rules).await.unwrap().unwrap();
    let report = services::clustered(&maintainer, instant).await.unwrap();
    assert_eq!((report.groups, report.rows), (6, 120_000));
    assert!(report.files > 2, "{report:?}");
    let (after, _) = with_meta(&table).await;
    let difference = of_rows::difference(&before, &after).unwrap();
    assert!(difference.is_none(), "{}", difference.unwrap());

    let snapshot = table.snapshot().await;
    for (_, groups) in snapshot.all_file_groups().await.unwrap() {
        // Files are named in the order in which they were made.
        let mut files: Vec<_> =
            groups.iter().map(|group| group.latest().unwrap().base.clone().unwrap()).collect();
        files.sort_by(|a, b| a.name.write_token.cmp(&b.name.write_token));
        let mut sorted: Vec<(Option<String>, i64)> = Vec::new();
        for file in files {
            let bytes = table.storage.get(&file.path, u64::MAX).await.unwrap().bytes;
            let reader =
                parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            for batch in reader.build().unwrap().map(Result::unwrap) {
                let ts = batch.column_by_name("ts").unwrap().as_primitive::<Int64Type>().clone();
                let v: StringArray = batch.column_by_name("v").unwrap().as_string::<i32>().clone();
                let text = |row| v.is_valid(row).then(|| v.value(row).to_owned());
                sorted.extend((0..batch.num_rows()).map(|row| (text(row), ts.value(row))));
            }
        }
        assert!(sorted.is_sorted());
    }
}

#[tokio::test]
async fn what_was_replaced_goes_with_a_clean_and_stays_gone_after_archival() {
    let table = written(&keyed_table(), 3, 10).await;
    let (maintainer, before) = (maintainer(&table).await, table.texts().await);
    let replaced: Vec<String> = table.files_named(".parquet");
    let newest = table.snapshot().await.timeline.completed_writes().next_back().unwrap().time;
    services::cluster(&maintainer, &everything()).await.unwrap();
    let past = table.snapshot().await.table.snapshot(Some(newest)).await.unwrap();
    assert_eq!(texts_of(&past).await, before, "time travel");

    let rules =
        CleanRules { policy: CleanPolicy::KeepLatestCommits(1), reader_window: std::time::Duration::ZERO };
    let options = SinkOptions { operation: WriteOperation::Insert, ..SinkOptions::default() };
    let mut sink = table.sink("p", options).await;
    sink.write(&rows(&[("new", "x", 1, None)]), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 4).await));
    let instant = services::schedule_clean(&maintainer, rules).await.unwrap();
    let cleaned = maintainer.clean(instant.unwrap(), &services::no_limits(), &|_| {}).await.unwrap();
    assert!(matches!(cleaned.outcome, RunOutcome::Committed { .. }));
    let left = table.files_named(".parquet");
    assert!(replaced.iter().all(|file| !left.contains(file)), "{left:?} of {replaced:?}");
    table.archive(1).await;
    let mut expected = before;
    expected.push("new x 1 -".to_owned());
    assert_eq!(table.texts().await, expected);
}

/// Rows with one more column.
fn wider(id: &str, ts: i64, more: &str) -> RecordBatch {
    let narrow = rows(&[(id, "x", ts, None)]);
    let mut fields: Vec<_> = narrow.schema().fields().iter().cloned().collect();
    fields.push(Field::new("more", DataType::Utf8, true).into());
    let mut columns = narrow.columns().to_vec();
    columns.push(std::sync::Arc::new(StringArray::from(vec![more])));
    RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns).unwrap()
}

#[tokio::test]
async fn files_from_before_a_column_was_added_get_it() {
    let table = written(&keyed_table(), 2, 4).await;
    let schema = TableSchema::from_arrow(&wider("", 0, "").schema(), "t").unwrap();
    let options =
        SinkOptions { operation: WriteOperation::Insert, schema: Some(schema), ..SinkOptions::default() };
    let mut sink = table.sink("p", options).await;
    sink.write(&wider("w", 3, "m3"), None).await.unwrap();
    assert!(is_committed(&checkpoint(&mut sink, 3).await));
    let (before, _) = with_meta(&table).await;
    services::cluster(&maintainer(&table).await, &everything()).await.unwrap();
    let (after, _) = with_meta(&table).await;
    assert!(of_rows::difference(&before, &after).unwrap().is_none());
    assert_eq!(after.iter().map(RecordBatch::num_rows).sum::<usize>(), 9);
    let said = table.commits().await.pop().unwrap();
    assert!(said.schema().unwrap().contains("more"));
}
