//! How far a source was read.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{KnownNames, SourceError};
use crate::ingest::decode::{Chunk, Place};

/// How far a source was read: bounded in size, however many files there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// Of files.
    Files(FilesPosition),
    /// Of standard input.
    Stdin(StdinPosition),
}

impl Position {
    /// Reads what a commit holds.
    ///
    /// # Errors
    /// What no version of this source has written.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, SourceError> {
        serde_json::from_value(value.clone())
            .map_err(|error| SourceError::OtherSource { found: error.to_string() })
    }

    /// Whether a file was read in part.
    pub fn is_within_file(&self) -> bool {
        matches!(self, Self::Files(files) if files.open.is_some())
    }

    /// The value that goes into a commit.
    pub fn to_json(&self) -> serde_json::Value {
        // Plain values with text keys always encode.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// How far files were read, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FilesPosition {
    /// The files that were read to their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<DoneFiles>,
    /// The file that was read in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenFile>,
}

impl FilesPosition {
    /// A name that does not say where its file is: earlier versions kept them as jobs had them.
    pub(in crate::ingest) fn relative_name(&self) -> Option<&str> {
        let done = self.done.as_ref().map(|done| done.mark.as_str());
        let open = self.open.as_ref().map(|open| open.name.as_str());
        done.into_iter().chain(open).find(|name| !name.starts_with('/'))
    }
}

/// Files that were read to their end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneFiles {
    /// The greatest name: all up to it were read.
    pub mark: String,
    /// How many names there were up to it. Where there are more, some are new.
    pub names: u64,
    /// When the youngest of all files that were there had last changed (`ctime`), in nanoseconds.
    /// A file up to the mark that changed later is a new one, if it is not among the `states`.
    pub changed: i64,
    /// The names up to the mark that were there; `None` where an earlier version did not keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownNames>,
    /// The same files as they were, each by its name, size and time of writing: what changed is only
    /// who may read them. `None` where an earlier version did not keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub states: Option<KnownNames>,
    /// What the one at the mark holds, to know it in another place; `None` where it has no records, or
    /// where an earlier version did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<FileContent>,
}

/// A file that was read in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile {
    /// Its name.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub content: FileContent,
    /// The place of the next record.
    pub place: Place,
    /// XXH3 of the text before it: a file that was corrected behind it is read on. `None` in formats
    /// that are no text, or where an earlier version did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// What a file holds, as far as files are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileContent {
    /// Its size in bytes.
    pub size: u64,
    /// XXH3 of its first 64 KiB.
    pub head: String,
}

/// How far standard input was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StdinPosition {
    /// The place of the next record.
    pub place: Place,
    /// XXH3 of the text before it; in other formats, of all up to the end of the block or message that
    /// the record before it is in.
    pub prefix: String,
}

/// Where a chunk comes from, so that every record in it has a position.
#[derive(Clone)]
pub(super) enum Origin {
    /// A file that is being read; `ends` if the chunk is its last.
    File { done: Option<Arc<DoneFiles>>, open: Arc<OpenFile>, ends: Option<Arc<DoneFiles>> },
    /// The end of a file.
    Done(Arc<DoneFiles>),
    /// Text of standard input.
    Stdin,
    /// A part of a block of standard input, with the hashes up to the record before it and up to the
    /// end of the block.
    StdinBlock { before: String, within: String },
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File { open, .. } => &open.name,
            Self::Done(done) => &done.mark,
            Self::Stdin | Self::StdinBlock { .. } => "standard input",
        })
    }
}

impl Origin {
    pub(super) fn position(&self, chunk: Option<&Chunk>, records: usize) -> Position {
        let place = chunk.map(|chunk| chunk.place(records)).unwrap_or_default();
        let prefix = || Some(chunk?.text_hash(records)?.hex());
        match self {
            Self::File { ends: Some(done), .. } if chunk.is_some_and(|c| c.records() == records) => {
                Position::Files(FilesPosition { done: Some(done.as_ref().clone()), open: None })
            }
            Self::File { done, open, .. } => Position::Files(FilesPosition {
                done: done.as_deref().cloned(),
                open: Some(OpenFile { place, prefix: prefix(), ..open.as_ref().clone() }),
            }),
            Self::Done(done) => {
                Position::Files(FilesPosition { done: Some(done.as_ref().clone()), open: None })
            }
            Self::Stdin => Position::Stdin(StdinPosition { place, prefix: prefix().unwrap_or_default() }),
            Self::StdinBlock { before, within } => {
                let prefix = if records == 0 { before } else { within };
                Position::Stdin(StdinPosition { place, prefix: prefix.clone() })
            }
        }
    }
}
