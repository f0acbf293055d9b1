//! `lakebed ingest` on a disk that becomes full.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::ingest::{Place, SOURCE};
use super::{Ran, files_below, lakebed};
use crate::small_disk;

const ROWS: u64 = 20_000;

#[test]
fn a_full_disk_is_named_and_the_run_goes_on_when_there_is_space() {
    small_disk::run("cli::full_disk::on_a_small_disk");
}

/// Takes all of the disk's space but for `left_bytes`.
fn fill(path: &Path, left_bytes: u64) {
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    let bytes = file.metadata().unwrap().len();
    file.set_len(bytes - left_bytes).unwrap();
}

#[test]
#[ignore = "needs a small disk: the test above makes one and runs this"]
fn on_a_small_disk() {
    let (place, disk) = (Place::new(), small_disk::folder());
    place.deliver("a.csv", "id,p,ts\na,x,1\n");
    let job = place.job(SOURCE, "");
    // Inputs and the job are elsewhere.
    let on_disk = fs::read_to_string(&job).unwrap();
    let table = disk.join("t").display().to_string();
    // A run that has ended is dead a second later: its markers need not stay.
    let on_disk = on_disk.replace(
        &format!("uri: {},", place.path("t").display()),
        &format!("uri: {table}, heartbeat: {{interval: 1s, misses: 1}},"),
    );
    fs::write(&job, on_disk).unwrap();
    let count = || -> Ran { lakebed(&["read", &table, "--format", "csv", "--columns", "id"]) };
    assert_eq!(lakebed(&["ingest", &job]).code, 0);
    let before = count();
    assert_eq!((before.code, before.out.as_str()), (0, "id\na\n"), "{before:?}");

    // Values that no codec makes smaller: some hundred KiB.
    let scattered = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n.wrapping_mul(0x2545_f491) << 17);
    let many =
        (0..ROWS).fold("id,p,ts\n".to_owned(), |text, n| format!("{text}{:016x},x,{n}\n", scattered(n)));
    place.deliver("b.csv", &many);
    // No space for a file of the timeline; then for these, and not for the rows.
    for left_bytes in [0, 128 << 10] {
        fill(&disk.join("other"), left_bytes);
        let full = lakebed(&["ingest", &job]);
        assert_eq!((full.code, full.out.as_str()), (1, ""), "{left_bytes} left: {full:?}");
        assert!(full.err.contains("no space or no quota is left"), "{left_bytes} left: {full:?}");
        assert!(full.err.contains(&table), "it does not say where: {full:?}");
        let after = count();
        assert_eq!((after.code, after.out), (0, before.out.clone()), "{left_bytes} left");
        fs::remove_file(disk.join("other")).unwrap();
    }

    std::thread::sleep(Duration::from_millis(1_100));
    let again = lakebed(&["ingest", &job]);
    assert_eq!(again.code, 0, "{again:?}");
    let mut ids: Vec<String> = count().out.lines().skip(1).map(str::to_owned).collect();
    ids.sort();
    let mut expected: Vec<String> = (0..ROWS).map(|n| format!("{:016x}", scattered(n))).collect();
    expected.push("a".to_owned());
    expected.sort();
    assert!(ids == expected, "{} rows", ids.len());
    let mut data = files_below(&disk.join("t"));
    data.retain(|name| !name.starts_with(".hoodie/") && !name.ends_with(".hoodie_partition_metadata"));
    assert!(data.len() <= 3, "files of runs that failed are left: {data:?}");
    let marked = files_below(&disk.join("t/.hoodie/.temp"));
    assert_eq!(marked, [""; 0]);
    assert_eq!(lakebed(&["ingest", &job]).code, 3);
}
