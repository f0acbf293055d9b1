//! Files, in the order of their names.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

use super::look::Look;
use super::position::{Origin, hex};
use super::{DoneFiles, Extent, FilesPosition, KnownNames, OpenFile, Read, SourceError};
use crate::environment::Environment;
use crate::ingest::decode::{Chunk, DecodeProblem, Format, InputReader, Meter, Place, PlainInput, Wanted};
use crate::ingest::job::{LateNames, SourceSettings};

const HEAD_BYTES: u64 = 64 << 10;

/// Files, read one after the other.
#[derive(Debug)]
pub struct FilesSource {
    settings: Arc<Settings>,
    environment: Environment,
    done: Option<Arc<DoneFiles>>,
    /// The file that an earlier run has read in part.
    resume: Option<OpenFile>,
    /// What the last look saw; `None` before the first.
    known: Option<Look>,
    waiting: VecDeque<String>,
    reading: Option<Arc<std::sync::Mutex<Reading>>>,
    /// Bytes of the files that this run has read to their end, and of those that wait with it.
    finished_bytes: u64,
    found_bytes: u64,
    meter: Meter,
}

#[derive(Debug)]
struct Settings {
    patterns: Vec<String>,
    /// How often to look for new files; `None` reads what is there and ends.
    poll: Option<Duration>,
    late_names: LateNames,
    format: Format,
    wanted: Wanted,
}

#[derive(Debug)]
struct Reading {
    reader: InputReader,
    /// The chunk after the one that was handed out: so that the last one is known as such.
    ahead: Option<Chunk>,
    open: Arc<OpenFile>,
    modified: (i64, i64),
}

impl FilesSource {
    /// The files that `patterns` name, from `from` on; new ones are looked for every `poll`.
    pub fn new(
        patterns: Vec<String>,
        poll: Option<Duration>,
        late_names: LateNames,
        (format, wanted): (Format, Wanted),
        environment: &Environment,
        from: FilesPosition,
    ) -> Self {
        Self {
            settings: Arc::new(Settings { patterns, poll, late_names, format, wanted }),
            environment: environment.clone(),
            done: from.done.map(Arc::new),
            resume: from.open,
            known: None,
            waiting: VecDeque::new(),
            reading: None,
            finished_bytes: 0,
            found_bytes: 0,
            meter: Meter::default(),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Read>, SourceError> {
        loop {
            if let Some(reading) = self.reading.clone() {
                return self.read(reading).await.map(Some);
            }
            if let Some(name) = self.waiting.pop_front() {
                self.open(name).await?;
                continue;
            }
            let is_first = self.known.is_none();
            self.look().await?;
            if is_first {
                self.warn().await?;
            }
            if !self.waiting.is_empty() {
                continue;
            }
            match self.settings.poll {
                Some(poll) => self.environment.clock.sleep(poll).await,
                None => return Ok(None),
            }
        }
    }

    /// Refuses what the first look would, and the head of the first file; reads no records.
    pub(in crate::ingest) async fn check(mut self) -> Result<(), SourceError> {
        self.look().await?;
        let Some(name) = self.waiting.pop_front() else { return Ok(()) };
        let (resume, settings) = (self.resume, self.settings);
        blocking(move || Reading::open(&name, resume.as_ref(), &settings, Meter::default()).map(drop)).await
    }

    async fn read(&mut self, reading: Arc<std::sync::Mutex<Reading>>) -> Result<Read, SourceError> {
        let (chunk, is_last, open, changed_millis) = blocking(move || {
            let mut reading = reading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let chunk = match reading.ahead.take() {
                Some(chunk) => Some(chunk),
                None => reading.reader.next_chunk()?,
            };
            if chunk.is_some() {
                reading.ahead = reading.reader.next_chunk()?;
            }
            let is_last = reading.ahead.is_none();
            if is_last {
                reading.check_unchanged()?;
            }
            let (seconds, nanos) = reading.modified;
            let changed_millis = seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000);
            Ok((chunk, is_last, reading.open.clone(), Some(changed_millis)))
        })
        .await?;
        let ends = is_last.then(|| self.done_with(&open.name));
        match (chunk, ends) {
            (None, Some(done)) => {
                self.reading = None;
                self.done = Some(done.clone());
                self.finished_bytes += open.size;
                self.meter.set(self.finished_bytes);
                Ok(Read { chunk: None, extent: self.extent(), changed_millis, origin: Origin::Done(done) })
            }
            (chunk, ends) => Ok(Read {
                chunk,
                extent: self.extent(),
                changed_millis,
                origin: Origin::File { done: self.done.clone(), open, ends },
            }),
        }
    }

    fn extent(&self) -> Extent {
        let found_bytes = self.settings.poll.is_none().then_some(self.found_bytes);
        Extent { read_bytes: self.meter.bytes(), found_bytes }
    }

    /// What is read to the end once the file `name` is.
    fn done_with(&self, name: &str) -> Arc<DoneFiles> {
        let mut done = self.done.as_deref().cloned().unwrap_or_else(|| {
            let room = || Some(KnownNames::with_room_for(self.known.as_ref().map_or(0, |l| l.files.len())));
            DoneFiles { mark: String::new(), names: 0, changed: 0, known: room(), states: room() }
        });
        name.clone_into(&mut done.mark);
        done.names += 1;
        done.changed = self.known.as_ref().map_or(0, |look| look.changed);
        if let Some(known) = &mut done.known {
            known.insert(name);
        }
        let seen = self.known.as_ref().and_then(|look| look.files.get(name));
        if let (Some(states), Some(seen)) = (&mut done.states, seen) {
            states.insert(&seen.state(name));
        }
        Arc::new(done)
    }

    async fn open(&mut self, name: String) -> Result<(), SourceError> {
        let resume = self.resume.take();
        let settings = self.settings.clone();
        let meter = self.meter.clone();
        let reading = blocking(move || {
            let mut reading = Reading::open(&name, resume.as_ref(), &settings, meter)?;
            if let Some(before) = resume {
                reading.reader.skip_to(before.place, |_| {})?;
            }
            Ok(reading)
        })
        .await?;
        self.reading = Some(Arc::new(std::sync::Mutex::new(reading)));
        Ok(())
    }

    /// Looks for files behind the mark, and for late ones before it.
    async fn look(&mut self) -> Result<(), SourceError> {
        let settings = self.settings.clone();
        let look = blocking(move || Look::at(&settings.patterns)).await?;
        if self.known.is_none() {
            look.check_found(self.settings.poll.is_some(), &self.stands())?;
        }
        look.check_moved(&self.settings.patterns, &self.stands())?;
        let may_be_late = self.settings.late_names == LateNames::Ignore;
        if let Some(done) = self.done.clone() {
            if !may_be_late {
                self.check_late(&look, &done)?;
            }
            self.done = Some(Arc::new(done_at(&look, &done)));
        }
        let mark = self.done.as_ref().map(|done| done.mark.as_str());
        // All files before one that was read in part were read.
        let late = self.resume.as_ref().map(|open| open.name.as_str()).filter(|_| may_be_late);
        let new = || {
            let behind = |name: &str| mark.is_none_or(|m| name > m) && late.is_none_or(|open| name >= open);
            look.files.iter().filter(move |(name, _)| behind(name))
        };
        self.waiting = new().map(|(name, _)| name.clone()).collect();
        self.found_bytes = self.finished_bytes + new().map(|(_, seen)| seen.bytes).sum::<u64>();
        if let Some(open) = &self.resume
            && self.waiting.front() != Some(&open.name)
        {
            return Err(match self.waiting.contains(&open.name) {
                true => SourceError::LateName {
                    path: self.waiting.front().cloned().unwrap_or_default(),
                    mark: open.name.clone(),
                },
                false => SourceError::Vanished { path: open.name.clone(), read: open.place.record },
            });
        }
        self.known = Some(look);
        Ok(())
    }

    fn stands(&self) -> FilesPosition {
        FilesPosition { done: self.done.as_deref().cloned(), open: self.resume.clone() }
    }

    /// Tells of what the first look has seen and is no error.
    async fn warn(&self) -> Result<(), SourceError> {
        let Some(look) = &self.known else { return Ok(()) };
        for pattern in look.check_found(self.settings.poll.is_some(), &self.stands())? {
            tracing::warn!(pattern, "no file is named by it now");
        }
        if self.waiting.is_empty()
            && let Some(newest) = look.files.keys().next_back().cloned()
        {
            let settings = self.settings.clone();
            blocking(move || {
                settings.warn_of_columns(&newest);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Refuses files up to the mark that were not there when those were read.
    fn check_late(&self, look: &Look, done: &DoneFiles) -> Result<(), SourceError> {
        let late = |path: String| Err(SourceError::LateName { path, mark: done.mark.clone() });
        let replaced = |path: String| Err(SourceError::Replaced { path, mark: done.mark.clone() });
        if let Some(known) = &self.known {
            for (name, seen) in look.up_to(&done.mark) {
                match known.files.get(name) {
                    None => return late(name.to_owned()),
                    Some(was) if (was.bytes, was.written) == (seen.bytes, seen.written) => {}
                    Some(_) => return replaced(name.to_owned()),
                }
            }
            return Ok(());
        }
        for (name, seen) in look.up_to(&done.mark) {
            if done.known.as_ref().is_some_and(|known| !known.contains(name)) {
                return late(name.to_owned());
            }
            let is_same = || done.states.as_ref().is_some_and(|known| known.contains(&seen.state(name)));
            if seen.changed > done.changed && !is_same() {
                return replaced(name.to_owned());
            }
        }
        let found = look.up_to(&done.mark).count() as u64;
        if found > done.names { late(format!("{} of {found} files", found - done.names)) } else { Ok(()) }
    }
}

/// The same files that were read, as they are now: without those that are gone.
fn done_at(look: &Look, done: &DoneFiles) -> DoneFiles {
    let room = || KnownNames::with_room_for(look.files.len());
    let (mut known, mut states, mut names) = (room(), room(), 0);
    for (name, seen) in look.up_to(&done.mark) {
        known.insert(name);
        states.insert(&seen.state(name));
        names += 1;
    }
    let (known, states) = (Some(known), Some(states));
    DoneFiles { mark: done.mark.clone(), names, changed: look.changed, known, states }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| SourceError::Stopped)?
}

/// The first of the files that `source` names; `None` if there is none yet.
///
/// # Errors
/// As a run that begins to read it.
pub(in crate::ingest) fn first_file(source: &SourceSettings) -> Result<Option<PathBuf>, SourceError> {
    let look = Look::at(&source.files)?;
    look.check_found(source.follow, &FilesPosition::default())?;
    Ok(look.files.into_keys().next().map(PathBuf::from))
}

impl Settings {
    /// Tells if the columns that are asked for are not those of the file `newest`, by its header alone.
    /// It was read, and the next one may have other columns: so this is no error.
    fn warn_of_columns(&self, newest: &str) {
        let Ok(file) = File::open(newest) else { return };
        let input = PlainInput::File(file, Meter::default());
        let Err(error) = InputReader::open(&newest.into(), input, &self.format, &self.wanted) else { return };
        if matches!(error.problem, DecodeProblem::MissingColumn { .. } | DecodeProblem::UnknownColumn { .. })
        {
            tracing::warn!(%error, "nothing is new to read, and the newest file does not fit the job");
        }
    }
}

impl Reading {
    /// Opens a file, of which an earlier run has read what `before` says; nothing is passed over yet.
    fn open(
        name: &str,
        before: Option<&OpenFile>,
        settings: &Settings,
        meter: Meter,
    ) -> Result<Self, SourceError> {
        let read_before = before.map_or(0, |open| open.place.record);
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => SourceError::Vanished { path: name.to_owned(), read: read_before },
            _ => SourceError::Io { path: name.to_owned(), source },
        };
        let mut file = File::open(name).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mut head = Vec::new();
        (&mut file).take(HEAD_BYTES).read_to_end(&mut head).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let mut hash = Xxh3::new();
        hash.update(&head);
        let open = OpenFile {
            name: name.to_owned(),
            size: metadata.len(),
            head: hex(&hash),
            place: Place::default(),
        };
        let shared: Arc<str> = name.into();
        if let Some(before) = before {
            check_same("the size", name, &before.size, &open.size)?;
            check_same("the hash of its first 64 KiB", name, &before.head, &open.head)?;
        }
        let reader =
            InputReader::open(&shared, PlainInput::File(file, meter), &settings.format, &settings.wanted)?;
        Ok(Self { reader, ahead: None, open: Arc::new(open), modified: modified(&metadata) })
    }

    /// Checks at the end that the file is still what it was at the beginning.
    fn check_unchanged(&self) -> Result<(), SourceError> {
        let name = &self.open.name;
        match std::fs::metadata(name) {
            Ok(now) => {
                check_same("the size", name, &self.open.size, &now.len())?;
                check_same(
                    "the time of change",
                    name,
                    &format!("{:?}", self.modified),
                    &format!("{:?}", modified(&now)),
                )
            }
            // All of it was read: whoever took it away knew that it was complete.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(SourceError::Io { path: name.clone(), source }),
        }
    }
}

fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

fn check_same<T: PartialEq + ToString>(
    what: &'static str,
    path: &str,
    expected: &T,
    found: &T,
) -> Result<(), SourceError> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (expected.to_string(), found.to_string());
    Err(SourceError::Changed { path: path.to_owned(), what, expected, found })
}
