//! Why an instant is not taken back.

use std::time::Duration;

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::Action;

use crate::human;
use crate::storage::TablePath;

/// Why an instant is not taken back, or not kept: nothing was changed. By [`UndoError::TakenOver`] no more was than
/// the files of an attempt that had died.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UndoError {
    /// There is no such instant.
    #[error(
        "{instant} is no instant of the active timeline; `lakebed timeline` lists those that are; nothing was changed"
    )]
    Unknown {
        /// What was asked for.
        instant: InstantTime,
    },
    /// It is not completed.
    #[error("{action} {instant} is not completed: only what is part of the table can be kept")]
    Incomplete {
        /// What was asked for.
        instant: InstantTime,
        /// What it does.
        action: Action,
    },
    /// It was archived.
    #[error("{instant} is archived: it cannot be rolled back or kept any more")]
    Archived {
        /// What was asked for.
        instant: InstantTime,
    },
    /// It writes no data.
    #[error("{instant} is a {action}, which is not rolled back: {advice}")]
    NoWrite {
        /// What was asked for.
        instant: InstantTime,
        /// What it does.
        action: Action,
        /// What to do instead.
        advice: &'static str,
    },
    /// Somebody may be at work.
    #[error(
        "{action} {instant} of {who} may be alive: it was begun {} ago, and the last that was heard of it {} ago; if \
         nothing more is, it counts as dead in {}: stop its process, and try again then",
        human::lasting(*begun), human::lasting(*heard), human::lasting(*expires)
    )]
    Alive {
        /// Its instant.
        instant: InstantTime,
        /// What it does.
        action: Action,
        /// Whose it is.
        who: String,
        /// How long ago it was begun.
        begun: Duration,
        /// How long ago it last gave a sign of life.
        heard: Duration,
        /// In how long it counts as dead.
        expires: Duration,
    },
    /// Somebody else went on with it.
    #[error(
        "{action} {instant} is not rolled back: somebody else has taken it over meanwhile, and goes on with it; run \
         this again to undo what they make of it"
    )]
    TakenOver {
        /// What was asked for.
        instant: InstantTime,
        /// What it does.
        action: Action,
    },
    /// A savepoint keeps it.
    #[error(
        "{instant} has a savepoint, which keeps it: delete that first (lakebed savepoint delete TABLE {instant})"
    )]
    Savepointed {
        /// What was asked for.
        instant: InstantTime,
    },
    /// Others came after it.
    #[error(
        "{later_action} {later} came after {instant} and may be built on it: roll that back first, the newest before \
         all, or restore the table to a savepoint"
    )]
    Later {
        /// What was asked for.
        instant: InstantTime,
        /// What came after it.
        later: InstantTime,
        /// What that does.
        later_action: Action,
    },
    /// A write that is not completed may be built on it.
    #[error(
        "{pending_action} {pending} is not completed, and may be built on {instant}: roll that back first (lakebed \
         rollback TABLE {pending}), or wait for it"
    )]
    Pending {
        /// What was asked for.
        instant: InstantTime,
        /// What is not completed.
        pending: InstantTime,
        /// What that does.
        pending_action: Action,
    },
    /// A service is to read its files.
    #[error(
        "{service_action} {service} is planned and is to read {path}, which {instant} wrote: carry it out, or take it \
         back (lakebed rollback TABLE {service})"
    )]
    Planned {
        /// What was asked for.
        instant: InstantTime,
        /// The service.
        service: InstantTime,
        /// What it does.
        service_action: Action,
        /// The file.
        path: TablePath,
    },
    /// What it was built on is gone.
    #[error(
        "without {instant} the table would need {path}, which clean {clean} has deleted, or is to: rows would be lost"
    )]
    Cleaned {
        /// What was asked for.
        instant: InstantTime,
        /// The clean.
        clean: InstantTime,
        /// The file.
        path: TablePath,
    },
    /// All before it is archived.
    #[error(
        "{instant} is the only commit of the active timeline, and those before it are archived: without it no reader \
         would find them"
    )]
    Only {
        /// What was asked for.
        instant: InstantTime,
    },
    /// No savepoint of that time.
    #[error("there is no savepoint of {instant}{}", named(savepoints))]
    NoSavepoint {
        /// What was asked for.
        instant: InstantTime,
        /// Those that there are.
        savepoints: Vec<InstantTime>,
    },
    /// The commit of a savepoint is not there.
    #[error(
        "the commit of savepoint {savepoint} is not on the active timeline: nothing says what is to be kept"
    )]
    NoCommit {
        /// The savepoint.
        savepoint: InstantTime,
    },
    /// What came after a savepoint was archived.
    #[error(
        "{action} {archived} came after savepoint {savepoint} and is archived: it cannot be taken back any more \
         (hoodie.archive.beyond.savepoint)"
    )]
    ArchivedBeyond {
        /// The savepoint.
        savepoint: InstantTime,
        /// What is archived.
        archived: InstantTime,
        /// What that did.
        action: Action,
    },
    /// A file that a savepoint keeps is not there.
    #[error("{path} is not there, which savepoint {savepoint} is to keep: its rows would be lost")]
    KeptFile {
        /// The savepoint.
        savepoint: InstantTime,
        /// The file.
        path: TablePath,
    },
    /// Another restore was begun.
    #[error(
        "restore {restore} was begun and is not completed, which takes the table back to {}: go on with that one \
         (lakebed restore TABLE --to {})",
        or_unknown(savepoint),
        or_unknown(savepoint)
    )]
    OtherRestore {
        /// It.
        restore: InstantTime,
        /// The savepoint that it goes back to.
        savepoint: Option<InstantTime>,
    },
    /// A clean that is not completed may delete what is to be kept.
    #[error(
        "clean {clean} is planned and is to delete {path}, which {instant} needs: complete it first (lakebed clean \
         TABLE --run {clean}), and savepoint a later commit"
    )]
    GoingFile {
        /// What was asked for.
        instant: InstantTime,
        /// The clean.
        clean: InstantTime,
        /// The file.
        path: TablePath,
    },
    /// There is no commit to keep.
    #[error("there is no commit that can be savepointed{}", match pending {
        Some(pending) => format!(": {pending} is not completed, and none before it is on the active timeline"),
        None => String::new(),
    })]
    NothingToKeep {
        /// What is not completed.
        pending: Option<InstantTime>,
    },
}

fn named(savepoints: &[InstantTime]) -> String {
    match savepoints {
        [] => "; the table has none".to_owned(),
        savepoints => {
            let names: Vec<&str> = savepoints.iter().map(InstantTime::as_str).collect();
            format!("; there are {}", names.join(", "))
        }
    }
}

fn or_unknown(savepoint: &Option<InstantTime>) -> &str {
    savepoint.as_ref().map_or("the last savepoint before it", InstantTime::as_str)
}
