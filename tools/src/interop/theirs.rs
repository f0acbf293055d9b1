//! What Spark does to a scenario's table.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use arrow::array::RecordBatch;
use lakebed::commit::Progress;
use lakebed::storage::TablePath;
use lakebed::timeline::Timeline;
use lakebed_hudi::file_name::DataFileName;

use super::Failed;
use super::shape::Cell;
use super::stage::Stage;
use super::step::Step;
use crate::spark::Rows;

/// For longer than any writer may be silent.
const SILENCE: Duration = Duration::from_secs(3600);
/// So often a writer beats, and so often it may miss to, where Spark looks for dead ones. Hudi allows no less.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
pub(super) const HEARTBEAT_MISSES: u32 = 4;

impl Stage<'_> {
    /// A step of Spark's.
    pub(super) fn spark_does(&mut self, step: &Step) -> Result<(), Failed> {
        match step {
            Step::SparkCreates(changes) | Step::Spark(changes) => self.spark_upserts(changes)?,
            Step::SparkInsert(changes) => {
                self.spark_writes("insert", changes, &[])?;
                self.takes_in(changes, false);
            }
            Step::SparkOverwrite(changes) => self.spark_overwrites(changes)?,
            Step::SparkDelete(keys) => {
                let cell = |key| Cell { key, order: 0, salt: 0, wide: false };
                let batch = self.shape.rows(&keys.clone().map(cell).collect::<Vec<_>>())?;
                self.spark_table().write("delete", Rows::Batch(&batch), &[])?;
                self.model.delete(keys.clone());
            }
            Step::SparkDeletePartition(key) => {
                let batch = self.shape.rows(&[Cell { key: *key, order: 0, salt: 0, wide: false }])?;
                let partition = self.shape.partition_path(*key);
                let more = [("hoodie.datasource.write.partitions.to.delete", partition.as_str())];
                self.spark_table().write("delete_partition", Rows::Batch(&batch), &more)?;
                let (shape, partition) = (self.shape, self.shape.partition_of(*key));
                self.model.remove(|key| shape.partition_of(key) == partition);
            }
            Step::SparkIndexes(changes) => {
                self.spark_writes("upsert", changes, &[("hoodie.metadata.enable", "true")])?;
                self.takes_in(changes, false);
            }
            Step::SparkFails(changes) => {
                let batch = self.batch(changes, false)?.0;
                self.spark_table().write_and_fail(Rows::Batch(&batch), &[])?;
                let timeline = self.timeline()?;
                let failed = timeline.pending().next_back().ok_or("the failed write left nothing")?;
                self.dead.push(failed.time);
            }
            Step::Schedule => self.spark_table().schedule_compaction()?,
            Step::Compact => {
                let pending = self.timeline()?.pending().any(|instant| instant.is_pending_service());
                let mut table = self.spark_table();
                if !pending {
                    table.schedule_compaction()?;
                }
                table.run_compaction()?;
                self.model.compact();
            }
            Step::ScheduleCluster => self.spark_schedules_clustering()?,
            Step::Cluster => self.spark_clusters()?,
            Step::Silence => self.silence()?,
            Step::NoStrays => self.no_strays()?,
            Step::ArchivedPastDead => {
                let first = self.timeline()?.first_write();
                if first <= self.dead.iter().max().copied() {
                    return Err(format!("the active timeline begins at {first:?}").into());
                }
            }
            Step::ArchivedProgress => self.archived_progress()?,
            service => self.serve(service)?,
        }
        Ok(())
    }

    /// No commit of the active timeline has progress.
    fn archived_progress(&self) -> Result<(), Failed> {
        let table = self.runtime.block_on(self.ours.table())?;
        for instant in self.timeline()?.completed_writes() {
            let metadata = self.runtime.block_on(table.timeline.commit_metadata(instant))?;
            if Progress::of(&metadata)?.is_some() {
                return Err(format!("commit {} of the active timeline has progress", instant.time).into());
            }
        }
        Ok(())
    }

    /// Table services that Spark finds the table for by name.
    fn serve(&mut self, step: &Step) -> Result<(), Failed> {
        let newest = self.timeline()?.completed_writes().next_back().map(|instant| instant.time);
        let mut table = self.spark_table();
        table.sql("drop table if exists {table}")?;
        table.register()?;
        match step {
            Step::Clean => table.some_rows(
                "call run_clean(table => '{table}', retain_commits => 1, clean_policy => 'KEEP_LATEST_COMMITS')",
            )?,
            // Where several write, cleaning begins with rolling back what dead writers left.
            Step::SparkRecovers => {
                table.sql(&format!(
                    "call run_clean(table => '{{table}}', options => 'hoodie.clean.failed.writes.policy=LAZY,\
                     hoodie.client.heartbeat.interval_in_ms={},\
                     hoodie.client.heartbeat.tolerable.misses={HEARTBEAT_MISSES}')",
                    HEARTBEAT_INTERVAL.as_millis()
                ))?;
            }
            Step::Savepoint => {
                let instant = newest.ok_or("there is no commit")?;
                table.some_rows(&format!(
                    "call create_savepoint(table => '{{table}}', commit_time => '{instant}', user => 'u', comments => 'c')"
                ))?;
                self.savepoint = Some((instant, self.model.clone(), self.ours.committed));
            }
            Step::Restore => {
                let (instant, model, committed) = self.savepoint.clone().ok_or("no savepoint was made")?;
                self.spark_table().some_rows(&format!(
                    "call rollback_to_savepoint(table => '{{table}}', instant_time => '{instant}')"
                ))?;
                (self.model, self.ours.committed) = (model, committed);
            }
            _ => {
                table.some_rows(
                    "call archive_commits(table => '{table}', min_commits => 2, max_commits => 3, retain_commits => 1, \
                     enable_metadata => false)",
                )?;
            }
        }
        Ok(())
    }

    /// The last signs of life of dead writers become old ones.
    pub(super) fn silence(&self) -> Result<(), Failed> {
        let heartbeats = self.dead.iter().map(|instant| format!(".heartbeat/{instant}"));
        for sign in heartbeats.chain(["lock".to_owned()]) {
            let sign = Path::new(&self.ours.uri).join(".hoodie").join(sign);
            if sign.exists() {
                let file = File::options().write(true).open(&sign)?;
                file.set_modified(file.metadata()?.modified()? - SILENCE)?;
            }
        }
        Ok(())
    }

    /// No file, marker or pending instant of a dead writer is there.
    fn no_strays(&self) -> Result<(), Failed> {
        let table = self.runtime.block_on(self.ours.table())?;
        let files = self.runtime.block_on(table.storage.list_all(&TablePath::root()))?;
        let of_dead = |path: &TablePath| {
            let written = DataFileName::parse(path.file_name()).map(|name| name.instant());
            let marks = |folder: &str| path.segments().any(|segment| segment == folder);
            written.is_some_and(|instant| self.dead.contains(&instant))
                || self.dead.iter().any(|instant| marks(".temp") && marks(instant.as_str()))
        };
        if let Some(stray) = files.iter().map(|entry| &entry.path).find(|path| of_dead(path)) {
            return Err(format!("{stray} is still there").into());
        }
        let timeline = self.timeline()?;
        match timeline.pending().find(|instant| self.dead.contains(&instant.time)) {
            Some(pending) => Err(format!("instant {} is still pending", pending.time).into()),
            None => Ok(()),
        }
    }

    pub(super) fn timeline(&self) -> Result<Timeline, Failed> {
        let load = async { Ok::<_, Failed>(self.ours.table().await?.timeline.load().await?) };
        self.runtime.block_on(load)
    }
}

/// The rows without Hudi's own columns.
pub(super) fn without_meta(batch: &RecordBatch) -> Result<RecordBatch, Failed> {
    let schema = batch.schema();
    let is_meta = |index: &usize| lakebed_hudi::schema::is_meta_column(schema.field(*index).name());
    let columns: Vec<usize> = (0..schema.fields().len()).filter(|index| !is_meta(index)).collect();
    Ok(batch.project(&columns)?)
}
