//! Where records come from, and where reading goes on.
//!
//! Files are read in the order of their names, once each. Which were, the progress says in a bounded
//! size: the greatest name, the *mark*, is exact; of the names up to it there is a count, a set that
//! may take a name for its own that is not ([`KnownNames`]), and a time. So a new name up to the mark
//! is noticed
//!
//! * always while a run goes on, and where no file was removed between two runs;
//! * always, where the file itself was made, written or moved in after the last look;
//! * else, where it came with its folder and others went, as surely as the set knows names.
//!
//! Names are full ones. A job whose inputs were moved or copied would read them again: that is noticed
//! by the last file that was read, which has the same name and content in another folder.
//!
//! A file that is written anew under its name is not read again. That is noticed by its size and the
//! time of its content, between two runs as surely as the set of these knows files.

mod error;
mod files;
mod known_names;
mod look;
mod position;
mod reading;
mod stdin;

pub use error::SourceError;
pub use files::FilesSource;
pub(super) use files::first_file;
pub use known_names::KnownNames;
pub use position::{DoneFiles, FileContent, FilesPosition, OpenFile, Position, StdinPosition};
pub use stdin::StdinSource;

use super::decode::Chunk;
use position::Origin;

/// Some records of a source, or the news that a file has ended.
#[derive(Debug, Clone)]
pub struct Read {
    /// The records; `None` at the end of a file.
    pub chunk: Option<Chunk>,
    /// How far the source was read when they were.
    pub extent: Extent,
    /// When their file had last changed, milliseconds since the epoch; `None` if it is no file.
    pub changed_millis: Option<i64>,
    origin: Origin,
}

/// How much of a source was read, in bytes of files as they lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// What was read.
    pub read_bytes: u64,
    /// What there is to read, where that is known: a source that is followed has no end.
    pub found_bytes: Option<u64>,
}

impl Read {
    /// Where the source stands once the first `records` of the chunk are taken.
    pub fn position(&self, records: usize) -> Position {
        self.origin.position(self.chunk.as_ref(), records)
    }
}

/// A source of records.
#[derive(Debug)]
pub enum Source {
    /// Files.
    Files(Box<FilesSource>),
    /// A stream that comes once.
    Stdin(Box<StdinSource>),
}

impl Source {
    /// The name of its progress.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Stdin(_) => "stdin",
        }
    }

    /// The next records; `None` at the end. Waits for new files where they are followed.
    ///
    /// # Errors
    /// Inputs that cannot be read, or are not what they were.
    pub async fn next(&mut self) -> Result<Option<Read>, SourceError> {
        match self {
            Self::Files(source) => source.next().await,
            Self::Stdin(source) => source.next().await,
        }
    }
}
