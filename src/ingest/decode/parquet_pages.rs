//! The pages of a Parquet file, each checked before the library takes memory for it.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use lakebed_hudi::parquet_guard::{ChunkForm, check_page, check_page_header};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use crate::human;

/// The longest header of a page: it may repeat the least and the greatest value.
const HEADER_BYTES_MAX: usize = 16 << 20;
/// What is read of a header at first; ordinary ones fit.
const HEADER_BYTES: usize = 512;

/// A file that only hands out page headers that hold.
///
/// The library asks for the bytes from some place on to read the header that is there, and then for
/// the page behind it by the size that the header says. Column chunks must lie within the file.
#[derive(Debug, Clone)]
pub(super) struct CheckedFile {
    file: Arc<File>,
    /// Where pages of each form are, in the order of their places.
    chunks: Arc<[(Range<u64>, ChunkForm)]>,
    page_bytes_max: usize,
}

impl CheckedFile {
    /// A page may unpack to `page_bytes_max`.
    ///
    /// # Errors
    /// Column chunks that overlap: their pages would be checked as those of one, and read as the other's.
    pub(super) fn new(
        file: File,
        metadata: &ParquetMetaData,
        page_bytes_max: usize,
    ) -> Result<Self, &'static str> {
        let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
        let chunks = columns.map(|column| {
            let (start, bytes) = column.byte_range();
            (start..start.saturating_add(bytes), ChunkForm::of(column))
        });
        let mut chunks: Vec<_> = chunks.collect();
        chunks.retain(|(range, _)| !range.is_empty());
        chunks.sort_by_key(|(range, _)| range.start);
        if chunks.iter().zip(chunks.iter().skip(1)).any(|((a, _), (b, _))| a.end > b.start) {
            return Err("two of its column chunks overlap");
        }
        Ok(Self { file: Arc::new(file), chunks: chunks.into(), page_bytes_max })
    }

    /// The form of the page at `at`.
    fn form(&self, at: u64) -> Option<&ChunkForm> {
        let behind = self.chunks.partition_point(|(range, _)| range.start <= at);
        let (range, form) = self.chunks.get(behind.checked_sub(1)?)?;
        range.contains(&at).then_some(form)
    }

    /// The page header at `at`, and bytes behind it; the page was checked.
    fn header(&self, at: u64) -> io::Result<Vec<u8>> {
        let mut wanted = HEADER_BYTES;
        let (page, bytes) = loop {
            let bytes = read_at(&self.file, at, wanted)?;
            match check_page_header(&bytes) {
                Ok(page) => break (page, bytes),
                // What is wrong may be that it was cut.
                Err(_) if bytes.len() == wanted && wanted < HEADER_BYTES_MAX => wanted *= 2,
                Err(found) => return Err(broken(found)),
            }
        };
        let largest_bytes = page.packed_bytes.max(page.unpacked_bytes);
        if largest_bytes > self.page_bytes_max {
            return Err(broken(&format!(
                "a page takes {}, the memory allows {}: give the job more memory, or write smaller pages",
                human::bytes(largest_bytes as u64),
                human::bytes(self.page_bytes_max as u64)
            )));
        }
        if page.needs_body() {
            let form = self.form(at).ok_or_else(|| broken("its pages lie in no column"))?;
            let body = read_at(&self.file, at.saturating_add(page.header_bytes as u64), page.packed_bytes)?;
            check_page(&page, &body, form).map_err(broken)?;
        }
        Ok(bytes)
    }
}

fn broken(found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, found)
}

/// At most `count` bytes from `at` on; fewer at the end of the file.
fn read_at(file: &File, at: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        Length::len(&*self.file)
    }
}

impl ChunkReader for CheckedFile {
    type T = HeaderReader;

    fn get_read(&self, start: u64) -> Result<HeaderReader, ParquetError> {
        Ok(HeaderReader { file: self.clone(), start, header: None })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = read_at(&self.file, start, length)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF("the file ends within a page".to_owned()));
        }
        Ok(bytes.into())
    }
}

/// Reads a page header. It is looked at when it is asked for: the library opens a reader at the
/// beginning of a page, too, and does not use it.
pub(super) struct HeaderReader {
    file: CheckedFile,
    start: u64,
    header: Option<io::Cursor<Vec<u8>>>,
}

impl Read for HeaderReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let header = match &mut self.header {
            Some(header) => header,
            none => none.insert(io::Cursor::new(self.file.header(self.start)?)),
        };
        header.read(buffer)
    }
}
