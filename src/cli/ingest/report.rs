//! What a run did, would do, and how far the pipelines of a table have come.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use crate::cli::human;
use crate::cli::output::{Page, Report};
use crate::commit::{PipelineProgress, Progress};
use crate::ingest::decode::BadRecord;
use crate::ingest::job::Job;
use crate::ingest::source::{FilesPosition, Position};
use crate::ingest::{DryBucket, DryRun, Summary};
use crate::storage::TableUri;

/// So many buckets are shown to people.
const BUCKETS_SHOWN: usize = 40;

impl Report for Summary {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.is_nothing() {
            return page.line("nothing new to read");
        }
        let millis = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        page.line(&format!(
            "{} read from {} ({}); {} written in {} and {} of {}, {}; {} records a second",
            human::counted(self.records, "record"),
            human::counted(self.inputs, "input"),
            human::bytes(self.input_bytes),
            human::counted(self.rows, "row"),
            human::counted(self.commits, "commit"),
            human::counted(self.files, "file"),
            human::bytes(self.bytes),
            human::duration(millis),
            human::count((self.records as f64 / self.took.as_secs_f64().max(1e-3)) as u64),
        ))?;
        tell_deletes(page, self.deletes, "row")?;
        tell_bad(page, self.bad_records)?;
        match &self.dead_letters {
            Some(folder) => page.line(&format!(
                "dead letters are in {folder}: INSTANT.jsonl for each commit that left some out"
            )),
            None => Ok(()),
        }
    }
}

fn tell_deletes(page: &mut Page<'_>, deletes: u64, unit: &str) -> io::Result<()> {
    match deletes {
        0 => Ok(()),
        deletes => page.line(&format!("{} of these only deleted their key", human::counted(deletes, unit))),
    }
}

fn tell_bad(page: &mut Page<'_>, bad_records: u64) -> io::Result<()> {
    match bad_records {
        0 => Ok(()),
        bad => page.line(&format!("{} could not be taken", human::counted(bad, "bad record"))),
    }
}

/// Shows the first bad records.
fn tell_first(page: &mut Page<'_>, bad: &[BadRecord]) -> io::Result<()> {
    bad.iter().try_for_each(|bad| page.line(&format!("  {bad}")))
}

impl Report for DryRun {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        let table = if self.creates_table { "would be created" } else { "is there" };
        page.heading(&format!("{} {table}; nothing was written", self.uri))?;
        if self.resets_progress {
            page.line("the progress would be reset: everything is read again")?;
        }
        if self.interrupted {
            page.line("it was interrupted: there may be more to read")?;
        } else if self.records == 0 {
            page.line("nothing new to read")?;
        }
        if self.records == 0 {
            return Ok(());
        }
        let read = format!(
            "{} read from {} ({})",
            human::counted(self.records, "record"),
            human::counted(self.inputs, "input"),
            human::bytes(self.input_bytes),
        );
        if self.good_records == 0 {
            page.line(&format!("{read}; all of them are bad, and no row would be written"))?;
            return tell_first(page, &self.first_bad_records);
        }
        page.line(&format!(
            "{read}; {} would be written in {}, more if time runs out before",
            human::counted(self.good_records, "record"),
            human::counted(self.commits, "commit"),
        ))?;
        if self.buckets.iter().any(|bucket| bucket.bucket.is_some()) {
            page.line("those of one key in a commit become one row")?;
        }
        tell_deletes(page, self.deletes, "record")?;
        tell_bad(page, self.bad_records)?;
        tell_first(page, &self.first_bad_records)?;
        page.line("")?;
        let rows = self.buckets.iter().take(BUCKETS_SHOWN).map(|bucket| bucket.cells());
        page.rows(&["PARTITION", "BUCKET>", "RECORDS>", "DELETES>", ""], rows.collect())?;
        match self.buckets.len().saturating_sub(BUCKETS_SHOWN) {
            0 => Ok(()),
            more => page.line(&format!("… {more} more: --format json")),
        }
    }
}

impl DryBucket {
    fn cells(&self) -> Vec<String> {
        vec![
            self.partition.clone(),
            self.bucket.map(|bucket| bucket.to_string()).unwrap_or_default(),
            human::count(self.records),
            human::count(self.deletes),
            if self.exists { String::new() } else { "new".to_owned() },
        ]
    }
}

/// How far the pipelines of a table have come.
#[derive(Debug, Serialize)]
pub(super) struct ProgressReport {
    uri: String,
    pipeline: String,
    /// Of the job's pipeline; absent before its first commit.
    progress: Option<PipelineProgress>,
    /// Of the others.
    others: BTreeMap<String, PipelineProgress>,
}

impl ProgressReport {
    pub(super) fn of(job: &Job, progress: Progress) -> Self {
        let mut others = progress.pipelines;
        let progress = others.remove(&job.pipeline);
        Self { uri: uri(job), pipeline: job.pipeline.clone(), progress, others }
    }
}

/// The address of the job's table, spelled as everywhere.
fn uri(job: &Job) -> String {
    job.table.uri.parse().map_or_else(|_| job.table.uri.clone(), |uri: TableUri| uri.to_string())
}

impl Report for ProgressReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.progress.is_none() {
            page.line(&format!("{}: pipeline {} has committed nothing yet", self.uri, self.pipeline))?;
        }
        let own = self.progress.iter().map(|progress| (&self.pipeline, progress));
        let rows: Vec<_> =
            own.chain(&self.others).flat_map(|(name, progress)| cells(name, progress)).collect();
        match rows.is_empty() {
            true => Ok(()),
            false => page.rows(&["PIPELINE", "EPOCH>", "CHECKPOINT>", "SOURCE", "WATERMARK", "READ"], rows),
        }
    }
}

/// What was dropped.
#[derive(Debug, Serialize)]
pub(super) struct DroppedReport {
    uri: String,
    pipeline: String,
    /// As it was.
    progress: PipelineProgress,
}

impl DroppedReport {
    pub(super) fn of(job: &Job, pipeline: String, progress: PipelineProgress) -> Self {
        Self { uri: uri(job), pipeline, progress }
    }
}

impl Report for DroppedReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(&format!(
            "{}: the progress of pipeline {} was dropped, at checkpoint {}",
            self.uri,
            self.pipeline,
            human::count(self.progress.checkpoint)
        ))
    }
}

/// A row for each source of a pipeline, or one that says that it has none.
fn cells(name: &str, progress: &PipelineProgress) -> Vec<Vec<String>> {
    let row = |source: &str, watermark: Option<i64>, read: String| {
        let (epoch, checkpoint) = (progress.epoch.to_string(), human::count(progress.checkpoint));
        let watermark = watermark.map(human::event_time).unwrap_or_default();
        vec![name.to_owned(), epoch, checkpoint, source.to_owned(), watermark, read]
    };
    if progress.sources.is_empty() {
        return vec![row("", None, "nothing: it starts anew".to_owned())];
    }
    let sources = progress.sources.iter();
    sources.map(|(source, stands)| row(source, stands.watermark, position(&stands.position))).collect()
}

/// A position as people read it; what other programs wrote, as it is.
fn position(value: &serde_json::Value) -> String {
    match Position::from_json(value) {
        Ok(Position::Files(position)) => files(&position),
        Ok(Position::Stdin(position)) => {
            let place = position.place;
            let records = human::counted(place.record, "record");
            // Only text has bytes of its own before each record.
            if place.byte == 0 { records } else { format!("{records} ({})", human::bytes(place.byte)) }
        }
        Err(_) => value.to_string(),
    }
}

fn files(position: &FilesPosition) -> String {
    let done = position.done.as_ref().map(|done| format!("all up to {}", done.mark));
    let open = position.open.as_ref().map(|open| {
        let records = human::counted(open.place.record, "record");
        format!("{records} of {}", open.name)
    });
    done.into_iter().chain(open).collect::<Vec<_>>().join(", then ")
}
