//! A running Spark session in a process of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use arrow::array::RecordBatch;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::install::Installation;
use super::table::Options;
use crate::cache::InstallError;
use crate::parquet_file::{self, ParquetFileError};

const DRIVER: &str = include_str!("driver.py");

/// Why Spark did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SparkError {
    /// It is not installed and cannot be.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The process could not be started or spoken to.
    #[error("spark: {0}")]
    Io(#[from] io::Error),
    /// The process ended.
    #[error("spark ended; the end of its log:\n{log}")]
    Ended {
        /// The last lines that it wrote.
        log: String,
    },
    /// It answered with something else than an answer.
    #[error("spark answered {answer:?}: {source}")]
    Answer {
        /// What it said.
        answer: String,
        /// Why that is no answer.
        source: serde_json::Error,
    },
    /// It refused, or failed.
    #[error("spark: {}", innermost(message))]
    Failed {
        /// What it says, with Java's stack trace.
        message: String,
    },
    /// Rows passed on to it or taken from it.
    #[error(transparent)]
    Rows(#[from] ParquetFileError),
}

/// The answer to a query, for people and for procedures; rows of tables are read by [`Spark::read`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows of values.
    pub rows: Vec<Vec<Value>>,
}

#[derive(Deserialize)]
struct Reply {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(flatten)]
    answer: Answer,
}

/// Rows for Spark to write.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// SQL `values` and the columns they are, as DDL: `id string, ts long`.
    Values {
        /// Columns.
        ddl: &'a str,
        /// Rows as SQL: `('a', 1), ('b', 2)`.
        values: &'a str,
    },
    /// Rows of ours.
    Batch(&'a RecordBatch),
    /// The rows of a Parquet file, read by as many tasks as there are cores.
    File(&'a Path),
}

/// What of a table is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The rows as they are.
    Snapshot,
    /// The rows as they were as of an instant.
    AsOf(String),
    /// Base files alone.
    ReadOptimized,
    /// The rows that commits wrote which completed after a time.
    Incremental {
        /// That completion time, exclusive.
        after: String,
    },
}

impl Query {
    fn options(&self) -> Options {
        let pairs: &[(&str, &str)] = match self {
            Self::Snapshot => &[],
            Self::AsOf(instant) => &[("as.of.instant", instant)],
            Self::ReadOptimized => &[("hoodie.datasource.query.type", "read_optimized")],
            Self::Incremental { after } => &[
                ("hoodie.datasource.query.type", "incremental"),
                ("hoodie.datasource.read.begin.instanttime", after),
            ],
        };
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }
}

/// A Spark session with Hudi. It ends when dropped, its JVM with it.
///
/// It reaches buckets by the usual `AWS_*` variables, if they name an endpoint.
///
/// Starting takes about ten seconds and three gigabytes; one session does for a whole run.
#[derive(Debug)]
pub struct Spark {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: TempDir,
    exchanged: u64,
}

impl Spark {
    /// Installs what is missing and starts a session.
    ///
    /// # Errors
    /// It cannot be installed, or does not come up.
    pub fn start() -> Result<Self, SparkError> {
        let installation = Installation::ready()?;
        let folder = tempfile::Builder::new().prefix("lakebed-spark-").tempdir()?;
        let driver = folder.path().join("driver.py");
        fs::write(&driver, DRIVER)?;
        let mut process = Command::new(&installation.python)
            .arg(&driver)
            .current_dir(folder.path())
            .env("TZ", "UTC")
            .env("PYSPARK_PYTHON", &installation.python)
            .env("SPARK_LOCAL_IP", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log_file(folder.path()))?)
            // A group of its own, so that the JVM can be ended together with the driver.
            .process_group(0)
            .spawn()?;
        let (Some(requests), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("no pipes to the driver").into());
        };
        let answers = BufReader::new(answers);
        let mut spark = Self { process, requests: Some(requests), answers, folder, exchanged: 0 };
        let mut settings = session_settings(&installation, spark.folder.path());
        if let Ok(endpoint) = std::env::var("AWS_ENDPOINT_URL") {
            add_bucket(&mut settings, endpoint)?;
        }
        spark.ask(&json!(settings))?;
        Ok(spark)
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// Spark's own.
    pub fn sql(&mut self, query: &str) -> Result<Answer, SparkError> {
        self.ask(&json!({ "op": "sql", "query": query }))
    }

    /// Sets a session setting, or gives it back the value it had at the start.
    ///
    /// # Errors
    /// Spark's own.
    pub fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), SparkError> {
        let at_start = || super::table::QUIET.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let value = value.or_else(at_start);
        self.ask(&json!({ "op": "set", "key": key, "value": value })).map(drop)
    }

    /// Writes rows to the table in the folder `table` with Hudi's `options`.
    ///
    /// # Errors
    /// Spark's own.
    pub fn write(&mut self, table: &Path, rows: Rows<'_>, options: &Options) -> Result<(), SparkError> {
        let rows = match rows {
            Rows::Values { ddl, values } => json!({ "ddl": ddl, "sql": format!("values {values}") }),
            Rows::Batch(batch) => {
                let file = self.exchange_file();
                parquet_file::write(&file, batch)?;
                json!({ "parquet": file })
            }
            Rows::File(file) => json!({ "parquet": file, "split": true }),
        };
        self.ask(&json!({ "op": "write", "table": table, "rows": rows, "options": options })).map(drop)
    }

    /// The rows of the table in the folder `table`, meta columns included.
    ///
    /// Timestamps come in microseconds; nothing is lost on the way.
    ///
    /// # Errors
    /// Spark's own.
    pub fn read(&mut self, table: &Path, query: &Query) -> Result<RecordBatch, SparkError> {
        let file = self.exchange_file();
        self.read_to(table, query, &file)?;
        Ok(parquet_file::read(&file)?)
    }

    /// As [`Spark::read`], into a Parquet file.
    ///
    /// # Errors
    /// Spark's own.
    pub fn read_to(&mut self, table: &Path, query: &Query, file: &Path) -> Result<(), SparkError> {
        let options = query.options();
        self.ask(&json!({ "op": "read", "table": table, "options": options, "out": file })).map(drop)
    }

    /// Reads `columns` of all rows of the table in the folder `table`, and counts them.
    ///
    /// # Errors
    /// Spark's own.
    pub fn scan(&mut self, table: &Path, columns: &[&str]) -> Result<u64, SparkError> {
        let answer = self.ask(&json!({ "op": "scan", "table": table, "columns": columns }))?;
        Ok(answer.rows.iter().flatten().find_map(Value::as_u64).unwrap_or_default())
    }

    /// The group of the session's processes.
    ///
    /// # Errors
    /// None that a running session could cause.
    pub fn group(&self) -> io::Result<Pid> {
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        id.ok_or_else(|| io::Error::other("a process id that is none"))
    }

    /// Rewrites a Parquet file with pyarrow, without key-values in its footer.
    ///
    /// # Errors
    /// pyarrow's own.
    pub fn rewrite(&mut self, file: &Path) -> Result<(), SparkError> {
        self.ask(&json!({ "op": "rewrite", "file": file })).map(drop)
    }

    fn exchange_file(&mut self) -> PathBuf {
        self.exchanged += 1;
        self.folder.path().join(format!("rows-{}.parquet", self.exchanged))
    }

    fn ask(&mut self, request: &Value) -> Result<Answer, SparkError> {
        let Some(requests) = &mut self.requests else { return Err(self.ended()) };
        if writeln!(requests, "{request}").and_then(|()| requests.flush()).is_err() {
            return Err(self.ended());
        }
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(self.ended());
        }
        let reply: Reply = serde_json::from_str(&line)
            .map_err(|source| SparkError::Answer { answer: line.chars().take(400).collect(), source })?;
        if reply.ok {
            return Ok(reply.answer);
        }
        Err(SparkError::Failed { message: reply.error })
    }

    fn ended(&self) -> SparkError {
        let log = fs::read(log_file(self.folder.path())).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(30)..).unwrap_or_default();
        SparkError::Ended { log: last.join("\n") }
    }
}

impl Drop for Spark {
    fn drop(&mut self) {
        // The driver ends when nothing more can be asked; the group is ended in any case.
        drop(self.requests.take());
        if let Ok(group) = self.group() {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.process.wait().ok();
    }
}

/// The first line of a failure, and that of the exception that it began with.
fn innermost(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    match message.lines().rev().find_map(|line| line.strip_prefix("Caused by: ")) {
        Some(cause) => format!("{cause} ({first})"),
        None => message.lines().take(6).collect::<Vec<_>>().join(" "),
    }
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("spark.log")
}

type Settings = BTreeMap<&'static str, String>;

fn session_settings(installation: &Installation, folder: &Path) -> Settings {
    let fixed = [
        ("spark.master", "local[2]"),
        ("spark.driver.memory", "3g"),
        ("spark.driver.host", "127.0.0.1"),
        ("spark.driver.bindAddress", "127.0.0.1"),
        ("spark.ui.enabled", "false"),
        ("spark.serializer", "org.apache.spark.serializer.KryoSerializer"),
        ("spark.kryo.registrator", "org.apache.spark.HoodieSparkKryoRegistrar"),
        ("spark.sql.extensions", "org.apache.spark.sql.hudi.HoodieSparkSessionExtension"),
        ("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.hudi.catalog.HoodieCatalog"),
        ("spark.sql.session.timeZone", "UTC"),
        ("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS"),
        ("spark.sql.shuffle.partitions", "2"),
        ("spark.default.parallelism", "2"),
    ];
    let mut settings: Settings = fixed.map(|(key, value)| (key, value.to_owned())).into();
    settings.insert("spark.jars", installation.bundle.display().to_string());
    settings.insert("spark.sql.warehouse.dir", folder.join("warehouse").display().to_string());
    settings.insert("spark.local.dir", folder.join("local").display().to_string());
    for (key, value) in super::table::QUIET {
        settings.insert(key, value.to_owned());
    }
    settings
}

/// What s3a needs beside the credentials, which it takes from the environment.
fn add_bucket(settings: &mut Settings, endpoint: String) -> Result<(), SparkError> {
    let jars = settings.entry("spark.jars").or_default();
    for jar in Installation::s3a_jars()? {
        *jars += &format!(",{}", jar.display());
    }
    settings.insert("spark.hadoop.fs.s3a.endpoint", endpoint);
    settings.insert("spark.hadoop.fs.s3a.path.style.access", "true".to_owned());
    // Hudi leaves files open that it has read, each of which holds a connection.
    settings.insert("spark.hadoop.fs.s3a.connection.maximum", "2000".to_owned());
    Ok(())
}
