//! What is kept of tables between runs.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::settings::Services;
use super::tables::FleetTable;
use crate::table::Table;
use crate::timeline::Timeline;

/// What is kept has this form; what has another is forgotten.
const VERSION: u32 = 1;

/// A folder with a file for each table at which nothing was due.
///
/// It is a cache: whatever is missing, broken or of another version is as if it had never been there, and a
/// folder that cannot be written to is one in which nothing stays.
#[derive(Debug, Clone)]
pub struct KnownTables {
    folder: Option<PathBuf>,
}

/// When nothing was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Idle {
    version: u32,
    /// The table, its timeline, and what was asked for.
    stamp: u64,
    /// In milliseconds since the epoch.
    look_again_unix_millis: i64,
}

impl KnownTables {
    /// Keeps what is known in `folder`, or nothing at all.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// Keeps it in `lakebed` in the folder for such things of whoever runs us.
    pub fn of_user() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let caches = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        Self { folder: caches.map(|folder| folder.join("lakebed").join("tables")) }
    }

    /// Whether nothing was due when table and timeline were as they are now, not long ago.
    pub(super) fn is_idle(&self, table: &FleetTable, stamp: u64, unix_millis: i64) -> bool {
        let Some(bytes) = self.path(table).and_then(|path| std::fs::read(path).ok()) else { return false };
        let idle: Option<Idle> = serde_json::from_slice(&bytes).ok();
        idle.is_some_and(|idle| {
            idle.version == VERSION && idle.stamp == stamp && unix_millis < idle.look_again_unix_millis
        })
    }

    /// Keeps that nothing is due until then.
    pub(super) fn keep(&self, table: &FleetTable, stamp: u64, look_again_unix_millis: i64) {
        let Some(path) = self.path(table) else { return };
        let idle = Idle { version: VERSION, stamp, look_again_unix_millis };
        if let Err(error) = write(&path, &idle) {
            tracing::debug!(path = %path.display(), %error, "what is known of a table is not kept");
        }
    }

    fn path(&self, table: &FleetTable) -> Option<PathBuf> {
        let name = format!("{:032x}.json", xxh3_128(table.uri.to_string().as_bytes()));
        self.folder.as_ref().map(|folder| folder.join(name))
    }
}

/// Another process may write the same: each file is there as a whole.
fn write(path: &Path, idle: &Idle) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, idle)?;
    file.persist(path).map(|_| ()).map_err(|error| error.error)
}

/// Differs as soon as the properties of the table, its timeline or what is asked for do.
pub(super) fn stamp(table: &Table, timeline: &Timeline, services: &Services) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(format!("{services:?}").as_bytes());
    hash.update(format!("{:?}", table.config.properties).as_bytes());
    for instant in timeline.instants() {
        hash.update(instant.file().name().as_bytes());
    }
    hash.digest()
}
