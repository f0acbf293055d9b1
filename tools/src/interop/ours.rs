//! Our writer and reader of a scenario's table.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{BooleanArray, RecordBatch};
use bytes::Bytes;
use futures::TryStreamExt as _;
use lakebed::commit::{CommitOptions, Outcome, PipelineProgress, Scheduled};
use lakebed::environment::Environment;
use lakebed::maintain::archive::{ArchiveReport, ArchiveRules};
use lakebed::maintain::clean::{self, CleanPolicy, CleanReport, CleanRules};
use lakebed::maintain::compaction::{CompactionRules, plan};
use lakebed::maintain::restore::RestoreEvent;
use lakebed::maintain::{MaintainOptions, Maintainer, RunLimits, RunOutcome};
use lakebed::read::{Scan, ScanOptions};
use lakebed::sink::{MetadataTablePolicy, Prepared, Sink, SinkError, SinkOptions, StatedIndex};
use lakebed::storage::fault::{Fault, FaultKind, FaultStorage};
use lakebed::storage::{self, Storage};
use lakebed::table::{Table, WriteOperation};
use lakebed::timeline::Instant;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::NewTable;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use tokio::sync::watch;

use super::Failed;

const PIPELINE: &str = "interop";
/// How often in a row a commit may lose the lock.
const LOST_LOCKS_MAX: u32 = 5;

/// Rows, and which of them only delete.
pub type Batch = (RecordBatch, BooleanArray);

/// Our writer and reader of one table. The writer is opened by the first thing that it does.
#[derive(Debug)]
pub struct Ours {
    /// Where the table is.
    pub uri: String,
    /// The index of a table that does not record it, as Spark's do not.
    pub index: StatedIndex,
    /// Columns that the writer adds.
    pub schema: Option<TableSchema>,
    /// How it commits.
    pub commit: CommitOptions,
    /// The last committed checkpoint.
    pub committed: u64,
    pub(super) environment: Environment,
    prepared: u64,
    sink: Option<(WriteOperation, Sink)>,
}

impl Ours {
    /// Nothing is opened yet.
    pub fn new(uri: String, environment: &Environment, index: StatedIndex) -> Self {
        let environment = environment.clone();
        let commit = CommitOptions::default();
        Self { uri, index, schema: None, commit, committed: 0, environment, prepared: 0, sink: None }
    }

    /// Creates the table.
    pub async fn create(&self, new: &NewTable) -> Result<(), Failed> {
        Table::create(self.storage().await?, &self.environment, new).await?;
        Ok(())
    }

    /// The table as it is.
    pub async fn table(&self) -> Result<Table, Failed> {
        Ok(Table::open(self.storage().await?, &self.environment, None).await?)
    }

    /// Its rows.
    pub async fn read(&self) -> Result<Vec<RecordBatch>, Failed> {
        let scan = Scan::plan(&self.table().await?.snapshot(None).await?, ScanOptions::default()).await?;
        Ok(scan.stream().try_collect().await?)
    }

    /// Ends the writer, whatever it is at, as if its process died.
    pub fn close(&mut self) {
        self.sink = None;
        self.prepared = self.committed;
    }

    /// Opens a writer; it must go on from the last committed checkpoint.
    pub async fn open(
        &mut self,
        operation: WriteOperation,
        metadata_table: MetadataTablePolicy,
    ) -> Result<(), Failed> {
        self.close();
        let options = SinkOptions { metadata_table, ..self.options(operation) };
        let sink =
            Sink::open(self.storage().await?, &self.environment, PIPELINE, Vec::new(), options).await?;
        check_progress(&sink, self.committed)?;
        self.sink = Some((operation, sink));
        Ok(())
    }

    /// Writes the next checkpoint, which then is durable and not visible.
    pub async fn prepare(&mut self, operation: WriteOperation, rows: &Batch) -> Result<Prepared, Failed> {
        if self.sink.as_ref().is_none_or(|(opened_for, _)| *opened_for != operation) {
            self.open(operation, MetadataTablePolicy::Refuse).await?;
        }
        self.prepared += 1;
        let checkpoint = self.prepared;
        prepare_on(self.opened()?, checkpoint, rows).await
    }

    /// Opens a writer, writes the next checkpoint and commits it, if the process does not die after so many
    /// operations more than one. Says whether it was committed and the process lived.
    pub async fn run_until(&mut self, operations: usize, rows: &Batch) -> Result<bool, Failed> {
        self.close();
        let fault = Fault { at: operations, kind: FaultKind::DieAfter };
        let storage = FaultStorage::with_fault(self.storage().await?, fault);
        match storage.outlive(self.run_on(Arc::new(storage.clone()), rows)).await {
            Some(Ok(committed)) => self.committed = committed,
            Some(Err(error)) if !storage.has_died() => return Err(error),
            _ => {}
        }
        Ok(!storage.has_died())
    }

    /// Says which checkpoint was committed.
    async fn run_on(&self, storage: Arc<dyn Storage>, rows: &Batch) -> Result<u64, Failed> {
        let options = self.options(WriteOperation::Upsert);
        let mut sink = Sink::open(storage, &self.environment, PIPELINE, Vec::new(), options).await?;
        let checkpoint = sink.progress().map_or(0, |progress| progress.checkpoint) + 1;
        let prepared = prepare_on(&mut sink, checkpoint, rows).await?;
        match sink.committer().commit(&prepared).await? {
            Outcome::Committed { .. } => Ok(checkpoint),
            other => Err(format!("not committed: {other:?}").into()),
        }
    }

    /// Commits a checkpoint, or hears why not. On a local disk Hudi's lock provider now and then takes a lock that is held.
    async fn publish(&mut self, prepared: &Prepared) -> Result<Outcome, Failed> {
        for _ in 0..LOST_LOCKS_MAX {
            match self.opened()?.committer().commit(prepared).await? {
                Outcome::Retryable { .. } => {}
                outcome => {
                    if let Outcome::Committed { .. } = outcome {
                        self.committed = prepared.progress.checkpoint;
                    }
                    return Ok(outcome);
                }
            }
        }
        Err(format!("the table lock was lost {LOST_LOCKS_MAX} times").into())
    }

    /// Writes a checkpoint and commits it.
    pub async fn commit(&mut self, operation: WriteOperation, rows: &Batch) -> Result<(), Failed> {
        let prepared = self.prepare(operation, rows).await?;
        self.must_commit(&prepared).await
    }

    /// Commits a checkpoint with which nothing may stand in conflict.
    pub async fn must_commit(&mut self, prepared: &Prepared) -> Result<(), Failed> {
        match self.publish(prepared).await? {
            Outcome::Committed { .. } => Ok(()),
            other => Err(format!("not committed: {other:?}").into()),
        }
    }

    /// Commits a checkpoint that must be found in conflict, and takes back what was written.
    pub async fn must_conflict(&mut self, prepared: &Prepared) -> Result<(), Failed> {
        match self.commit_or_rewind(prepared).await? {
            Some(_) => Ok(()),
            None => Err("no conflict was found".into()),
        }
    }

    /// Commits a checkpoint. If it is found in conflict, takes back what was written, and says with what.
    pub async fn commit_or_rewind(&mut self, prepared: &Prepared) -> Result<Option<String>, Failed> {
        let reason = match self.publish(prepared).await? {
            Outcome::Committed { .. } => return Ok(None),
            Outcome::Conflicted { reason } => reason,
            other => return Err(format!("not committed: {other:?}").into()),
        };
        let rewound = self.opened()?.rewind().await;
        self.prepared = self.committed;
        match rewound {
            // It is another table now, and has to be opened anew.
            Err(SinkError::Changed { .. }) => self.close(),
            rewound => {
                rewound?;
                let committed = self.committed;
                check_progress(self.opened()?, committed)?;
            }
        }
        Ok(Some(reason))
    }

    /// Puts a compaction of everything on the timeline.
    pub async fn schedule_compaction(&self) -> Result<(), Failed> {
        let maintainer = self.maintainer().await?;
        let survey = maintainer.survey().await?;
        let draft = plan(&survey, &CompactionRules::everything());
        match maintainer.schedule_compaction(&survey, &draft).await? {
            Scheduled::At(_) => Ok(()),
            other => Err(format!("nothing was scheduled: {other:?}").into()),
        }
    }

    /// Runs the pending compactions, of everything if there is none.
    pub async fn compact(&self) -> Result<(), Failed> {
        let maintainer = self.maintainer().await?;
        let pending = async || {
            let timeline = maintainer.table().timeline.load().await?;
            let pending = timeline.pending().filter(|i| i.requested_as == Action::Compaction);
            Ok::<Vec<_>, Failed>(pending.map(|i| i.time).collect())
        };
        let mut instants = pending().await?;
        if instants.is_empty() {
            self.schedule_compaction().await?;
            instants = pending().await?;
        }
        for instant in instants {
            let limits = RunLimits { stop: watch::channel(false).1, deadline: None };
            let report = maintainer.compact(instant, &limits, &|_| {}).await?;
            if !matches!(report.outcome, RunOutcome::Committed { .. }) {
                return Err(format!("not compacted: {report:?}").into());
            }
        }
        Ok(())
    }

    /// Puts a clean on the timeline.
    pub async fn schedule_clean(&self, policy: CleanPolicy) -> Result<InstantTime, Failed> {
        let maintainer = self.maintainer().await?;
        let rules = CleanRules { policy, reader_window: Duration::ZERO };
        let survey = maintainer.survey_for_clean(rules).await?;
        match maintainer.schedule_clean(&survey, &clean::plan(&survey)).await? {
            Scheduled::At(instant) => Ok(instant),
            other => Err(format!("no clean was scheduled: {other:?}").into()),
        }
    }

    /// Runs the pending cleans, one by `policy` if there is none.
    pub async fn clean(&self, policy: CleanPolicy) -> Result<Vec<CleanReport>, Failed> {
        let maintainer = self.maintainer().await?;
        let timeline = maintainer.table().timeline.load().await?;
        let pending = timeline.pending().filter(|i| i.action == Action::Clean);
        let mut instants: Vec<InstantTime> = pending.map(|i| i.time).collect();
        if instants.is_empty() {
            instants.push(self.schedule_clean(policy).await?);
        }
        let mut reports = Vec::new();
        for instant in instants {
            let limits = RunLimits { stop: watch::channel(false).1, deadline: None };
            let report = maintainer.clean(instant, &limits, &|_| {}).await?;
            if !matches!(report.outcome, RunOutcome::Committed { .. }) || !report.needed.is_empty() {
                return Err(format!("not cleaned: {report:?}").into());
            }
            reports.push(report);
        }
        Ok(reports)
    }

    /// Its rows as of an instant.
    pub async fn read_as_of(&self, instant: InstantTime) -> Result<Vec<RecordBatch>, Failed> {
        let snapshot = self.table().await?.snapshot(Some(instant)).await?;
        Ok(Scan::plan(&snapshot, ScanOptions::default()).await?.stream().try_collect().await?)
    }

    /// Archives all commits but two, if there are more than three.
    pub async fn archive(&self) -> Result<ArchiveReport, Failed> {
        let stop = watch::channel(false).1;
        Ok(self.maintainer().await?.archive(&ArchiveRules::new(2, 3)?, &stop, &|_| {}).await?)
    }

    /// Savepoints the newest commit.
    pub async fn savepoint(&self) -> Result<InstantTime, Failed> {
        Ok(self.maintainer().await?.committer().savepoint(None, "u", "c").await?.instant)
    }

    /// Takes the table back to a savepoint.
    pub async fn restore(&self, savepoint: InstantTime) -> Result<(), Failed> {
        let limits = RunLimits { stop: watch::channel(false).1, deadline: None };
        let report = self.maintainer().await?.restore(savepoint, &limits, &|_| {}).await?;
        match report.as_ref().map(|report| report.outcome) {
            Some(RunOutcome::Committed { .. }) => Ok(()),
            _ => Err(format!("not restored: {report:?}").into()),
        }
    }

    /// Begins to take the table back, and stops when the first commit is.
    pub async fn begin_to_restore(&self, savepoint: InstantTime) -> Result<(), Failed> {
        let (stop, stopped) = watch::channel(false);
        let limits = RunLimits { stop: stopped, deadline: None };
        let tell = |event| {
            if matches!(event, RestoreEvent::TakenBack { .. }) {
                stop.send_replace(true);
            }
        };
        let report = self.maintainer().await?.restore(savepoint, &limits, &tell).await?;
        match report {
            Some(report) if report.outcome == RunOutcome::Stopped && report.left > 0 => Ok(()),
            report => Err(format!("not stopped half-way: {report:?}").into()),
        }
    }

    /// Rolls the newest commit back.
    pub async fn roll_back(&self) -> Result<(), Failed> {
        let maintainer = self.maintainer().await?;
        maintainer.committer().roll_back(newest(&maintainer).await?.time).await?;
        Ok(())
    }

    /// Begins to roll the newest commit back, and dies when it has left the timeline.
    pub async fn begin_to_roll_back(&self) -> Result<(), Failed> {
        let maintainer = self.maintainer().await?;
        let newest = newest(&maintainer).await?;
        let plan = maintainer.committer().plan_rollback(newest.time).await?.plan;
        let (storage, timeline) = (&maintainer.table().storage, &maintainer.table().timeline);
        let now =
            InstantTime::from_unix_millis(self.environment.clock.unix_millis(), maintainer.table().zone);
        let requested = TimelineFile::requested(now, Action::Rollback);
        storage.put(&timeline.path(&requested), plan.to_avro()?.into()).await?;
        storage.put(&timeline.path(&TimelineFile::inflight(now, Action::Rollback)), Bytes::new()).await?;
        storage.delete(&timeline.path(&newest.file())).await?;
        Ok(())
    }

    pub(super) async fn maintainer(&self) -> Result<Maintainer, Failed> {
        let options = MaintainOptions { commit: self.commit, ..MaintainOptions::default() };
        Ok(Maintainer::open(self.storage().await?, &self.environment, options).await?)
    }

    /// Opens a writer, and must be refused because of a metadata table.
    pub async fn must_be_refused(&mut self) -> Result<(), Failed> {
        match self.open(WriteOperation::Upsert, MetadataTablePolicy::Refuse).await {
            Err(error) => match error.downcast_ref() {
                Some(SinkError::Refused(refusal)) if refusal.feature.contains("metadata table") => Ok(()),
                _ => Err(error),
            },
            Ok(()) => Err("the table was opened in spite of its metadata table".into()),
        }
    }

    fn options(&self, operation: WriteOperation) -> SinkOptions {
        let (index, schema, commit) = (self.index.clone(), self.schema.clone(), self.commit);
        SinkOptions { operation, index, schema, commit, ..SinkOptions::default() }
    }

    fn opened(&mut self) -> Result<&mut Sink, Failed> {
        Ok(&mut self.sink.as_mut().ok_or("no writer is open")?.1)
    }

    pub(super) async fn storage(&self) -> Result<Arc<dyn Storage>, Failed> {
        Ok(storage::open(&self.uri.parse()?, &self.environment).await?)
    }
}

async fn newest(maintainer: &Maintainer) -> Result<Instant, Failed> {
    let newest = maintainer.committer().newest_commit().await?.ok_or("there is no commit")?;
    let timeline = maintainer.table().timeline.load().await?;
    Ok(*timeline.write_at(newest).ok_or("it is gone")?)
}

async fn prepare_on(sink: &mut Sink, checkpoint: u64, rows: &Batch) -> Result<Prepared, Failed> {
    if let Some(refused) = sink.write(&rows.0, Some(&rows.1)).await?.first() {
        return Err(refused.to_string().into());
    }
    let progress = PipelineProgress { checkpoint, ..PipelineProgress::default() };
    sink.prepare(progress).await?.ok_or_else(|| "nothing to commit".into())
}

fn check_progress(sink: &Sink, committed: u64) -> Result<(), Failed> {
    let found = sink.progress().map_or(0, |progress| progress.checkpoint);
    if found == committed {
        return Ok(());
    }
    Err(format!("the writer goes on from checkpoint {found}, but {committed} was committed").into())
}
