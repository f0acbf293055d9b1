//! What Spark sees of a table's past before and after we archive it.

use std::collections::BTreeSet;
use std::ops::Range;

use arrow::array::RecordBatch;
use lakebed::table::WriteOperation;
use lakebed::timeline::Instant;

use super::Failed;
use super::stage::Stage;
use super::step::rows as rows_of;
use super::theirs::without_meta;
use crate::rows;
use crate::spark::Query;

/// What Spark tells of an instant: when it was begun, what it did, and its state.
type Told = BTreeSet<Vec<String>>;

impl Stage<'_> {
    /// We archive; of the past Spark then reads what it read before, and it knows of the same instants.
    pub(super) fn archive(&mut self) -> Result<(), Failed> {
        let commits: Vec<Instant> = self.timeline()?.completed_writes().copied().collect();
        let looked_at = commits.iter().step_by(commits.len().div_ceil(3).max(1));
        let queries: Vec<Query> = looked_at.flat_map(past).collect();
        let (told, seen) = (self.told_by_spark()?, self.see(&queries));
        let report = self.runtime.block_on(self.ours.archive())?;
        if report.instants == 0 {
            return Err(format!("nothing was archived: {report:?}").into());
        }
        for (query, (before, after)) in queries.iter().zip(seen.into_iter().zip(self.see(&queries))) {
            // What Spark refuses to read, since it was cleaned, it may refuse still.
            let Ok(before) = before else { continue };
            let after =
                after.map_err(|error| format!("after {report:?} Spark fails on {query:?}: {error}"))?;
            if let Some(difference) = rows::difference(&[before], &[after])? {
                return Err(format!("after {report:?} Spark reads {query:?} otherwise: {difference}").into());
            }
        }
        match self.told_by_spark()? {
            tells if tells == told => Ok(()),
            tells => Err(format!("Spark knew of {told:?}, and knows of {tells:?}").into()),
        }
    }

    /// We archive after each commit; Spark knows of all that it knew of before, and of these.
    pub(super) fn archive_often(&mut self, orders: Range<u32>) -> Result<(), Failed> {
        let (mut told, commits) = (self.told_by_spark()?, orders.len());
        let (mut merged, wide) = (0, self.ours_wide());
        for order in orders {
            let change = [rows_of(order % 6..order % 6 + 1, order, order)];
            let batch = self.batch(&change, wide)?;
            self.runtime.block_on(self.ours.commit(WriteOperation::Upsert, &batch))?;
            self.takes_in(&change, wide);
            merged += self.runtime.block_on(self.ours.archive())?.merged;
        }
        if merged == 0 {
            return Err("no files of the archive were merged".into());
        }
        let mut tells = self.told_by_spark()?;
        let before = told.len();
        told.retain(|instant| !tells.remove(instant));
        match told.is_empty() && tells.len() == commits {
            true => Ok(()),
            false => {
                Err(format!("of {before} instants Spark does not know {told:?}, but of {tells:?}").into())
            }
        }
    }

    fn see(&mut self, queries: &[Query]) -> Vec<Result<RecordBatch, Failed>> {
        let read = |query: &Query| without_meta(&self.spark_table().read(query)?);
        queries.iter().map(read).collect()
    }

    /// All instants that Spark knows of, archived ones included.
    fn told_by_spark(&mut self) -> Result<Told, Failed> {
        let all = "call show_timeline(path => '{path}', showArchived => true, limit => 100000)";
        let answer = self.spark_table().sql(all)?;
        let told = |row: &Vec<serde_json::Value>| row.iter().take(3).map(ToString::to_string).collect();
        Ok(answer.rows.iter().map(told).collect())
    }
}

/// Queries of the past at a commit.
fn past(commit: &Instant) -> [Query; 2] {
    let after = commit.completion().unwrap_or(commit.time).to_string();
    [Query::AsOf(commit.time.to_string()), Query::Incremental { after }]
}
