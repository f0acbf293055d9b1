//! The checkpoint loop.
//!
//! Chunks come decoded and mapped, in order. This loop writes them, and when a limit is reached it
//! prepares a checkpoint and commits it while the next one is written.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use super::bad_records::{BadRecords, PendingLetters};
use super::checkpoint::Checkpoint;
use super::create::create_table_of;
use super::decode::BadRecord;
use super::job::{Job, TimeSpan};
use super::mapping::Mapping;
use super::memory::InputMemory;
use super::reading::{Chunks, Ready, open_source, refusal};
use super::report::{Committed, InputCount};
use super::source::first_file;
use super::target::{self, Target};
use super::{Event, IngestError, Summary};
use crate::commit::Outcome;
use crate::environment::Environment;
use crate::sink::Prepared;
use crate::storage::{self, Storage};

/// When to commit if the job says nothing.
const INTERVAL: Duration = Duration::from_secs(60);

/// What a run is asked beside its job.
#[derive(Default)]
pub struct RunOptions {
    /// Read what there is and end, whatever the job says of following files.
    pub once: bool,
    /// Forget the pipeline's progress first, in a commit of its own.
    pub reset_progress: bool,
    /// What is read where the job says standard input.
    pub stdin: Option<Box<dyn std::io::Read + Send>>,
    /// How the table's files are reached, where that is not what the job's address says: a storage
    /// of the embedder's own, or one with faults.
    pub storage: Option<Arc<dyn Storage>>,
    /// How the files of dead letters are reached, likewise.
    pub dead_letters: Option<Arc<dyn Storage>>,
}

impl RunOptions {
    /// The storage of the job's table.
    pub(super) async fn open_storage(
        &mut self,
        job: &Job,
        environment: &Environment,
    ) -> Result<Arc<dyn Storage>, IngestError> {
        match self.storage.take() {
            Some(storage) => Ok(storage),
            None => Ok(storage::open(&job.table.uri.parse()?, environment).await?),
        }
    }
}

impl std::fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions")
            .field("once", &self.once)
            .field("reset_progress", &self.reset_progress)
            .finish_non_exhaustive()
    }
}

/// Where a run tells what happens.
pub type Events = Arc<dyn Fn(&Event) + Send + Sync>;

/// Runs a job until its source ends, or `stop` turns true: then the checkpoint is finished first.
///
/// Whatever ends it, the next run goes on behind the last committed record.
///
/// # Errors
/// See [`IngestError`].
pub async fn run(
    mut job: Job,
    mut options: RunOptions,
    environment: &Environment,
    mut stop: watch::Receiver<bool>,
    events: Events,
) -> Result<Summary, IngestError> {
    let started = environment.clock.monotonic();
    job.source.follow &= !options.once;
    let storage = options.open_storage(&job, environment).await?;
    let bad = BadRecords::open(&job, storage.uri(), options.dead_letters.take(), environment).await?;
    if let Some(schema) = create_table_of(&job, &storage, environment).await? {
        let columns = schema.arrow().fields().len() as u64;
        events(&Event::Created { uri: storage.uri().to_string(), columns });
    }
    let target = Target::open(&job, storage, environment).await?;
    let mapping = Arc::new(Mapping::new(&job, &target.schema())?);
    bad.recover(&target.committer(), environment).await?;
    if let Some(restore) = target.restore() {
        events(&Event::Restored { instant: restore.to_string(), checkpoint: target.committed() });
    }
    events(&Event::Started { epoch: target.epoch(), checkpoint: target.committed() });
    let mut run = Run {
        memory: InputMemory::of(&job, target.input_bytes()),
        job: Arc::new(job),
        target,
        mapping,
        bad,
        environment: environment.clone(),
        events,
        summary: Summary::default(),
        inputs: InputCount::default(),
        open: Checkpoint::default(),
        committing: None,
        bad_committed: 0,
        forget: options.reset_progress,
    };
    if let Err(error) = run.read_to_end(&mut options, &mut stop).await {
        run.give_up(&error).await;
        return Err(error);
    }
    run.summary.bad_records = run.bad.count;
    run.summary.took = environment.clock.monotonic().saturating_sub(started);
    Ok(run.summary)
}

/// Whether to read again from the last progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    End,
    Again,
}

/// A checkpoint that is on its way to be visible.
#[derive(Debug)]
struct Committing {
    prepared: Arc<Prepared>,
    commit: JoinHandle<Result<(Outcome, Duration), IngestError>>,
    letters: Option<PendingLetters>,
    bad_count: u64,
    newest_millis: Option<i64>,
    flushed: Duration,
}

/// What became of a commit, and how long it took.
type Done = Result<Result<(Outcome, Duration), IngestError>, JoinError>;

struct Run {
    job: Arc<Job>,
    memory: InputMemory,
    target: Target,
    mapping: Arc<Mapping>,
    bad: BadRecords,
    environment: Environment,
    events: Events,
    summary: Summary,
    inputs: InputCount,
    open: Checkpoint,
    committing: Option<Committing>,
    /// How many bad records were committed.
    bad_committed: u64,
    /// Whether the last progress is not to be gone on from.
    forget: bool,
}

impl Run {
    async fn read_to_end(
        &mut self,
        options: &mut RunOptions,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), IngestError> {
        // An overwrite forgets by its own commit: an empty one would leave nothing in the table.
        if options.reset_progress {
            self.target.forget();
        }
        if options.reset_progress && !self.is_overwrite() {
            // Progress is not given away for inputs that are not there.
            first_file(&self.job.source)?;
            self.checkpoint().await?;
            self.settle().await?;
        }
        while let Flow::Again = self.pass(options, stop).await? {}
        Ok(())
    }

    /// Rolls back what was written and will not be committed, as far as that can be done after
    /// `error`: what stays is rolled back by the next run, or by others once the heartbeat has expired.
    async fn give_up(&mut self, error: &IngestError) {
        // Who has taken over has rolled back already, and decides alone.
        let fenced = matches!(error, IngestError::Fenced { .. });
        if fenced || !matches!(self.target.committer().fenced_by().await, Ok(None)) {
            return;
        }
        if let Err(problem) = self.target.rewind().await {
            tracing::warn!(%problem, "what was written last could not be rolled back; the next run will do it");
        }
    }

    /// Reads from the last progress to the end.
    async fn pass(
        &mut self,
        options: &mut RunOptions,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Flow, IngestError> {
        let position = if self.forget { None } else { self.target.position()? };
        let source =
            open_source(&self.job, self.memory, &self.mapping, position, options, &self.environment)?;
        let mut chunks = Chunks::of(source, self.mapping.clone(), self.memory);
        let flow = self.consume(&mut chunks, stop).await;
        drop(chunks);
        let flow = match flow {
            Ok(Flow::On | Flow::End) => self.finish().await,
            flow => flow,
        };
        let Err(error) = flow else { return flow };
        // What is on its way may still become visible: the next run must find it settled.
        let settled = self.settle().await;
        if let Ok(Some(by)) = self.target.committer().fenced_by().await {
            // Whatever it was that failed: who has taken over has also taken files away.
            return Err(IngestError::Fenced { by });
        }
        match settled {
            Ok(Flow::Again) | Err(_) if error.asks_to_rewind() => settled,
            _ => Err(error),
        }
    }

    async fn finish(&mut self) -> Result<Flow, IngestError> {
        let first = self.summary.commits == 0 && self.committing.is_none();
        let due = self.open.records > 0 || (self.job.commit.empty && first);
        if due && self.checkpoint().await? == Flow::Again {
            return Ok(Flow::Again);
        }
        match self.settle().await? {
            Flow::Again => Ok(Flow::Again),
            _ => Ok(Flow::End),
        }
    }

    /// Writes chunks until the source ends, a checkpoint is given up, or the run is to stop.
    async fn consume(
        &mut self,
        chunks: &mut Chunks,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Flow, IngestError> {
        loop {
            if self.job.commit.empty {
                self.set_deadline();
            }
            let deadline = self.open.deadline;
            let clock = self.environment.clock.clone();
            let committing = self.committing.as_mut();
            let flow = tokio::select! {
                biased;
                () = async { drop(stop.wait_for(|stop| *stop).await) } => return Ok(Flow::End),
                done = async {
                    match committing {
                        Some(committing) => (&mut committing.commit).await,
                        None => std::future::pending().await,
                    }
                } => self.settled(done).await?,
                () = async {
                    match deadline {
                        Some(at) => clock.sleep(at.saturating_sub(clock.monotonic())).await,
                        None => std::future::pending().await,
                    }
                } => self.checkpoint().await?,
                chunk = chunks.next() => match chunk {
                    Some(chunk) => self.take(chunk.ready().await?).await?,
                    None => return Ok(Flow::End),
                },
            };
            if flow == Flow::Again {
                return Ok(Flow::Again);
            }
        }
    }

    /// Writes a chunk, in parts where a checkpoint ends within it.
    async fn take(&mut self, ready: Ready) -> Result<Flow, IngestError> {
        self.summary.inputs += self.inputs.begin(ready.read.chunk.as_ref());
        let Some(chunk) = &ready.read.chunk else {
            self.open.position = Some(ready.read.position(0));
            return Ok(Flow::On);
        };
        // What comes by a stream is as old as its reading.
        let made = ready.read.changed_millis.unwrap_or_else(|| self.environment.clock.unix_millis());
        let (total, mut taken) = (chunk.records(), 0);
        while taken < total {
            let until = taken + self.open.fit(&self.job.commit, total - taken);
            self.write(&ready, taken, until).await?;
            let (records, bytes) = ((until - taken) as u64, (chunk.bytes() * (until - taken) / total) as u64);
            self.open.records += records;
            self.open.bytes += bytes;
            self.summary.records += records;
            self.summary.input_bytes += bytes;
            self.open.position = Some(ready.read.position(until));
            self.open.newest_millis = self.open.newest_millis.max(Some(made));
            taken = until;
            let full = self.open.is_full(&self.job.commit) || self.bad.bytes() > self.memory.letters_bytes;
            if full && self.checkpoint().await? == Flow::Again {
                return Ok(Flow::Again);
            }
        }
        (self.events)(&Event::Written {
            input: chunk.input.to_string(),
            records: self.summary.records,
            bytes: self.summary.input_bytes,
            bad_records: self.bad.count,
            buffered_bytes: self.target.buffered_bytes(),
            read_bytes: ready.read.extent.read_bytes,
            found_bytes: ready.read.extent.found_bytes,
        });
        Ok(Flow::On)
    }

    /// Writes the records from `from` to `until` of a chunk.
    async fn write(&mut self, ready: &Ready, from: usize, until: usize) -> Result<(), IngestError> {
        self.set_deadline();
        let start = ready.records.partition_point(|record| (*record as usize) < from);
        let end = ready.records.partition_point(|record| (*record as usize) < until);
        let rows = ready.rows.slice(start, end - start);
        let deletes = ready.deletes.as_ref().map(|flags| flags.slice(start, end - start));
        let mut bad: Vec<(u32, BadRecord)> =
            ready.bad.iter().filter(|(r, _)| (from..until).contains(&(*r as usize))).cloned().collect();
        if rows.num_rows() > 0 {
            for row in self.target.write(&rows, deletes.as_ref()).await? {
                let record = ready.records.get(start + row.row()).copied().unwrap_or(from as u32);
                if let Some(chunk) = &ready.read.chunk {
                    bad.push((record, chunk.bad(record as usize, refusal(&row))));
                }
            }
        }
        bad.sort_by_key(|(record, _)| *record);
        bad.into_iter().try_for_each(|(_, bad)| self.bad.add(bad))
    }

    /// Says when the open checkpoint must end, if nothing has yet.
    fn set_deadline(&mut self) {
        if self.open.deadline.is_none() && !self.is_overwrite() {
            let interval = self.job.commit.interval.map_or(INTERVAL, |TimeSpan(interval)| interval);
            self.open.deadline = Some(self.environment.clock.monotonic() + interval);
        }
    }

    fn is_overwrite(&self) -> bool {
        crate::table::WriteOperation::from(self.job.operation).overwrites()
    }

    /// Ends the checkpoint and sends it on its way, once the one before it is visible.
    async fn checkpoint(&mut self) -> Result<Flow, IngestError> {
        let open = std::mem::take(&mut self.open);
        let clock = self.environment.clock.clone();
        let started = clock.monotonic();
        let prepared = self.target.prepare(open.position).await?;
        let flushed = clock.monotonic().saturating_sub(started);
        if self.settle().await? == Flow::Again {
            return Ok(Flow::Again);
        }
        let Some(prepared) = prepared.map(Arc::new) else { return Ok(Flow::On) };
        let letters = self.bad.prepare(prepared.task.instant).await?;
        let (committer, environment, events) =
            (self.target.committer(), self.environment.clone(), self.events.clone());
        let sent = prepared.clone();
        let commit = tokio::spawn(async move {
            let started = clock.monotonic();
            let retrying = |reason: &str| events(&Event::Retrying { reason: reason.to_owned() });
            let outcome = target::commit(committer, &sent, &environment, retrying).await?;
            Ok((outcome, clock.monotonic().saturating_sub(started)))
        });
        let (bad_count, newest_millis) = (self.bad.count, open.newest_millis);
        self.committing = Some(Committing { prepared, commit, letters, bad_count, newest_millis, flushed });
        Ok(Flow::On)
    }

    /// Waits for the checkpoint that is on its way.
    async fn settle(&mut self) -> Result<Flow, IngestError> {
        let Some(committing) = &mut self.committing else { return Ok(Flow::On) };
        let done = (&mut committing.commit).await;
        self.settled(done).await
    }

    /// Takes in what became of the checkpoint that was on its way.
    async fn settled(&mut self, done: Done) -> Result<Flow, IngestError> {
        let Some(committing) = self.committing.take() else { return Ok(Flow::On) };
        let (outcome, took) = done.map_err(|_| IngestError::Stopped)??;
        match outcome {
            Outcome::Committed { instant, .. } | Outcome::AlreadyCommitted { instant } => {
                let Committing { prepared, letters, .. } = committing;
                if let Some(letters) = letters {
                    letters.publish().await?;
                }
                self.forget = false;
                self.bad_committed = committing.bad_count;
                let files = &prepared.staged.files;
                let committed = Committed {
                    checkpoint: prepared.progress.checkpoint,
                    instant: instant.to_string(),
                    rows: files.iter().map(|file| file.rows.brought()).sum(),
                    deletes: files.iter().map(|file| file.rows.deleted).sum(),
                    files: files.len() as u64,
                    bytes: files.iter().map(|file| file.size_bytes).sum(),
                    buffered_bytes: self.target.buffered_bytes(),
                    newest_millis: committing.newest_millis,
                    watermark_millis: prepared.progress.watermark(),
                    flushed: committing.flushed,
                    took,
                };
                self.summary.add(&committed);
                (self.events)(&Event::Committed(committed));
                Ok(Flow::On)
            }
            Outcome::Conflicted { reason } => {
                if let Some(letters) = committing.letters {
                    letters.discard().await?;
                }
                tracing::warn!(%reason, "a checkpoint was given up; reading goes on from the last progress");
                self.bad.rewind(self.bad_committed);
                self.open = Checkpoint::default();
                self.target.rewind().await?;
                if self.job.source.stdin {
                    return Err(IngestError::Conflict { reason });
                }
                (self.events)(&Event::Rewound { reason });
                Ok(Flow::Again)
            }
            Outcome::Fenced { by } => {
                // Should this fail, the next run does it.
                if let Some(letters) = committing.letters
                    && let Err(problem) = letters.discard().await
                {
                    tracing::warn!(%problem, "the dead letters of a checkpoint that was given up stay pending");
                }
                Err(IngestError::Fenced { by })
            }
            Outcome::Retryable { reason } => Err(IngestError::Retryable { tries: 1, reason }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedder_can_spawn_a_run() {
        fn spawnable<F: Future + Send + 'static>(
            _: impl FnOnce(Job, RunOptions, watch::Receiver<bool>, Events) -> F,
        ) {
        }
        spawnable(|job, options, stop, events| async move {
            run(job, options, &Environment::real(), stop, events).await
        });
    }
}
