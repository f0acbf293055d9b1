//! Running one scenario.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use futures::TryStreamExt as _;
use lakebed::commit::{Outcome as CommitOutcome, PipelineProgress};
use lakebed::environment::Environment;
use lakebed::read::{Scan, ScanOptions};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::storage::{self, Storage};
use lakebed::table::{Table, WriteOperation};
use lakebed_hudi::table_config::TableType;
use tokio::runtime::Runtime;

use super::model::Model;
use super::scenarios::Scenario;
use super::script::{Change, Step};
use super::shape::{Cell, Ordering, Shape};
use super::{Failure, Outcome};
use crate::rows;
use crate::spark::{Query, Rows, Spark, SparkError, SparkTable};

type Failed = Box<dyn std::error::Error>;

/// Runs `scenario` in a folder of its own, up to the first step after which somebody sees other
/// rows than the model.
///
/// # Errors
/// Spark is gone.
pub fn scenario(runtime: &Runtime, spark: &mut Spark, scenario: &Scenario) -> Result<Outcome, SparkError> {
    let environment = Environment::real();
    let started = environment.clock.monotonic();
    let lake = tempfile::Builder::new().prefix("lakebed-interop-").tempdir()?;
    let folder = lake.path().join("t");
    let failure = play(runtime, spark, scenario, &folder, &environment);
    if let Some(Failure { detail, .. }) = &failure
        && let Err(error @ SparkError::Ended { .. }) = spark.sql("select 1")
    {
        return Err(SparkError::Failed { message: format!("{detail}\n{error}") });
    }
    let seconds = (environment.clock.monotonic() - started).as_secs_f64();
    Ok(Outcome { scenario: scenario.name.clone(), steps: scenario.steps.len(), seconds, failure })
}

fn play(
    runtime: &Runtime,
    spark: &mut Spark,
    scenario: &Scenario,
    folder: &Path,
    environment: &Environment,
) -> Option<Failure> {
    let at = |step: &str, error: Failed| Failure { step: step.to_owned(), detail: error.to_string() };
    let mut stage = match runtime.block_on(Stage::set(scenario, folder, environment)) {
        Ok(stage) => stage,
        Err(error) => return Some(at("creating the table", error)),
    };
    for (number, step) in scenario.steps.iter().enumerate() {
        let name = format!("step {}, {step}", number + 1);
        if let Err(error) = stage.step(runtime, spark, step) {
            return Some(at(&name, error));
        }
        match stage.compare(runtime, spark) {
            Ok(None) => {}
            Ok(Some(detail)) => return Some(Failure { step: name, detail }),
            Err(error) => return Some(at(&format!("reading after {name}"), error)),
        }
    }
    None
}

/// A table with its two writers and the model.
struct Stage {
    shape: Shape,
    folder: PathBuf,
    environment: Environment,
    /// Our writer, from the first thing that it does.
    sink: Option<(WriteOperation, Sink)>,
    checkpoint: u64,
    model: Model,
}

impl Stage {
    async fn set(scenario: &Scenario, folder: &Path, environment: &Environment) -> Result<Self, Failed> {
        if !scenario.theirs {
            let storage = open_storage(folder, environment).await?;
            Table::create(storage, environment, &scenario.shape.new_table("t")?).await?;
        }
        Ok(Self {
            shape: scenario.shape,
            folder: folder.to_owned(),
            environment: environment.clone(),
            sink: None,
            checkpoint: 0,
            model: Model::default(),
        })
    }

    fn step(&mut self, runtime: &Runtime, spark: &mut Spark, step: &Step) -> Result<(), Failed> {
        let ordered = self.shape.ordering != Ordering::CommitTime;
        match step {
            Step::Ours(changes) => {
                runtime.block_on(self.commit(WriteOperation::Upsert, changes))?;
                self.model.write(changes, ordered);
            }
            Step::Insert(changes) => {
                runtime.block_on(self.commit(WriteOperation::Insert, changes))?;
                self.model.write(changes, ordered);
            }
            Step::Overwrite(changes) => {
                runtime.block_on(self.commit(WriteOperation::InsertOverwrite, changes))?;
                let shape = self.shape;
                let keys = changes.iter().flat_map(|change| change.keys.clone());
                let written: BTreeSet<u32> = keys.map(|key| shape.partition_of(key)).collect();
                self.model.overwrite(changes, |key| written.contains(&shape.partition_of(key)));
            }
            Step::OverwriteTable(changes) => {
                runtime.block_on(self.commit(WriteOperation::InsertOverwriteTable, changes))?;
                self.model.overwrite(changes, |_| true);
            }
            Step::Reopen => self.sink = None,
            Step::Spark(changes) => {
                let batch = self.batch(changes)?.0;
                self.spark_table(spark).write("upsert", Rows::Batch(&batch), &[])?;
                self.model.write(changes, ordered);
            }
            Step::SparkDelete(keys) => {
                let cells = keys.clone().map(|key| Cell { key, order: 0, salt: 0 }).collect::<Vec<_>>();
                let batch = self.shape.rows(&cells)?;
                self.spark_table(spark).write("delete", Rows::Batch(&batch), &[])?;
                self.model.delete(keys.clone());
            }
            Step::SparkFails(changes) => {
                let batch = self.batch(changes)?.0;
                self.spark_table(spark).write_and_fail(Rows::Batch(&batch), &[])?;
            }
            Step::Schedule => self.spark_table(spark).schedule_compaction()?,
            Step::Compact => {
                let mut table = self.spark_table(spark);
                if !table.has_pending_compaction()? {
                    table.schedule_compaction()?;
                }
                table.run_compaction()?;
                self.model.compact();
            }
            Step::Clean | Step::Savepoint | Step::Archive => self.serve(spark, step)?,
        }
        if self.shape.table_type == TableType::CopyOnWrite {
            self.model.compact();
        }
        Ok(())
    }

    /// Table services that Spark finds the table for by name.
    fn serve(&self, spark: &mut Spark, step: &Step) -> Result<(), Failed> {
        let mut table = self.spark_table(spark);
        table.sql("drop table if exists {table}")?;
        table.register()?;
        match step {
            Step::Clean => table.some_rows(
                "call run_clean(table => '{table}', retain_commits => 1, clean_policy => 'KEEP_LATEST_COMMITS')",
            )?,
            Step::Savepoint => {
                let instant = table.last_instant()?;
                table.some_rows(&format!(
                    "call create_savepoint(table => '{{table}}', commit_time => '{instant}', user => 'u', comments => 'c')"
                ))?;
            }
            _ => table.some_rows(
                "call archive_commits(table => '{table}', min_commits => 2, max_commits => 3, retain_commits => 1, \
                 enable_metadata => false)",
            )?,
        }
        Ok(())
    }

    fn spark_table<'a>(&self, spark: &'a mut Spark) -> SparkTable<'a> {
        let mut table = SparkTable::new(spark, "t", &self.folder);
        table.options.extend(self.shape.spark_options());
        table
    }

    /// The rows of `changes`, and which of them only delete.
    fn batch(&self, changes: &[Change]) -> Result<(RecordBatch, BooleanArray), Failed> {
        let (mut cells, mut deletes) = (Vec::new(), Vec::new());
        for Change { keys, order, salt, delete } in changes {
            cells.extend(keys.clone().map(|key| Cell { key, order: *order, salt: *salt }));
            deletes.resize(cells.len(), *delete);
        }
        Ok((self.shape.rows(&cells)?, deletes.into()))
    }

    async fn commit(&mut self, operation: WriteOperation, changes: &[Change]) -> Result<(), Failed> {
        let (batch, deletes) = self.batch(changes)?;
        let sink = match &mut self.sink {
            Some((opened_for, sink)) if *opened_for == operation => sink,
            other => {
                let storage = open_storage(&self.folder, &self.environment).await?;
                // Spark does not record the index in the tables that it makes.
                let bucket_index = self.shape.bucket_index();
                let options = SinkOptions { operation, bucket_index, ..SinkOptions::default() };
                let sink = Sink::open(storage, &self.environment, "interop", Vec::new(), options).await?;
                &mut other.insert((operation, sink)).1
            }
        };
        let refused = sink.write(&batch, Some(&deletes)).await?;
        if let Some(refused) = refused.first() {
            return Err(refused.to_string().into());
        }
        self.checkpoint += 1;
        let progress = PipelineProgress { checkpoint: self.checkpoint, ..PipelineProgress::default() };
        let Some(prepared) = sink.prepare(progress).await? else { return Err("nothing to commit".into()) };
        match sink.committer().commit(&prepared).await? {
            CommitOutcome::Committed { .. } => Ok(()),
            other => Err(format!("not committed: {other:?}").into()),
        }
    }

    /// What Spark reads, and what we read, against the model.
    fn compare(&self, runtime: &Runtime, spark: &mut Spark) -> Result<Option<String>, Failed> {
        let expected = [self.shape.rows(&self.model.cells())?];
        let theirs = [without_meta(&self.spark_table(spark).read(&Query::Snapshot)?)?];
        let ours = runtime.block_on(self.read())?;
        for (reader, found) in [("Spark", theirs.as_slice()), ("Lakebed", &ours)] {
            if let Some(difference) = rows::difference(&expected, found)? {
                return Ok(Some(format!("{reader} reads other rows than expected: {difference}")));
            }
        }
        Ok(None)
    }

    /// What we read.
    async fn read(&self) -> Result<Vec<RecordBatch>, Failed> {
        let storage = open_storage(&self.folder, &self.environment).await?;
        let table = Table::open(storage, &self.environment, None).await?;
        let scan = Scan::plan(&table.snapshot(None).await?, ScanOptions::default()).await?;
        Ok(scan.stream().try_collect().await?)
    }
}

async fn open_storage(folder: &Path, environment: &Environment) -> Result<Arc<dyn Storage>, Failed> {
    Ok(storage::open(&folder.display().to_string().parse()?, environment).await?)
}

fn without_meta(batch: &RecordBatch) -> Result<RecordBatch, Failed> {
    let schema = batch.schema();
    let columns: Vec<usize> = schema
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| !lakebed_hudi::schema::is_meta_column(field.name()))
        .map(|(index, _)| index)
        .collect();
    Ok(batch.project(&columns)?)
}
