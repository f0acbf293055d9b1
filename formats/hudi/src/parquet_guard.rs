//! What a Parquet file claims, checked before the Parquet library believes it.
//!
//! The library reserves memory for as many row groups as the footer declares, and for as many
//! bytes, dictionary values and lengths of byte arrays as a page declares. Where the system refuses,
//! the process ends, and no caller can catch that.

mod delta;

use parquet::file::metadata::ColumnChunkMetaData;

pub use delta::ChunkForm;

/// The greatest page of a sane file; Hudi's writers cut pages at 1 MiB of ordinary rows.
const PAGE_BYTES_MAX: usize = 64 << 20;

/// What DEFLATE makes of bytes at most.
const PAGE_RATIO_MAX: usize = 1032;

const MAGIC: &[u8] = b"PAR1";
const DATA_PAGE: usize = 0;
const DATA_PAGE_V2: usize = 3;
const FOOTER_TAIL_BYTES: usize = 8;
const DEPTH_MAX: u8 = 32;

/// Something that holds, or what is wrong with it.
pub type Checked<T> = Result<T, &'static str>;

/// Checks that no list of the footer claims more items than the footer has bytes.
///
/// `file` is a whole file, or its end from before the footer on.
///
/// # Errors
/// What is wrong with the footer.
pub fn check_footer(file: &[u8]) -> Checked<()> {
    let (rest, tail) = file
        .len()
        .checked_sub(FOOTER_TAIL_BYTES)
        .and_then(|at| file.split_at_checked(at))
        .ok_or("it is too short for a footer")?;
    let (len, magic) = tail.split_first_chunk::<4>().ok_or("it is too short for a footer")?;
    if magic != MAGIC {
        return Err("it does not end in \"PAR1\"");
    }
    let start = usize::try_from(u32::from_le_bytes(*len)).ok().and_then(|len| rest.len().checked_sub(len));
    let footer = start.and_then(|at| rest.get(at..)).ok_or("its footer is longer than the file")?;
    Thrift { rest: footer }.skip_struct(0)
}

/// Checks that no list of the struct at the start of `bytes`, an entry of a page index, claims
/// more items than there are bytes.
///
/// # Errors
/// What is wrong with the struct.
pub fn check_struct(bytes: &[u8]) -> Checked<()> {
    Thrift { rest: bytes }.skip_struct(0)
}

/// Checks the pages of one column chunk, or some whole pages of it, and adds up what they hold
/// unpacked.
///
/// # Errors
/// What is wrong with a page.
pub fn check_pages(chunk: &[u8], form: &ChunkForm) -> Checked<usize> {
    walk_pages(chunk, |page, body| check_page(page, body, form))
}

/// Checks that one column chunk consists of pages, from its first byte to its last, and adds up what they
/// hold unpacked: enough for a chunk that is copied and not decoded.
///
/// # Errors
/// What is wrong with a page.
pub fn check_page_headers(chunk: &[u8]) -> Checked<usize> {
    walk_pages(chunk, |_, _| Ok(()))
}

fn walk_pages(chunk: &[u8], check: impl Fn(&PageHeader, &[u8]) -> Checked<()>) -> Checked<usize> {
    let mut rest = chunk;
    let mut unpacked_bytes = 0_usize;
    while !rest.is_empty() {
        let page = check_page_header(rest)?;
        let behind = rest.get(page.header_bytes..).unwrap_or_default();
        let (body, next) = behind.split_at_checked(page.packed_bytes).ok_or(CUT)?;
        check(&page, body)?;
        rest = next;
        unpacked_bytes = unpacked_bytes.saturating_add(page.unpacked_bytes);
    }
    Ok(unpacked_bytes)
}

/// What a page's header claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageHeader {
    /// The bytes of the header itself.
    pub header_bytes: usize,
    /// The bytes of the page behind it.
    pub packed_bytes: usize,
    /// What they unpack to.
    pub unpacked_bytes: usize,
    dictionary_values: usize,
    data: Option<DataPage>,
}

impl PageHeader {
    /// Whether [`check_page`] has to see the page itself.
    pub fn needs_body(&self) -> bool {
        self.data.is_some_and(|data| data.is_delta())
    }
}

/// What a page of values claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DataPage {
    values: usize,
    encoding: usize,
    levels: LevelBytes,
}

/// Where the repetition and definition levels of a page are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LevelBytes {
    /// At the start of what is unpacked, encoded in these ways.
    Within { repetition: usize, definition: usize },
    /// Before what may be packed.
    Before { bytes: usize, packed: bool },
}

/// Checks the page header at the start of `bytes`; what is behind it need not be there.
///
/// # Errors
/// What is wrong with the page, or that its header does not end within `bytes`.
pub fn check_page_header(bytes: &[u8]) -> Checked<PageHeader> {
    let mut thrift = Thrift { rest: bytes };
    let claimed = thrift.page_header()?;
    let page = PageHeader { header_bytes: bytes.len() - thrift.rest.len(), ..claimed };
    if page.unpacked_bytes > PAGE_BYTES_MAX.max(page.packed_bytes.saturating_mul(PAGE_RATIO_MAX)) {
        return Err("a page claims to unpack to more than its bytes can hold");
    }
    // No value of a dictionary takes less than a byte.
    if page.dictionary_values > page.unpacked_bytes {
        return Err("a dictionary claims more values than its bytes can hold");
    }
    Ok(page)
}

/// Bytes that the values of a column chunk take once they are unpacked and decoded, as far as the footer
/// tells: of texts in a dictionary newer writers say so.
pub fn decoded_bytes(chunk: &ColumnChunkMetaData) -> u64 {
    let texts = chunk.unencoded_byte_array_data_bytes().unwrap_or(0);
    chunk.uncompressed_size().max(texts).max(0).unsigned_abs()
}

/// Checks what a page declares within its `body`, all that is behind its header.
///
/// # Errors
/// What is wrong with the page.
pub fn check_page(page: &PageHeader, body: &[u8], form: &ChunkForm) -> Checked<()> {
    delta::check(page, body, form)
}

/// A position in Thrift's compact encoding.
struct Thrift<'a> {
    rest: &'a [u8],
}

const CUT: &str = "it ends within a header";
const WRONG_TYPE: &str = "a page header holds a field of a wrong type";
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const STRUCT: u8 = 12;

impl<'a> Thrift<'a> {
    fn take(&mut self, len: usize) -> Checked<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CUT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Checked<u8> {
        let (byte, rest) = self.rest.split_first().ok_or(CUT)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn varint(&mut self) -> Checked<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a header holds a number that is too long")
    }

    /// A length or count that the bytes left can bear.
    fn len(&mut self) -> Checked<usize> {
        let len = self.varint()?;
        usize::try_from(len)
            .ok()
            .filter(|len| *len <= self.rest.len())
            .ok_or("a header claims more than there are bytes")
    }

    /// The next field's number and type; `None` at the end of the struct.
    fn field(&mut self, last: i64) -> Checked<Option<(i64, u8)>> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        let number = match head >> 4 {
            0 => self.int()?,
            step => last + i64::from(step),
        };
        if i16::try_from(number).is_err() {
            return Err("a header numbers a field as Thrift cannot");
        }
        Ok(Some((number, head & 0x0f)))
    }

    fn int(&mut self) -> Checked<i64> {
        let bits = self.varint()?;
        Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed())
    }

    /// The library reads a field by its number, whatever its type, and the last of a number counts.
    fn page_header(&mut self) -> Checked<PageHeader> {
        let (mut last, mut kind, mut unpacked, mut packed) = (0, None, None, None);
        let (mut first, mut second, mut dictionary_values) = (None, None, 0);
        while let Some((number, field)) = self.field(last)? {
            match (number, field) {
                (1, I32) => kind = Some(self.count()?),
                (2, I32) => unpacked = Some(self.count()?),
                (3, I32) => packed = Some(self.count()?),
                (5, STRUCT) => first = Some(self.data_page()?),
                (7, STRUCT) => ([dictionary_values], _) = self.numbers()?,
                (8, STRUCT) => second = Some(self.data_page_v2()?),
                (1..=3 | 5 | 7 | 8, _) => return Err(WRONG_TYPE),
                _ => self.skip(field, 0)?,
            }
            last = number;
        }
        let (unpacked_bytes, packed_bytes) = unpacked.zip(packed).ok_or("a page header says no size")?;
        let data = match (kind, first, second) {
            (Some(DATA_PAGE), data, None) | (Some(DATA_PAGE_V2), None, data) => data,
            (Some(DATA_PAGE | DATA_PAGE_V2), ..) | (_, Some(_), _) | (_, _, Some(_)) => {
                return Err("a page header says what another kind of page says");
            }
            _ => None,
        };
        Ok(PageHeader { header_bytes: 0, packed_bytes, unpacked_bytes, dictionary_values, data })
    }

    fn data_page(&mut self) -> Checked<DataPage> {
        let ([values, encoding, definition, repetition], _) = self.numbers()?;
        Ok(DataPage { values, encoding, levels: LevelBytes::Within { repetition, definition } })
    }

    fn data_page_v2(&mut self) -> Checked<DataPage> {
        let ([values, _nulls, _rows, encoding, definition, repetition], packed) = self.numbers()?;
        let bytes = definition.saturating_add(repetition);
        Ok(DataPage { values, encoding, levels: LevelBytes::Before { bytes, packed } })
    }

    /// A struct's first `N` fields, which are numbers, and the boolean behind them; true if it has none.
    fn numbers<const N: usize>(&mut self) -> Checked<([usize; N], bool)> {
        let (mut last, mut numbers, mut flag) = (0, [0; N], true);
        while let Some((number, kind)) = self.field(last)? {
            let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            match (place.and_then(|place| numbers.get_mut(place)), kind) {
                (Some(place), I32) => *place = self.count()?,
                (Some(_), _) => return Err(WRONG_TYPE),
                (None, TRUE | FALSE) if place == Some(N) => flag = kind == TRUE,
                (None, _) => self.skip(kind, 1)?,
            }
            last = number;
        }
        Ok((numbers, flag))
    }

    fn count(&mut self) -> Checked<usize> {
        let count = i32::try_from(self.int()?).ok().and_then(|count| usize::try_from(count).ok());
        count.ok_or("a header holds a number out of range")
    }

    fn skip_struct(&mut self, depth: u8) -> Checked<()> {
        if depth == DEPTH_MAX {
            return Err("a header nests too deep");
        }
        let mut last = 0;
        while let Some((number, kind)) = self.field(last)? {
            self.skip(kind, depth)?;
            last = number;
        }
        Ok(())
    }

    /// Passes over a field's value; whether a boolean is true stands in its type.
    fn skip(&mut self, kind: u8, depth: u8) -> Checked<()> {
        match kind {
            1 | 2 => Ok(()),
            3 => self.take(1).map(drop),
            4..=6 => self.varint().map(drop),
            7 => self.take(8).map(drop),
            8 => self.len().and_then(|len| self.take(len)).map(drop),
            9 | 10 => self.skip_list(depth + 1),
            11 => self.skip_map(depth + 1),
            12 => self.skip_struct(depth + 1),
            13 => self.take(16).map(drop),
            _ => Err("a header holds a value of no known type"),
        }
    }

    fn skip_list(&mut self, depth: u8) -> Checked<()> {
        let head = self.byte()?;
        let count = match usize::from(head >> 4) {
            15 => self.len()?,
            count => count,
        };
        (0..count).try_for_each(|_| self.skip_item(head & 0x0f, depth))
    }

    fn skip_map(&mut self, depth: u8) -> Checked<()> {
        let count = self.len()?;
        let kinds = if count > 0 { self.byte()? } else { 0 };
        (0..count).try_for_each(|_| {
            self.skip_item(kinds >> 4, depth)?;
            self.skip_item(kinds & 0x0f, depth)
        })
    }

    /// Passes over an item of a list or map, where a boolean takes a byte.
    fn skip_item(&mut self, kind: u8, depth: u8) -> Checked<()> {
        if depth >= DEPTH_MAX {
            return Err("a header nests too deep");
        }
        if matches!(kind, 1 | 2) { self.take(1).map(drop) } else { self.skip(kind, depth) }
    }
}
