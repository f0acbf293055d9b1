//! What an archival did, and what one would do.

use std::io;

use lakebed_hudi::instant::InstantTime;
use serde::Serialize;

use crate::cli::human;
use crate::cli::output::{Page, Report};
use crate::maintain::Maintainer;
use crate::maintain::archive::{ArchivePlan, ArchiveReport, HeldBy, Hold};

/// What an archival did.
#[derive(Debug, Serialize)]
pub(super) struct ArchiveDone {
    table: String,
    #[serde(flatten)]
    gone: Instants,
    /// Completed commits that are left on the active timeline.
    active_commits: usize,
    /// What held more back.
    held: Option<Held>,
    /// Files of the archive that were made of smaller ones.
    merged_files: usize,
    stopped: bool,
}

/// Instants that go.
#[derive(Debug, Serialize)]
struct Instants {
    /// All of them, and those of them that are commits.
    instants: usize,
    commits: usize,
    first: Option<InstantTime>,
    last: Option<InstantTime>,
}

/// What holds instants back.
#[derive(Debug, Serialize)]
struct Held {
    /// Nothing goes from then on.
    from: InstantTime,
    #[serde(flatten)]
    by: HeldBy,
}

impl From<Hold> for Held {
    fn from(hold: Hold) -> Self {
        Self { from: hold.from, by: hold.by }
    }
}

impl ArchiveDone {
    pub(super) fn of(maintainer: &Maintainer, report: ArchiveReport) -> Self {
        let gone = Instants {
            instants: report.instants,
            commits: report.commits,
            first: report.range.map(|(first, _)| first),
            last: report.range.map(|(_, last)| last),
        };
        Self {
            table: maintainer.table().config.name.clone(),
            gone,
            active_commits: report.left,
            held: report.hold.map(Held::from),
            merged_files: report.merged,
            stopped: report.was_stopped,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gone.instants == 0
    }
}

impl Report for ArchiveDone {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        let Self { table, gone, active_commits, held, .. } = self;
        let left =
            format!("{} left on the active timeline", human::counted(*active_commits as u64, "commit"));
        let told = gone.told("archived").unwrap_or_else(|| "nothing to archive".to_owned());
        page.line(&format!("{table}: {told} · {left}"))?;
        if self.stopped {
            page.line("stopped: the next run goes on")?;
        }
        tell_hold(page, held.as_ref())
    }
}

/// What an archival would do.
#[derive(Debug, Serialize)]
pub(super) struct ArchivePlanned {
    table: String,
    dry_run: bool,
    #[serde(flatten)]
    going: Instants,
    /// Completed commits that would be left on the active timeline.
    active_commits: usize,
    /// What would hold more back.
    held: Option<Held>,
}

impl ArchivePlanned {
    pub(super) fn of(maintainer: &Maintainer, plan: ArchivePlan) -> Self {
        let going = Instants {
            instants: plan.going.len(),
            commits: plan.going_commits(),
            first: plan.going.first().map(|instant| instant.time),
            last: plan.going.last().map(|instant| instant.time),
        };
        Self {
            table: maintainer.table().config.name.clone(),
            dry_run: true,
            active_commits: plan.commits - going.commits,
            going,
            held: plan.hold.map(Held::from),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.going.instants == 0
    }
}

impl Report for ArchivePlanned {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        let Self { table, going, active_commits, held, .. } = self;
        let left = human::counted(*active_commits as u64, "commit");
        let told = match going.told("would be archived") {
            Some(told) => format!("{told} · {left} would be left on the active timeline"),
            None => format!("nothing to archive · {left} on the active timeline"),
        };
        page.line(&format!("{table}: {told}"))?;
        tell_hold(page, held.as_ref())
    }
}

impl Instants {
    fn told(&self, what: &str) -> Option<String> {
        let (first, last) = (self.first?, self.last?);
        let instants = human::counted(self.instants as u64, "instant");
        let commits = human::counted(self.commits as u64, "commit");
        Some(format!("{instants} ({commits}) {what}, from {first} to {last}"))
    }
}

fn tell_hold(page: &mut Page<'_>, held: Option<&Held>) -> io::Result<()> {
    match held {
        Some(Held { from, by }) => {
            page.line(&format!("more would have gone, but is held from {from} on by {by}"))
        }
        None => Ok(()),
    }
}
