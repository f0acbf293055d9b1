//! One round over all tables.

use std::path::PathBuf;

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
use crate::settings::Size;

/// How many tables are looked at at the same time.
const LOOKS: usize = 16;

/// Goes over all tables once.
pub(super) struct Round<'a> {
    environment: &'a Environment,
    progress: &'a Progress,
    known: KnownTables,
    options: MaintainOptions,
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
        Self {
            environment,
            progress,
            known: folder.unwrap_or_else(KnownTables::of_user),
            options: MaintainOptions { memory_bytes, ..MaintainOptions::default() },
            max_read_bytes: fleet.budget.read.map_or(u64::MAX, |Size(bytes)| bytes),
        }
    }

    fn look(&self) -> Look<'_> {
        Look { environment: self.environment, known: &self.known, options: &self.options }
    }

    /// Says what is due.
    pub(super) async fn dry_run(&self, found: FleetTables) -> FleetReport {
        let looked = self.look_at(&found.tables).await;
        let tables = found.tables.iter().zip(looked).map(|(table, looked)| match looked {
            Ok(looked) => TableReport::due(table, due_of(looked)),
            Err(error) => TableReport::failed(table, &error),
        });
        FleetReport { tables: tables.collect(), unmatched: found.unmatched, dry_run: true }
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
        let mut left_bytes = self.max_read_bytes;
        for number in order(&due) {
            if limits.are_reached(self.environment.clock.as_ref()) {
                reports[number].state = State::Left;
                continue;
            }
            let begun = self.environment.clock.monotonic();
            let (served, result) = self.serve(&found.tables[number], limits, left_bytes).await;
            left_bytes = left_bytes.saturating_sub(served.read_bytes());
            let took = self.environment.clock.monotonic().saturating_sub(begun);
            reports[number].served(&served, took, result.map_err(Error::from));
        }
        FleetReport { tables: reports, unmatched: found.unmatched, dry_run: false }
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
        max_read_bytes: u64,
    ) -> (Served, Result<(), MaintainError>) {
        let maintainer = match self.look().open(table).await {
            Ok(maintainer) => maintainer,
            Err(error) => return (Served::default(), Err(error)),
        };
        let tell = |event: ServeEvent| match event {
            ServeEvent::Begun { service, instant, groups, bytes } => {
                let groups = human::counted(groups as u64, "file group");
                self.progress.begin(bytes, format!("{}: {service} {instant}, {groups}", table.uri));
            }
            ServeEvent::Finished { read_bytes } => self.progress.advance(read_bytes),
        };
        serve(&maintainer, table, limits, max_read_bytes, &tell).await
    }
}

fn due_of(looked: Looked) -> Vec<Due> {
    match looked {
        Looked::Unchanged => Vec::new(),
        Looked::Due(due) => due,
    }
}
