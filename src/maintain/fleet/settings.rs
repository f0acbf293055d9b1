//! The settings of a fleet file.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::commit::{HeartbeatSettings, LockSettings};
use crate::maintain::MaintainError;
use crate::maintain::archive::ArchiveRules;
use crate::maintain::clean::{CleanPolicy, CleanRules, PolicyName};
use crate::maintain::clustering::ClusteringRules;
use crate::maintain::compaction::CompactionRules;
use crate::settings::{
    SettingsError, Size, TimeSpan, Timezone, Window, absolute, from_yaml, has_scheme, read_file,
    working_folder,
};

/// A fleet: tables, and what is done to them. Paths that are relative start at the folder of the file.
///
/// Settings of services stand at three places, the nearest of which counts, setting by setting: the last
/// entry of `tables` that matches a table and has the setting, `services` of the whole fleet, and what is
/// said of the setting here.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// What a run may use.
    #[serde(default)]
    pub budget: Budget,
    /// The folder in which is kept between runs what is known of the tables. It may be deleted at any time;
    /// `lakebed` in $XDG_CACHE_HOME, or in ~/.cache, if not set.
    #[serde(default)]
    pub cache: Option<String>,
    /// What is done to every table.
    #[serde(default)]
    pub services: Services,
    /// The tables.
    #[serde(deserialize_with = "at_least_one")]
    #[schemars(length(min = 1))]
    pub tables: Vec<TableEntry>,
}

/// What a run may use.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Memory for all that is done at a time; 512 MiB if not set.
    #[serde(default)]
    pub memory: Option<Size>,
    /// Begin nothing more after this time; no limit if not set.
    #[serde(default)]
    pub time: Option<TimeSpan>,
    /// Bytes that compactions and clusterings of all tables together may read in a run; as long as any are left,
    /// one file group is rewritten at least. No limit if not set.
    #[serde(default)]
    pub read: Option<Size>,
    /// Bytes of data files that are read and written in a second; no limit if not set.
    #[serde(default)]
    pub bytes_per_second: Option<Size>,
    /// Threads that compute; as many as there are cores if not set.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub threads: Option<usize>,
}

/// Tables, and what is different about them.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    /// The table, or many: * and ? stand for what is between two slashes, ** for any folders.
    pub uri: String,
    /// Leave these tables alone, whatever other entries say.
    #[serde(default)]
    pub skip: bool,
    /// The zone of a timeline in LOCAL time: that of the JVMs that write to the table, such as Europe/Berlin.
    #[serde(default)]
    pub timeline_timezone: Option<Timezone>,
    /// Whether others than Lakebed write the tables too: then clocks may differ.
    #[serde(default)]
    pub shared: Option<bool>,
    /// For shared tables: by how much the clocks of their writers may differ, 200ms if not set
    /// (hoodie.time.generator.max_expected_clock_skew_ms).
    #[serde(default)]
    pub clock_skew: Option<TimeSpan>,
    /// The table lock: all writers of a table should agree on it.
    #[serde(default)]
    pub lock: LockSettings,
    /// Signs of life: all writers of a table should agree on them.
    #[serde(default)]
    pub heartbeat: HeartbeatSettings,
    /// What is done to these tables.
    #[serde(default)]
    pub services: Services,
}

/// What is done to a table.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Services {
    /// Log files are merged into base files.
    #[serde(default)]
    pub compaction: CompactionSettings,
    /// Few large files are made of many small ones.
    #[serde(default)]
    pub clustering: ClusteringSettings,
    /// Files that no reader needs any more are deleted.
    #[serde(default)]
    pub clean: CleanSettings,
    /// Old instants go from the active timeline.
    #[serde(default)]
    pub archive: ArchiveSettings,
}

/// When log files are merged into base files: as soon as one of the three thresholds is met.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompactionSettings {
    /// Whether it is done; pending plans are carried out as well. It is if not set.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// A file group with so many log files is due; 10 if not set.
    #[serde(default)]
    pub min_log_files: Option<usize>,
    /// A file group of which the log files have so many times the bytes of its base file is due; 0.3 if not
    /// set.
    #[serde(default)]
    pub min_log_ratio: Option<f64>,
    /// A file group of which the oldest log file is so old is due; 6h if not set.
    #[serde(default)]
    pub min_log_age: Option<TimeSpan>,
    /// At most so many file groups in a plan; no limit if not set.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub max_groups: Option<usize>,
    /// At most so many bytes read for a plan; 20 GiB if not set.
    #[serde(default)]
    pub max_bytes: Option<Size>,
}

/// When few large files are made of many small ones. Tables with a bucket index are passed by.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusteringSettings {
    /// Whether it is done; pending plans are carried out as well. If not set, it is in tables without record keys:
    /// where rows are updated, writers of other engines that meet a clustering fail and have to try again.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// A partition with so many small files is due; 10 if not set.
    #[serde(default)]
    pub min_small_files: Option<usize>,
    /// Files of this size are made; 120 MiB if not set.
    #[serde(default)]
    pub target_file_bytes: Option<Size>,
    /// Files of this size and more stay as they are; five sixths of the target if not set.
    #[serde(default)]
    pub small_file_bytes: Option<Size>,
    /// At most so many bytes read for a plan; 20 GiB if not set.
    #[serde(default)]
    pub max_bytes: Option<Size>,
}

/// Which versions of files stay.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanSettings {
    /// Whether files are deleted; they are if not set.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// KEEP_LATEST_COMMITS if neither this nor what is kept says otherwise.
    #[serde(default)]
    pub policy: Option<PolicyName>,
    /// What the newest so many commits read stays; 10 if not set.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub retain_commits: Option<u32>,
    /// What was read since the first commit within so many hours stays; 24 if not set.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub retain_hours: Option<u32>,
    /// So many versions of each file group stay; 3 if not set.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub retain_file_versions: Option<u32>,
    /// What anybody reads who began to so long ago stays, whatever the policy says, 0 for nothing; 1h if not set.
    #[serde(default)]
    pub reader_window: Option<Window>,
}

/// How long the active timeline is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveSettings {
    /// Whether instants go; they do if not set.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// So many completed commits stay; 20, or fewer than max_commits, if not set.
    #[serde(default)]
    pub min_commits: Option<usize>,
    /// As soon as there are more than so many, all but min_commits go; 30, or 10 more than those, if not set.
    #[serde(default)]
    pub max_commits: Option<usize>,
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TableEntry>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() { Err(de::Error::custom("it is empty; name at least one table")) } else { Ok(list) }
}

impl Fleet {
    /// Tables by their addresses or patterns, with no settings of their own.
    ///
    /// # Errors
    /// A working folder that is gone.
    pub fn of_tables(uris: impl IntoIterator<Item = String>) -> Result<Self, SettingsError> {
        let tables = uris.into_iter().map(|uri| TableEntry { uri, ..TableEntry::default() }).collect();
        Self { tables, ..Self::default() }.at(&working_folder()?)
    }

    /// Reads a fleet file and checks it.
    ///
    /// # Errors
    /// A file that cannot be read; as [`Fleet::from_yaml`].
    pub fn from_file(path: &Path) -> Result<Self, SettingsError> {
        let (text, folder) = read_file(path, "fleet file")?;
        from_yaml::<Self>(&text)?.at(&folder)
    }

    /// Reads the text of a fleet file and checks it. Paths that are relative start at the working folder.
    ///
    /// # Errors
    /// Text that is no YAML, settings that do not exist, have a wrong type or contradict each other.
    pub fn from_yaml(text: &str) -> Result<Self, SettingsError> {
        from_yaml::<Self>(text)?.at(&working_folder()?)
    }

    fn at(mut self, folder: &str) -> Result<Self, SettingsError> {
        let of_all = self.services;
        of_all.check("services")?;
        if self.budget.threads == Some(0) {
            return Err(SettingsError::new(
                "budget.threads",
                "0 threads do nothing; write 1 or more".to_owned(),
            ));
        }
        for (number, entry) in self.tables.iter_mut().enumerate() {
            let at = format!("tables[{number}]");
            entry.services.over(&of_all).check(&format!("{at}.services"))?;
            entry.lock.check(&format!("{at}.lock"))?;
            entry.heartbeat.check(&format!("{at}.heartbeat"))?;
            if !has_scheme(&entry.uri) {
                entry.uri = absolute(folder, &entry.uri, glob::Pattern::escape);
            }
        }
        if let Some(cache) = self.cache.as_mut() {
            *cache = absolute(folder, cache, str::to_owned);
        }
        Ok(self)
    }
}

/// The JSON Schema of fleet files.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Fleet).to_value()
}

impl Services {
    /// These settings, over those of `below`.
    #[must_use]
    pub fn over(&self, below: &Self) -> Self {
        Self {
            compaction: self.compaction.over(&below.compaction),
            clustering: self.clustering.over(&below.clustering),
            clean: self.clean.over(&below.clean),
            archive: self.archive.over(&below.archive),
        }
    }

    /// Refuses settings of services that contradict each other, which are those of `at`.
    pub(crate) fn check(&self, at: &str) -> Result<(), SettingsError> {
        let ratio = self.compaction.min_log_ratio.unwrap_or_default();
        if ratio.is_nan() || ratio < 0.0 {
            let problem = format!("{ratio} is no ratio; write for example 0.3");
            return Err(SettingsError::new(&format!("{at}.compaction.min_log_ratio"), problem));
        }
        if self.compaction.max_groups == Some(0) {
            let problem = "0 file groups are none; write 1 or more, or enabled: false";
            return Err(SettingsError::new(&format!("{at}.compaction.max_groups"), problem));
        }
        let clustering = |error| SettingsError::new(&format!("{at}.clustering"), format!("{error}"));
        self.clustering.rules().map_err(clustering)?;
        self.clean.rules().map_err(|problem| SettingsError::new(&format!("{at}.clean"), problem))?;
        let archive = |error| SettingsError::new(&format!("{at}.archive"), format!("{error}"));
        self.archive.rules().map(|_| ()).map_err(archive)
    }
}

impl CompactionSettings {
    fn over(&self, below: &Self) -> Self {
        Self {
            enabled: self.enabled.or(below.enabled),
            min_log_files: self.min_log_files.or(below.min_log_files),
            min_log_ratio: self.min_log_ratio.or(below.min_log_ratio),
            min_log_age: self.min_log_age.or(below.min_log_age),
            max_groups: self.max_groups.or(below.max_groups),
            max_bytes: self.max_bytes.or(below.max_bytes),
        }
    }

    /// Which file groups are compacted.
    pub fn rules(&self) -> CompactionRules {
        CompactionRules {
            due_log_files: self.min_log_files.unwrap_or(10),
            due_log_ratio: self.min_log_ratio.unwrap_or(0.3),
            due_log_age: self.min_log_age.map_or(Duration::from_secs(6 * 3600), |TimeSpan(age)| age),
            max_groups: self.max_groups.unwrap_or(usize::MAX),
            max_read_bytes: self.max_bytes.map_or(20 << 30, |Size(bytes)| bytes),
            partitions: None::<BTreeSet<String>>,
        }
    }
}

impl ClusteringSettings {
    fn over(&self, below: &Self) -> Self {
        Self {
            enabled: self.enabled.or(below.enabled),
            min_small_files: self.min_small_files.or(below.min_small_files),
            target_file_bytes: self.target_file_bytes.or(below.target_file_bytes),
            small_file_bytes: self.small_file_bytes.or(below.small_file_bytes),
            max_bytes: self.max_bytes.or(below.max_bytes),
        }
    }

    /// Which files are clustered.
    ///
    /// # Errors
    /// Small files that are larger than the target.
    pub fn rules(&self) -> Result<ClusteringRules, MaintainError> {
        let default = ClusteringRules::default();
        let target_file_bytes = self.target_file_bytes.map_or(default.target_file_bytes, |Size(bytes)| bytes);
        let small_file_bytes = self.small_file_bytes.map(|Size(bytes)| bytes);
        Ok(ClusteringRules {
            due_small_files: self.min_small_files.unwrap_or(10),
            max_read_bytes: self.max_bytes.map_or(20 << 30, |Size(bytes)| bytes),
            ..ClusteringRules::of_target(target_file_bytes, small_file_bytes)?
        })
    }
}

impl CleanSettings {
    /// Of two policies the nearer one counts, with what it keeps.
    fn over(&self, below: &Self) -> Self {
        let kept = [self.retain_commits, self.retain_hours, self.retain_file_versions];
        let nearer = self.policy.is_some() || kept.iter().any(Option::is_some);
        let policy = if nearer { self } else { below };
        Self {
            enabled: self.enabled.or(below.enabled),
            reader_window: self.reader_window.or(below.reader_window),
            ..*policy
        }
    }

    /// How much of the past stays.
    ///
    /// # Errors
    /// Settings of several policies; says which.
    pub fn rules(&self) -> Result<CleanRules, String> {
        let policy = CleanPolicy::chosen(
            self.policy,
            self.retain_commits,
            self.retain_hours,
            self.retain_file_versions,
        )?;
        let default = CleanRules::default();
        Ok(CleanRules {
            policy,
            reader_window: self.reader_window.map_or(default.reader_window, |Window(window)| window),
        })
    }
}

impl ArchiveSettings {
    fn over(&self, below: &Self) -> Self {
        Self {
            enabled: self.enabled.or(below.enabled),
            min_commits: self.min_commits.or(below.min_commits),
            max_commits: self.max_commits.or(below.max_commits),
        }
    }

    /// How long the active timeline is.
    ///
    /// # Errors
    /// More commits that stay than there may be.
    pub fn rules(&self) -> Result<ArchiveRules, MaintainError> {
        ArchiveRules::chosen(self.min_commits, self.max_commits)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const EXAMPLE: &str = include_str!("example.yaml");

    #[test]
    fn the_annotated_example_has_the_documented_defaults() {
        let fleet = Fleet::from_yaml(EXAMPLE).unwrap();
        let (example, default) = (fleet.services, Services::default());
        let compaction = CompactionRules { max_groups: usize::MAX, ..example.compaction.rules() };
        assert_eq!(compaction, default.compaction.rules());
        assert_eq!(example.clean.rules().unwrap(), default.clean.rules().unwrap());
        assert_eq!(example.archive.rules().unwrap(), default.archive.rules().unwrap());
        assert_eq!(fleet.budget.memory, Some(Size(512 << 20)));
        assert_eq!(fleet.tables.iter().filter(|entry| entry.skip).count(), 1);
    }

    #[test]
    fn readers_may_be_given_no_time_and_who_lives_is_given_some() {
        for none in ["0", "'0'", "0s"] {
            let fleet = format!("services: {{clean: {{reader_window: {none}}}}}\ntables: [{{uri: a}}]");
            let rules = Fleet::from_yaml(&fleet).unwrap().services.clean.rules().unwrap();
            assert_eq!(rules.reader_window, Duration::ZERO, "{none}");
        }
        for wrong in ["reader_window: 5", "reader_window: soon", "reader_window: -1s"] {
            let fleet = format!("services: {{clean: {{{wrong}}}}}\ntables: [{{uri: a}}]");
            let error = Fleet::from_yaml(&fleet).unwrap_err().to_string();
            assert!(error.contains("services.clean.reader_window: "), "{error}");
        }
    }

    #[test]
    fn the_published_schema_is_the_generated_one() {
        let generated = format!("{:#}\n", json_schema());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/fleet.schema.json");
        if std::env::var_os("LAKEBED_WRITE_SCHEMA").is_some() {
            std::fs::write(path, &generated).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            generated,
            "run again with LAKEBED_WRITE_SCHEMA=1"
        );
    }

    #[test]
    fn the_annotated_example_shows_every_setting() {
        fn keys(schema: &Value, found: &mut BTreeSet<String>) {
            match schema {
                Value::Object(map) => {
                    found.extend(
                        map.get("properties")
                            .and_then(Value::as_object)
                            .into_iter()
                            .flatten()
                            .map(|p| p.0.clone()),
                    );
                    map.values().for_each(|child| keys(child, found));
                }
                Value::Array(list) => list.iter().for_each(|child| keys(child, found)),
                _ => {}
            }
        }
        let mut settings = BTreeSet::new();
        keys(&json_schema(), &mut settings);
        assert!(settings.len() > 20, "{settings:?}");
        for setting in settings {
            assert!(EXAMPLE.contains(&format!("{setting}:")), "{setting} is not in example.yaml");
        }
    }
}
