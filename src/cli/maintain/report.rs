//! What was done to the tables of a fleet, and what would be.

use std::io;
use std::time::Duration;

use serde::Serialize;

use crate::cli::output::{Page, Report};
use crate::cli::{Exit, human};
use crate::error::{Error, ErrorKind};
use crate::maintain::fleet::{Due, FleetTable, Price, Served, Totals};

/// How it stands about a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Nothing is due.
    Idle,
    /// Something is due.
    Due,
    /// What was due was done.
    Done,
    /// Some of it was done, the next run goes on.
    Stopped,
    /// Nothing of it was begun: the limits were reached.
    Left,
    /// Somebody else was at the table: the next run tries again.
    Conflict,
    /// The table is none that Lakebed maintains.
    Refused,
    /// It failed.
    Failed,
}

/// What was done to the tables of a fleet, or would be.
#[derive(Debug, Serialize)]
pub(super) struct FleetReport {
    /// The tables, in the order of the fleet.
    pub(super) tables: Vec<TableReport>,
    /// Patterns that no table matches.
    pub(super) unmatched: Vec<String>,
    /// Whether nothing was to be done.
    pub(super) dry_run: bool,
    /// When the round ended, in milliseconds since the epoch.
    pub(super) ended_unix_millis: i64,
    /// Whether it is one of many, so that people are told when it was.
    #[serde(skip)]
    pub(super) is_one_of_many: bool,
}

/// What was due in a table, and what was done of it.
#[derive(Debug, Serialize)]
pub(super) struct TableReport {
    pub(super) uri: String,
    pub(super) state: State,
    pub(super) due: Vec<Due>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) done: Option<Done>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    exit: Option<Exit>,
}

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    pub(super) seconds: f64,
    /// The most memory that the process had meanwhile, in bytes; 0 where the system does not tell.
    pub(super) memory_bytes: u64,
    #[serde(flatten)]
    pub(super) totals: Totals,
}

impl State {
    pub(super) const ALL: [Self; 8] = [
        Self::Idle,
        Self::Due,
        Self::Done,
        Self::Stopped,
        Self::Left,
        Self::Conflict,
        Self::Refused,
        Self::Failed,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Due => "due",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Left => "left",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl TableReport {
    pub(super) fn due(table: &FleetTable, due: Vec<Due>) -> Self {
        let state = if due.is_empty() { State::Idle } else { State::Due };
        Self { uri: table.uri.to_string(), state, due, done: None, error: None, exit: None }
    }

    pub(super) fn failed(table: &FleetTable, error: &Error) -> Self {
        let mut report = Self::due(table, Vec::new());
        report.fail(error);
        report
    }

    pub(super) fn served(
        &mut self,
        served: &Served,
        (took, memory_bytes): (Duration, u64),
        result: Result<(), Error>,
    ) {
        self.done = Some(Done { seconds: took.as_secs_f64(), memory_bytes, totals: served.totals() });
        let at_work = served.at_work().next();
        self.state = match served.totals().is_nothing() {
            true if at_work.is_some() => State::Conflict,
            true if served.was_stopped => State::Left,
            false if served.was_stopped => State::Stopped,
            _ => State::Done,
        };
        if let Some((service, instant)) = at_work {
            self.error = Some(format!("somebody else is at work on {service} {instant}"));
            self.exit = (self.state == State::Conflict).then_some(Exit::Conflict);
        }
        if let Err(error) = result {
            self.fail(&error);
        }
    }

    fn fail(&mut self, error: &Error) {
        self.state = match error.kind() {
            ErrorKind::Refused => State::Refused,
            ErrorKind::Conflict => State::Conflict,
            _ => State::Failed,
        };
        self.exit = Some(Exit::from(error.kind()));
        self.error = Some(error.chain().join(": "));
    }

    /// What compaction and clustering, as far as they are due, were expected to take.
    pub(super) fn prices(&self) -> impl Iterator<Item = Price> {
        self.due.iter().filter_map(|due| due.price)
    }

    /// What compaction and clustering took, beside what was expected.
    fn beside_expected(&self) -> Option<Vec<String>> {
        let (prices, done) = (self.prices().collect::<Vec<_>>(), self.done.as_ref()?);
        let memory_bytes = prices.iter().map(|price| price.memory_bytes).max()?;
        let sum = |of: fn(&Price) -> u64| prices.iter().map(of).sum();
        let seconds: f64 = prices.iter().map(|price| price.seconds).sum();
        let bytes = |found, expected| format!("{} / {}", human::bytes(found), human::bytes(expected));
        Some(vec![
            self.uri.clone(),
            bytes(done.totals.read_bytes, sum(|price| price.read_bytes)),
            bytes(done.totals.written_bytes, sum(|price| price.written_bytes)),
            bytes(done.totals.copied_bytes, sum(|price| price.copied_bytes)),
            format!("{:.1} / {seconds:.1}", done.seconds),
            bytes(done.memory_bytes, memory_bytes),
        ])
    }

    /// What is due, and what came of it.
    fn what(&self) -> String {
        let mut parts: Vec<String> = match &self.done {
            Some(done) if done.totals.is_nothing() && self.state == State::Done => {
                vec!["nothing was left to do".to_owned()]
            }
            Some(done) if done.totals.is_nothing() => Vec::new(),
            Some(done) => vec![done.totals.to_string()],
            None => self.due.iter().map(due_text).collect(),
        };
        parts.extend(self.error.clone());
        parts.join(", ")
    }
}

fn due_text(due: &Due) -> String {
    let count = due.count as u64;
    use crate::maintain::fleet::Service::{Archive, Clean, Clustering, Compaction, Rollback};
    if due.is_pending {
        return format!("carry {} of {} out", human::counted(count, "pending plan"), due.service);
    }
    match due.service {
        Rollback => format!("roll {} back", human::counted(count, "dead write")),
        Compaction => format!("compact {}", human::counted(count, "file group")),
        Clustering => format!("cluster {}", human::counted(count, "small file group")),
        Clean if count == 0 => "note how far the table is clean".to_owned(),
        Clean => format!("delete {} ({})", human::counted(count, "file"), human::bytes(due.freed_bytes)),
        Archive => format!("archive {}", human::counted(count, "instant")),
    }
}

impl FleetReport {
    /// Some tables that failed say so; one that was asked for alone says how.
    pub(super) fn exit(&self) -> Exit {
        let states = |state| self.tables.iter().filter(move |table| table.state == state).count();
        match self.tables.as_slice() {
            [one] if one.exit.is_some() => return one.exit.unwrap_or(Exit::Failed),
            _ if states(State::Failed) > 0 => return Exit::SomeTablesFailed,
            _ => {}
        }
        let worked = [State::Due, State::Done, State::Stopped, State::Left];
        match worked.into_iter().map(states).sum::<usize>() {
            0 if states(State::Conflict) > 0 => Exit::Conflict,
            0 if states(State::Refused) > 0 && states(State::Idle) == 0 => Exit::Refused,
            0 => Exit::NothingToDo,
            _ => Exit::Done,
        }
    }
}

impl Report for FleetReport {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.is_one_of_many {
            page.heading(&format!("{} UTC", human::event_time(self.ended_unix_millis)))?;
        }
        match self.dry_run {
            true => self.render_due(page)?,
            false => self.render_done(page)?,
        }
        let idle = self.tables.iter().filter(|table| table.state == State::Idle).count();
        if idle > 0 {
            page.line(&format!("{}: nothing is due", human::counted(idle as u64, "table")))?;
        }
        for pattern in &self.unmatched {
            page.advice(&format!("{pattern}: no table matches"))?;
        }
        Ok(())
    }
}

impl FleetReport {
    /// What is due, with what it costs and brings; then which tables cannot be looked at.
    fn render_due(&self, page: &mut Page<'_>) -> io::Result<()> {
        let columns =
            ["TABLE", "DUE", "READ>", "WRITTEN>", "COPIED>", "SECONDS>", "MEMORY>", "FILES>", "READ COST>"];
        let due = self.tables.iter().flat_map(|table| table.due.iter().map(move |due| (table, due)));
        let rows: Vec<Vec<String>> = due
            .map(|(table, due)| {
                let price = due.price.as_ref().map_or_else(|| vec![String::new(); 7], price_cells);
                [vec![table.uri.clone(), due_text(due)], price].concat()
            })
            .collect();
        if !rows.is_empty() {
            page.rows(&columns, rows)?;
        }
        for table in &self.tables {
            if let Some(error) = &table.error {
                page.line(&format!("{}: {}: {error}", table.uri, table.state.as_str()))?;
            }
        }
        Ok(())
    }

    /// What was done, then what that took beside what was expected.
    fn render_done(&self, page: &mut Page<'_>) -> io::Result<()> {
        let told = self.tables.iter().filter(|table| table.state != State::Idle);
        let rows: Vec<Vec<String>> = told
            .map(|table| {
                let seconds = table.done.as_ref().map(|done| format!("{:.1}", done.seconds));
                let state = table.state.as_str().to_owned();
                vec![table.uri.clone(), state, seconds.unwrap_or_default(), table.what()]
            })
            .collect();
        if !rows.is_empty() {
            page.rows(&["TABLE", "STATE", "SECONDS>", "WHAT"], rows)?;
        }
        let expected: Vec<Vec<String>> =
            self.tables.iter().filter_map(TableReport::beside_expected).collect();
        if expected.is_empty() {
            return Ok(());
        }
        page.line("")?;
        page.rows(&["FOUND / EXPECTED", "READ>", "WRITTEN>", "COPIED>", "SECONDS>", "MEMORY>"], expected)
    }
}

/// Bytes read, written and copied, seconds, bytes of memory, files and costs of readers.
fn price_cells(price: &Price) -> Vec<String> {
    let before_and_after = |before: String, after: String| format!("{before} -> {after}");
    vec![
        human::bytes(price.read_bytes),
        human::bytes(price.written_bytes),
        human::bytes(price.copied_bytes),
        format!("{:.1}", price.seconds),
        human::bytes(price.memory_bytes),
        before_and_after(human::count(price.files_before), human::count(price.files_after)),
        before_and_after(
            format!("{:.2}", price.read_amplification_before),
            format!("{:.2}", price.read_amplification_after),
        ),
    ]
}
