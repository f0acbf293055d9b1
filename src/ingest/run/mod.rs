//! The checkpoint loop.
//!
//! Chunks come decoded and mapped, in order. This loop writes them, and when a limit is reached it
//! prepares a checkpoint and commits it while the next one is written.

mod committing;
mod options;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::bad_records::BadRecords;
use super::check::check;
use super::checkpoint::{Checkpoint, part_bytes};
use super::create::create_table_of;
use super::decode::BadRecord;
use super::job::Job;
use super::mapping::Mapping;
use super::memory::InputMemory;
use super::reading::{Chunks, Ready, open_source, refusal};
use super::report::InputCount;
use super::services::InlineServices;
use super::source::first_file;
use super::target::{self, Target, sink_options};
use super::{Event, IngestError, Summary};
use crate::environment::Environment;
use crate::settings::TimeSpan;
use crate::sink::Opening;

use committing::Committing;
pub use options::RunOptions;

/// When to commit if the job says nothing.
const INTERVAL: Duration = Duration::from_secs(60);

/// Where a run tells what happens.
pub type Events = Arc<dyn Fn(&Event) + Send + Sync>;

/// Runs a job until its source ends, or `stop` turns true: then the checkpoint is finished first. An
/// overwrite, which is one commit of all records, is given up then.
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
    let table = (storage.uri().clone(), storage.clone());
    let services = InlineServices::of(&job, table, environment, events.clone());
    let bad = BadRecords::open(&job, storage.uri(), options.dead_letters.take(), environment).await?;
    if let Some(schema) = create_table_of(&job, &storage, environment).await? {
        let columns = schema.arrow().fields().len() as u64;
        events(&Event::Created { uri: storage.uri().to_string(), columns });
    }
    let opening = Opening::look(storage, environment, &job.pipeline, sink_options(&job)).await?;
    check(&job, &opening, options.reset_progress, environment).await?;
    let target = Target::claim(&job, opening).await?;
    let mapping = Arc::new(Mapping::new(&job, &target.schema(), &target.keys())?);
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
        services,
    };
    let ended = run.read_to_end(&mut options, &mut stop).await;
    if let Some(services) = run.services.take() {
        let last = ended.is_ok() && run.summary.commits > 0 && !*stop.borrow();
        services.end(last, &mut stop).await;
    }
    if let Err(error) = ended {
        run.give_up(&error).await;
        return Err(error);
    }
    run.summary.bad_records = run.bad.count;
    run.summary.dead_letters = run.bad.folder();
    run.summary.took = environment.clock.monotonic().saturating_sub(started);
    Ok(run.summary)
}

/// Whether to read on.
#[derive(Debug)]
enum Flow {
    On,
    End,
    /// From the last progress, since a checkpoint was given up for that reason.
    Again(String),
}

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
    services: Option<InlineServices>,
}

impl Run {
    async fn read_to_end(
        &mut self,
        options: &mut RunOptions,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), IngestError> {
        if options.reset_progress {
            // Progress is not given away for inputs that are not there.
            first_file(&self.job.source)?;
            self.target.forget();
            (self.events)(&Event::Reset);
        }
        // An overwrite forgets by its own commit: an empty one would leave nothing in the table.
        if options.reset_progress && !self.is_overwrite() {
            self.checkpoint().await?;
            self.settle().await?;
        }
        let mut tries = 0;
        loop {
            let commits = self.summary.commits;
            let Flow::Again(reason) = self.pass(options, stop).await? else { return Ok(()) };
            tries = if self.summary.commits > commits { 1 } else { tries + 1 };
            if tries == target::TRIES_MAX {
                return Err(IngestError::Retryable { tries, reason });
            }
            // What is in the way may take its time, and everything has to be read again.
            tokio::select! {
                biased;
                () = async { drop(stop.wait_for(|stop| *stop).await) } => {}
                () = self.environment.clock.sleep(target::pause(tries)) => {}
            }
        }
    }

    /// Rolls back what was written and will not be committed, as far as that can be done after
    /// `error`: what stays is rolled back by the next run, or by others once the heartbeat has expired.
    async fn give_up(&mut self, error: &IngestError) {
        // Who has taken over has rolled back already, and decides alone.
        if error.leaves_nothing() || !matches!(self.target.committer().fenced_by().await, Ok(None)) {
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
            Ok(Flow::Again(_)) | Err(_) if error.asks_to_rewind() => settled,
            _ => Err(error),
        }
    }

    async fn finish(&mut self) -> Result<Flow, IngestError> {
        self.check_overwrite()?;
        let first = self.summary.commits == 0 && self.committing.is_none();
        let due = self.open.records > 0 || (self.job.commit.empty && first) || self.ends_file()?;
        if due && let again @ Flow::Again(_) = self.checkpoint().await? {
            return Ok(again);
        }
        match self.settle().await? {
            again @ Flow::Again(_) => Ok(again),
            _ => Ok(Flow::End),
        }
    }

    /// Whether the file that was read in part is found to have no more records, which the progress does
    /// not say yet: a bad record was taken out of it. An overwrite by nothing would empty the table.
    fn ends_file(&self) -> Result<bool, IngestError> {
        if self.is_overwrite() {
            return Ok(false);
        }
        let here = self.open.position.as_ref().filter(|_| self.committing.is_none());
        let ended = here.is_some_and(|position| !position.is_within_file());
        Ok(ended && self.target.position()?.is_some_and(|position| position.is_within_file()))
    }

    /// Refuses an overwrite of which no record is good: it would leave nothing in the table.
    fn check_overwrite(&mut self) -> Result<(), IngestError> {
        if !self.is_overwrite() || self.open.rows > 0 || self.bad.count == 0 {
            return Ok(());
        }
        Err(IngestError::AllBad { found: self.bad.count, first: std::mem::take(&mut self.bad.first) })
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
                () = async { drop(stop.wait_for(|stop| *stop).await) } => return self.stopped(),
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
            if let Flow::Again(_) = flow {
                return Ok(flow);
            }
        }
    }

    /// What a run does that is to stop: it finishes its checkpoint.
    fn stopped(&self) -> Result<Flow, IngestError> {
        // A part of an overwrite would replace everything that the whole is to replace.
        if self.is_overwrite() { Err(IngestError::Interrupted) } else { Ok(Flow::End) }
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
            let records = (until - taken) as u64;
            let bytes = part_bytes(chunk.bytes(), total, taken..until);
            self.open.records += records;
            self.open.bytes += bytes;
            self.summary.records += records;
            self.summary.input_bytes += bytes;
            self.open.position = Some(ready.read.position(until));
            self.open.newest_millis = self.open.newest_millis.max(Some(made));
            taken = until;
            let letters_full = self.bad.bytes() > self.memory.letters_bytes;
            if letters_full && self.is_overwrite() {
                let limit_bytes = self.memory.letters_bytes as u64;
                return Err(IngestError::TooManyLetters { found: self.bad.count, limit_bytes });
            }
            let full = letters_full || self.open.is_full(&self.job.commit);
            if full && let again @ Flow::Again(_) = self.checkpoint().await? {
                return Ok(again);
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
            let refused = self.target.write(&rows, deletes.as_ref()).await?;
            self.open.rows += (rows.num_rows() - refused.len()) as u64;
            for row in refused {
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
