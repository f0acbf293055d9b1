//! What a round did, as numbers that Prometheus can collect.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::maintain::fleet::Totals;

use super::report::{FleetReport, State, TableReport};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTable {
    table: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

type OfTables<N, A> = Family<ByTable, Gauge<N, A>>;

/// What a round did, all of it named `lakebed_maintain_…`.
///
/// Everything is a gauge of the last round alone, since a run of a cron begins at nothing each time.
pub(super) fn text(report: &FleetReport, took: Duration) -> String {
    let mut registry = Registry::with_prefix("lakebed_maintain");
    let ended = Gauge::<f64, AtomicU64>::default();
    ended.set(report.ended_unix_millis as f64 / 1e3);
    registry.register_with_unit(
        "round_timestamp",
        "When the last round ended, since 1970",
        Unit::Seconds,
        ended,
    );
    let seconds = Gauge::<f64, AtomicU64>::default();
    seconds.set(took.as_secs_f64());
    registry.register_with_unit("round", "How long the last round took", Unit::Seconds, seconds);
    register_states(&mut registry, report);
    register_tables(&mut registry, report);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_text::encode(&mut text, &registry);
    in_order(&text)
}

/// The same numbers, those of each name in one order every time.
fn in_order(text: &str) -> String {
    let is_number = |line: &&str| !line.starts_with('#');
    let mut lines: Vec<&str> = text.lines().collect();
    lines.chunk_by_mut(|a, b| is_number(a) == is_number(b)).for_each(|chunk| {
        if chunk.first().is_some_and(is_number) {
            chunk.sort_unstable();
        }
    });
    lines.join("\n") + "\n"
}

fn register_states(registry: &mut Registry, report: &FleetReport) {
    let states = Family::<ByState, Gauge<u64, AtomicU64>>::default();
    for state in State::ALL {
        let count = report.tables.iter().filter(|table| table.state == state).count();
        states.get_or_create(&ByState { state: state.as_str() }).set(count as u64);
    }
    registry.register("tables", "Tables, by how it stood about them at the end", states);
    let failed = OfTables::<u64, AtomicU64>::default();
    for table in &report.tables {
        let has_failed = table.state == State::Failed;
        failed.get_or_create(&by(table)).set(has_failed.into());
    }
    registry.register("table_failed", "1 for a table that failed", failed);
}

/// Of all tables: 0 where nothing was done, so that no series ends and begins again.
fn register_tables(registry: &mut Registry, report: &FleetReport) {
    let seconds = OfTables::<f64, AtomicU64>::default();
    for table in &report.tables {
        seconds.get_or_create(&by(table)).set(table.done.as_ref().map_or(0.0, |done| done.seconds));
    }
    registry.register_with_unit("table", "How long a table took", Unit::Seconds, seconds);
    let overdue = OfTables::<f64, AtomicU64>::default();
    for table in &report.tables {
        let millis = table.due.iter().map(|due| due.overdue_millis).max().unwrap_or_default();
        overdue.get_or_create(&by(table)).set(millis as f64 / 1e3);
    }
    let help = "For how long log files of a table were older than they may become";
    registry.register_with_unit("overdue", help, Unit::Seconds, overdue);

    let amplification = OfTables::<f64, AtomicU64>::default();
    for table in &report.tables {
        let before = table.prices().next().map_or(0.0, |price| price.read_amplification_before);
        amplification.get_or_create(&by(table)).set(before);
    }
    let help =
        "What reading a table cost before, over what its base files alone cost; 0 where that was not due";
    registry.register("read_amplification", help, amplification);

    type Count = fn(&Totals) -> u64;
    let counts: [(&str, &str, Option<Unit>, Count); 9] = [
        ("rolled_back_writes", "Writes of dead writers that were undone", None, |d| d.rolled_back as u64),
        ("compacted_file_groups", "File groups that were compacted", None, |d| d.compacted_groups as u64),
        ("clustered_file_groups", "File groups that were clustered", None, |d| d.clustered_groups as u64),
        ("read", "Bytes that compactions and clusterings read", Some(Unit::Bytes), |d| d.read_bytes),
        ("written", "Bytes that compactions and clusterings wrote", Some(Unit::Bytes), |d| d.written_bytes),
        ("copied", "Of these, bytes copied from base files", Some(Unit::Bytes), |d| d.copied_bytes),
        ("cleaned_files", "Files that were deleted", None, |d| d.cleaned_files as u64),
        ("freed", "Bytes of files that were deleted", Some(Unit::Bytes), |d| d.freed_bytes),
        ("archived_instants", "Instants that were archived", None, |d| d.archived_instants as u64),
    ];
    for (name, help, unit, count) in counts {
        let gauges = OfTables::<u64, AtomicU64>::default();
        for table in &report.tables {
            gauges.get_or_create(&by(table)).set(table.done.as_ref().map_or(0, |done| count(&done.totals)));
        }
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, gauges),
            None => registry.register(name, help, gauges),
        }
    }
}

fn by(table: &TableReport) -> ByTable {
    ByTable { table: table.uri.clone() }
}

/// Writes `text` into the file at `path`, which is there as a whole at any time.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new();
    // A collector may be somebody else.
    #[cfg(unix)]
    file.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = file.prefix(".lakebed").tempfile_in(folder_of(path)?)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map(|_| ()).map_err(|error| error.error)
}

/// The folder that the file at `path` is to be in.
pub(super) fn folder_of(path: &Path) -> io::Result<&Path> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match folder.is_dir() {
        true => Ok(folder),
        false => Err(io::Error::new(io::ErrorKind::NotFound, "there is no such folder")),
    }
}
