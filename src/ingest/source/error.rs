//! Why a source cannot be read on.

use crate::ingest::decode::DecodeError;

/// Why a source cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// An input that cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A folder or file that cannot be looked at.
    #[error("{path}: it cannot be read: {source}")]
    Io {
        /// The folder or file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is named and is not there.
    #[error("{path}: there is no such file; see source.files")]
    Missing {
        /// The file.
        path: String,
    },
    /// Something else where a file is named.
    #[error("{path}: it is no file; those in a folder are named by {path}/*")]
    NoPlainFile {
        /// The folder, or what it is.
        path: String,
    },
    /// Patterns that name no file.
    #[error("no file is named by {}; see source.files", patterns.join(" nor by "))]
    NoFile {
        /// The patterns.
        patterns: Vec<String>,
    },
    /// A file that went away.
    #[error("{path}: it is gone{}", gone(*read))]
    Vanished {
        /// The file.
        path: String,
        /// How many of its records were read.
        read: u64,
    },
    /// A file that was read in part, and is another one now.
    #[error(
        "{path}: {read} of its records were read, and it has changed since ({what} was {expected}, is {found}): put \
         it back as it was{}, or run once with --reset-progress to read all files again",
        if *rest_may_change { " up to there" } else { ", with bad_records.policy: dead_letter for what is bad" }
    )]
    Other {
        /// The file.
        path: String,
        /// How many of its records were read.
        read: u64,
        /// What differs.
        what: &'static str,
        /// What it was.
        expected: String,
        /// What it is.
        found: String,
        /// Whether what follows those records may be another one.
        rest_may_change: bool,
    },
    /// A file that does not stay what it is.
    #[error(
        "{path}: it has changed while it was read ({what} was {expected}, is {found}); files must be complete when \
         they appear: rename them into place"
    )]
    Changed {
        /// The file.
        path: String,
        /// What differs.
        what: &'static str,
        /// What it was.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A new file that sorts before what was read already.
    #[error(
        "{path}: it is new, and sorts before {mark}, up to which files were read already; rename it, or set \
         source.late_names to ignore"
    )]
    LateName {
        /// The file, or how many there are where only that is known.
        path: String,
        /// The name up to which files were read.
        mark: String,
    },
    /// The last file that was read, in another folder than the one where it was read.
    #[error(
        "{path}: it has the name, the size and the beginning of {mark}, which was read already: if files were moved \
         or copied, with the job or alone, put them back, or they are read twice; to read all that are there, reset \
         the progress (--reset-progress)"
    )]
    Moved {
        /// The file.
        path: String,
        /// The name by which it was read.
        mark: String,
    },
    /// A file that was read already, or should have been, and has changed since.
    #[error(
        "{path}: it was put there or changed after all files up to {mark} were read, and would not be read \
         again; give it a later name, or set source.late_names to ignore"
    )]
    Replaced {
        /// The file.
        path: String,
        /// The name up to which files were read.
        mark: String,
    },
    /// A name that is not UTF-8.
    #[error("{path:?}: the name is not UTF-8, and progress could not name the file; rename it")]
    Name {
        /// The file.
        path: std::path::PathBuf,
    },
    /// A stream that does not begin as the one that was read before.
    #[error(
        "standard input does not begin with the {count} {unit} that were read before: give it the same input, or \
         run once with --reset-progress"
    )]
    OtherPrefix {
        /// How many were compared.
        count: u64,
        /// Of what: bytes of text, or records.
        unit: &'static str,
    },
    /// Progress with names that are relative to a folder that is not known.
    #[error(
        "the pipeline's progress says that files were read up to {name:?}, and not in which folder: an earlier \
         version has written it; run once with --reset-progress to read all files again, or use another pipeline name"
    )]
    RelativeName {
        /// The name.
        name: String,
    },
    /// Progress of another kind of source.
    #[error(
        "the pipeline's progress is not of this source ({found}): use another pipeline name, or run once with \
         --reset-progress"
    )]
    OtherSource {
        /// What was found.
        found: String,
    },
    /// The task that read was stopped.
    #[error("reading stopped without an answer; this is a bug, please report it")]
    Stopped,
}

/// What a file that went away left, and what to do about it.
fn gone(read: u64) -> String {
    match read {
        0 => " before any of its records was committed; run again".to_owned(),
        read => {
            format!(", and {read} of its records were read; put it back, or run once with --reset-progress")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_went_before_it_was_read_is_not_missed() {
        let vanished = |read| SourceError::Vanished { path: "/in/a".to_owned(), read }.to_string();
        assert_eq!(vanished(0), "/in/a: it is gone before any of its records was committed; run again");
        let in_part = "/in/a: it is gone, and 3 of its records were read; put it back, or run once with --reset-progress";
        assert_eq!(vanished(3), in_part);
    }
}
