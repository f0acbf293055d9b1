//! `lakebed files`: the file groups of a table and the files in them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use clap::Args;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{CompactionPlan, MetadataError};
use serde::Serialize;

use super::output::{Page, Report};
use super::{Context, Exit, human};
use crate::error::{Error, ErrorKind};
use crate::near_match::near_match;
use crate::table::{FileGroup, FileGroupId, FileSlice, TableSnapshot};
use crate::timeline::TimelineError;

const EXAMPLES: &str = "\
Examples:
  lakebed files /lake/flights                            the files that readers see
  lakebed files /lake/flights --partition month=2013-07  those of one partition
  lakebed files /lake/flights --all-slices               older ones too, until they are cleaned away
  lakebed files /lake/flights --format json              with the names of the files

A file group is shown as its latest slice: a base file and the log files since. READ is what a
reader takes in, over the size of the base file: compaction brings it back to 1.";

/// The arguments of `lakebed files`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FilesArgs {
    /// The table.
    uri: String,
    /// Only the files of this partition path, for example month=1; '' in a table without partitions.
    #[arg(long, value_name = "PATH")]
    partition: Option<String>,
    /// Older slices too, which only queries of the past read.
    #[arg(long)]
    all_slices: bool,
}

/// The files of a table.
#[derive(Debug, Serialize)]
struct FilesReport {
    table: String,
    slices: Vec<SliceReport>,
    summary: Summary,
}

/// One file slice.
#[derive(Debug, Serialize)]
struct SliceReport {
    partition: String,
    file_id: String,
    base_instant: String,
    /// Whether readers of the present see it.
    latest: bool,
    base_file: Option<String>,
    base_bytes: u64,
    log_files: Vec<String>,
    log_bytes: u64,
    /// Bytes that a reader takes in, over those of the base file; absent without one.
    read_amplification: Option<f64>,
    /// The compaction that is planned for it.
    pending_compaction: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    partitions: u64,
    file_groups: u64,
    slices: u64,
    base_files: u64,
    base_bytes: u64,
    log_files: u64,
    log_bytes: u64,
    /// Over all slices that have a base file.
    read_amplification: Option<f64>,
    pending_compactions: u64,
}

/// Runs `lakebed files`.
pub(super) async fn run(context: &Context, args: FilesArgs) -> Result<Exit, Error> {
    let table = context.open(&args.uri).await?;
    let snapshot = table.snapshot(None).await?;
    let mut partitions = snapshot.all_file_groups().await?;
    if let Some(wanted) = &args.partition {
        let wanted = wanted.trim_end_matches('/');
        if !partitions.iter().any(|(partition, _)| partition == wanted) {
            return Err(no_partition(wanted, partitions.iter().map(|(partition, _)| partition.as_str())));
        }
        partitions.retain(|(partition, _)| partition == wanted);
    }
    let planned = planned_compactions(&snapshot).await?;
    let groups: Vec<FileGroup> = partitions.into_iter().flat_map(|(_, groups)| groups).collect();
    let slices: Vec<SliceReport> =
        groups.iter().flat_map(|group| slices(group, args.all_slices, &planned)).collect();
    let summary = Summary::of(&slices);
    context.output.report(&FilesReport { table: table.config.name.clone(), slices, summary })?;
    Ok(Exit::Done)
}

fn no_partition<'a>(wanted: &str, partitions: impl Iterator<Item = &'a str>) -> Error {
    let hint = near_match(wanted, partitions).map_or_else(
        || "; `lakebed files` without --partition shows all".to_owned(),
        |near| format!("; did you mean {near:?}?"),
    );
    Error::new(ErrorKind::FixInput, format!("the table has no partition {wanted:?}{hint}"))
}

/// The groups that pending compactions are to merge, with the compaction's instant.
async fn planned_compactions(snapshot: &TableSnapshot) -> Result<BTreeMap<FileGroupId, String>, Error> {
    let mut planned = BTreeMap::new();
    let timeline = &snapshot.table.timeline;
    for instant in snapshot.timeline.pending().filter(|i| i.requested_as == Action::Compaction) {
        let file = TimelineFile::requested(instant.time, instant.requested_as);
        let plan = match CompactionPlan::from_avro(&timeline.read(&file).await?) {
            // Whoever planned it died before the plan was written: the files are there to be seen.
            Err(MetadataError::Empty) => CompactionPlan::default(),
            plan => plan.map_err(|source| TimelineError::Metadata { path: timeline.path(&file), source })?,
        };
        let groups = plan.operations.into_iter();
        let groups = groups.map(|o| FileGroupId { partition: o.partition_path, file_id: o.file_id });
        planned.extend(groups.map(|group| (group, instant.time.to_string())));
    }
    Ok(planned)
}

fn slices<'a>(
    group: &'a FileGroup,
    all: bool,
    planned: &'a BTreeMap<FileGroupId, String>,
) -> impl Iterator<Item = SliceReport> + 'a {
    let newest_first = group.slices.iter().rev().enumerate();
    newest_first.take(if all { usize::MAX } else { 1 }).map(|(age, slice)| {
        let latest = age == 0;
        let pending_compaction = planned.get(&group.id).filter(|_| latest).cloned();
        SliceReport { latest, pending_compaction, ..SliceReport::of(group, slice) }
    })
}

impl SliceReport {
    fn of(group: &FileGroup, slice: &FileSlice) -> Self {
        let base_bytes = slice.base.as_ref().map_or(0, |base| base.size_bytes);
        let log_bytes = slice.log_bytes();
        Self {
            partition: group.id.partition.clone(),
            file_id: group.id.file_id.to_string(),
            base_instant: slice.base_instant.to_string(),
            latest: false,
            base_file: slice.base.as_ref().map(|base| base.name.to_string()),
            base_bytes,
            log_files: slice.logs.iter().map(|log| log.name.to_string()).collect(),
            log_bytes,
            read_amplification: amplification(base_bytes, log_bytes),
            pending_compaction: None,
        }
    }
}

/// Bytes read over bytes of base files.
fn amplification(base_bytes: u64, log_bytes: u64) -> Option<f64> {
    let exact = (base_bytes + log_bytes) as f64 / base_bytes as f64;
    (base_bytes > 0).then_some((exact * 100.0).round() / 100.0)
}

impl Summary {
    fn of(slices: &[SliceReport]) -> Self {
        let partitions: BTreeSet<&str> = slices.iter().map(|slice| slice.partition.as_str()).collect();
        let mut sum = Self { partitions: partitions.len() as u64, ..Self::default() };
        let mut logs_over_base = 0;
        for slice in slices {
            sum.slices += 1;
            sum.file_groups += u64::from(slice.latest);
            sum.base_files += u64::from(slice.base_file.is_some());
            sum.base_bytes += slice.base_bytes;
            sum.log_files += slice.log_files.len() as u64;
            sum.log_bytes += slice.log_bytes;
            logs_over_base += if slice.base_file.is_some() { slice.log_bytes } else { 0 };
            sum.pending_compactions += u64::from(slice.pending_compaction.is_some());
        }
        sum.read_amplification = amplification(sum.base_bytes, logs_over_base);
        sum
    }
}

impl Report for FilesReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.slices.is_empty() {
            return page.line(&format!("{}: no files yet", self.table));
        }
        let columns =
            ["PARTITION", "FILE GROUP", "BASE INSTANT", "BASE>", "LOGS>", "LOG BYTES>", "READ>", "NOTE"];
        page.rows(&columns, self.slices.iter().map(SliceReport::row).collect())?;
        let sum = &self.summary;
        let mut parts = vec![
            human::counted(sum.partitions, "partition"),
            human::counted(sum.file_groups, "file group"),
            format!("{} {}", human::counted(sum.base_files, "base file"), human::bytes(sum.base_bytes)),
            format!("{} {}", human::counted(sum.log_files, "log file"), human::bytes(sum.log_bytes)),
        ];
        parts.extend(sum.read_amplification.map(|read| format!("{read:.2}x read")));
        if sum.pending_compactions > 0 {
            parts.push(format!("{} to be compacted", sum.pending_compactions));
        }
        page.line("")?;
        page.line(&parts.join(" · "))
    }
}

impl SliceReport {
    fn row(&self) -> Vec<String> {
        let mut notes = Vec::new();
        notes.extend((!self.latest).then(|| "older".to_owned()));
        notes.extend(self.base_file.is_none().then(|| "logs only".to_owned()));
        notes.extend(self.pending_compaction.as_ref().map(|instant| format!("compaction {instant}")));
        vec![
            self.partition.clone(),
            self.file_id.clone(),
            self.base_instant.clone(),
            self.base_file.as_ref().map_or_else(String::new, |_| human::bytes(self.base_bytes)),
            self.log_files.len().to_string(),
            if self.log_files.is_empty() { String::new() } else { human::bytes(self.log_bytes) },
            self.read_amplification.map_or_else(String::new, |read| format!("{read:.2}x")),
            notes.join(", "),
        ]
    }
}
