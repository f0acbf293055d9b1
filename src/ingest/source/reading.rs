//! A file that is being read.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::{FileContent, OpenFile, SourceError};
use crate::ingest::decode::{Chunk, Format, InputReader, Meter, Place, PlainInput, TextHash, Wanted, hex};

const HEAD_BYTES: u64 = 64 << 10;

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    reader: InputReader,
    /// The chunk after the one that was handed out: so that the last one is known as such.
    ahead: Option<Chunk>,
    pub(super) open: Arc<OpenFile>,
    has_records: bool,
    modified: (i64, i64),
}

/// The next of a file.
pub(super) struct Next {
    /// Its records; `None` at its end.
    pub(super) chunk: Option<Chunk>,
    /// What the whole file holds, if this is the last of it: `None` of a file without records.
    pub(super) ends: Option<Option<FileContent>>,
    pub(super) open: Arc<OpenFile>,
    /// When the file had last changed, in milliseconds since the epoch.
    pub(super) changed_millis: i64,
}

impl Reading {
    /// Opens a file at its beginning, also one that an earlier run has read as far as `before` says.
    pub(super) fn open(
        name: &str,
        before: Option<&OpenFile>,
        (format, wanted): (&Format, &Wanted),
        meter: Meter,
    ) -> Result<Self, SourceError> {
        let read_before = before.map_or(0, |open| open.place.record);
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => SourceError::Vanished { path: name.to_owned(), read: read_before },
            _ => SourceError::Io { path: name.to_owned(), source },
        };
        let mut file = File::open(name).map_err(failed)?;
        let modified = modified(&file.metadata().map_err(failed)?);
        let content = FileContent::of(&mut file).map_err(failed)?;
        let reader = InputReader::open(&name.into(), PlainInput::File(file, meter), format, wanted)?;
        let open = OpenFile { name: name.to_owned(), content, place: Place::default(), prefix: None };
        Ok(Self { reader, ahead: None, open: Arc::new(open), has_records: read_before > 0, modified })
    }

    /// Whether the file is what it was `before`, by its size and its beginning.
    pub(super) fn is_as(&self, before: &OpenFile) -> bool {
        self.open.content == before.content
    }

    /// Goes on behind what an earlier run has read. Text may be another one behind it: a record that
    /// ended the run was corrected. Of other files nobody can say which records changed.
    pub(super) fn go_on_from(&mut self, before: &OpenFile) -> Result<(), SourceError> {
        let other = |what, expected, found| SourceError::Other {
            path: before.name.clone(),
            read: before.place.record,
            what,
            expected,
            found,
            rest_may_change: before.prefix.is_some(),
        };
        let (was, is) = (&before.content, &self.open.content);
        if before.prefix.is_none() {
            check_same("the size", &was.size, &is.size, other)?;
            check_same("the hash of its first 64 KiB", &was.head, &is.head, other)?;
        }
        self.reader.skip_to(before.place)?;
        let Some(was) = &before.prefix else { return Ok(()) };
        let is = self.reader.text_hash().map_or_else(|| "none".to_owned(), TextHash::hex);
        check_same("the hash of the text up to there", was, &is, other)
    }

    pub(super) fn next(&mut self) -> Result<Next, SourceError> {
        let chunk = match self.ahead.take() {
            Some(chunk) => Some(chunk),
            None => self.reader.next_chunk()?,
        };
        if chunk.is_some() {
            self.has_records = true;
            self.ahead = self.reader.next_chunk()?;
        }
        let is_last = self.ahead.is_none();
        if is_last {
            self.check_unchanged()?;
        }
        let ends = is_last.then(|| self.has_records.then(|| self.open.content.clone()));
        let (seconds, nanos) = self.modified;
        let changed_millis = seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000);
        Ok(Next { chunk, ends, open: self.open.clone(), changed_millis })
    }

    /// Checks at the end that the file is still what it was at the beginning.
    fn check_unchanged(&self) -> Result<(), SourceError> {
        let name = &self.open.name;
        let changed =
            |what, expected, found| SourceError::Changed { path: name.clone(), what, expected, found };
        match std::fs::metadata(name) {
            Ok(now) => {
                check_same("the size", &self.open.content.size, &now.len(), changed)?;
                let [was, is] = [self.modified, modified(&now)].map(|time| format!("{time:?}"));
                check_same("the time of change", &was, &is, changed)
            }
            // All of it was read: whoever took it away knew that it was complete.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(SourceError::Io { path: name.clone(), source }),
        }
    }
}

impl FileContent {
    /// The content of `file`, which is at its beginning then.
    pub(super) fn of(file: &mut File) -> io::Result<Self> {
        let mut head = Vec::new();
        file.take(HEAD_BYTES).read_to_end(&mut head)?;
        file.rewind()?;
        let mut hash = Xxh3::new();
        hash.update(&head);
        Ok(Self { size: file.metadata()?.len(), head: hex(&hash) })
    }
}

fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

fn check_same<T: PartialEq + ToString>(
    what: &'static str,
    expected: &T,
    found: &T,
    error: impl FnOnce(&'static str, String, String) -> SourceError,
) -> Result<(), SourceError> {
    if expected == found { Ok(()) } else { Err(error(what, expected.to_string(), found.to_string())) }
}
