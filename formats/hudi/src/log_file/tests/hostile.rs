//! Bytes that nobody wrote on purpose: cut, flipped, or lying about sizes.

use super::*;
use crate::allocations::largest_allocation;
use crate::avro_rows::primitive::put_long;
use crate::parquet_guard;

const CHECKS: [BlockCheck; 2] = [BlockCheck::Lengths, BlockCheck::None];

/// The golden files of at most 4 KiB, one of each kind of block among them.
fn small_files() -> Vec<(String, Bytes)> {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "golden", "log"].iter().collect();
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
    let mut folders: Vec<_> = folders.map(|name| name.into_string().unwrap()).collect();
    folders.retain(|name| !name.contains('.'));
    folders.sort();
    let files = folders
        .into_iter()
        .filter(|folder| folder != "cdc")
        .flat_map(|folder| golden(&folder).into_iter().map(move |(_, file)| (folder.clone(), file)));
    let small: Vec<_> = files.filter(|(_, file)| file.len() <= 4096).collect();
    assert!(small.len() > 15, "{}", small.len());
    small
}

/// Scans a file and decodes what it has; returns its blocks.
fn read_all(file: &Bytes, check: BlockCheck) -> Vec<BlockRef> {
    let mut blocks = Vec::new();
    for found in scan_bytes(file, check) {
        let Ok(ScannedBlock::Block(block)) = found else { continue };
        assert!(block.extent.end <= file.len() as u64 && block.content.end <= block.extent.end);
        decode(&content(file, &block), &block);
        blocks.push(*block);
    }
    blocks
}

fn decode(content: &Bytes, block: &BlockRef) {
    match block.body() {
        Ok(BlockBody::Avro) => {
            let schema = block.header.schema.as_deref().unwrap_or_default();
            let options = AvroReadOptions { batch_rows: 16, ..AvroReadOptions::default() };
            if let Ok(rows) = AvroBlockReader::try_new(content.clone(), schema, options) {
                rows.for_each(drop);
            }
        }
        Ok(BlockBody::Delete) => {
            if let Ok(records) = DeleteRecords::try_new(content) {
                records.for_each(drop);
            }
        }
        Ok(BlockBody::Parquet) => drop(parquet_guard::check_footer(content)),
        Ok(BlockBody::Command(_)) | Err(_) => {}
    }
}

/// Reads a file that was tampered with, and checks what memory that took.
fn read_tampered(tampered: &Bytes, what: &str) -> Vec<BlockRef> {
    let mut found = Vec::new();
    for check in CHECKS {
        let (blocks, largest_bytes) = largest_allocation(|| read_all(tampered, check));
        // The Avro library makes room for a batch of each of its columns.
        let allowed_bytes = (64 << 10) + 16 * tampered.len();
        assert!(largest_bytes <= allowed_bytes, "{what}, {check:?}: {largest_bytes} bytes at once");
        found.extend(blocks);
    }
    found
}

#[test]
fn of_a_file_that_was_cut_short_only_whole_blocks_are_found() {
    for (folder, file) in small_files() {
        let whole = blocks(&file);
        for end in 0..file.len() {
            let what = format!("{folder} cut at {end}");
            for block in read_tampered(&file.slice(..end), &what) {
                assert!(whole.contains(&block), "{what}");
            }
        }
    }
}

#[test]
fn flipped_bits_are_survived() {
    for (folder, file) in small_files() {
        for at in 0..file.len() {
            let mut flipped = file.to_vec();
            flipped[at] ^= 1 << (at % 8);
            read_tampered(&flipped.into(), &format!("{folder}, bit {} of byte {at} flipped", at % 8));
        }
    }
}

#[test]
fn lying_numbers_are_survived() {
    let numbers: [i64; 7] = [-1, i64::MIN, i64::MAX, i32::MAX.into(), i32::MIN.into(), 1 << 24, 0];
    for (folder, file) in small_files() {
        for at in 0..file.len().min(1024) {
            for number in numbers {
                for bytes in [&number.to_be_bytes()[..], &(number as i32).to_be_bytes()] {
                    let mut lying = file.to_vec();
                    let end = (at + bytes.len()).min(lying.len());
                    lying[at..end].copy_from_slice(&bytes[..end - at]);
                    read_tampered(&lying.into(), &format!("{folder}, {number} at byte {at}"));
                }
            }
        }
    }
}

#[test]
fn contents_that_were_cut_or_flipped_are_an_error_or_other_values() {
    for (folder, file) in small_files() {
        for block in blocks(&file) {
            let whole = content(&file, &block);
            for end in 0..whole.len() {
                let what = format!("{folder}, content of the {} block cut at {end}", block.kind);
                let (_, largest_bytes) = largest_allocation(|| decode(&whole.slice(..end), &block));
                assert!(largest_bytes <= (64 << 10) + 16 * whole.len(), "{what}: {largest_bytes} bytes");
                let mut flipped = whole.to_vec();
                flipped[end] ^= 1 << (end % 8);
                decode(&flipped.into(), &block);
            }
        }
    }
}

/// Content of one record of `nulls` items, each of which is a null of 1 MiB.
fn nulls_of_a_mebibyte(around: &str, nulls: u8) -> (Bytes, String) {
    let item = r#"["null",{"type":"fixed","name":"f","size":1048576}]"#;
    let column = format!(r#"{{"name":"a","type":{}}}"#, around.replace('?', item));
    let mut body = Vec::new();
    put_long(&mut body, nulls.into());
    // An item is the branch of null; in a map, a text of no bytes is before it.
    body.extend(vec![0; usize::from(nulls) * if around.contains("map") { 2 } else { 1 }]);
    body.push(0);
    let head = [3, 1, body.len() as i32].map(i32::to_be_bytes).concat();
    ([head, body].concat().into(), format!(r#"{{"type":"record","name":"r","fields":[{column}]}}"#))
}

#[test]
fn a_record_whose_nulls_take_far_more_memory_than_bytes_is_refused() {
    for around in [r#"{"type":"array","items":?}"#, r#"{"type":"map","values":?}"#] {
        let read = |nulls| {
            let (content, schema) = nulls_of_a_mebibyte(around, nulls);
            let rows = AvroBlockReader::try_new(content, &schema, AvroReadOptions::default()).unwrap();
            largest_allocation(|| {
                rows.map(|batch| batch.map(|batch| batch.num_rows())).collect::<Result<Vec<_>, _>>()
            })
        };
        assert_eq!(read(2).0, Ok(vec![1]), "{around}");
        let (refused, largest_bytes) = read(80);
        let error = refused.unwrap_err().to_string();
        assert_eq!(
            error,
            "record 0 of the avro block is broken: it takes more than 67108864 bytes of memory"
        );
        assert!(largest_bytes < 1 << 20, "{largest_bytes}");
    }
}
