//! What `lakebed ingest` does where it may not read or write.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use super::ingest::{Place, SOURCE};
use super::{Ran, command, lakebed, ran};
use crate::skipped::skip;

/// Permissions do not bind the administrator: then somebody else runs the program.
const NOBODY: u32 = 65_534;

fn are_we_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A table of one row with another one to come.
fn place() -> Place {
    let place = Place::new();
    place.deliver("a.csv", "id,p,ts\na,x,1\n");
    assert_eq!(lakebed(&["ingest", &place.job(SOURCE, "")]).code, 0);
    place.deliver("b.csv", "id,p,ts\nb,x,1\n");
    place
}

/// Gives a folder and what is in it to who runs the program. False where that cannot be.
fn hand_over(path: &Path) -> bool {
    let within: Vec<_> = match path.is_dir() {
        true => fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect(),
        false => Vec::new(),
    };
    chown(path, Some(NOBODY), Some(NOBODY)).is_ok() && within.iter().all(|path| hand_over(path))
}

/// Runs the job of a place as somebody whom permissions bind. `None`, and says so, where that cannot be.
fn ingest(place: &Place) -> Option<Ran> {
    let mut command = command(&["ingest", &place.path("job.yaml").display().to_string()]);
    let mut handed_over = true;
    if are_we_root() {
        command.uid(NOBODY).gid(NOBODY);
        // Inputs stay as they are: those that were read must not change.
        let own = Permissions::from_mode(0o755);
        handed_over = fs::set_permissions(place.path(""), own).is_ok() && hand_over(&place.path("t"));
    }
    match command.output() {
        Ok(output) if handed_over => Some(ran(output)),
        Err(error) if error.kind() != ErrorKind::PermissionDenied => panic!("{error}"),
        done => {
            let why = "the administrator cannot run the program as somebody else here";
            skip("permissions", &format!("{why}: {done:?}"));
            None
        }
    }
}

fn set_modes(place: &Place, mode: u32, names: &[&str]) {
    for name in names {
        fs::set_permissions(place.path(name), Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = place();
    let folders = ["t/.hoodie/timeline", "t/.hoodie", "t/p=x", "t"];
    for (locked, said) in [(&folders[..], "t/.hoodie"), (&folders[2..3], "t/p=x/")] {
        set_modes(&place, 0o555, locked);
        let refusal = ingest(&place);
        set_modes(&place, 0o755, locked);
        let Some(refusal) = refusal else { return };
        assert_eq!((refusal.code, refusal.out.as_str()), (1, ""), "{refusal:?}");
        let named = place.path(said).display().to_string();
        assert!(refusal.err.contains("permission denied") && refusal.err.contains(&named), "{refusal:?}");
        assert_eq!(place.rows(), ["a,x,1"]);
    }
    assert_eq!(ingest(&place).unwrap().code, 0);
    assert_eq!(place.rows(), ["a,x,1", "b,x,1"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let place = place();
    set_modes(&place, 0, &["in/b.csv"]);
    let refusal = ingest(&place);
    set_modes(&place, 0o644, &["in/b.csv"]);
    let Some(refusal) = refusal else { return };
    assert_eq!((refusal.code, refusal.out.as_str()), (1, ""), "{refusal:?}");
    assert!(refusal.err.contains("b.csv: it cannot be read: Permission denied"), "{refusal:?}");
    assert_eq!(place.rows(), ["a,x,1"]);
    assert_eq!(ingest(&place).unwrap().code, 0);
    assert_eq!(place.rows(), ["a,x,1", "b,x,1"]);
}
