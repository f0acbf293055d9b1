//! One round over all tables.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};

use super::report::{FleetReport, State, TableReport};
use crate::cli::human;
use crate::cli::progress::Progress;
use crate::environment::Environment;
use crate::error::Error;
use crate::maintain::fleet::{
    Due, Fleet, FleetTable, FleetTables, KnownTables, Look, Looked, ServeEvent, Served, order, serve,
};
use crate::maintain::{MaintainError, MaintainOptions, RunLimits};
use crate::memory::resident_bytes;
use crate::settings::Size;
use crate::storage::paced::Pace;

/// How many tables are looked at at the same time.
const LOOKS: usize = 16;

/// How often the memory of the process is looked at.
const MEMORY_PERIOD: Duration = Duration::from_millis(50);

/// Goes over all tables once.
pub(super) struct Round<'a> {
    environment: &'a Environment,
    progress: &'a Progress,
    known: KnownTables,
    options: MaintainOptions,
    pace: Option<Arc<Pace>>,
    max_read_bytes: u64,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        fleet: &Fleet,
        memory_bytes: u64,
        environment: &'a Environment,
        progress: &'a Progress,
    ) -> Self {
        let folder = fleet.cache.as_ref().map(|folder| KnownTables::new(Some(PathBuf::from(folder))));
        let default = MaintainOptions::default();
        Self {
            environment,
            progress,
            known: folder.unwrap_or_else(KnownTables::of_user),
            options: MaintainOptions {
                memory_bytes,
                threads: fleet.budget.threads.unwrap_or(default.threads),
                ..default
            },
            pace: fleet.budget.bytes_per_second.map(|Size(bytes)| Pace::new(bytes, environment)),
            max_read_bytes: fleet.budget.read.map_or(u64::MAX, |Size(bytes)| bytes),
        }
    }

    fn look(&self) -> Look<'_> {
        let pace = self.pace.clone();
        Look { environment: self.environment, known: &self.known, options: &self.options, pace }
    }

    /// Says what is due.
    pub(super) async fn dry_run(&self, found: FleetTables) -> FleetReport {
        let looked = self.look_at(&found.tables).await;
        let tables = found.tables.iter().zip(looked).map(|(table, looked)| match looked {
            Ok(looked) => TableReport::due(table, due_of(looked)),
            Err(error) => TableReport::failed(table, &error),
        });
        self.report(tables.collect(), found.unmatched, true)
    }

    /// Does what is due, as far as the limits let it.
    pub(super) async fn run(&self, found: FleetTables, limits: &RunLimits) -> FleetReport {
        let mut due = Vec::new();
        let mut reports: Vec<TableReport> = Vec::new();
        for (table, looked) in found.tables.iter().zip(self.look_at(&found.tables).await) {
            match looked {
                Ok(looked) => {
                    due.push(due_of(looked));
                    reports.push(TableReport::due(table, due[due.len() - 1].clone()));
                }
                Err(error) => {
                    due.push(Vec::new());
                    reports.push(TableReport::failed(table, &error));
                }
            }
        }
        let expected_bytes: u64 = due.iter().map(|due| read_bytes(due)).sum();
        self.progress.begin(expected_bytes, "looking at tables".to_owned());
        let mut left_bytes = self.max_read_bytes;
        for number in order(&due) {
            if limits.are_reached(self.environment.clock.as_ref()) {
                reports[number].state = State::Left;
                continue;
            }
            let begun = self.environment.clock.monotonic();
            let serving = self.serve(&found.tables[number], limits, (left_bytes, read_bytes(&due[number])));
            let ((served, result), memory_bytes) = with_memory(serving).await;
            left_bytes = left_bytes.saturating_sub(served.read_bytes());
            let took = self.environment.clock.monotonic().saturating_sub(begun);
            reports[number].served(&served, (took, memory_bytes), result.map_err(Error::from));
        }
        self.report(reports, found.unmatched, false)
    }

    fn report(&self, tables: Vec<TableReport>, unmatched: Vec<String>, dry_run: bool) -> FleetReport {
        let ended_unix_millis = self.environment.clock.unix_millis();
        FleetReport { tables, unmatched, dry_run, ended_unix_millis, is_one_of_many: false }
    }

    async fn look_at(&self, tables: &[FleetTable]) -> Vec<Result<Looked, Error>> {
        let look = self.look();
        let looks = tables.iter().map(|table| async { look.at(table).await.map_err(Error::from) });
        stream::iter(looks).buffered(LOOKS).collect().await
    }

    async fn serve(
        &self,
        table: &FleetTable,
        limits: &RunLimits,
        (max_read_bytes, expected_bytes): (u64, u64),
    ) -> (Served, Result<(), MaintainError>) {
        let left_bytes = AtomicU64::new(expected_bytes);
        let tell = |event: ServeEvent| match event {
            ServeEvent::Begun { service, instant, groups, bytes } => {
                let groups = human::counted(groups as u64, "file group");
                self.progress.describe(format!("{}: {service} {instant}, {groups}", table.uri));
                // Of pending plans nobody knew what they read.
                let left = left_bytes.load(Ordering::Relaxed);
                left_bytes.store(left.saturating_sub(bytes), Ordering::Relaxed);
                self.progress.lengthen(bytes.saturating_sub(left));
            }
            ServeEvent::Finished { read_bytes } => self.progress.advance(read_bytes),
        };
        let look = self.look();
        let maintainer = match look.open(table).await {
            Ok(maintainer) => maintainer,
            Err(error) => return (Served::default(), Err(error)),
        };
        serve(&look, &maintainer, table, limits, max_read_bytes, &tell).await
    }
}

/// What comes of `work`, and the most memory that the process had meanwhile.
async fn with_memory<T>(work: impl Future<Output = T>) -> (T, u64) {
    let mut most = resident_bytes().unwrap_or_default();
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return (done, most.max(resident_bytes().unwrap_or_default())),
            () = tokio::time::sleep(MEMORY_PERIOD) => most = most.max(resident_bytes().unwrap_or_default()),
        }
    }
}

fn read_bytes(due: &[Due]) -> u64 {
    due.iter().map(|due| due.read_bytes).sum()
}

fn due_of(looked: Looked) -> Vec<Due> {
    match looked {
        Looked::Unchanged => Vec::new(),
        Looked::Due(due) => due,
    }
}
