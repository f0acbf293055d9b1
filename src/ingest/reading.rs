//! From a source to rows: one task reads, and hands chunks to rayon to be decoded and mapped; they
//! come back in order.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{BooleanArray, RecordBatch};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::decode::{BadRecord, Chunk, DecodeProblem, Fault, Format, guarded};
use super::job::Job;
use super::mapping::Mapping;
use super::memory::InputMemory;
use super::source::{
    FilesPosition, FilesSource, Position, Read, Source, SourceError, StdinPosition, StdinSource,
};
use super::{IngestError, RunOptions};
use crate::environment::Environment;
use crate::settings::TimeSpan;
use crate::write::RefusedRow;

/// Chunks that are read and decoded ahead of the writer, as far as the memory allows; text chunks
/// are about 1 MiB each.
const CHUNKS_AHEAD: usize = 6;

/// What a chunk takes until the writer has it, by the bytes that were read: they and the rows of
/// them, which text makes larger and a cast doubles.
const HELD_PER_BYTE: usize = 3;

/// How often files are looked for if the job says nothing.
const POLL: Duration = Duration::from_secs(10);

/// A chunk as rows.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) read: Read,
    pub(super) rows: RecordBatch,
    pub(super) deletes: Option<BooleanArray>,
    /// The record of each row within the chunk, in order.
    pub(super) records: Vec<u32>,
    /// The bad records, in order.
    pub(super) bad: Vec<(u32, BadRecord)>,
    /// Its part of the memory.
    _held: Option<OwnedSemaphorePermit>,
}

/// The chunks of a source on their way. Reading ends when they are dropped.
#[derive(Debug)]
pub(super) struct Chunks {
    handed: mpsc::Receiver<oneshot::Receiver<Result<Ready, IngestError>>>,
    reading: JoinHandle<()>,
}

impl Chunks {
    pub(super) fn of(source: Source, mapping: Arc<Mapping>, memory: InputMemory) -> Self {
        let (send, handed) = mpsc::channel(CHUNKS_AHEAD);
        let memory = Memory::new(memory.ahead_bytes);
        Self { handed, reading: tokio::spawn(read_ahead(source, mapping, memory, send)) }
    }

    /// The next chunk; `None` behind the last. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Handed> {
        self.handed.recv().await.map(Handed)
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// The memory of chunks that are on their way.
#[derive(Debug)]
struct Memory {
    kib: u32,
    free: Arc<Semaphore>,
}

impl Memory {
    fn new(bytes: usize) -> Self {
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
        Self { kib, free: Arc::new(Semaphore::new(kib as usize)) }
    }

    /// Waits until there is room for a chunk of `bytes`. One that is larger than all of it gets
    /// all of it.
    async fn hold(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.saturating_mul(HELD_PER_BYTE) / 1024).unwrap_or(u32::MAX);
        self.free.clone().acquire_many_owned(kib.min(self.kib)).await.ok()
    }
}

/// A chunk that is being decoded.
#[derive(Debug)]
pub(super) struct Handed(oneshot::Receiver<Result<Ready, IngestError>>);

impl Handed {
    pub(super) async fn ready(self) -> Result<Ready, IngestError> {
        self.0.await.map_err(|_| IngestError::Stopped)?
    }
}

/// The name of the progress of the job's source.
pub(super) fn source_name(job: &Job) -> &'static str {
    if job.source.stdin { "stdin" } else { "files" }
}

/// Opens the job's source where `position` says that it was read to.
pub(super) fn open_source(
    job: &Job,
    memory: InputMemory,
    mapping: &Mapping,
    position: Option<Position>,
    options: &mut RunOptions,
    environment: &Environment,
) -> Result<Source, IngestError> {
    if !job.source.stdin {
        let source = files_source(job, memory, mapping, position, environment)?;
        return Ok(Source::Files(Box::new(source)));
    }
    let from = stdin_position(position)?;
    let stream = options.stdin.take().unwrap_or_else(|| Box::new(std::io::stdin()));
    let source = StdinSource::new(stream, format_within(job, memory), mapping.wanted().clone(), from);
    Ok(Source::Stdin(Box::new(source)))
}

/// How the job's inputs are read within the memory.
fn format_within(job: &Job, memory: InputMemory) -> Format {
    let mut format = job.format();
    format.limits.unit_bytes = format.limits.unit_bytes.min(memory.ahead_bytes as u64);
    format
}

/// Where standard input was read to.
pub(super) fn stdin_position(position: Option<Position>) -> Result<Option<StdinPosition>, SourceError> {
    match position {
        Some(Position::Stdin(position)) => Ok(Some(position)),
        Some(other) => Err(SourceError::OtherSource { found: other.to_json().to_string() }),
        None => Ok(None),
    }
}

/// The job's files behind `position`.
pub(super) fn files_source(
    job: &Job,
    memory: InputMemory,
    mapping: &Mapping,
    position: Option<Position>,
    environment: &Environment,
) -> Result<FilesSource, SourceError> {
    let from = match position {
        Some(Position::Files(position)) => position,
        Some(other) => return Err(SourceError::OtherSource { found: other.to_json().to_string() }),
        None => FilesPosition::default(),
    };
    if let Some(name) = from.relative_name() {
        return Err(SourceError::RelativeName { name: name.to_owned() });
    }
    let settings = &job.source;
    let poll = settings.follow.then(|| settings.poll.map_or(POLL, |TimeSpan(poll)| poll));
    let how = (format_within(job, memory), mapping.wanted().clone());
    Ok(FilesSource::new(settings.files.clone(), poll, settings.late_names, how, environment, from))
}

/// Reads the source and hands its chunks on in order, decoded side by side.
async fn read_ahead(
    mut source: Source,
    mapping: Arc<Mapping>,
    memory: Memory,
    send: mpsc::Sender<oneshot::Receiver<Result<Ready, IngestError>>>,
) {
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
                let held = memory.hold(read.chunk.as_ref().map_or(0, Chunk::bytes)).await;
                rayon::spawn(move || {
                    let _ = answer.send(decode_guarded(read, held, &mapping));
                });
            }
            Err(error) => {
                let _ = answer.send(Err(error.into()));
                return;
            }
        }
    }
}

/// As [`decode`]; a panic on the way is an error of the input, and does not end the process.
fn decode_guarded(
    read: Read,
    held: Option<OwnedSemaphorePermit>,
    mapping: &Mapping,
) -> Result<Ready, IngestError> {
    let input = read.chunk.as_ref().map(|chunk| chunk.input.clone()).unwrap_or_default();
    let decoded = guarded::<_, DecodeProblem>("rows", || Ok(decode(read, held, mapping)));
    decoded.map_err(|problem| problem.of(&input))?
}

fn decode(read: Read, held: Option<OwnedSemaphorePermit>, mapping: &Mapping) -> Result<Ready, IngestError> {
    let Some(chunk) = &read.chunk else {
        let rows = RecordBatch::new_empty(Arc::new(arrow::datatypes::Schema::empty()));
        return Ok(Ready { read, rows, deletes: None, records: Vec::new(), bad: Vec::new(), _held: held });
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
    Ok(Ready { read, rows, deletes, records, bad, _held: held })
}

/// What is wrong with a record whose row the table does not take.
pub(super) fn refusal(row: &RefusedRow) -> Fault {
    let (columns, value, reason) = match row {
        RefusedRow::Key(refused) => (&*refused.columns, None, "the record key is null or empty"),
        RefusedRow::Partition(refused) => (&*refused.columns, Some(&refused.value), &*refused.reason),
        RefusedRow::NullOrdering { column, .. } => {
            (std::slice::from_ref(column), None, "it is null, and orders the rows of a key")
        }
    };
    Fault { column: Some(columns.join(", ")), value: value.cloned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chunks_wait_for_memory_and_one_that_is_larger_than_all_comes_alone() {
        let memory = Memory::new(30 * 1024);
        let first = memory.hold(4 * 1024).await;
        let second = memory.hold(6 * 1024).await;
        let ready = |bytes| tokio::time::timeout(Duration::from_millis(20), memory.hold(bytes));
        assert!(ready(1024).await.is_err());
        drop(first);
        let third = ready(1024).await.unwrap();
        assert!(ready(1 << 40).await.is_err());
        drop((second, third));
        let whole = ready(1 << 40).await.unwrap();
        assert!(ready(1024).await.is_err());
        drop(whole);
        assert!(ready(1024).await.is_ok());
    }
}
