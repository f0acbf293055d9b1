//! A sandbox with a small disk of its own.

use std::path::PathBuf;
use std::process::Command;

use crate::skipped::skip;

const FOLDER: &str = "LAKEBED_TEST_SMALL_DISK";

/// Mounts a small disk on `$1` and runs a test on it.
const SANDBOX: &str =
    "mount -t tmpfs -o size=4m small \"$1\" && exec \"$2\" --exact \"$3\" --ignored --nocapture";

/// Runs the ignored test `name` of this program where [`folder`] is a disk of 4 MiB. Says so where no such
/// sandbox is to be had.
pub fn run(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", SANDBOX, "sh"])
        .args([folder.path(), &std::env::current_exe().unwrap(), name.as_ref()])
        .env(FOLDER, folder.path())
        .output();
    match ran {
        Ok(ran) if ran.stdout.starts_with(b"\nrunning 1 test") => {
            let said = [ran.stdout, ran.stderr].concat();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
        }
        other => {
            skip("small_disk", &format!("no sandbox with a disk of its own is to be had here: {other:?}"));
        }
    }
}

/// The small disk.
pub fn folder() -> PathBuf {
    std::env::var_os(FOLDER).unwrap().into()
}
