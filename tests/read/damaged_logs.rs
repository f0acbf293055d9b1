//! Log files with bytes in them that are no blocks: what Hudi's readers pass over is passed over, and
//! where they fail, reading fails.
//!
//! Source: `HoodieLogFileReader` of Hudi 1.2.0. A block is corrupt where its length, its trailer or
//! what follows it is wrong, and then everything up to the next magic goes with it; fewer bytes than
//! a magic has are the end of the file; anything but a magic where a file begins is an error.

use std::path::{Path, PathBuf};

use arrow::array::BooleanArray;
use bytes::Bytes;
use futures::TryStreamExt as _;
use lakebed::environment::Environment;
use lakebed::read::{ReadError, Scan, ScanOptions};
use lakebed::sink::SinkOptions;
use lakebed::storage;
use lakebed::table::Table;
use lakebed_hudi::log_file::{BlockCheck, ScannedBlock, scan_bytes};

use crate::fixtures::unpack;
use crate::test_table::{TestTable, bucket_table, checkpoint, is_committed, rows, texts};

/// A table of one log file with a good number of blocks, an instant's all of them.
struct Damaged {
    folder: tempfile::TempDir,
    log: PathBuf,
    file: Vec<u8>,
    /// Where the blocks begin, and where the last ends.
    bounds: Vec<usize>,
}

impl Damaged {
    fn new() -> Self {
        let folder = unpack("log_several_blocks");
        let [log] = log_files(folder.path()).try_into().unwrap();
        let file = std::fs::read(&log).unwrap();
        let mut bounds = vec![0];
        for found in scan_bytes(&Bytes::from(file.clone()), BlockCheck::Lengths) {
            let ScannedBlock::Block(block) = found.unwrap() else { panic!("the fixture is whole") };
            bounds.push(block.extent.end as usize);
        }
        assert!(bounds.len() > 5 && bounds.last() == Some(&file.len()), "{bounds:?}");
        Self { folder, log, file, bounds }
    }

    fn block(&self, number: usize) -> &[u8] {
        &self.file[self.bounds[number]..self.bounds[number + 1]]
    }

    /// Rows of the table whose log file is made of `parts`.
    async fn read(&self, parts: &[&[u8]]) -> Result<Vec<String>, String> {
        std::fs::write(&self.log, parts.concat()).unwrap();
        let environment = Environment::real();
        let uri = self.folder.path().display().to_string().parse().unwrap();
        let storage = storage::open(&uri, &environment).await.unwrap();
        let snapshot = Table::open(storage, &environment, None).await.unwrap().snapshot(None).await.unwrap();
        let scan = Scan::plan(&snapshot, ScanOptions::default()).await.map_err(|e| e.to_string())?;
        let batches: Vec<_> = scan.stream().try_collect().await.map_err(|e: ReadError| e.to_string())?;
        Ok(texts(&batches))
    }

    /// Reads `parts` and expects the rows of the blocks `kept` alone.
    async fn expect(&self, parts: &[&[u8]], kept: &[usize], what: &str) {
        let kept: Vec<&[u8]> = kept.iter().map(|number| self.block(*number)).collect();
        let want = self.read(&kept).await.unwrap();
        assert_eq!(self.read(parts).await, Ok(want), "{what}");
    }
}

fn log_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with(".hoodie") {
            found.extend(log_files(&path));
        } else if path.file_name().unwrap().to_string_lossy().contains(".log.") {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn each_block_changes_rows() {
    let damaged = Damaged::new();
    let count = damaged.bounds.len() - 1;
    let all: Vec<&[u8]> = (0..count).map(|number| damaged.block(number)).collect();
    let whole = damaged.read(&all).await.unwrap();
    for left_out in 0..count {
        let mut parts = all.clone();
        parts.remove(left_out);
        assert_ne!(damaged.read(&parts).await.unwrap(), whole, "block {left_out}");
    }
}

#[tokio::test]
async fn zeros_behind_the_last_block_take_it_away() {
    let damaged = Damaged::new();
    let all: Vec<usize> = (0..damaged.bounds.len() - 1).collect();
    // Fewer bytes than a magic has are the end of the file to Hudi.
    for zeros in 0..6 {
        damaged.expect(&[&damaged.file, &[0; 5][..zeros]], &all, &format!("{zeros} zeros")).await;
    }
    for zeros in [6, 7, 30, 4096] {
        let kept = &all[..all.len() - 1];
        damaged.expect(&[&damaged.file, &vec![0; zeros]], kept, &format!("{zeros} zeros")).await;
    }
}

#[tokio::test]
async fn a_block_that_was_cut_is_passed_over_up_to_the_next() {
    let damaged = Damaged::new();
    let cut = damaged.block(1);
    for end in (6..cut.len()).step_by(17).chain([7, 13, 14, 15, cut.len() - 1]) {
        let what = format!("cut at {end} of {}", cut.len());
        // As an appending writer leaves it: the first block is whole, and the magic of the second stands.
        damaged.expect(&[damaged.block(0), &cut[..end], damaged.block(2)], &[0, 2], &what).await;
        damaged.expect(&[damaged.block(0), &cut[..end]], &[0], &what).await;
        damaged.expect(&[&cut[..end], damaged.block(2)], &[2], &what).await;
    }
    // Of a magic cut short: what stands behind the first block is none, and so the first is corrupt;
    // but five bytes of it make a magic with the first byte of the next, and that is no block.
    for end in 1..6 {
        let what = format!("cut at {end}");
        let kept = if end < 5 { 2 } else { 0 };
        damaged.expect(&[damaged.block(0), &cut[..end], damaged.block(2)], &[kept], &what).await;
        damaged.expect(&[damaged.block(0), &cut[..end]], &[0], &what).await;
    }
}

#[tokio::test]
async fn a_wrong_magic_takes_the_block_before_it_away_too() {
    let damaged = Damaged::new();
    for at in 0..6 {
        let mut wrong = damaged.block(2).to_vec();
        wrong[at] ^= 1;
        let parts = [damaged.block(0), damaged.block(1), &wrong, damaged.block(3)];
        damaged.expect(&parts, &[0, 3], &format!("byte {at} of the magic")).await;
        // Where a file begins with it, Hudi's readers fail.
        let error = damaged.read(&[&wrong, damaged.block(3)]).await.unwrap_err();
        assert!(error.contains("no block starts at byte 0: expected #HUDI#"), "{error}");
    }
}

/// Else the next reader would take the last block for corrupt.
#[tokio::test]
async fn log_files_of_ours_end_where_their_last_block_ends() {
    let table = TestTable::create(&bucket_table()).await;
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..4_i64 {
        let of = [("a", "x", number, Some("v")), ("b", "x", number, None), ("c", "y", number, Some("w"))];
        sink.write(&rows(&of), None).await.unwrap();
        let deleted = BooleanArray::from(vec![true]);
        sink.write(&rows(&[("d", "x", number, None)]), Some(&deleted)).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, number as u64).await));
    }
    let logs = log_files(Path::new(&table.path("t")));
    assert!(logs.len() > 3, "{logs:?}");
    for log in logs {
        let file = Bytes::from(std::fs::read(&log).unwrap());
        for check in [BlockCheck::Lengths, BlockCheck::None] {
            let found: Vec<_> = scan_bytes(&file, check).map(Result::unwrap).collect();
            let mut end = 0;
            for block in found {
                let ScannedBlock::Block(block) = block else { panic!("{}: {block:?}", log.display()) };
                assert_eq!(block.extent.start, end, "{}", log.display());
                end = block.extent.end;
            }
            assert_eq!(end, file.len() as u64, "{}", log.display());
        }
    }
}
