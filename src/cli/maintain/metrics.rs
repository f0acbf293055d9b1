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

/// What a round that ended at `unix_millis` did, all of it named `lakebed_maintain_…`.
///
/// Everything is a gauge of the last round alone, since a run of a cron begins at nothing each time.
pub(super) fn text(report: &FleetReport, took: Duration, unix_millis: i64) -> String {
    let mut registry = Registry::with_prefix("lakebed_maintain");
    let ended = Gauge::<f64, AtomicU64>::default();
    ended.set(unix_millis as f64 / 1e3);
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
    text
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

/// Of tables that were served.
fn register_tables(registry: &mut Registry, report: &FleetReport) {
    let served = || report.tables.iter().filter_map(|table| Some((table, table.done.as_ref()?)));
    let seconds = OfTables::<f64, AtomicU64>::default();
    for (table, done) in served() {
        seconds.get_or_create(&by(table)).set(done.seconds);
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
    for (table, price) in report.tables.iter().filter_map(|table| Some((table, table.prices().next()?))) {
        amplification.get_or_create(&by(table)).set(price.read_amplification_before);
    }
    let help = "What reading a table cost before, over what its base files alone cost";
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
        for (table, done) in served() {
            gauges.get_or_create(&by(table)).set(count(&done.totals));
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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new();
    // A collector may be somebody else.
    #[cfg(unix)]
    file.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = file.prefix(".lakebed").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map(|_| ()).map_err(|error| error.error)
}
