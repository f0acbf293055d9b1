//! From a source to rows: one task reads, and hands chunks to rayon to be decoded and mapped; they
//! come back in order.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{BooleanArray, RecordBatch};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::decode::{BadRecord, Fault};
use super::job::{Job, TimeSpan};
use super::mapping::Mapping;
use super::source::{FilesPosition, FilesSource, Position, Read, Source, SourceError, StdinSource};
use super::{IngestError, RunOptions};
use crate::environment::Environment;
use crate::write::RefusedRow;

/// Chunks that are read and decoded ahead of the writer; text chunks are about 1 MiB each.
const CHUNKS_AHEAD: usize = 6;

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
}

/// The chunks of a source on their way. Reading ends when they are dropped.
#[derive(Debug)]
pub(super) struct Chunks {
    handed: mpsc::Receiver<oneshot::Receiver<Result<Ready, IngestError>>>,
    reading: JoinHandle<()>,
}

impl Chunks {
    pub(super) fn of(source: Source, mapping: Arc<Mapping>) -> Self {
        let (send, handed) = mpsc::channel(CHUNKS_AHEAD);
        Self { handed, reading: tokio::spawn(read_ahead(source, mapping, send)) }
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
    mapping: &Mapping,
    position: Option<Position>,
    options: &mut RunOptions,
    environment: &Environment,
) -> Result<Source, IngestError> {
    let (settings, format, wanted) = (&job.source, job.format(), mapping.wanted().clone());
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
    if let Some(name) = from.relative_name() {
        return Err(SourceError::RelativeName { name: name.to_owned() }.into());
    }
    let poll = settings.follow.then(|| settings.poll.map_or(POLL, |TimeSpan(poll)| poll));
    let files = settings.files.clone();
    let source = FilesSource::new(files, poll, settings.late_names, (format, wanted), environment, from);
    Ok(Source::Files(Box::new(source)))
}

/// Reads the source and hands its chunks on in order, decoded side by side.
async fn read_ahead(
    mut source: Source,
    mapping: Arc<Mapping>,
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

/// What is wrong with a record whose row the table does not take.
pub(super) fn refusal(row: &RefusedRow) -> Fault {
    let (columns, reason) = match row {
        RefusedRow::Key(refused) => (&*refused.columns, "the record key is null or empty"),
        RefusedRow::NullOrdering { column, .. } => {
            (std::slice::from_ref(column), "it is null, and orders the rows of a key")
        }
    };
    Fault { column: Some(columns.join(", ")), value: None, reason: reason.to_owned() }
}
