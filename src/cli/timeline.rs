//! `lakebed timeline`: what was done to a table.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use clap::Args;
use futures::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use lakebed_hudi::history::HistoryColumns;
use lakebed_hudi::instant::{InstantTime, TimelineZone};
use lakebed_hudi::timeline_file::{Action, State, TimelineLayout};
use lakebed_hudi::timeline_metadata::{
    CleanMetadata, CommitMetadata, MetadataError, RestoreMetadata, RollbackMetadata, SavepointMetadata,
};
use serde::Serialize;

use super::output::{Page, Report};
use super::{Context, Exit, human};
use crate::commit::{PipelineProgress, Progress, begun_by};
use crate::error::{Error, ErrorKind};
use crate::table::Table;
use crate::timeline::Instant;

/// How many files are read at the same time.
const READS: usize = 16;

const EXAMPLES: &str = "\
Examples:
  lakebed timeline /lake/flights --limit 5      the last five things that happened to it
  lakebed timeline /lake/flights --all          from the table's beginning
  lakebed timeline /lake/flights --format json  with the progress of every pipeline at each commit

ROWS are those that a commit added, changed or deleted, DELETES those of them that only delete their
key; `lakebed ingest` counts them alike. Of the records of one key in a commit one is left. ROWS IN
FILES are all rows of the files it wrote: copy-on-write writes unchanged ones anew.";

/// The arguments of `lakebed timeline`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TimelineArgs {
    /// The table.
    uri: String,
    /// How many instants to show at most.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    /// Show every instant, archived ones too.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// What was done to a table, newest first.
#[derive(Debug, Serialize)]
struct TimelineReport {
    table: String,
    instants: Vec<InstantReport>,
    /// Instants of the active timeline that are not shown.
    more: usize,
    /// The progress in the newest commit of these that has any, where one that is shown has.
    #[serde(skip)]
    before: Option<BTreeMap<String, PipelineProgress>>,
    /// Why archived instants are missing although they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive_note: Option<&'static str>,
}

/// One instant.
#[derive(Debug, Default, Serialize)]
struct InstantReport {
    instant: String,
    action: String,
    /// The table service that it was requested as, where that has a name of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_as: Option<String>,
    state: &'static str,
    archived: bool,
    completed: Option<String>,
    duration_ms: Option<u64>,
    operation: Option<String>,
    #[serde(flatten)]
    written: Option<Written>,
    /// The pipeline that a pending instant belongs to, if it is one of Lakebed's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<String>,
    /// What an instant that writes nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// How far every pipeline had come, in a commit of Lakebed's.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<BTreeMap<String, PipelineProgress>>,
}

/// What a commit wrote.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Written {
    /// Rows that it added, changed or deleted. Whether a row in a log file is new nobody knows before
    /// it is merged, so that writers count it as changed: there is no count of each.
    rows: u64,
    /// Of these, rows that only delete their key.
    deletes: u64,
    files: u64,
    /// Rows in these files, with those that copy-on-write only copies.
    rows_in_files: u64,
    bytes: u64,
}

/// An instant with the bytes of its file, where it has one that says something.
struct Found {
    instant: Instant,
    archived: bool,
    content: Option<Bytes>,
}

/// Runs `lakebed timeline`.
pub(super) async fn run(context: &Context, args: TimelineArgs) -> Result<Exit, Error> {
    let table = context.open(&args.uri).await?;
    let limit = if args.all { usize::MAX } else { args.limit };
    let timeline = table.timeline.load().await?;
    let shown: Vec<Instant> = timeline.instants().rev().take(limit).copied().collect();
    let more = timeline.instants().count() - shown.len();
    let mut found: Vec<Found> = read_contents(&table, shown).try_collect().await?;
    let mut archive_note = None;
    if args.all {
        match table.config.version.layout() {
            TimelineLayout::Two => {
                let known = |time, action| timeline.get(time, action).is_some();
                found.extend(
                    archived(&table).await?.into_iter().filter(|f| !known(f.instant.time, f.instant.action)),
                );
            }
            TimelineLayout::One => {
                archive_note = Some("archived instants of table version 6 are not read: use Spark for them");
            }
        }
    }
    let instants = found.iter().map(|found| describe(&table, found)).collect::<Result<Vec<_>, _>>()?;
    let older = timeline.instants().rev().skip(limit).filter(|i| i.is_completed() && i.action.writes_data());
    let before = match instants.iter().any(|instant| instant.progress.is_some()) {
        true => newest_progress(&table, older.copied().collect()).await,
        false => None,
    };
    let report = TimelineReport { table: table.config.name.clone(), instants, more, before, archive_note };
    context.output.report(&report)?;
    Ok(Exit::Done)
}

/// The progress in the first of `writes` that has any. What cannot be read of them tells nothing: they
/// are not asked for.
async fn newest_progress(table: &Table, writes: Vec<Instant>) -> Option<BTreeMap<String, PipelineProgress>> {
    let mut contents = Box::pin(read_contents(table, writes));
    while let Ok(Some(found)) = contents.try_next().await {
        let told = describe(table, &found).ok()?;
        if told.progress.is_some() {
            return told.progress;
        }
    }
    None
}

fn read_contents(table: &Table, instants: Vec<Instant>) -> impl Stream<Item = Result<Found, Error>> {
    stream::iter(instants)
        .map(move |instant| async move {
            let is_write = instant.state == State::Inflight && instant.action.writes_data();
            if !instant.is_completed() && !is_write {
                return Ok(Found { instant, archived: false, content: None });
            }
            let content = match instant.is_completed() {
                true => Some(table.timeline.read_anywhere(&instant).await?),
                false => match table.timeline.read(&instant.file()).await {
                    Ok(content) => Some(content),
                    // It was completed or rolled back meanwhile.
                    Err(error) if error.is_not_found() => None,
                    Err(error) => return Err(error.into()),
                },
            };
            Ok::<_, Error>(Found { instant, archived: false, content })
        })
        .buffered(READS)
}

/// The archived instants, newest first.
async fn archived(table: &Table) -> Result<Vec<Found>, Error> {
    let epoch = InstantTime::from_unix_millis(i64::MIN, TimelineZone::Utc);
    let mut entries = table.timeline.archived(epoch, HistoryColumns::All).await?;
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.instant, entry.action)));
    let found = entries.into_iter().map(|entry| Found {
        instant: Instant {
            time: entry.instant,
            action: entry.action,
            requested_as: entry.action,
            state: State::Completed(Some(entry.completion)),
        },
        archived: true,
        content: entry.metadata,
    });
    Ok(found.collect())
}

fn describe(table: &Table, found: &Found) -> Result<InstantReport, Error> {
    let instant = &found.instant;
    let service = instant.requested_as != instant.action;
    let millis = |time: InstantTime| time.to_unix_millis(table.zone);
    let duration_ms = instant.completion().and_then(|completion| {
        // Layout 1 has no completion times, and a savepoint has the time of what it saves.
        let has_time = matches!(instant.state, State::Completed(Some(_)));
        let lasted = millis(completion)?.checked_sub(millis(instant.time)?)?;
        u64::try_from(lasted).ok().filter(|_| has_time && instant.action != Action::Savepoint)
    });
    let mut report = InstantReport {
        instant: instant.time.to_string(),
        action: instant.action.to_string(),
        requested_as: service.then(|| instant.requested_as.to_string()),
        state: state_name(instant.state),
        archived: found.archived,
        completed: match instant.state {
            State::Completed(completion) => completion.map(|time| time.to_string()),
            State::Requested | State::Inflight => None,
        },
        duration_ms,
        ..InstantReport::default()
    };
    let Some(content) = found.content.as_ref().filter(|content| !content.is_empty()) else {
        return Ok(report);
    };
    if !instant.is_completed() {
        let intent = CommitMetadata::from_bytes(content).ok();
        report.pipeline = intent.as_ref().and_then(begun_by).map(str::to_owned);
        report.note = report.pipeline.as_ref().map(|pipeline| format!("of pipeline {pipeline}"));
        return Ok(report);
    }
    let told = if instant.action.writes_data() {
        tell_commit(&mut report, content)
    } else {
        note(instant.action, content).map(|note| report.note = note)
    };
    told.map_err(|problem| {
        let place = if found.archived { "archived instant " } else { "" };
        let path = table.timeline.path(&instant.file());
        Error::new(ErrorKind::Failed, format!("{place}{path}: {problem}"))
    })?;
    Ok(report)
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Requested => "requested",
        State::Inflight => "inflight",
        State::Completed(_) => "completed",
    }
}

fn tell_commit(report: &mut InstantReport, content: &[u8]) -> Result<(), String> {
    let metadata = CommitMetadata::from_bytes(content).map_err(|error| error.to_string())?;
    report.operation = metadata.operation_type.as_ref().map(ToString::to_string);
    report.written = Some(written(&metadata));
    report.progress = Progress::of(&metadata)?.map(|progress| progress.pipelines);
    Ok(())
}

fn written(metadata: &CommitMetadata) -> Written {
    let mut sum = Written::default();
    // Counts of other engines may be -1 for "not known".
    let count = |n: i64| u64::try_from(n).unwrap_or_default();
    for (_, stat) in metadata.write_stats() {
        for rows in [stat.num_inserts, stat.num_update_writes, stat.num_deletes] {
            sum.rows = sum.rows.saturating_add(count(rows));
        }
        sum.deletes = sum.deletes.saturating_add(count(stat.num_deletes));
        sum.rows_in_files = sum.rows_in_files.saturating_add(count(stat.num_writes));
        sum.bytes = sum.bytes.saturating_add(count(stat.total_write_bytes));
        sum.files += u64::from(stat.path.is_some());
    }
    sum
}

/// What an instant that writes no data did.
fn note(action: Action, content: &[u8]) -> Result<Option<String>, String> {
    let text = |error: MetadataError| error.to_string();
    let removed =
        |n: i32| format!("{} removed", human::counted(u64::try_from(n).unwrap_or_default(), "file"));
    let undid = |times: &[InstantTime]| {
        let times: Vec<String> = times.iter().map(ToString::to_string).collect();
        format!("undid {}", times.join(", "))
    };
    Ok(match action {
        Action::Clean => {
            let clean = CleanMetadata::from_avro(content).map_err(text)?;
            Some(removed(clean.total_files_deleted))
        }
        Action::Rollback => {
            let rollback = RollbackMetadata::from_avro(content).map_err(text)?;
            let removed = removed(rollback.total_files_deleted);
            Some(format!("{}, {removed}", undid(&rollback.commits_rollback)))
        }
        Action::Restore => {
            let restore = RestoreMetadata::from_avro(content).map_err(text)?;
            Some(undid(&restore.instants_to_rollback))
        }
        Action::Savepoint => {
            let savepoint = SavepointMetadata::from_avro(content).map_err(text)?;
            let parts = [savepoint.savepointed_by, savepoint.comments];
            let parts: Vec<&str> = parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()).collect();
            Some(parts.join(": "))
        }
        _ => None,
    })
}

impl Report for TimelineReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.instants.is_empty() && self.more == 0 {
            page.line(&format!("{}: nothing has been written yet", self.table))?;
        } else {
            let columns = [
                "INSTANT",
                "ACTION",
                "STATE",
                "COMPLETED",
                "TOOK>",
                "OPERATION",
                "ROWS>",
                "DELETES>",
                "FILES>",
                "ROWS IN FILES>",
                "BYTES>",
                "NOTE",
            ];
            let older = |i: usize| self.instants.get(i + 1..).unwrap_or_default();
            let before =
                |i| older(i).iter().find_map(|instant| instant.progress.as_ref()).or(self.before.as_ref());
            let rows = self.instants.iter().enumerate().map(|(i, instant)| instant.row(before(i)));
            page.rows(&columns, rows.collect())?;
        }
        if self.more > 0 {
            page.line(&format!("… {} older: --limit N or --all", human::count(self.more as u64)))?;
        }
        self.archive_note.map_or(Ok(()), |note| page.advice(note))
    }
}

impl InstantReport {
    /// The cells of this instant; `before` is the progress in the commit before it.
    fn row(&self, before: Option<&BTreeMap<String, PipelineProgress>>) -> Vec<String> {
        let moment = |text: &String| text.parse().map_or_else(|_| text.clone(), human::exact_moment);
        let number = |pick: fn(&Written) -> u64| {
            self.written.as_ref().map_or_else(String::new, |written| human::count(pick(written)))
        };
        let bytes = self.written.as_ref().map(|written| human::bytes(written.bytes));
        let action = self.requested_as.as_ref().unwrap_or(&self.action);
        vec![
            self.instant.clone(),
            action.clone(),
            if self.archived { "archived".to_owned() } else { self.state.to_owned() },
            self.completed.as_ref().map(moment).unwrap_or_default(),
            self.duration_ms.map(human::duration).unwrap_or_default(),
            self.operation.as_ref().map(|name| name.to_lowercase()).unwrap_or_default(),
            number(|written| written.rows),
            number(|written| written.deletes),
            number(|written| written.files),
            number(|written| written.rows_in_files),
            bytes.unwrap_or_default(),
            self.note.clone().unwrap_or_else(|| self.moved(before)),
        ]
    }

    /// The pipelines that this commit moved, with their checkpoints and the event time that they have
    /// come to, and those whose progress it dropped: each commit carries the progress of all, so those
    /// that stand elsewhere than in the commit before.
    fn moved(&self, before: Option<&BTreeMap<String, PipelineProgress>>) -> String {
        let Some(progress) = &self.progress else { return String::new() };
        let moved = progress
            .iter()
            .filter(|(name, progress)| before.and_then(|before| before.get(*name)) != Some(*progress));
        let told = |(name, progress): (&String, &PipelineProgress)| {
            let time = progress.watermark().map(human::event_time);
            let time = time.map(|time| format!(" to {time}")).unwrap_or_default();
            format!("{name} #{}{time}", progress.checkpoint)
        };
        let dropped = before.into_iter().flatten().filter(|(name, _)| !progress.contains_key(*name));
        let dropped = dropped.map(|(name, _)| format!("{name} dropped"));
        moved.map(told).chain(dropped).collect::<Vec<_>>().join(", ")
    }
}
