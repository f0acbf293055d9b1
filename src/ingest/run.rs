//! The checkpoint loop.
//!
//! One task reads, and hands chunks to rayon to be decoded and mapped; they come back in order. This
//! loop writes them, and when a limit is reached it prepares a checkpoint and commits it while the
//! next one is written.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{BooleanArray, RecordBatch};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::bad_records::{BadRecords, PendingLetters};
use super::create::create_table_of;
use super::decode::{BadRecord, Fault};
use super::job::{Job, TimeSpan};
use super::mapping::Mapping;
use super::source::{FilesPosition, FilesSource, Position, Read, Source, SourceError, StdinSource};
use super::target::{self, Target};
use super::{Event, IngestError, Summary};
use crate::commit::Outcome;
use crate::environment::Environment;
use crate::sink::Prepared;
use crate::storage;

/// Chunks that are read and decoded ahead of the writer; text chunks are about 1 MiB each.
const CHUNKS_AHEAD: usize = 6;

/// When to commit if the job says nothing, and where files are looked for.
const INTERVAL: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_secs(10);

/// Dead letters are held in memory up to so many bytes; then the checkpoint ends.
const LETTER_BYTES: usize = 16 << 20;

/// What a run is asked beside its job.
#[derive(Default)]
pub struct RunOptions {
    /// Read what there is and end, whatever the job says of following files.
    pub once: bool,
    /// Forget the pipeline's progress first, in a commit of its own.
    pub reset_progress: bool,
    /// What is read where the job says standard input.
    pub stdin: Option<Box<dyn std::io::Read + Send>>,
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
    job: Job,
    mut options: RunOptions,
    environment: &Environment,
    mut stop: watch::Receiver<bool>,
    events: Events,
) -> Result<Summary, IngestError> {
    let started = environment.clock.monotonic();
    let storage = storage::open(&job.table.uri.parse()?, environment).await?;
    if let Some(settings) = &job.table.create
        && let Some(schema) = create_table_of(&job, settings, &storage, environment).await?
    {
        let columns = schema.arrow().fields().len() as u64;
        events(&Event::Created { uri: storage.uri().to_string(), columns });
    }
    let target = Target::open(&job, storage, environment).await?;
    let mapping = Arc::new(Mapping::new(&job, &target.schema())?);
    let bad = BadRecords::open(&job.bad_records, &job.pipeline, environment).await?;
    bad.recover(target.committed()).await?;
    events(&Event::Started { epoch: target.epoch(), checkpoint: target.committed() });
    let mut run = Run {
        job: Arc::new(job),
        target,
        mapping,
        bad,
        environment: environment.clone(),
        events,
        summary: Summary::default(),
        open: Checkpoint::default(),
        committing: None,
        bad_committed: 0,
    };
    if options.reset_progress {
        run.checkpoint().await?;
        run.settle().await?;
    }
    while let Flow::Again = run.pass(&mut options, &mut stop).await? {}
    run.summary.bad_records = run.bad.count;
    run.summary.took(environment.clock.monotonic().saturating_sub(started));
    Ok(run.summary)
}

/// Whether to read again from the last progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    End,
    Again,
}

#[derive(Debug, Default)]
struct Checkpoint {
    records: u64,
    rows: u64,
    deletes: u64,
    bytes: u64,
    position: Option<Position>,
    /// When it must end.
    deadline: Option<Duration>,
}

/// A checkpoint that is on its way to be visible.
#[derive(Debug)]
struct Committing {
    prepared: Arc<Prepared>,
    commit: JoinHandle<Result<Outcome, IngestError>>,
    letters: Option<PendingLetters>,
    rows: u64,
    deletes: u64,
    bad_count: u64,
}

struct Run {
    job: Arc<Job>,
    target: Target,
    mapping: Arc<Mapping>,
    bad: BadRecords,
    environment: Environment,
    events: Events,
    summary: Summary,
    open: Checkpoint,
    committing: Option<Committing>,
    /// How many bad records were committed.
    bad_committed: u64,
}

/// A chunk as rows.
#[derive(Debug)]
struct Ready {
    read: Read,
    rows: RecordBatch,
    deletes: Option<BooleanArray>,
    /// The record of each row within the chunk, in order.
    records: Vec<u32>,
    /// The bad records, in order.
    bad: Vec<(u32, BadRecord)>,
}

type Handed = oneshot::Receiver<Result<Ready, IngestError>>;

impl Run {
    /// Reads from the last progress to the end.
    async fn pass(
        &mut self,
        options: &mut RunOptions,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Flow, IngestError> {
        let source = self.source(options)?;
        let (send, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
        let reading = tokio::spawn(read_ahead(source, self.mapping.clone(), send));
        let flow = self.consume(&mut chunks, stop).await;
        reading.abort();
        let flow = match flow {
            Ok(Flow::Again) => Flow::Again,
            Ok(_) => self.finish().await?,
            Err(error) => {
                // What is on its way may still become visible: the next run must find it settled.
                let _ = self.settle().await;
                return Err(error);
            }
        };
        Ok(flow)
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

    fn source_name(&self) -> &'static str {
        if self.job.source.stdin { "stdin" } else { "files" }
    }

    fn source(&self, options: &mut RunOptions) -> Result<Source, IngestError> {
        let (settings, position) = (&self.job.source, self.target.position(self.source_name())?);
        let (format, wanted) = (self.job.format(), self.mapping.wanted().clone());
        let other = |position: Position| SourceError::OtherSource { found: position.to_json().to_string() };
        if settings.stdin {
            let from = match position {
                Some(Position::Stdin(position)) => Some(position),
                Some(position) => return Err(other(position).into()),
                None => None,
            };
            let stream = options.stdin.take().unwrap_or_else(|| Box::new(std::io::stdin()));
            return Ok(Source::Stdin(Box::new(StdinSource::new(stream, format, wanted, from))));
        }
        let from = match position {
            Some(Position::Files(position)) => position,
            Some(position) => return Err(other(position).into()),
            None => FilesPosition::default(),
        };
        let poll =
            (settings.follow && !options.once).then(|| settings.poll.map_or(POLL, |TimeSpan(poll)| poll));
        let files = settings.files.clone();
        let source =
            FilesSource::new(files, poll, settings.late_names, (format, wanted), &self.environment, from);
        Ok(Source::Files(Box::new(source)))
    }

    /// Writes chunks until the source ends, a checkpoint is given up, or the run is to stop.
    async fn consume(
        &mut self,
        chunks: &mut mpsc::Receiver<Handed>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Flow, IngestError> {
        loop {
            if self.job.commit.empty {
                self.set_deadline();
            }
            let deadline = self.open.deadline;
            let clock = self.environment.clock.clone();
            tokio::select! {
                biased;
                () = async { drop(stop.wait_for(|stop| *stop).await) } => return Ok(Flow::End),
                () = async {
                    match deadline {
                        Some(at) => clock.sleep(at.saturating_sub(clock.monotonic())).await,
                        None => std::future::pending().await,
                    }
                } => {
                    if self.checkpoint().await? == Flow::Again {
                        return Ok(Flow::Again);
                    }
                }
                chunk = chunks.recv() => {
                    let Some(chunk) = chunk else { return Ok(Flow::End) };
                    let ready = chunk.await.map_err(|_| IngestError::Stopped)??;
                    if self.take(ready).await? == Flow::Again {
                        return Ok(Flow::Again);
                    }
                }
            }
        }
    }

    /// Writes a chunk, in parts where a checkpoint ends within it.
    async fn take(&mut self, ready: Ready) -> Result<Flow, IngestError> {
        let Some(chunk) = &ready.read.chunk else {
            self.summary.inputs += 1;
            self.open.position = Some(ready.read.position(0));
            return Ok(Flow::On);
        };
        let (total, mut taken) = (chunk.records(), 0);
        while taken < total {
            let room = self.job.commit.rows.map_or(u64::MAX, |rows| rows.saturating_sub(self.open.records));
            let until = total.min(taken.saturating_add(usize::try_from(room.max(1)).unwrap_or(usize::MAX)));
            self.write(&ready, taken, until).await?;
            let (records, bytes) = ((until - taken) as u64, (chunk.bytes() * (until - taken) / total) as u64);
            self.open.records += records;
            self.open.bytes += bytes;
            self.summary.records += records;
            self.summary.input_bytes += bytes;
            self.open.position = Some(ready.read.position(until));
            taken = until;
            if self.is_full() && self.checkpoint().await? == Flow::Again {
                return Ok(Flow::Again);
            }
        }
        (self.events)(&Event::Written {
            input: chunk.input.to_string(),
            records: self.summary.records,
            bytes: self.summary.input_bytes,
        });
        Ok(Flow::On)
    }

    fn is_full(&self) -> bool {
        let commit = &self.job.commit;
        commit.rows.is_some_and(|rows| self.open.records >= rows)
            || commit.bytes.is_some_and(|bytes| self.open.bytes >= bytes.0)
            || self.bad.bytes() >= LETTER_BYTES
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
        let (mut refused, mut refused_deletes) = (0, 0);
        if rows.num_rows() > 0 {
            for row in self.target.write(&rows, deletes.as_ref()).await? {
                let record = ready.records.get(start + row.row()).copied().unwrap_or(from as u32);
                refused += 1;
                refused_deletes += u64::from(
                    deletes.as_ref().is_some_and(|flags| row.row() < flags.len() && flags.value(row.row())),
                );
                if let Some(chunk) = &ready.read.chunk {
                    bad.push((record, chunk.bad(record as usize, refusal(&row))));
                }
            }
        }
        bad.sort_by_key(|(record, _)| *record);
        bad.into_iter().try_for_each(|(_, bad)| self.bad.add(bad))?;
        self.open.rows += rows.num_rows() as u64 - refused;
        self.open.deletes += deletes.map_or(0, |flags| flags.true_count() as u64) - refused_deletes;
        Ok(())
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
        let prepared = self.target.prepare(self.source_name(), open.position.as_ref()).await?;
        if self.settle().await? == Flow::Again {
            return Ok(Flow::Again);
        }
        let Some(prepared) = prepared.map(Arc::new) else { return Ok(Flow::On) };
        let instant = prepared.task.instant.to_string();
        let letters = self.bad.prepare(prepared.progress.checkpoint, &instant).await?;
        self.summary.files += prepared.staged.files.len() as u64;
        self.summary.bytes += prepared.staged.files.iter().map(|file| file.size_bytes).sum::<u64>();
        let (committer, environment, events) =
            (self.target.committer(), self.environment.clone(), self.events.clone());
        let sent = prepared.clone();
        let commit = tokio::spawn(async move {
            let retrying = |reason: &str| events(&Event::Retrying { reason: reason.to_owned() });
            target::commit(committer, &sent, &environment, retrying).await
        });
        let (rows, deletes, bad_count) = (open.rows, open.deletes, self.bad.count);
        self.committing = Some(Committing { prepared, commit, letters, rows, deletes, bad_count });
        Ok(Flow::On)
    }

    /// Waits for the checkpoint that is on its way.
    async fn settle(&mut self) -> Result<Flow, IngestError> {
        let Some(committing) = self.committing.take() else { return Ok(Flow::On) };
        let outcome = committing.commit.await.map_err(|_| IngestError::Stopped)??;
        match outcome {
            Outcome::Committed { instant, .. } | Outcome::AlreadyCommitted { instant } => {
                if let Some(letters) = committing.letters {
                    letters.publish().await?;
                }
                self.bad_committed = committing.bad_count;
                self.summary.commits += 1;
                self.summary.rows += committing.rows;
                self.summary.deletes += committing.deletes;
                let checkpoint = committing.prepared.progress.checkpoint;
                let instant = instant.to_string();
                (self.events)(&Event::Committed { checkpoint, instant, rows: committing.rows });
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
            Outcome::Fenced { by } => Err(IngestError::Fenced { by }),
            Outcome::Retryable { reason } => Err(IngestError::Retryable { tries: 1, reason }),
        }
    }
}

fn refusal(row: &crate::write::RefusedRow) -> Fault {
    Fault { column: None, value: None, reason: row.to_string() }
}

/// Reads the source and hands its chunks on in order, decoded side by side.
async fn read_ahead(mut source: Source, mapping: Arc<Mapping>, send: mpsc::Sender<Handed>) {
    loop {
        let read = match source.next().await {
            Ok(Some(read)) => Ok(read),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let (answer, handed) = oneshot::channel();
        if send.send(handed).await.is_err() {
            return;
        }
        // Nobody waits for the answer where the run has ended.
        match read {
            Ok(read) => {
                let mapping = mapping.clone();
                rayon::spawn(move || {
                    let _ = answer.send(decode(read, &mapping));
                });
            }
            Err(error) => {
                let _ = answer.send(Err(error.into()));
                return;
            }
        }
    }
}

fn decode(read: Read, mapping: &Mapping) -> Result<Ready, IngestError> {
    let Some(chunk) = &read.chunk else {
        let rows = RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
        return Ok(Ready { read, rows, deletes: None, records: Vec::new(), bad: Vec::new() });
    };
    let decoded = chunk.decode()?;
    let mapped = mapping.map(&decoded.rows)?;
    let record_of = |row: usize| decoded.record_of(row);
    let records: Vec<u32> = match &mapped.kept {
        Some(kept) => kept.iter().map(|row| record_of(*row)).collect(),
        None => (0..mapped.rows.num_rows()).map(record_of).collect(),
    };
    let mut bad = decoded.bad.clone();
    bad.extend(mapped.faults.into_iter().map(|(row, fault)| {
        let record = record_of(row);
        (record, chunk.bad(record as usize, fault))
    }));
    bad.sort_by_key(|(record, _)| *record);
    let (rows, deletes) = (mapped.rows, mapped.deletes);
    Ok(Ready { read, rows, deletes, records, bad })
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
