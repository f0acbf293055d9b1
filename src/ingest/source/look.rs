//! What files there are, at one time.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::SourceError;

/// The files that patterns name, at one time.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// By name.
    pub(super) files: BTreeMap<String, Seen>,
    /// When the youngest of them had last changed.
    pub(super) changed: i64,
}

/// A file that was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) bytes: u64,
    /// When it last changed (`ctime`), in nanoseconds: also by being moved, whatever its age.
    pub(super) changed: i64,
}

impl Look {
    pub(super) fn at(patterns: &[String]) -> Result<Self, SourceError> {
        let mut look = Self::default();
        for pattern in patterns {
            look.add(pattern)?;
        }
        Ok(look)
    }

    /// The files up to `name`, in order.
    pub(super) fn up_to<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Seen)> {
        let all = self.files.iter().map(|(known, seen)| (known.as_str(), seen));
        all.take_while(move |(known, _)| *known <= name)
    }

    fn add(&mut self, pattern: &str) -> Result<(), SourceError> {
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
        let failed =
            |error: String| SourceError::Io { path: pattern.to_owned(), source: io::Error::other(error) };
        for found in glob::glob_with(pattern, options).map_err(|error| failed(error.to_string()))? {
            let path = found.map_err(|error| {
                let path = error.path().display().to_string();
                SourceError::Io { path, source: error.into() }
            })?;
            let metadata = match std::fs::metadata(&path) {
                Ok(metadata) => metadata,
                // It went away between the listing and now: it is not there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(SourceError::Io { path: path.display().to_string(), source }),
            };
            if !metadata.is_file() {
                continue;
            }
            let name = path
                .into_os_string()
                .into_string()
                .map_err(|path| SourceError::Name { path: path.into() })?;
            let changed =
                metadata.ctime().saturating_mul(1_000_000_000).saturating_add(metadata.ctime_nsec());
            self.changed = self.changed.max(changed);
            self.files.insert(name, Seen { bytes: metadata.len(), changed });
        }
        Ok(())
    }
}
