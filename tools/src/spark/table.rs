//! One table as Spark writes and maintains it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::session::{Answer, Query, Rows, Spark, SparkError};

/// Settings of Hudi, by name.
pub type Options = BTreeMap<String, String>;

/// Settings that keep Spark from doing more than it is asked: no metadata table, no upgrade, no
/// table service by itself.
pub(super) const QUIET: [(&str, &str); 11] = [
    ("hoodie.metadata.enable", "false"),
    ("hoodie.write.auto.upgrade", "false"),
    ("hoodie.table.timeline.timezone", "UTC"),
    ("hoodie.embed.timeline.server", "false"),
    ("hoodie.compact.inline", "false"),
    ("hoodie.clean.automatic", "false"),
    ("hoodie.archive.automatic", "false"),
    ("hoodie.index.bloom.num_entries", "10"),
    ("hoodie.upsert.shuffle.parallelism", "2"),
    ("hoodie.insert.shuffle.parallelism", "2"),
    ("hoodie.bulkinsert.shuffle.parallelism", "1"),
];

/// A precommit check that no write passes: the write fails when all of its files are written.
const FAILING_CHECK: [(&str, &str); 2] = [
    (
        "hoodie.precommit.validators",
        "org.apache.hudi.client.validator.SqlQuerySingleResultPreCommitValidator",
    ),
    ("hoodie.precommit.validators.single.value.sql.queries", "select count(*) from <TABLE_NAME>#999999"),
];

/// A table in a local folder, with the settings that Spark writes it with.
///
/// In SQL it has the name [`SparkTable::name`] once [`SparkTable::register`] was called.
#[derive(Debug)]
pub struct SparkTable<'a> {
    /// The session.
    pub spark: &'a mut Spark,
    /// Its name in SQL and in `hoodie.table.name`.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Settings of every write.
    pub options: Options,
}

impl<'a> SparkTable<'a> {
    /// The table in `folder`, which need not exist yet.
    pub fn new(spark: &'a mut Spark, name: &str, folder: &Path) -> Self {
        let mut options: Options = QUIET.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        options.insert("hoodie.table.name".into(), name.to_owned());
        Self { spark, name: name.to_owned(), folder: folder.to_owned(), options }
    }

    /// Writes `rows` with one of Hudi's operations: `insert`, `upsert`, `bulk_insert`, `delete`,
    /// `insert_overwrite`, `insert_overwrite_table`, `delete_partition`.
    ///
    /// # Errors
    /// Spark's own.
    pub fn write(
        &mut self,
        operation: &str,
        rows: Rows<'_>,
        more: &[(&str, &str)],
    ) -> Result<(), SparkError> {
        let mut options = self.options.clone();
        options.insert("hoodie.datasource.write.operation".into(), operation.to_owned());
        options.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.spark.write(&self.folder, rows, &options)
    }

    /// An upsert that fails when all of its files are written, and stays inflight.
    ///
    /// # Errors
    /// It does not fail, or fails for another reason.
    pub fn write_and_fail(&mut self, rows: Rows<'_>, more: &[(&str, &str)]) -> Result<(), SparkError> {
        let more: Vec<_> = FAILING_CHECK.iter().chain(more).copied().collect();
        match self.write("upsert", rows, &more) {
            Err(SparkError::Failed { message }) if message.contains("HoodieValidationException") => Ok(()),
            Err(other) => Err(other),
            Ok(()) => Err(SparkError::Failed {
                message: "the write was to fail its precommit check and did not".into(),
            }),
        }
    }

    /// Gives the table its name in SQL.
    ///
    /// # Errors
    /// Spark's own.
    pub fn register(&mut self) -> Result<(), SparkError> {
        let (name, folder) = (&self.name, self.folder.display());
        self.spark.sql(&format!("create table if not exists {name} using hudi location '{folder}'")).map(drop)
    }

    /// Calls one of Hudi's procedures; `{table}` and `{path}` stand for the table.
    ///
    /// # Errors
    /// Spark's own.
    pub fn sql(&mut self, statement: &str) -> Result<Answer, SparkError> {
        let statement =
            statement.replace("{table}", &self.name).replace("{path}", &self.folder.display().to_string());
        self.spark.sql(&statement)
    }

    /// Schedules a compaction of everything that has a log file.
    ///
    /// # Errors
    /// Spark's own, or nothing was scheduled.
    pub fn schedule_compaction(&mut self) -> Result<(), SparkError> {
        let mut options = "hoodie.compact.inline.max.delta.commits=1,hoodie.metadata.enable=false".to_owned();
        if let Some(version) = self.options.get("hoodie.write.table.version") {
            options += &format!(",hoodie.write.table.version={version},hoodie.write.auto.upgrade=false");
        }
        self.some_rows(&format!(
            "call run_compaction(op => 'schedule', path => '{{path}}', options => '{options}')"
        ))
    }

    /// Executes the pending compactions.
    ///
    /// # Errors
    /// Spark's own, or there was none.
    pub fn run_compaction(&mut self) -> Result<(), SparkError> {
        self.some_rows("call run_compaction(op => 'run', path => '{path}')")
    }

    /// Runs a procedure that reports what it did, and fails if it did nothing.
    ///
    /// # Errors
    /// Spark's own, or no row came back.
    pub fn some_rows(&mut self, statement: &str) -> Result<(), SparkError> {
        if self.sql(statement)?.rows.is_empty() {
            return Err(SparkError::Failed { message: format!("nothing was done by: {statement}") });
        }
        Ok(())
    }

    /// The rows of the table.
    ///
    /// # Errors
    /// Spark's own.
    pub fn read(&mut self, query: &Query) -> Result<arrow::array::RecordBatch, SparkError> {
        self.spark.read(&self.folder, query)
    }

    /// The newest completed instant of the active timeline that wrote rows.
    ///
    /// # Errors
    /// The timeline's folder cannot be read, or has no such instant.
    pub fn last_instant(&self) -> Result<String, SparkError> {
        let mut newest = None;
        for name in self.timeline()? {
            let Some((times, action)) = name.split_once('.') else { continue };
            if matches!(action, "commit" | "deltacommit" | "replacecommit") {
                newest = newest.max(times.split('_').next().map(str::to_owned));
            }
        }
        newest.ok_or_else(|| std::io::Error::other("the timeline has no completed write").into())
    }

    /// Names of the files of the active timeline.
    fn timeline(&self) -> Result<Vec<String>, SparkError> {
        let layout_two = self.folder.join(".hoodie/timeline");
        let folder = if layout_two.exists() { layout_two } else { self.folder.join(".hoodie") };
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }
}
