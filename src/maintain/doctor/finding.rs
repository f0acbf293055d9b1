//! What the doctor finds.

use serde::Serialize;

/// Kinds of what is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A file in the folder of the timeline that nobody knows.
    UnknownFile,
    /// A file of a completed instant, or of the archive, that nobody can read.
    BrokenFile,
    /// A write that is not completed, and whose writer is dead.
    DeadWrite,
    /// A service that was begun, is not completed, and that nobody is at.
    IdleService,
    /// A rollback that was cut off.
    CutOffRollback,
    /// A restore that was cut off: until it is completed nobody can write.
    CutOffRestore,
    /// A savepoint that was cut off while it was made or deleted.
    CutOffSavepoint,
    /// A plan that nobody can read, or carry out.
    BrokenPlan,
    /// The plan of a compaction or clustering that reads a file which is not there.
    PlanMissesFile,
    /// A commit that names a file which is not there, and which no clean has deleted.
    CommitMissesFile,
    /// A data file that has not the size that its commit says.
    OtherSize,
    /// A data file of a write that is nowhere on the timeline.
    StrayFile,
    /// A data file from before the active timeline that no archived commit explains: readers take it for part of
    /// the table.
    UnexplainedFile,
    /// A folder with data files in which readers see none.
    NoPartition,
    /// A file group in a table with a bucket index that is no bucket's.
    ForeignGroup,
    /// Two file groups of one bucket.
    DuplicateBucket,
    /// Two base files of one group and instant, of which readers take either.
    DuplicateBaseFile,
    /// Markers of a write that is over.
    LeftMarkers,
    /// A heartbeat of something that is over.
    LeftHeartbeat,
    /// A lock that has been held for long.
    LeftLock,
    /// Times on the timeline that are still to come.
    ClockAhead,
}

impl FindingKind {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownFile => "unknown file",
            Self::BrokenFile => "broken file",
            Self::DeadWrite => "dead write",
            Self::IdleService => "idle service",
            Self::CutOffRollback => "cut off rollback",
            Self::CutOffRestore => "cut off restore",
            Self::CutOffSavepoint => "cut off savepoint",
            Self::BrokenPlan => "broken plan",
            Self::PlanMissesFile => "plan misses file",
            Self::CommitMissesFile => "commit misses file",
            Self::OtherSize => "other size",
            Self::StrayFile => "stray file",
            Self::UnexplainedFile => "unexplained file",
            Self::NoPartition => "no partition",
            Self::ForeignGroup => "foreign group",
            Self::DuplicateBucket => "duplicate bucket",
            Self::DuplicateBaseFile => "duplicate base file",
            Self::LeftMarkers => "left markers",
            Self::LeftHeartbeat => "left heartbeat",
            Self::LeftLock => "left lock",
            Self::ClockAhead => "clock ahead",
        }
    }
}

/// What mends a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mend {
    /// The program with these arguments.
    Command(Vec<String>),
    /// What no command does.
    Advice(String),
}

impl Mend {
    /// A command on a table: its words, the table, and what follows.
    pub(super) fn command(words: &[&str], uri: &str, rest: &[&str]) -> Self {
        let all = words.iter().chain([&uri]).chain(rest);
        Self::Command(all.map(|word| (*word).to_owned()).collect())
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            Self::Command(arguments) => format!("lakebed {}", arguments.join(" ")),
            Self::Advice(text) => text.clone(),
        }
    }
}

/// Something that is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The file or instant.
    pub subject: String,
    /// What is wrong with it.
    pub detail: String,
    /// What mends it.
    pub mend: Mend,
}
