//! Tables that were written to.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use lakebed::commit::{Outcome, PipelineProgress};
use lakebed::environment::Environment;
use lakebed::sink::{Sink, SinkOptions};
use lakebed::table::WriteOperation;

/// Commits a row of every one of `ids` in every one of `days`, each checkpoint of `times` with its ordering value.
pub async fn write(table: &str, days: &[&str], ids: u32, times: Range<i64>) {
    write_by(WriteOperation::Upsert, table, days, ids, times).await;
}

/// The same, with rows that are added, whatever their keys: without buckets to files of their own.
pub async fn insert(table: &str, days: &[&str], ids: u32, times: Range<i64>) {
    write_by(WriteOperation::Insert, table, days, ids, times).await;
}

async fn write_by(operation: WriteOperation, table: &str, days: &[&str], ids: u32, times: Range<i64>) {
    let environment = Environment::real();
    let storage = lakebed::storage::open(&table.parse().unwrap(), &environment).await.unwrap();
    let options = SinkOptions { operation, ..SinkOptions::default() };
    let mut sink = Sink::open(storage, &environment, "feed", Vec::new(), options).await.unwrap();
    for ts in times {
        let (mut id, mut day) = (Vec::new(), Vec::new());
        for of_day in days {
            id.extend((0..ids).map(|n| format!("k{n}")));
            day.extend((0..ids).map(|_| (*of_day).to_owned()));
        }
        let ts = Arc::new(Int64Array::from(vec![ts; id.len()])) as ArrayRef;
        let (id, day): (ArrayRef, ArrayRef) =
            (Arc::new(StringArray::from(id)), Arc::new(StringArray::from(day)));
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("id", id, false),
            ("day", day, true),
            ("ts", ts, true),
        ]);
        assert!(sink.write(&rows.unwrap(), None).await.unwrap().is_empty());
        let checkpoint = sink.progress().unwrap_or_default().checkpoint + 1;
        let progress = PipelineProgress { checkpoint, ..PipelineProgress::default() };
        let prepared = sink.prepare(progress).await.unwrap().unwrap();
        let outcome = sink.committer().commit(&prepared).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    }
}
