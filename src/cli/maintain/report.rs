//! What was done to the tables of a fleet, and what would be.

use std::io;
use std::time::Duration;

use serde::Serialize;

use crate::cli::output::{Page, Report};
use crate::cli::{Exit, human};
use crate::error::{Error, ErrorKind};
use crate::maintain::fleet::{Due, FleetTable, Served};

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
    /// Writes of dead writers that were undone.
    pub(super) rolled_back: usize,
    /// File groups that were compacted and clustered, bytes that were read and written for them.
    pub(super) compacted_groups: usize,
    pub(super) clustered_groups: usize,
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
    /// Files that were deleted, and their bytes.
    pub(super) cleaned_files: usize,
    pub(super) freed_bytes: u64,
    /// Instants that went to the archive.
    pub(super) archived_instants: usize,
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

    pub(super) fn served(&mut self, served: &Served, took: Duration, result: Result<(), Error>) {
        let archived = served.archive.as_ref();
        self.done = Some(Done {
            seconds: took.as_secs_f64(),
            rolled_back: served.rolled_back,
            compacted_groups: served.compactions.iter().map(|report| report.finished).sum(),
            clustered_groups: served.clusterings.iter().map(|report| report.finished).sum(),
            read_bytes: served.read_bytes(),
            written_bytes: served.written_bytes(),
            cleaned_files: served.cleans.iter().map(|report| report.deleted).sum(),
            freed_bytes: served.cleans.iter().map(|report| report.freed_bytes).sum(),
            archived_instants: archived.map_or(0, |report| report.instants),
        });
        self.state = if served.was_stopped { State::Stopped } else { State::Done };
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

    /// What is due, and what came of it.
    fn what(&self) -> String {
        let mut parts: Vec<String> = match &self.done {
            Some(done) => done.parts(),
            None => self.due.iter().map(due_text).collect(),
        };
        parts.extend(self.error.clone());
        parts.join(", ")
    }
}

impl Done {
    fn parts(&self) -> Vec<String> {
        let counted = |count: usize, noun| human::counted(count as u64, noun);
        let mut parts = Vec::new();
        if self.rolled_back > 0 {
            parts.push(format!("{} rolled back", counted(self.rolled_back, "write")));
        }
        let rewritten = [(self.compacted_groups, "compacted"), (self.clustered_groups, "clustered")];
        let rewritten = rewritten.into_iter().filter(|(groups, _)| *groups > 0);
        let rewritten: Vec<String> =
            rewritten.map(|(groups, what)| format!("{} {what}", counted(groups, "file group"))).collect();
        if !rewritten.is_empty() {
            let (read, written) = (human::bytes(self.read_bytes), human::bytes(self.written_bytes));
            parts.push(format!("{} ({read} read, {written} written)", rewritten.join(", ")));
        }
        if self.cleaned_files > 0 {
            let freed = human::bytes(self.freed_bytes);
            parts.push(format!("{} deleted ({freed})", counted(self.cleaned_files, "file")));
        }
        if self.archived_instants > 0 {
            parts.push(format!("{} archived", counted(self.archived_instants, "instant")));
        }
        parts
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
        Compaction => {
            let groups = human::counted(count, "file group");
            format!("compact {groups} (read {})", human::bytes(due.read_bytes))
        }
        Clustering => {
            let groups = human::counted(count, "small file group");
            format!("cluster {groups} (read {})", human::bytes(due.read_bytes))
        }
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
        let told = self.tables.iter().filter(|table| table.state != State::Idle);
        let rows: Vec<Vec<String>> = told
            .map(|table| {
                let seconds = table.done.as_ref().map(|done| format!("{:.1}", done.seconds));
                let state = table.state.as_str().to_owned();
                vec![table.uri.clone(), state, seconds.unwrap_or_default(), table.what()]
            })
            .collect();
        let idle = self.tables.len() - rows.len();
        if !rows.is_empty() {
            page.rows(&["TABLE", "STATE", "SECONDS>", "WHAT"], rows)?;
        }
        if idle > 0 {
            page.line(&format!("{}: nothing is due", human::counted(idle as u64, "table")))?;
        }
        for pattern in &self.unmatched {
            page.advice(&format!("{pattern}: no table matches"))?;
        }
        Ok(())
    }
}
