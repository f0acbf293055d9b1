//! What is kept of tables between runs.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use lakebed_hudi::timeline_file::TimelineFile;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

use super::due::Service;
use super::price::{Rates, Took};
use super::settings::Services;
use super::tables::FleetTable;
use crate::storage::Entry;
use crate::table::{Table, TableFiles, partition_folder};
use crate::timeline::Timeline;

/// What is kept has this form; what has another is forgotten.
const VERSION: u32 = 1;

/// The files of a table are listed again as a whole after so long, should anything have come or gone without a
/// trace.
const LIST_AGAIN_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A folder with what is known of tables: of each at which nothing was due that it is so, and of each the files
/// that it had when they were last listed, and what its compactions and clusterings took.
///
/// It is a cache: whatever is missing, broken or of another version is as if it had never been there, and a
/// folder that cannot be written to is one in which nothing stays.
#[derive(Debug, Clone)]
pub struct KnownTables {
    folder: Option<PathBuf>,
}

/// When nothing was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Idle {
    version: u32,
    /// The table, its timeline, and what was asked for.
    stamp: u64,
    /// In milliseconds since the epoch.
    look_again_unix_millis: i64,
}

/// The files of a table.
#[derive(Debug, Serialize, Deserialize)]
struct Files {
    version: u32,
    /// The table's properties.
    properties: u64,
    /// When all of them were listed, in milliseconds since the epoch.
    listed_unix_millis: i64,
    /// Names of the files of the timeline.
    timeline: Vec<String>,
    partitions: Vec<(String, Vec<File>)>,
}

/// Name, bytes and time of a file.
#[derive(Debug, Serialize, Deserialize)]
struct File(String, u64, i64);

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
        let idle: Option<Idle> = self.read(&Self::name(table, "idle"));
        idle.is_some_and(|idle| {
            idle.version == VERSION && idle.stamp == stamp && unix_millis < idle.look_again_unix_millis
        })
    }

    /// Keeps that nothing is due until then.
    pub(super) fn keep_idle(&self, table: &FleetTable, stamp: u64, look_again_unix_millis: i64) {
        self.keep(&Self::name(table, "idle"), &Idle { version: VERSION, stamp, look_again_unix_millis });
    }

    /// The files that the table had, and when all of them were listed; not if that is too long ago.
    pub(super) fn files(
        &self,
        of: &FleetTable,
        table: &Table,
        unix_millis: i64,
    ) -> Option<(TableFiles, i64)> {
        let files: Files = self.read(&Self::name(of, "files"))?;
        let age_millis = unix_millis.saturating_sub(files.listed_unix_millis);
        let is_good = files.version == VERSION
            && files.properties == properties(table)
            && (0..LIST_AGAIN_MILLIS).contains(&age_millis);
        is_good.then(|| Some((files.to_table(table)?, files.listed_unix_millis))).flatten()
    }

    /// What a service of the table took in the past.
    pub(super) fn rates(&self, of: &FleetTable, service: Service) -> Rates {
        let rates: Option<(u32, Rates)> = self.read(&Self::name(of, &format!("{service}-rates")));
        rates.filter(|(version, _)| *version == VERSION).map(|(_, rates)| rates).unwrap_or_default()
    }

    /// Keeps what the service took once more.
    pub(super) fn learn(&self, of: &FleetTable, service: Service, took: Took) {
        let before = self.rates(of, service);
        let rates = before.after(took);
        if rates != before {
            self.keep(&Self::name(of, &format!("{service}-rates")), &(VERSION, rates));
        }
    }

    /// Keeps the files of the table.
    pub(super) fn keep_files(
        &self,
        of: &FleetTable,
        table: &Table,
        files: &TableFiles,
        listed_unix_millis: i64,
    ) {
        if self.folder.is_some() {
            self.keep(&Self::name(of, "files"), &Files::of(table, files, listed_unix_millis));
        }
    }

    /// Forgets the files of the table.
    pub(super) fn forget_files(&self, of: &FleetTable) {
        if let Some(folder) = &self.folder {
            // There may have been none; what stays is seen to be old.
            drop(std::fs::remove_file(folder.join(Self::name(of, "files"))));
        }
    }

    /// The name of a file about a table.
    fn name(table: &FleetTable, what: &str) -> String {
        format!("{:032x}.{what}.json", xxh3_128(table.uri.to_string().as_bytes()))
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Option<T> {
        let bytes = std::fs::read(self.folder.as_ref()?.join(name)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn keep(&self, name: &str, what: &impl Serialize) {
        let Some(folder) = &self.folder else { return };
        if let Err(error) = write(folder, name, what) {
            tracing::debug!(folder = %folder.display(), %error, "what is known of a table is not kept");
        }
    }
}

/// Another process may write the same: each file is there as a whole.
fn write(folder: &Path, name: &str, what: &impl Serialize) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = io::BufWriter::new(tempfile::NamedTempFile::new_in(folder)?);
    serde_json::to_writer(&mut file, what)?;
    file.flush()?;
    file.into_inner()?.persist(folder.join(name)).map(|_| ()).map_err(|error| error.error)
}

impl Files {
    fn of(table: &Table, files: &TableFiles, listed_unix_millis: i64) -> Self {
        let file =
            |entry: &Entry| File(entry.path.file_name().to_owned(), entry.size, entry.modified_unix_millis);
        let partition =
            |(path, files): &(String, Vec<Entry>)| (path.clone(), files.iter().map(file).collect());
        Self {
            version: VERSION,
            properties: properties(table),
            listed_unix_millis,
            timeline: files.timeline().instants().map(|instant| instant.file().name()).collect(),
            partitions: files.partitions().iter().map(partition).collect(),
        }
    }

    /// The same; `None` where a name is none.
    fn to_table(&self, table: &Table) -> Option<TableFiles> {
        let layout = table.config.version.layout();
        let timeline = self.timeline.iter().map(|name| TimelineFile::parse(name, layout).ok()?);
        let timeline = Timeline::from_files(timeline.collect::<Option<Vec<_>>>()?);
        let partition = |(path, files): &(String, Vec<File>)| {
            let folder = partition_folder(path).ok()?;
            let file = |File(name, size, modified_unix_millis): &File| {
                let path = folder.join(name).ok()?;
                Some(Entry { path, size: *size, modified_unix_millis: *modified_unix_millis })
            };
            Some((path.clone(), files.iter().map(file).collect::<Option<Vec<_>>>()?))
        };
        let partitions: Option<Vec<_>> = self.partitions.iter().map(partition).collect();
        let partitions = partitions.filter(|partitions| partitions.is_sorted_by(|a, b| a.0 < b.0))?;
        Some(TableFiles::new(timeline, partitions))
    }
}

fn properties(table: &Table) -> u64 {
    xxh3_64(format!("{:?}", table.config.properties).as_bytes())
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
