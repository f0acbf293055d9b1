//! The outlines of log files: their blocks, without the content.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::log_file::{BlockCheck, BlockHeader, LogScanner, ScannedBlock, Step};

use super::data_file::{ByteSource, DataFileError, one};

/// What the headers of a slice's blocks may hold together, equal schemas once: two of the largest
/// schemas that rows are read by.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// What is kept of the headers of blocks, whose plan is made when all of them are known.
///
/// A header may have 64 MiB, and there may be any number of blocks.
#[derive(Debug)]
pub(crate) struct KeptHeaders {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    schemas: HashSet<Arc<str>>,
    bytes: usize,
}

impl Default for KeptHeaders {
    fn default() -> Self {
        Self { bytes_max: KEPT_BYTES_MAX, kept: Mutex::default() }
    }
}

impl KeptHeaders {
    /// Leaves of a header what is read later, with the schema shared; says whether there is room.
    fn keep(&self, header: &mut BlockHeader) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        header.record_positions = None;
        header.block_identifier = None;
        let mut bytes = header.compacted_instants.len() * size_of::<InstantTime>();
        if let Some(schema) = &mut header.schema {
            match kept.schemas.get(&**schema) {
                Some(known) => *schema = known.clone(),
                None => {
                    bytes += schema.len();
                    kept.schemas.insert(schema.clone());
                }
            }
        }
        kept.bytes += bytes;
        kept.bytes <= self.bytes_max
    }
}

/// Finds the blocks of a log file, in file order.
///
/// They share equal schemas, and come without their record positions, which nothing here reads.
pub(crate) async fn scan_log(
    source: &ByteSource,
    check: BlockCheck,
    kept: &KeptHeaders,
) -> Result<Vec<ScannedBlock>, DataFileError> {
    let failed = |error| DataFileError::Log { path: source.path.clone(), source: error };
    let mut scanner = LogScanner::new(source.bytes, check);
    let mut blocks = Vec::new();
    loop {
        match scanner.step().map_err(failed)? {
            Step::Read(range) => {
                scanner.supply(one(source, range).await?).map_err(failed)?;
            }
            Step::Found(mut found) => {
                if let ScannedBlock::Block(block) = &mut found
                    && !kept.keep(&mut block.header)
                {
                    let (path, offset) = (source.path.clone(), block.extent.start);
                    return Err(DataFileError::LogHeaders { path, offset, max_bytes: kept.bytes_max });
                }
                blocks.push(found);
            }
            Step::End => return Ok(blocks),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lakebed_hudi::log_file::{BlockKind, encode_block};

    use super::*;
    use crate::environment::Environment;
    use crate::storage::object::ObjectStorage;
    use crate::storage::{Storage as _, TablePath};

    fn block(schema: &str) -> Vec<u8> {
        let instant = "20260307162557000".parse().unwrap();
        let header =
            BlockHeader { record_positions: Some("AQAA".into()), ..BlockHeader::new(instant, schema) };
        encode_block(BlockKind::Delete, &header, b"").unwrap()
    }

    async fn scanned(file: Vec<u8>, kept: &KeptHeaders) -> Result<Vec<BlockHeader>, DataFileError> {
        let (uri, path) = ("s3://memory/t".parse().unwrap(), TablePath::literal(".log"));
        let storage = Arc::new(ObjectStorage::in_memory(&uri, &Environment::real()));
        let source = ByteSource::file(storage.clone(), path.clone(), file.len() as u64);
        storage.put(&path, Bytes::from(file)).await.unwrap();
        let found = scan_log(&source, BlockCheck::None, kept).await?;
        let headers = found.into_iter().map(|found| match found {
            ScannedBlock::Block(block) => block.header,
            ScannedBlock::Corrupt(corrupt) => panic!("{corrupt:?}"),
        });
        Ok(headers.collect())
    }

    #[tokio::test]
    async fn blocks_of_one_schema_hold_it_once() {
        let file = [block("\"int\""), block("\"long\""), block("\"int\"")].concat();
        let kept = KeptHeaders::default();
        let headers = scanned(file.clone(), &kept).await.unwrap();
        let schemas: Vec<_> = headers.iter().filter_map(|header| header.schema.clone()).collect();
        assert_eq!(schemas.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["\"int\"", "\"long\"", "\"int\""]);
        assert!(Arc::ptr_eq(&schemas[0], &schemas[2]));
        assert!(headers.iter().all(|header| header.record_positions.is_none()));
        let other_file = scanned(file, &kept).await.unwrap();
        assert!(Arc::ptr_eq(&schemas[1], other_file[1].schema.as_ref().unwrap()));
    }

    #[tokio::test]
    async fn headers_of_more_different_schemas_than_are_kept_are_refused() {
        let kept = |bytes_max| KeptHeaders { bytes_max, ..KeptHeaders::default() };
        let first = block(&format!("{:>40}", "1"));
        let file = [first.clone(), first.clone(), block(&format!("{:>40}", "2"))].concat();
        assert_eq!(scanned(file.clone(), &kept(80)).await.unwrap().len(), 3);
        let refused = scanned(file, &kept(79)).await.unwrap_err().to_string();
        let offset = 2 * first.len();
        assert_eq!(
            refused,
            format!(
                ".log: with the block at byte {offset}, the headers of the slice's blocks hold more than the \
                 79 B that are kept of different schemas and of instants; compact the file group with the \
                 engine that wrote it"
            )
        );
    }
}
