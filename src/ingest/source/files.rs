//! Files, in the order of their names.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::look::Look;
use super::position::Origin;
use super::reading::{Next, Reading};
use super::{DoneFiles, Extent, FileContent, FilesPosition, KnownNames, OpenFile, Read, SourceError};
use crate::environment::Environment;
use crate::ingest::decode::{DecodeProblem, Format, InputReader, Meter, PlainInput, Wanted};
use crate::ingest::job::{LateNames, SourceSettings};

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

    /// Refuses what the first look would, and the head of the first file; reads no records but those of
    /// a file that an earlier run has read in part, and that has changed in size or in its beginning.
    pub(in crate::ingest) async fn check(mut self) -> Result<(), SourceError> {
        self.look().await?;
        let Some(name) = self.waiting.pop_front() else { return Ok(()) };
        let (resume, settings) = (self.resume, self.settings);
        blocking(move || {
            let mut reading = Reading::open(&name, resume.as_ref(), settings.inputs(), Meter::default())?;
            match resume {
                Some(before) if !reading.is_as(&before) => reading.go_on_from(&before),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn read(&mut self, reading: Arc<std::sync::Mutex<Reading>>) -> Result<Read, SourceError> {
        let next = move || reading.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
        let Next { chunk, ends, open, changed_millis } = blocking(next).await?;
        let changed_millis = Some(changed_millis);
        let ends = ends.map(|content| self.done_with(&open.name, content));
        match (chunk, ends) {
            (None, Some(done)) => {
                self.reading = None;
                self.done = Some(done.clone());
                self.finished_bytes += open.content.size;
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

    /// What is read to the end once the file `name` is, which holds `content`.
    fn done_with(&self, name: &str, content: Option<FileContent>) -> Arc<DoneFiles> {
        let mut done = self.done.as_deref().cloned().unwrap_or_else(|| {
            let room = || Some(KnownNames::with_room_for(self.known.as_ref().map_or(0, |l| l.files.len())));
            DoneFiles { mark: String::new(), names: 0, changed: 0, known: room(), states: room(), last: None }
        });
        name.clone_into(&mut done.mark);
        done.last = content;
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
            let mut reading = Reading::open(&name, resume.as_ref(), settings.inputs(), meter)?;
            if let Some(before) = resume {
                reading.go_on_from(&before)?;
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
            look.check_moved(&self.settings.patterns, self.done.as_deref())?;
        }
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
    let (known, states, last) = (Some(known), Some(states), done.last.clone());
    DoneFiles { mark: done.mark.clone(), names, changed: look.changed, known, states, last }
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
    fn inputs(&self) -> (&Format, &Wanted) {
        (&self.format, &self.wanted)
    }

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
