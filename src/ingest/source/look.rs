//! What files there are, at one time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{DoneFiles, FileContent, FilesPosition, SourceError};

/// The files that patterns name, at one time.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// By name.
    pub(super) files: BTreeMap<String, Seen>,
    /// When the youngest of them had last changed.
    pub(super) changed: i64,
    /// The patterns that name no file.
    unmatched: Vec<String>,
}

/// A file that was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) bytes: u64,
    /// When it last changed (`ctime`), in nanoseconds: also by being moved, whatever its age.
    pub(super) changed: i64,
    /// When its content last changed (`mtime`), in nanoseconds.
    pub(super) written: i64,
}

impl Seen {
    /// The file `name` as it is, but for whom it belongs to and who may read it.
    pub(super) fn state(&self, name: &str) -> String {
        format!("{name}\0{}\0{}", self.bytes, self.written)
    }
}

impl Look {
    pub(super) fn at(patterns: &[String]) -> Result<Self, SourceError> {
        let mut look = Self::default();
        for pattern in patterns {
            if !look.add(pattern)? {
                look.unmatched.push(pattern.clone());
            }
        }
        Ok(look)
    }

    /// Refuses to find nothing where there was to be something. Returns the patterns that name no file
    /// and may do so later, or did so before: where `follows`, or there is progress at `from`.
    pub(super) fn check_found(&self, follows: bool, from: &FilesPosition) -> Result<Vec<&str>, SourceError> {
        let (done, open) = (from.done.as_ref(), from.open.as_ref());
        let was_read = |name: &str| done.is_some_and(|done| name <= done.mark.as_str());
        let mut patterns = Vec::new();
        for pattern in &self.unmatched {
            match single_name(pattern) {
                // Inputs may go once they are read; of one that was read in part more is told later.
                Some(name) if was_read(&name) || open.is_some_and(|open| open.name == name) => {}
                Some(path) => return Err(SourceError::Missing { path }),
                None => patterns.push(pattern.as_str()),
            }
        }
        if patterns.is_empty() || follows || done.is_some() || open.is_some() {
            return Ok(patterns);
        }
        Err(SourceError::NoFile { patterns: patterns.into_iter().map(str::to_owned).collect() })
    }

    /// Refuses to find the last file that was read in another place, where the patterns name none in
    /// its own: it was moved or copied, and so may the others.
    pub(super) fn check_moved(
        &self,
        patterns: &[String],
        done: Option<&DoneFiles>,
    ) -> Result<(), SourceError> {
        let Some((done, last)) = done.and_then(|done| Some((done, done.last.as_ref()?))) else {
            return Ok(());
        };
        if is_within(&done.mark, patterns) {
            return Ok(());
        }
        let name = Path::new(&done.mark).file_name();
        let is_alike = |path: &str, seen: &Seen| {
            seen.bytes == last.size && Path::new(path).file_name() == name && holds(path, last)
        };
        match self.files.iter().find(|(path, seen)| is_alike(path, seen)) {
            Some((path, _)) => Err(SourceError::Moved { path: path.clone(), mark: done.mark.clone() }),
            None => Ok(()),
        }
    }

    /// The files up to `name`, in order.
    pub(super) fn up_to<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Seen)> {
        let all = self.files.iter().map(|(known, seen)| (known.as_str(), seen));
        all.take_while(move |(known, _)| *known <= name)
    }

    /// Adds the files that a pattern names; says whether there are any.
    fn add(&mut self, pattern: &str) -> Result<bool, SourceError> {
        if let Some(name) = single_name(pattern) {
            return match self.add_file(&name)? {
                Some(false) => Err(SourceError::NoPlainFile { path: name }),
                found => Ok(found.is_some()),
            };
        }
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let failed =
            |error: String| SourceError::Io { path: pattern.to_owned(), source: io::Error::other(error) };
        let mut any = false;
        for found in glob::glob_with(pattern, options).map_err(|error| failed(error.to_string()))? {
            let path = found.map_err(|error| {
                let path = error.path().display().to_string();
                SourceError::Io { path, source: error.into() }
            })?;
            let name = path
                .into_os_string()
                .into_string()
                .map_err(|path| SourceError::Name { path: path.into() })?;
            any |= self.add_file(&name)? == Some(true);
        }
        Ok(any)
    }

    /// Adds a file; says whether it is one, or `None` if nothing is there.
    fn add_file(&mut self, name: &str) -> Result<Option<bool>, SourceError> {
        let metadata = match std::fs::metadata(name) {
            Ok(metadata) => metadata,
            // It may have gone away between the listing and now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SourceError::Io { path: name.to_owned(), source }),
        };
        if !metadata.is_file() {
            return Ok(Some(false));
        }
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        let changed = nanos(metadata.ctime(), metadata.ctime_nsec());
        let written = nanos(metadata.mtime(), metadata.mtime_nsec());
        self.changed = self.changed.max(changed);
        self.files.insert(name.to_owned(), Seen { bytes: metadata.len(), changed, written });
        Ok(Some(true))
    }
}

/// Whether the file `path` is there and holds `content`.
fn holds(path: &str, content: &FileContent) -> bool {
    File::open(path).and_then(|mut file| FileContent::of(&mut file)).is_ok_and(|found| found == *content)
}

/// Whether the file `name` is in a folder that a pattern names, or below it.
fn is_within(name: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| Path::new(name).starts_with(folder_of(pattern)))
}

/// The folder that all files are below which `pattern` can mean.
fn folder_of(pattern: &str) -> String {
    let (folders, _) = pattern.rsplit_once('/').unwrap_or_default();
    folders.split('/').map_while(single_name).collect::<Vec<_>>().join("/")
}

/// The name of the one file that a pattern can mean; `None` if it can mean several.
fn single_name(pattern: &str) -> Option<String> {
    let (mut name, mut rest) = (String::new(), pattern.chars());
    while let Some(c) = rest.next() {
        match c {
            '*' | '?' => return None,
            // A class of one is how a character is written that means something else by itself.
            '[' => match (rest.next(), rest.next()) {
                (Some(only), Some(']')) if only != '!' => name.push(only),
                _ => return None,
            },
            c => name.push(c),
        }
    }
    // As patterns spell what they find, so that no file has two names by `//` or `/./`.
    Path::new(&name).components().collect::<PathBuf>().into_os_string().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_pattern_ends_before_what_can_mean_several() {
        for (pattern, folder) in [
            ("/in/a/*.csv", "/in/a"),
            ("/in/**/a.csv", "/in"),
            ("/in/20?5/*", "/in"),
            ("/in[[]1]/[ab]/c", "/in[1]"),
            ("/*", ""),
            ("*.csv", ""),
        ] {
            assert_eq!(folder_of(pattern), folder, "{pattern}");
        }
        let patterns = ["/in/a/*".to_owned(), "/in//b/./c.csv".to_owned()];
        assert!(["/in/a/1", "/in/a/x/1", "/in/b/d.csv"].iter().all(|name| is_within(name, &patterns)));
        assert!(["/in/ab/1", "/in/1"].iter().all(|name| !is_within(name, &patterns)));
    }
}
