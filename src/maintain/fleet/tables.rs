//! Which tables a fleet has.

use std::collections::BTreeMap;

use glob::{MatchOptions, Pattern};

use super::settings::{Fleet, Services, TableEntry};
use crate::commit::{CommitOptions, HeartbeatSettings, LockSettings};
use crate::environment::Environment;
use crate::maintain::MaintainOptions;
use crate::settings::{TimeSpan, Timezone};
use crate::storage::{self, Storage, StorageError, TablePath, TableUri, TableUriError};
use crate::table::properties;

/// What is between two slashes matches what is between two slashes.
const WITHIN_A_NAME: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A table of a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetTable {
    /// Where it is.
    pub uri: TableUri,
    /// The zone of a timeline in LOCAL time.
    pub timeline_timezone: Option<Timezone>,
    /// Whether others write it too, and by how much their clocks may differ.
    pub shared: bool,
    /// See there.
    pub clock_skew: Option<TimeSpan>,
    /// Its lock.
    pub lock: LockSettings,
    /// Signs of life.
    pub heartbeat: HeartbeatSettings,
    /// What is done to it.
    pub services: Services,
}

/// The tables of a fleet, and patterns that nothing matches.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FleetTables {
    /// The tables, in the order of the entries that name them first.
    pub tables: Vec<FleetTable>,
    /// Patterns that no table matches.
    pub unmatched: Vec<String>,
}

/// Why the tables of an entry cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The text is no address.
    #[error(transparent)]
    Uri(#[from] TableUriError),
    /// The text is no pattern.
    #[error("{uri}: {source}")]
    Pattern {
        /// The text.
        uri: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl FleetTables {
    /// Finds the tables of `fleet`: those that are named, be they there or not, and folders that match a
    /// pattern and are tables. No table is looked for within another one, behind a symbolic link, or in a folder that
    /// may not be read.
    ///
    /// # Errors
    /// Addresses and patterns that are none; those of the storage.
    pub async fn find(fleet: &Fleet, environment: &Environment) -> Result<Self, FleetError> {
        let mut found = Self::default();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut skipped: Vec<usize> = Vec::new();
        for entry in &fleet.tables {
            let uris = matching(&entry.uri, environment).await?;
            if uris.is_empty() {
                found.unmatched.push(entry.uri.clone());
            }
            for uri in uris {
                let number = *places.entry(uri.to_string()).or_insert(found.tables.len());
                if number == found.tables.len() {
                    found.tables.push(FleetTable::new(uri, fleet.services));
                }
                found.tables[number].lay_over(entry);
                if entry.skip {
                    skipped.push(number);
                }
            }
        }
        let mut number = 0..;
        found.tables.retain(|_| number.next().is_none_or(|number| !skipped.contains(&number)));
        Ok(found)
    }
}

impl FleetTable {
    /// A table that nobody else writes, with Hudi's defaults.
    pub fn new(uri: TableUri, services: Services) -> Self {
        Self {
            uri,
            timeline_timezone: None,
            shared: false,
            clock_skew: None,
            lock: LockSettings::default(),
            heartbeat: HeartbeatSettings::default(),
            services,
        }
    }

    /// How its services are run, which is like `options` but for what is said of the table.
    pub fn options(&self, options: &MaintainOptions) -> MaintainOptions {
        MaintainOptions {
            timeline_zone: self.timeline_timezone.map(|Timezone(zone)| zone),
            commit: CommitOptions::of_settings(self.shared, self.clock_skew, &self.lock, &self.heartbeat),
            lock: self.lock.options(),
            ..options.clone()
        }
    }

    /// What `entry` says counts from here on.
    fn lay_over(&mut self, entry: &TableEntry) {
        self.timeline_timezone = entry.timeline_timezone.or(self.timeline_timezone);
        self.shared = entry.shared.unwrap_or(self.shared);
        self.clock_skew = entry.clock_skew.or(self.clock_skew);
        self.lock = entry.lock.over(&self.lock);
        self.heartbeat = entry.heartbeat.over(&self.heartbeat);
        self.services = entry.services.over(&self.services);
    }
}

/// The tables that `text` names, sorted.
async fn matching(text: &str, environment: &Environment) -> Result<Vec<TableUri>, FleetError> {
    let Some((fixed, names)) = split(text) else { return Ok(vec![text.parse()?]) };
    let pattern = |source| FleetError::Pattern { uri: text.to_owned(), source };
    let names = names.split('/').filter(|name| !name.is_empty());
    let names: Vec<Pattern> = names.map(Pattern::new).collect::<Result<_, _>>().map_err(pattern)?;
    let above: TableUri = fixed.parse()?;
    let storage = storage::open(&above, environment).await?;
    let search = Search { storage: storage.as_ref(), names: &names };
    let mut uris = Vec::new();
    for folder in search.tables().await? {
        uris.push(above.with_scheme(&folder).parse()?);
    }
    Ok(uris)
}

/// The folder above the first name that has a pattern in it, and that name with all after it.
fn split(text: &str) -> Option<(&str, &str)> {
    let first = text.find(['*', '?', '['])?;
    let slash = text[..first].rfind('/')?;
    // The slash of a root stays: `/*` is looked for in `/`.
    let above = &text[..slash];
    let above = if above.is_empty() || above.ends_with(['/', ':']) { &text[..=slash] } else { above };
    Some((above, &text[slash + 1..]))
}

/// A search for tables below a folder.
struct Search<'a> {
    storage: &'a dyn Storage,
    names: &'a [Pattern],
}

impl Search<'_> {
    async fn tables(&self) -> Result<Vec<TablePath>, StorageError> {
        let mut found = Vec::new();
        let mut folders = vec![(TablePath::root(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let inner = match self.storage.folders(&folder).await {
                Err(error) if !folder.is_root() => {
                    tracing::warn!(%error, "a folder cannot be looked through for tables");
                    continue;
                }
                listed => listed?,
            };
            let is_table = self.is_table(&folder, &inner).await?;
            let rest = &self.names[depth..];
            if is_table {
                if rest.iter().all(any_folders) {
                    found.push(folder);
                }
                continue;
            }
            let Some(name) = rest.first() else { continue };
            for below in inner {
                let is_hidden = below.file_name().starts_with('.');
                if any_folders(name) && !is_hidden {
                    folders.push((below.clone(), depth));
                }
                // `**` stands for no folder, too.
                let next = rest.iter().position(|name| !any_folders(name)).unwrap_or(rest.len());
                if rest.get(next).is_some_and(|name| name.matches_with(below.file_name(), WITHIN_A_NAME)) {
                    folders.push((below, depth + next + 1));
                }
            }
        }
        found.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        found.dedup();
        Ok(found)
    }

    async fn is_table(&self, folder: &TablePath, folders: &[TablePath]) -> Result<bool, StorageError> {
        let may_be = !folder.is_root() && folders.iter().any(|below| below.file_name() == ".hoodie");
        Ok(may_be && properties::exist(self.storage, folder).await?)
    }
}

/// Whether a pattern stands for any folders.
fn any_folders(name: &Pattern) -> bool {
    name.as_str() == "**"
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::environment::Environment;

    #[test]
    fn what_is_fixed_is_told_from_what_is_looked_for() {
        for (text, expected) in [
            ("/lake/a", None),
            ("/lake/*/b", Some(("/lake", "*/b"))),
            ("/lake/a?/b", Some(("/lake", "a?/b"))),
            ("/*", Some(("/", "*"))),
            ("s3://lake/**", Some(("s3://lake", "**"))),
            ("file:///lake/x/[ab]", Some(("file:///lake/x", "[ab]"))),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    /// The tables that a fleet of `uris` below `folder` has, and the patterns that match none.
    async fn found(folder: &std::path::Path, uris: &[&str]) -> (Vec<String>, Vec<String>) {
        let base = folder.display().to_string();
        let fleet = Fleet::of_tables(uris.iter().map(|uri| format!("{base}/{uri}"))).unwrap();
        let found = FleetTables::find(&fleet, &Environment::real()).await.unwrap();
        let below = |text: &str| text.rsplit_once(&format!("{base}/")).unwrap().1.to_owned();
        let tables = found.tables.iter().map(|table| below(&table.uri.to_string())).collect();
        (tables, found.unmatched.iter().map(|text| below(text)).collect())
    }

    #[tokio::test]
    async fn folders_that_match_and_are_tables_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for table in ["a/one", "a/two", "b/one", "b/deep/er/one", ".hidden/one"] {
            let meta = folder.path().join(table).join(".hoodie");
            fs::create_dir_all(&meta).unwrap();
            fs::write(meta.join("hoodie.properties"), "").unwrap();
        }
        // What is in no table's way.
        std::os::unix::fs::symlink(folder.path().join("a"), folder.path().join("a/link")).unwrap();
        fs::create_dir(folder.path().join("a/back\\slash")).unwrap();
        fs::write(folder.path().join("a/file"), "").unwrap();
        // No tables: without properties, and what is in a table.
        fs::create_dir_all(folder.path().join("a/none/.hoodie")).unwrap();
        fs::create_dir_all(folder.path().join("a/one/inner/.hoodie")).unwrap();
        fs::write(folder.path().join("a/one/inner/.hoodie/hoodie.properties"), "").unwrap();
        for (uris, tables, unmatched) in [
            (&["*/*"][..], &["a/one", "a/two", "b/one"][..], &[][..]),
            (&["*/one", "a/*"], &["a/one", "b/one", "a/two"], &[]),
            (&["b/**"], &["b/deep/er/one", "b/one"], &[]),
            (&["**/one"], &["a/one", "b/deep/er/one", "b/one"], &[]),
            (&["a/t?o"], &["a/two"], &[]),
            (&["c/*"], &[], &["c/*"]),
            (&["a/gone"], &["a/gone"], &[]),
        ] {
            let (found, left) = found(folder.path(), uris).await;
            assert_eq!(
                (found.as_slice(), left.as_slice()),
                (&owned(tables)[..], &owned(unmatched)[..]),
                "{uris:?}"
            );
        }
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }
}
