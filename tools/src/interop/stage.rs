//! A table with its two writers and the model.

use std::collections::BTreeSet;

use arrow::array::{BooleanArray, RecordBatch};
use lakebed::commit::CommitOptions;
use lakebed::environment::Environment;
use lakebed::sink::{MetadataTablePolicy, StatedIndex};
use lakebed::table::WriteOperation;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::TableType;
use tokio::runtime::Runtime;

use super::Failed;
use super::model::Model;
use super::ours::{Batch, Ours};
use super::shape::{Data, Shape};
use super::step::{Change, Step};
use super::theirs::{self, HEARTBEAT_INTERVAL, HEARTBEAT_MISSES};
use crate::rows;
use crate::spark::{Query, Rows, Spark, SparkTable};

/// A run of one commit takes fewer operations by far.
const RUN_OPERATIONS_MAX: usize = 300;

/// A table with its two writers and the model.
pub struct Stage<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) spark: &'a mut Spark,
    pub(super) shape: Shape,
    pub(super) ours: Ours,
    /// Whether Spark writes the columns of a wide table.
    spark_wide: bool,
    pub(super) model: Model,
    /// The savepoint's instant, and how things stood then.
    pub(super) savepoint: Option<(InstantTime, Model, u64)>,
    /// Instants of writers that died.
    pub(super) dead: Vec<InstantTime>,
}

impl<'a> Stage<'a> {
    /// A table at `uri` that is not there yet.
    pub fn new(runtime: &'a Runtime, spark: &'a mut Spark, shape: Shape, uri: String) -> Self {
        let index = shape.bucket_index().map_or(StatedIndex::Unstated, StatedIndex::Bucket);
        let ours = Ours::new(uri, &Environment::real(), index);
        let (model, savepoint, dead) = (Model::default(), None, Vec::new());
        Self { runtime, spark, shape, ours, spark_wide: false, model, savepoint, dead }
    }

    /// We create the table.
    pub fn create(&self) -> Result<(), Failed> {
        self.runtime.block_on(self.ours.create(&self.shape.new_table("t")?))
    }

    /// Takes one step.
    pub fn step(&mut self, step: &Step) -> Result<(), Failed> {
        if !(self.writes(step)? || self.serves(step)? || self.undoes(step)?) {
            self.spark_does(step)?;
        }
        if self.shape.table_type == TableType::CopyOnWrite {
            self.model.compact();
        }
        Ok(())
    }

    /// What a writer of ours does; says whether the step is one.
    fn writes(&mut self, step: &Step) -> Result<bool, Failed> {
        match step {
            Step::Ours(changes) => {
                self.commit(WriteOperation::Upsert, changes)?;
                self.takes_in(changes, self.ours_wide());
            }
            Step::Delete(changes) => {
                let (rows, deletes) = self.batch(changes, self.ours_wide())?;
                let rows = (self.shape.keys_only(&rows)?, deletes);
                self.runtime.block_on(self.ours.commit(WriteOperation::Delete, &rows))?;
                self.takes_in(changes, self.ours_wide());
            }
            Step::Insert(changes) => {
                self.commit(WriteOperation::Insert, changes)?;
                self.takes_in(changes, self.ours_wide());
            }
            Step::Overwrite(changes) => {
                self.commit(WriteOperation::InsertOverwrite, changes)?;
                self.overwritten(changes, self.ours_wide());
            }
            Step::OverwriteTable(changes) => {
                self.commit(WriteOperation::InsertOverwriteTable, changes)?;
                self.model.remove(|_| true);
                self.takes_in(changes, self.ours_wide());
            }
            Step::Reopen => self.ours.close(),
            Step::Widen => {
                self.ours.close();
                // The columns come with the first commit.
                let wide = Shape { wide: true, ..self.shape }.rows(&[])?.schema();
                self.ours.schema = Some(TableSchema::from_arrow(&wide, "t")?);
            }
            Step::SparkWidens => self.spark_wide = true,
            Step::Conflict(changes) => {
                let rows = self.batch(changes, self.ours_wide())?;
                let prepared = self.runtime.block_on(self.ours.prepare(WriteOperation::Upsert, &rows))?;
                self.runtime.block_on(self.ours.must_conflict(&prepared))?;
            }
            Step::InFlight(changes) => self.in_flight(changes)?,
            Step::Outlasts(changes) => self.outlasts(changes)?,
            Step::Dies(changes) => {
                let rows = self.batch(changes, self.ours_wide())?;
                let prepared = self.runtime.block_on(self.ours.prepare(WriteOperation::Upsert, &rows))?;
                self.dead.push(prepared.task.instant);
                self.ours.close();
            }
            Step::DiesEverywhere(changes) => self.dies_everywhere(changes)?,
            Step::Refused => self.runtime.block_on(self.ours.must_be_refused())?,
            Step::DropMetadata => {
                let policy = MetadataTablePolicy::Drop;
                self.runtime.block_on(self.ours.open(WriteOperation::Upsert, policy))?;
            }
            Step::Together(turns) => self.together(turns.clone())?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What a table service of ours does; says whether the step is one.
    fn serves(&mut self, step: &Step) -> Result<bool, Failed> {
        match step {
            Step::ScheduleOurs => self.runtime.block_on(self.ours.schedule_compaction())?,
            Step::CompactOurs => {
                self.runtime.block_on(self.ours.compact())?;
                self.model.compact();
            }
            Step::ScheduleClusterOurs => _ = self.runtime.block_on(self.ours.schedule_clustering())?,
            Step::ClusterStops => self.runtime.block_on(self.ours.cluster_some())?,
            Step::ClusterOurs => self.cluster()?,
            Step::CleanOurs(policy) => self.cleans(*policy)?,
            Step::ScheduleCleanOurs(policy) => {
                self.runtime.block_on(self.ours.schedule_clean(*policy))?;
            }
            Step::CleanDies => self.clean_dies()?,
            Step::Cleaned => self.must_be_cleaned()?,
            Step::ArchiveOurs => self.archive()?,
            Step::ArchivesOften(orders) => self.archive_often(orders.clone())?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What is taken back, by us; says whether the step is one.
    fn undoes(&mut self, step: &Step) -> Result<bool, Failed> {
        match step {
            Step::SavepointOurs => {
                let instant = self.runtime.block_on(self.ours.savepoint())?;
                self.savepoint = Some((instant, self.model.clone(), self.ours.committed));
            }
            Step::RestoreOurs => {
                let (instant, model, committed) = self.savepoint.clone().ok_or("no savepoint was made")?;
                self.runtime.block_on(self.ours.restore(instant))?;
                (self.model, self.ours.committed) = (model, committed);
            }
            Step::RestoreStops => {
                let (instant, ..) = self.savepoint.clone().ok_or("no savepoint was made")?;
                self.runtime.block_on(self.ours.begin_to_restore(instant))?;
                self.spark_does(&Step::Restore)?;
            }
            Step::TakenBack(step) => {
                self.stands_back(step)?;
                self.runtime.block_on(self.ours.roll_back())?;
            }
            Step::RollbackDies(step) => {
                self.stands_back(step)?;
                self.runtime.block_on(self.ours.begin_to_roll_back())?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Something is done that is to be taken back: the model is as before.
    fn stands_back(&mut self, step: &Step) -> Result<(), Failed> {
        let (model, committed) = (self.model.clone(), self.ours.committed);
        self.step(step)?;
        self.ours.close();
        (self.model, self.ours.committed) = (model, committed);
        Ok(())
    }

    /// The rows of the model.
    pub fn expected(&self) -> Result<[RecordBatch; 1], Failed> {
        Ok([self.shape.layered_rows(&self.model.layers())?])
    }

    /// What Spark reads, and what we read, against the model.
    pub fn compare(&mut self, expected: &[RecordBatch]) -> Result<Option<String>, Failed> {
        let theirs = [theirs::without_meta(&self.spark_table().read(&Query::Snapshot)?)?];
        let ours = self.runtime.block_on(self.ours.read())?;
        for (reader, found) in [("Spark", theirs.as_slice()), ("Lakebed", &ours)] {
            if let Some(difference) = rows::difference(expected, found)? {
                return Ok(Some(format!("{reader} reads other rows than expected: {difference}")));
            }
        }
        Ok(None)
    }

    /// Spark's commit comes between two checkpoints of ours.
    fn in_flight(&mut self, [first, theirs, second]: &[Vec<Change>; 3]) -> Result<(), Failed> {
        let (runtime, operation) = (self.runtime, WriteOperation::Upsert);
        let (first_rows, second_rows) =
            (self.batch(first, self.ours_wide())?, self.batch(second, self.ours_wide())?);
        let first_prepared = runtime.block_on(self.ours.prepare(operation, &first_rows))?;
        self.spark_upserts(theirs)?;
        let second_prepared = runtime.block_on(self.ours.prepare(operation, &second_rows))?;
        if self.shape.table_type == TableType::CopyOnWrite {
            runtime.block_on(self.ours.must_conflict(&first_prepared))?;
            runtime.block_on(self.ours.commit(operation, &first_rows))?;
            runtime.block_on(self.ours.commit(operation, &second_rows))?;
        } else {
            runtime.block_on(self.ours.must_commit(&first_prepared))?;
            runtime.block_on(self.ours.must_commit(&second_prepared))?;
        }
        self.takes_in(first, self.ours_wide());
        self.takes_in(second, self.ours_wide());
        Ok(())
    }

    /// Of two writes that were begun long ago, Spark leaves that alone whose writer lives.
    fn outlasts(&mut self, [ours, theirs]: &[Vec<Change>; 2]) -> Result<(), Failed> {
        self.ours.close();
        self.ours.commit = CommitOptions {
            heartbeat_interval: HEARTBEAT_INTERVAL,
            heartbeat_misses: HEARTBEAT_MISSES,
            ..CommitOptions::default()
        };
        let rows = self.batch(ours, self.ours_wide())?;
        let prepared = self.runtime.block_on(self.ours.prepare(WriteOperation::Upsert, &rows))?;
        self.spark_does(&Step::SparkFails(theirs.clone()))?;
        std::thread::sleep(self.ours.commit.heartbeat_expiry() + HEARTBEAT_INTERVAL);
        self.spark_does(&Step::SparkRecovers)?;
        self.spark_does(&Step::NoStrays)?;
        self.runtime.block_on(self.ours.must_commit(&prepared))?;
        self.takes_in(ours, self.ours_wide());
        Ok(())
    }

    /// First one death follows the other, so that they also meet what is done about earlier ones; then a run
    /// that lives follows each, so that they also come after the commit. Each leaves all rows or none.
    fn dies_everywhere(&mut self, changes: &[Change]) -> Result<(), Failed> {
        let rows = self.batch(changes, self.ours_wide())?;
        let before = self.expected()?;
        self.takes_in(changes, self.ours_wide());
        let after = self.expected()?;
        let mut committed = false;
        for lives_between in [false, true] {
            let mut operations = 0;
            while !self.runtime.block_on(self.ours.run_until(operations, &rows))? {
                let left = self.timeline()?;
                self.dead.extend(left.pending().map(|instant| instant.time));
                self.silence()?;
                let found = self.runtime.block_on(self.ours.read())?;
                committed |= rows::difference(&after, &found)?.is_none();
                let expected = if committed { &after } else { &before };
                if let Some(difference) = rows::difference(expected, &found)? {
                    return Err(format!("dead after operation {operations}: {difference}").into());
                }
                operations += 1;
                if operations > RUN_OPERATIONS_MAX {
                    return Err("the operations of a run grow with the number of dead ones".into());
                }
                if lives_between {
                    self.runtime.block_on(self.ours.run_until(usize::MAX, &rows))?;
                }
            }
        }
        Ok(())
    }

    fn commit(&mut self, operation: WriteOperation, changes: &[Change]) -> Result<(), Failed> {
        let rows = self.batch(changes, self.ours_wide())?;
        self.runtime.block_on(self.ours.commit(operation, &rows))
    }

    /// Spark upserts.
    pub(super) fn spark_upserts(&mut self, changes: &[Change]) -> Result<(), Failed> {
        self.spark_writes("upsert", changes, &[])?;
        self.takes_in(changes, self.spark_wide);
        Ok(())
    }

    /// Spark writes rows with one of Hudi's operations.
    pub(super) fn spark_writes(
        &mut self,
        operation: &str,
        changes: &[Change],
        more: &[(&str, &str)],
    ) -> Result<(), Failed> {
        let rows = self.batch(changes, self.spark_wide)?.0;
        Ok(self.spark_table().write(operation, Rows::Batch(&rows), more)?)
    }

    /// Spark replaces the partitions that rows go to.
    pub(super) fn spark_overwrites(&mut self, changes: &[Change]) -> Result<(), Failed> {
        self.spark_writes("insert_overwrite", changes, &[])?;
        self.overwritten(changes, self.spark_wide);
        Ok(())
    }

    pub(super) fn spark_table(&mut self) -> SparkTable<'_> {
        let options = self.shape.spark_options();
        let mut table = SparkTable::new(self.spark, "t", self.ours.uri.as_ref());
        table.options.extend(options);
        table
    }

    /// The rows of `changes`, and which of them only delete.
    pub(super) fn batch(&self, changes: &[Change], wide: bool) -> Result<Batch, Failed> {
        let (mut cells, mut deletes) = (Vec::new(), Vec::new());
        for change in changes {
            cells.extend(change.cells(wide));
            deletes.resize(cells.len(), change.delete);
        }
        let shape = Shape { wide, ..self.shape };
        let (rows, deletes) = (shape.rows(&cells)?, BooleanArray::from(deletes));
        if shape.data == Data::Flagged {
            let none = vec![false; rows.num_rows()].into();
            return Ok((shape.flag(&rows, deletes)?, none));
        }
        Ok((rows, deletes))
    }

    /// The model takes a write in.
    pub(super) fn takes_in(&mut self, changes: &[Change], wide: bool) {
        self.shape.wide |= wide;
        self.model.write(changes, wide, self.shape.ordering);
    }

    fn overwritten(&mut self, changes: &[Change], wide: bool) {
        let shape = self.shape;
        let keys = changes.iter().flat_map(|change| change.keys.clone());
        let written: BTreeSet<u32> = keys.map(|key| shape.partition_of(key)).collect();
        self.model.remove(|key| written.contains(&shape.partition_of(key)));
        self.takes_in(changes, wide);
    }

    pub(super) fn ours_wide(&self) -> bool {
        self.ours.schema.is_some()
    }
}
