//! What survives the loss of power, by what the system was asked for, and in which order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lakebed::storage::Storage;

use super::{open, path};
use crate::skipped::skip;

const FOLDER: &str = "LAKEBED_TEST_POWER_LOSS";
const OPERATION: &str = "LAKEBED_TEST_OPERATION";

/// The calls that change a disk or make changes lasting; those that some machines lack with a `?`.
const CALLS: &str = "trace=openat,write,writev,pwrite64,fsync,fdatasync,?mkdir,mkdirat,?link,linkat,\
    ?rename,?renameat,renameat2,?unlink,unlinkat,?rmdir";

/// What a process asked of the system.
#[derive(Debug)]
enum Call {
    Create(PathBuf),
    Write(PathBuf),
    Sync(PathBuf),
    MakeFolder(PathBuf),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Call {
    /// The call of a line of strace, if it changed something.
    fn parse(line: &str) -> Option<Self> {
        let (call, result) = line.rsplit_once(") = ")?;
        let (name, arguments) = call.split_once('(')?;
        if result.starts_with("-1") {
            return None;
        }
        let of_descriptor = || Some(PathBuf::from(between(arguments, '<', '>')?));
        // A path is between quotes; one that is not whole begins at the descriptor before it.
        let mut parts = arguments.split('"');
        let mut named = || {
            let folder = between(parts.next()?, '<', '>').unwrap_or_default();
            Some(Path::new(folder).join(parts.next()?))
        };
        Some(match name {
            "openat" if arguments.contains("O_CREAT") => Self::Create(named()?),
            "write" | "writev" | "pwrite64" => Self::Write(of_descriptor()?),
            "fsync" | "fdatasync" => Self::Sync(of_descriptor()?),
            "mkdir" | "mkdirat" => Self::MakeFolder(named()?),
            "link" | "linkat" => Self::Link(named()?, named()?),
            "rename" | "renameat" | "renameat2" => Self::Rename(named()?, named()?),
            "unlink" | "unlinkat" | "rmdir" => Self::Remove(named()?),
            _ => return None,
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Create(path)
            | Self::Write(path)
            | Self::Sync(path)
            | Self::MakeFolder(path)
            | Self::Link(path, _)
            | Self::Rename(path, _)
            | Self::Remove(path) => path,
        }
    }
}

fn between(text: &str, before: char, after: char) -> Option<&str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

/// A disk that loses whatever it was not told to keep.
#[derive(Debug, Default)]
struct Disk {
    /// What each name stands for: a file, by its number, or a folder.
    now: BTreeMap<PathBuf, Option<usize>>,
    /// What it stands for after the loss of power.
    kept: BTreeMap<PathBuf, Option<usize>>,
    /// Whether all bytes of each file are kept.
    whole: Vec<bool>,
}

impl Disk {
    /// One with all that is below `folder`.
    fn of(folder: &Path) -> Self {
        let mut disk = Self::default();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                    disk.take(&Call::MakeFolder(path));
                } else {
                    disk.take(&Call::Create(path));
                }
            }
        }
        disk.kept = disk.now.clone();
        disk
    }

    fn take(&mut self, call: &Call) {
        match call {
            Call::Create(path) => {
                self.now.insert(path.clone(), Some(self.whole.len()));
                self.whole.push(true);
            }
            Call::Write(path) => self.whole[self.now[path].unwrap()] = false,
            Call::Sync(path) => match self.now.get(path) {
                Some(Some(file)) => self.whole[*file] = true,
                _ => self.keep_entries(path),
            },
            Call::MakeFolder(path) => drop(self.now.insert(path.clone(), None)),
            Call::Link(path, to) => drop(self.now.insert(to.clone(), self.now[path])),
            Call::Rename(path, to) => {
                let of = self.now.remove(path).unwrap();
                self.now.insert(to.clone(), of);
            }
            Call::Remove(path) => drop(self.now.remove(path)),
        }
    }

    fn keep_entries(&mut self, folder: &Path) {
        self.kept.retain(|path, _| path.parent() != Some(folder));
        let entries = self.now.iter().filter(|(path, _)| path.parent() == Some(folder));
        self.kept.extend(entries.map(|(path, of)| (path.clone(), *of)));
    }

    /// The files below `folder` after the loss of power, and whether they are whole.
    fn survivors(&self, folder: &Path) -> BTreeMap<String, bool> {
        let is_reached = |path: &Path| {
            let mut above = path.ancestors().skip(1).take_while(|above| *above != folder);
            above.all(|above| self.kept.get(above) == Some(&None))
        };
        let files = self.kept.iter().filter_map(|(path, file)| Some((path, (*file)?)));
        let reached = files.filter(|(path, _)| is_reached(path));
        let name = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
        reached.map(|(path, file)| (name(path), self.whole[file])).collect()
    }

    /// The files that a reader may find after the loss of power though bytes of them are lost.
    fn torn(&self) -> Vec<&Path> {
        let names = self.now.iter().chain(&self.kept);
        let torn = names.filter(|(_, file)| file.is_some_and(|file| !self.whole[file]));
        let is_hidden = |path: &Path| path.display().to_string().contains("/.lakebed-tmp-");
        torn.map(|(path, _)| path.as_path()).filter(|path| !is_hidden(path)).collect()
    }
}

const OPERATIONS: [&str; 7] =
    ["put_if_absent", "put_empty_if_absent", "put", "put_again", "data_file", "delete", "delete_dir"];

async fn run(operation: &str, storage: &dyn Storage) {
    let file = path("p/q/file");
    match operation {
        "put_if_absent" => drop(storage.put_if_absent(&file, "new".into()).await.unwrap()),
        "put_empty_if_absent" => drop(storage.put_if_absent(&file, "".into()).await.unwrap()),
        "put" | "put_again" => storage.put(&file, "new".into()).await.unwrap(),
        "data_file" => {
            let mut writer = storage.create(&file, Some(&path("markers/p/file"))).await.unwrap();
            for _ in 0..3 {
                writer.write(vec![7; 1 << 20].into()).await.unwrap();
            }
            writer.finish().await.unwrap();
        }
        "delete" => assert!(storage.delete(&file).await.unwrap()),
        _ => storage.delete_dir(&path("p")).await.unwrap(),
    }
}

#[tokio::test]
#[ignore = "a process that another test starts and watches"]
async fn one_operation() {
    let storage = open(&std::env::var(FOLDER).unwrap()).await;
    run(&std::env::var(OPERATION).unwrap(), storage.as_ref()).await;
}

/// What a process of its own that does `operation` on the table in `table` asks of the system, in order;
/// `None` where processes cannot be watched.
fn watch(operation: &str, table: &Path) -> Option<Vec<Call>> {
    let folder = tempfile::tempdir().unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-ff", "-ttt", "-y", "-e", CALLS, "-o"]).arg(folder.path().join("of"));
    strace.arg(std::env::current_exe().unwrap());
    strace.args(["--exact", "storage::power_loss::one_operation", "--ignored"]);
    let watched = strace.env(FOLDER, table).env(OPERATION, operation).output();
    let said = watched.as_ref().map(|watched| String::from_utf8_lossy(&watched.stdout));
    if !said.is_ok_and(|said| said.contains("running 1 test")) {
        skip("strace", &format!("processes cannot be watched by strace here: {watched:?}"));
        return None;
    }
    assert!(watched.as_ref().unwrap().status.success(), "{watched:?}");
    // A file for each thread, of lines with their times.
    let of_threads = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let texts: Vec<String> = of_threads.map(|file| fs::read_to_string(file).unwrap()).collect();
    let mut lines: Vec<_> =
        texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.split_once(' ')).collect();
    lines.sort();
    Some(lines.into_iter().filter_map(|(_, line)| Call::parse(line)).collect())
}

#[tokio::test]
async fn what_returned_survives_and_nothing_is_ever_torn() {
    for operation in OPERATIONS {
        let place = tempfile::tempdir().unwrap();
        let (folder, table) = (place.path(), place.path().join("lake/t"));
        if matches!(operation, "put_again" | "delete" | "delete_dir") {
            run("put", open(&table.display().to_string()).await.as_ref()).await;
        }
        let mut disk = Disk::of(folder);
        let Some(calls) = watch(operation, &table) else { return };
        let calls: Vec<Call> = calls.into_iter().filter(|call| call.path().starts_with(folder)).collect();
        for call in &calls {
            disk.take(call);
            assert_eq!(disk.torn(), [""; 0].map(Path::new), "{operation}, at {call:?} of {calls:#?}");
            if operation == "data_file" && matches!(call, Call::Write(_)) {
                let marked = disk.survivors(folder);
                assert_eq!(marked, whole(&["markers/p/file"]), "{calls:#?}");
            }
        }
        let left: &[&str] = match operation {
            "data_file" => &["markers/p/file", "p/q/file"],
            "delete" | "delete_dir" => &[],
            _ => &["p/q/file"],
        };
        assert_eq!(disk.survivors(folder), whole(left), "{operation}: {calls:#?}");
    }
}

fn whole(files: &[&str]) -> BTreeMap<String, bool> {
    files.iter().map(|name| (format!("lake/t/{name}"), true)).collect()
}
