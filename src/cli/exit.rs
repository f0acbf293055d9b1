//! How the program ends.

use std::process::ExitCode;

use crate::error::ErrorKind;

/// The exit codes, for scripts and schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed: read the message.
    Failed = 1,
    /// An argument, a setting or an address has to be changed.
    Usage = 2,
    /// There was nothing to do; the output says why.
    NothingToDo = 3,
    /// Refused by a safety check: the table holds what it held.
    Refused = 4,
    /// Somebody else was at the table: try again.
    Conflict = 5,
    /// More bad rows than allowed.
    DataQuality = 6,
    /// A newer run has taken over: do not restart.
    Fenced = 7,
    /// Of several tables, some failed.
    SomeTablesFailed = 8,
    /// The doctor found something.
    Findings = 9,
}

impl Exit {
    /// The code.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::FixInput => Self::Usage,
            ErrorKind::Refused => Self::Refused,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::DataQuality => Self::DataQuality,
            ErrorKind::Fenced => Self::Fenced,
            ErrorKind::Failed => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
