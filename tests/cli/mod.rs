//! The program, run as people and scripts run it.

mod archive;
mod bad_input;
mod clean;
mod cluster;
mod compact;
mod create;
mod deletes;
mod full_disk;
mod ingest;
mod inspect;
mod maintain;
mod permissions;
mod read;
mod refusals;
mod restored;
mod shell;
mod terminal;
mod undo;
mod written;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A folder with a schema file, in which tables are made.
struct Place {
    folder: tempfile::TempDir,
}

/// How a run ended and what it said.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

const SCHEMA: &str = r#"{"type":"record","name":"events","fields":[
    {"name":"id","type":"string"},
    {"name":"day","type":["null","string"],"default":null},
    {"name":"seq","type":["null","int"],"default":null},
    {"name":"ts","type":["null","long"],"default":null},
    {"name":"at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
    {"name":"on","type":["null",{"type":"int","logicalType":"date"}],"default":null},
    {"name":"price","type":["null","double"],"default":null},
    {"name":"tags","type":["null",{"type":"array","items":"string"}],"default":null}]}"#;

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(place.path("events.avsc"), SCHEMA).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn table(&self) -> String {
        self.path("events").display().to_string()
    }

    /// `lakebed table create` of `events` with these arguments.
    fn create(&self, arguments: &[&str]) -> Ran {
        let (table, schema) = (self.table(), self.path("events.avsc").display().to_string());
        let fixed = ["table", "create", table.as_str(), "--schema", schema.as_str()];
        lakebed(&[&fixed, arguments].concat())
    }

    /// A command on `events`.
    fn run(&self, command: &str, arguments: &[&str]) -> Ran {
        lakebed(&[&[command, &self.table()], arguments].concat())
    }

    /// What a command on `events` says to scripts.
    #[track_caller]
    fn told(&self, command: &str, code: i32, arguments: &[&str]) -> Value {
        let ran = self.run(command, &[&["--format", "json"], arguments].concat());
        assert_eq!((ran.code, ran.err.as_str()), (code, ""), "{ran:?}");
        ran.json()
    }

    /// The rows of `events`, sorted.
    fn rows(&self) -> Vec<String> {
        let read = self.run("read", &["--format", "csv", "--columns", "day,id,ts"]);
        assert_eq!(read.code, 0, "{read:?}");
        let mut rows: Vec<String> = read.out.lines().skip(1).map(str::to_owned).collect();
        rows.sort();
        rows
    }
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }

    fn json_error(&self) -> Value {
        serde_json::from_str(&self.err).unwrap()
    }

    /// Asserts that the run was refused with that code and text, and said nothing else.
    #[track_caller]
    fn refused(&self, code: i32, text: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        assert!(self.err.contains(text), "expected {text:?}: {self:?}");
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakebed"));
    command.args(arguments).env_remove("LAKEBED_LOG");
    command
}

fn lakebed(arguments: &[&str]) -> Ran {
    ran(command(arguments).output().unwrap())
}

/// A run of which nobody reads what it says on standard output.
fn unread(arguments: &[&str]) -> Ran {
    let mut child = command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    ran(child.wait_with_output().unwrap())
}

fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// The files below `folder`, relative to it.
fn files_below(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}
