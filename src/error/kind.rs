//! The kinds of errors.

/// What a caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Change what was asked for: an argument, a setting, an address, credentials.
    FixInput,
    /// Nothing was written, to keep the table right. The message says what would allow it.
    Refused,
    /// Somebody else was at the table: try again.
    Conflict,
    /// Look at the rows: more of them were bad than allowed.
    DataQuality,
    /// Stop, and do not start again: a newer run has taken over.
    Fenced,
    /// Read the message: the disk, the network or a damaged file.
    Failed,
}

impl ErrorKind {
    /// The kind as scripts see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FixInput => "fix_input",
            Self::Refused => "refused",
            Self::Conflict => "conflict",
            Self::DataQuality => "data_quality",
            Self::Fenced => "fenced",
            Self::Failed => "failed",
        }
    }
}
