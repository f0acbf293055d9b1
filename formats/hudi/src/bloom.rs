//! The bloom filter of record keys in a base file's footer.

use std::f64::consts::LN_2;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const VERSION: i32 = -1;
const MURMUR: u8 = 1;
const HEADER_BYTES: usize = 13;

/// Why the text of a bloom filter could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BloomError {
    /// Not Base64.
    #[error("bloom filter is no base64 text: {0}")]
    Base64(base64::DecodeError),
    /// The type code in the footer is unknown.
    #[error("unknown bloom filter type {found:?}: expected SIMPLE or DYNAMIC_V0")]
    TypeCode {
        /// The code found.
        found: String,
    },
    /// The bytes are not of the form that the type code promises.
    #[error("bloom filter is broken at byte {offset} of {length}: {what}")]
    Broken {
        /// Where.
        offset: usize,
        /// The length of the whole filter in bytes.
        length: usize,
        /// What was expected there.
        what: &'static str,
    },
}

/// A growing row of equal bit vectors; each takes a fixed number of keys.
///
/// Writes the type code `DYNAMIC_V0`, reads that and `SIMPLE` (one row that never grows).
///
/// Source: `HoodieDynamicBoundedBloomFilter`, `SimpleBloomFilter`, Hadoop's bloom filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BloomFilter {
    hashes: u32,
    bits: u32,
    keys_per_row: u32,
    keys_in_last_row: u32,
    rows: Vec<Vec<u8>>,
}

impl BloomFilter {
    /// The type code that stands beside filters written by [`BloomFilter::to_base64`].
    pub const TYPE_CODE: &'static str = "DYNAMIC_V0";

    /// An empty filter: rows of `keys_per_row` keys, each row with `false_positive_rate`.
    ///
    /// Source: `BloomFilterUtils`, so that the shape is Hudi's for the same two numbers
    /// (`hoodie.index.bloom.num_entries`, `hoodie.index.bloom.fpp`).
    pub fn new(keys_per_row: u32, false_positive_rate: f64) -> Self {
        let keys_per_row = keys_per_row.max(1);
        let rate = false_positive_rate.clamp(1e-12, 0.5);
        let bits_per_key = -rate.ln() / (LN_2 * LN_2);
        let bits = (f64::from(keys_per_row) * bits_per_key).ceil().min(f64::from(i32::MAX)) as u32;
        let hashes = (LN_2 * f64::from(bits) / f64::from(keys_per_row)).ceil().max(1.0) as u32;
        let row = vec![0; bits.div_ceil(8) as usize];
        Self { hashes, bits, keys_per_row, keys_in_last_row: 0, rows: vec![row] }
    }

    /// Adds a record key. Empty keys are passed over: Hudi has none.
    pub fn insert(&mut self, key: &str) {
        if key.is_empty() {
            return;
        }
        if self.keys_in_last_row >= self.keys_per_row {
            self.rows.push(vec![0; self.bits.div_ceil(8) as usize]);
            self.keys_in_last_row = 0;
        }
        self.keys_in_last_row += 1;
        let positions = positions(key, self.hashes, self.bits);
        if let Some(row) = self.rows.last_mut() {
            for position in positions {
                if let Some(byte) = row.get_mut(position as usize / 8) {
                    *byte |= 1 << (position % 8);
                }
            }
        }
    }

    /// Whether `key` may have been added; `false` is certain.
    pub fn might_contain(&self, key: &str) -> bool {
        self.rows.iter().any(|row| {
            positions(key, self.hashes, self.bits)
                .all(|p| row.get(p as usize / 8).is_some_and(|byte| byte & (1 << (p % 8)) != 0))
        })
    }

    /// The filter as it stands in a Parquet footer, with the type code [`Self::TYPE_CODE`].
    pub fn to_base64(&self) -> String {
        let row_bytes = HEADER_BYTES + self.bits.div_ceil(8) as usize;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + 12 + self.rows.len() * row_bytes);
        self.write_header(&mut bytes);
        for count in [self.keys_per_row, self.keys_in_last_row, self.rows.len() as u32] {
            bytes.extend_from_slice(&count.to_be_bytes());
        }
        for row in &self.rows {
            self.write_header(&mut bytes);
            bytes.extend_from_slice(row);
        }
        STANDARD.encode(bytes)
    }

    fn write_header(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.hashes.to_be_bytes());
        bytes.push(MURMUR);
        bytes.extend_from_slice(&self.bits.to_be_bytes());
    }

    /// Reads a filter from the footer texts `hoodie_bloom_filter_type_code` and
    /// `org.apache.hudi.bloomfilter`.
    ///
    /// # Errors
    /// Text that is no filter of that type.
    pub fn from_base64(type_code: &str, text: &str) -> Result<Self, BloomError> {
        let bytes = STANDARD.decode(text).map_err(BloomError::Base64)?;
        let mut reader = Reader { bytes: &bytes, offset: 0 };
        match type_code {
            "SIMPLE" => {
                let (hashes, bits) = reader.header()?;
                let row = reader.row(bits)?;
                Ok(Self { hashes, bits, keys_per_row: u32::MAX, keys_in_last_row: 0, rows: vec![row] })
            }
            "DYNAMIC_V0" => reader.dynamic(),
            other => Err(BloomError::TypeCode { found: other.chars().take(40).collect() }),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Reader<'_> {
    fn dynamic(&mut self) -> Result<BloomFilter, BloomError> {
        let (hashes, bits) = self.header()?;
        let keys_per_row = self.positive("a positive number of keys in a row")?;
        let keys_in_last_row = self.u32("the number of keys in the last row")?;
        let count = self.positive("a positive number of rows")? as usize;
        let row_bytes = HEADER_BYTES + bits.div_ceil(8) as usize;
        if self.bytes.len() - self.offset < count.saturating_mul(row_bytes) {
            return Err(self.broken("as many rows as are declared"));
        }
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            if self.header()? != (hashes, bits) {
                return Err(self.broken("rows of one shape"));
            }
            rows.push(self.row(bits)?);
        }
        Ok(BloomFilter { hashes, bits, keys_per_row, keys_in_last_row, rows })
    }

    fn header(&mut self) -> Result<(u32, u32), BloomError> {
        if self.u32("the version")? != VERSION as u32 {
            return Err(self.broken("version -1"));
        }
        let hashes = self.positive("a positive number of hashes")?;
        let kind = self.take(1, "the kind of hash")?;
        if kind != [MURMUR] {
            return Err(self.broken("murmur hashes (1)"));
        }
        let bits = self.positive("a positive number of bits")?;
        Ok((hashes, bits))
    }

    fn row(&mut self, bits: u32) -> Result<Vec<u8>, BloomError> {
        Ok(self.take(bits.div_ceil(8) as usize, "the bits of a row")?.to_vec())
    }

    fn positive(&mut self, what: &'static str) -> Result<u32, BloomError> {
        match self.u32(what)? {
            n if n > 0 && i32::try_from(n).is_ok() => Ok(n),
            _ => Err(self.broken(what)),
        }
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, BloomError> {
        let bytes = self.take(4, what)?;
        Ok(bytes.iter().fold(0, |n, b| (n << 8) | u32::from(*b)))
    }

    fn take(&mut self, n: usize, what: &'static str) -> Result<&[u8], BloomError> {
        let end = self.offset.saturating_add(n);
        let taken = self.bytes.get(self.offset..end).ok_or_else(|| self.broken(what))?;
        self.offset = end;
        Ok(taken)
    }

    fn broken(&self, what: &'static str) -> BloomError {
        BloomError::Broken { offset: self.offset, length: self.bytes.len(), what }
    }
}

fn positions(key: &str, hashes: u32, bits: u32) -> impl Iterator<Item = u32> {
    let bits = bits as i32;
    let mut hash = 0;
    (0..hashes).map(move |_| {
        hash = murmur(key.as_bytes(), hash);
        (hash % bits).unsigned_abs()
    })
}

/// Hadoop's murmur hash, version 2: unlike the original it takes the bytes after the last whole
/// word from the end of the key and extends their signs.
fn murmur(bytes: &[u8], seed: i32) -> i32 {
    const M: i32 = 0x5bd1_e995;
    let mut hash = seed ^ bytes.len() as i32;
    let mut words = bytes.chunks_exact(4);
    for word in words.by_ref() {
        let mut k = word.iter().rev().fold(0, |k: i32, b| (k << 8) | i32::from(*b)).wrapping_mul(M);
        k ^= ((k as u32) >> 24) as i32;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let left = words.remainder().len();
    if left > 0 {
        for (from_end, byte) in bytes.iter().rev().take(left).enumerate() {
            hash ^= i32::from(*byte as i8) << (8 * from_end);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= ((hash as u32) >> 13) as i32;
    hash = hash.wrapping_mul(M);
    hash ^ ((hash as u32) >> 15) as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocations::largest_allocation;

    /// The first bytes of a filter that Spark + Hudi 1.2.0 wrote with
    /// `hoodie.index.bloom.num_entries=10`: 30 hashes, 432 bits, rows of 10 keys.
    const REAL_HEADER: [u8; 38] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 30, 1, 0, 0, 1, 0xb0, 0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 1, 0xff,
        0xff, 0xff, 0xff, 0, 0, 0, 30, 1, 0, 0, 1, 0xb0,
    ];

    #[test]
    fn the_shape_is_that_of_the_real_writer() {
        let mut filter = BloomFilter::new(10, 1e-9);
        filter.insert("k0");
        filter.insert("k1");
        let bytes = STANDARD.decode(filter.to_base64()).unwrap();
        assert_eq!(bytes.get(..38), Some(REAL_HEADER.as_slice()));
        assert_eq!(bytes.len(), 92);
    }

    #[test]
    fn a_full_row_is_followed_by_another() {
        let mut filter = BloomFilter::new(2, 1e-3);
        for key in ["a", "b", "c"] {
            filter.insert(key);
        }
        assert_eq!((filter.rows.len(), filter.keys_in_last_row), (2, 1));
    }

    /// Reads bytes as a filter of either type and checks what memory that took.
    fn read(bytes: &[u8]) -> [Result<BloomFilter, BloomError>; 2] {
        let text = STANDARD.encode(bytes);
        ["DYNAMIC_V0", "SIMPLE"].map(|code| {
            let (read, largest_bytes) = largest_allocation(|| BloomFilter::from_base64(code, &text));
            assert!(
                largest_bytes <= 1024 + 4 * text.len(),
                "{largest_bytes} bytes at once for {}",
                text.len()
            );
            read
        })
    }

    #[test]
    fn hostile_bytes_are_an_error() {
        let mut filter = BloomFilter::new(4, 1e-2);
        (0..9).for_each(|key| filter.insert(&key.to_string()));
        let bytes = STANDARD.decode(filter.to_base64()).unwrap();
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end])[0].is_err(), "{end}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let _ = read(&flipped);
            }
            for number in [0, 1, 1 << 24, i32::MAX, -1] {
                let mut lying = bytes.clone();
                let end = (at + 4).min(lying.len());
                lying[at..end].copy_from_slice(&number.to_be_bytes()[..end - at]);
                let _ = read(&lying);
            }
        }
        assert!(BloomFilter::from_base64("QUANTUM", "").is_err());
        assert!(BloomFilter::from_base64("SIMPLE", "no base64").is_err());
    }

    proptest! {
        #[test]
        fn what_was_added_is_found_after_a_round_trip(keys in prop::collection::vec("\\PC{1,20}", 1..50)) {
            let mut filter = BloomFilter::new(16, 1e-3);
            for key in &keys {
                filter.insert(key);
            }
            let read = BloomFilter::from_base64(BloomFilter::TYPE_CODE, &filter.to_base64()).unwrap();
            prop_assert_eq!(&read, &filter);
            prop_assert!(keys.iter().all(|key| read.might_contain(key)));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[&REAL_HEADER[..], &bytes].concat());
        }
    }
}
