//! Tests of log files, most of them over files that Spark 3.5.6 with Hudi 1.2.0 wrote.

mod golden;
mod hostile;
mod round_trip;

use std::path::PathBuf;

use bytes::Bytes;

use super::*;
use crate::file_name::LogFileName;

/// The log files in a folder of `golden/log`, in the order of their names.
fn golden(folder: &str) -> Vec<(LogFileName, Bytes)> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "golden", "log", folder].iter().collect();
    let mut files: Vec<_> = std::fs::read_dir(&path)
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.unwrap();
            let name: LogFileName = entry.file_name().to_str()?.parse().ok()?;
            Some((name, std::fs::read(entry.path()).unwrap().into()))
        })
        .collect();
    files.sort_by(|left, right| left.0.cmp(&right.0));
    assert!(!files.is_empty(), "{}", path.display());
    files
}

/// The one log file of a folder.
fn golden_file(folder: &str) -> Bytes {
    let mut files = golden(folder);
    assert_eq!(files.len(), 1);
    files.remove(0).1
}

/// The blocks of a file without a fault.
fn blocks(file: &Bytes) -> Vec<BlockRef> {
    scan_bytes(file, BlockCheck::Lengths)
        .map(|found| match found.unwrap() {
            ScannedBlock::Block(block) => *block,
            ScannedBlock::Corrupt(corrupt) => panic!("{corrupt:?}"),
        })
        .collect()
}

fn content(file: &Bytes, block: &BlockRef) -> Bytes {
    file.slice(block.content.start as usize..block.content.end as usize)
}
