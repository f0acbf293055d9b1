//! Encodings chosen per column from the data.
//!
//! A column gets a dictionary where that pays by an estimate from a sample; otherwise whole
//! numbers, dates and timestamps are packed as differences (DELTA_BINARY_PACKED) and text shares
//! its prefixes (DELTA_BYTE_ARRAY), or they stand plainly. DELTA_LENGTH_BYTE_ARRAY is never used:
//! Spark's vectorised reader fails on it.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use foldhash::fast::FixedState;
use lakebed_hudi::base_file::{COMMIT_SEQNO, COMMIT_TIME, FILE_NAME, PARTITION_PATH, RECORD_KEY};
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::codec::compression;
use super::generated_columns::GeneratedColumns;
use super::parquet_schema::parquet_schema;

/// Rows of a row group: a compaction copies the row groups that no change touches.
pub(super) const ROW_GROUP_ROWS: usize = 50_000;

/// Rows that are looked at, in runs of neighbours spread over the first row group.
const SAMPLE_ROWS: usize = 4_096;
const SAMPLE_RUN_ROWS: usize = 256;

/// How much smaller than the values themselves a dictionary and its indices must be.
const DICTIONARY_PAYS: f64 = 0.5;

/// How much smaller than whole numbers themselves their differences must be.
const PACKING_PAYS: f64 = 0.9;

/// Neighbours that share fewer bytes than this are not worth prefix sharing.
const SHARED_PREFIX_BYTES: f64 = 1.5;

/// Which encodings the readers of a table understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EncodingSet {
    /// Dictionary, plain and the two delta encodings: Spark, hudi-rs.
    Delta,
    /// Dictionary and plain: everybody.
    Plain,
}

impl EncodingSet {
    /// What all of `readers` were shown to read.
    pub(super) fn of_readers(readers: &str) -> Self {
        let known = |reader: &str| matches!(reader.trim(), "" | "spark" | "hudi-rs");
        if readers.split(',').all(known) { Self::Delta } else { Self::Plain }
    }

    /// Properties for files of `schema` whose first row group begins with `rows`, which have all
    /// columns but `generated` ones.
    pub(super) fn properties(
        self,
        schema: &Schema,
        generated: &GeneratedColumns,
        rows: &[RecordBatch],
    ) -> Result<WriterPropertiesBuilder, ParquetError> {
        let mut builder = self.common()?;
        if rows.is_empty() {
            return Ok(builder);
        }
        let parquet = parquet_schema(schema)?;
        let mut columns = parquet.columns().iter();
        let mut numbers = 0..;
        for field in schema.fields() {
            if generated.get(field.name()).is_some() {
                columns.next();
                continue;
            }
            let Some(number) = numbers.next() else { continue };
            let arrays: Vec<ArrayRef> = rows.iter().map(|batch| batch.column(number).clone()).collect();
            let known = meta_choice(field.name());
            if field.name() == COMMIT_SEQNO {
                // Nobody looks for rows by it, and comparing it costs.
                let column = ColumnPath::new(vec![field.name().clone()]);
                builder = builder.set_column_statistics_enabled(column, EnabledStatistics::None);
            }
            for (leaf, column) in leaves(arrays).into_iter().zip(columns.by_ref()) {
                let choice = known.unwrap_or_else(|| choose(&leaf));
                builder = self.set(builder, column.path().clone(), choice);
            }
        }
        Ok(builder)
    }

    /// Properties for files that take over row groups of another one, encoded as there.
    pub(super) fn properties_like(
        self,
        metadata: &ParquetMetaData,
        generated: &GeneratedColumns,
    ) -> Result<WriterPropertiesBuilder, ParquetError> {
        let mut builder = self.common()?;
        for column in metadata.row_groups().first().map_or(&[][..], |group| group.columns()) {
            let path = column.column_path().clone();
            let name = path.parts().first().map_or("", String::as_str);
            if generated.get(name).is_some() {
                continue;
            }
            if name == COMMIT_SEQNO {
                builder = builder.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
            }
            let choice = meta_choice(name).unwrap_or_else(|| Choice::as_in(column));
            builder = self.set(builder, path, choice);
        }
        Ok(builder)
    }

    fn common(self) -> Result<WriterPropertiesBuilder, ParquetError> {
        Ok(WriterProperties::builder()
            .set_compression(compression()?)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by(concat!("lakebed version ", env!("CARGO_PKG_VERSION")).to_owned()))
    }

    fn set(
        self,
        builder: WriterPropertiesBuilder,
        column: ColumnPath,
        choice: Choice,
    ) -> WriterPropertiesBuilder {
        let encoding = match (choice, self) {
            (Choice::Dictionary, _) => return builder.set_column_dictionary_enabled(column, true),
            (Choice::Plain, _) | (_, Self::Plain) => Encoding::PLAIN,
            (Choice::Packed, Self::Delta) => Encoding::DELTA_BINARY_PACKED,
            (Choice::Prefixed, Self::Delta) => Encoding::DELTA_BYTE_ARRAY,
        };
        builder.set_column_dictionary_enabled(column.clone(), false).set_column_encoding(column, encoding)
    }
}

/// The leaves of a column in the order of Parquet's columns, each as the arrays of its batches.
fn leaves(arrays: Vec<ArrayRef>) -> Vec<Vec<ArrayRef>> {
    let each = |child: &dyn Fn(&ArrayRef) -> ArrayRef| leaves(arrays.iter().map(child).collect());
    match arrays.first().map(|array| array.data_type()) {
        Some(DataType::Struct(fields)) => {
            (0..fields.len()).flat_map(|n| each(&|array| array.as_struct().column(n).clone())).collect()
        }
        Some(DataType::List(_)) => each(&|array| array.as_list::<i32>().values().clone()),
        Some(DataType::Map(_, _)) => {
            let mut both = each(&|array| array.as_map().keys().clone());
            both.extend(each(&|array| array.as_map().values().clone()));
            both
        }
        _ => vec![arrays],
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Dictionary,
    /// Differences of whole numbers.
    Packed,
    /// Text after the prefix that it shares with the text before it.
    Prefixed,
    Plain,
}

impl Choice {
    /// How the values of a chunk are encoded.
    fn as_in(chunk: &ColumnChunkMetaData) -> Self {
        let has = |wanted: Encoding| chunk.encodings().any(|encoding| encoding == wanted);
        if has(Encoding::DELTA_BINARY_PACKED) {
            Self::Packed
        } else if has(Encoding::DELTA_BYTE_ARRAY) {
            Self::Prefixed
        } else if chunk.dictionary_page_offset().is_some() {
            Self::Dictionary
        } else {
            Self::Plain
        }
    }
}

/// What is known of Hudi's own columns without a look.
fn meta_choice(name: &str) -> Option<Choice> {
    match name {
        COMMIT_TIME | PARTITION_PATH | FILE_NAME => Some(Choice::Dictionary),
        COMMIT_SEQNO | RECORD_KEY => Some(Choice::Prefixed),
        _ => None,
    }
}

fn choose(arrays: &[ArrayRef]) -> Choice {
    use DataType::*;
    let Some(data_type) = arrays.first().map(|array| array.data_type()) else { return Choice::Dictionary };
    let rows: usize = arrays.iter().map(|array| array.len()).sum();
    let rows = rows.min(ROW_GROUP_ROWS);
    match data_type {
        Int8 | Int16 | Int32 | Int64 | Date32 | Time32(_) | Time64(_) | Timestamp(_, _) => {
            whole_numbers(arrays, rows).unwrap_or(Choice::Dictionary)
        }
        Utf8 | Binary => texts(arrays, rows).unwrap_or(Choice::Dictionary),
        Float32 | Float64 | Decimal128(_, _) => fixed_width(data_type, arrays, rows),
        // Booleans are bits already; of other types the library knows best.
        Boolean => Choice::Plain,
        _ => Choice::Dictionary,
    }
}

fn whole_numbers(arrays: &[ArrayRef], rows: usize) -> Option<Choice> {
    let mut distinct = Distinct::default();
    let mut steps_bits = 0_u64;
    let mut count = 0_u64;
    for run in sample(arrays) {
        let run = cast(&cast_bits(&run)?, &DataType::Int64).ok()?;
        let values = run.as_primitive::<Int64Type>();
        let (mut least, mut greatest, mut steps) = (i64::MAX, i64::MIN, 0_u64);
        let mut before: Option<i64> = None;
        for value in values.iter().flatten() {
            distinct.add(&value.to_le_bytes());
            if let Some(before) = before.replace(value) {
                let step = value.wrapping_sub(before);
                (least, greatest, steps) = (least.min(step), greatest.max(step), steps + 1);
            }
        }
        // A run is packed with the bits that its widest step needs above its least one.
        let span = if steps == 0 { 0 } else { greatest.wrapping_sub(least).cast_unsigned() };
        steps_bits += u64::from(64 - span.leading_zeros()) * steps;
        count += steps;
    }
    let packed_bits = if count == 0 { 0.0 } else { steps_bits as f64 / count as f64 };
    // Parquet has no whole numbers of less than four bytes.
    let plain_bits = 8.0 * arrays.first()?.data_type().primitive_width()?.max(4) as f64;
    let dictionary_bits = distinct.dictionary_bits(rows, plain_bits);
    if dictionary_bits < packed_bits.min(plain_bits) {
        return Some(Choice::Dictionary);
    }
    Some(if packed_bits < PACKING_PAYS * plain_bits { Choice::Packed } else { Choice::Plain })
}

/// Timestamps and times as their numbers.
fn cast_bits(array: &ArrayRef) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::Time32(_) | DataType::Date32 => cast(array, &DataType::Int32).ok(),
        _ => Some(array.clone()),
    }
}

fn texts(arrays: &[ArrayRef], rows: usize) -> Option<Choice> {
    let mut distinct = Distinct::default();
    let (mut bytes, mut shared, mut count) = (0, 0, 0_usize);
    let (mut shortest, mut longest) = (usize::MAX, 0);
    for run in sample(arrays) {
        let run = cast(&run, &DataType::Binary).ok()?;
        let mut before: &[u8] = &[];
        for value in run.as_binary::<i32>().iter().flatten() {
            distinct.add(value);
            shared += before.iter().zip(value).take_while(|(a, b)| a == b).count();
            bytes += value.len();
            (shortest, longest) = (shortest.min(value.len()), longest.max(value.len()));
            count += 1;
            before = value;
        }
    }
    let mean = |sum: usize| sum as f64 / count.max(1) as f64;
    let plain_bits = 8.0 * (mean(bytes) + 4.0);
    if distinct.dictionary_bits(rows, plain_bits) < DICTIONARY_PAYS * plain_bits {
        return Some(Choice::Dictionary);
    }
    // Lengths that are all the same take next to no room there, and stand between the texts otherwise.
    let is_prefixed = mean(shared) >= SHARED_PREFIX_BYTES || shortest == longest;
    Some(if is_prefixed { Choice::Prefixed } else { Choice::Plain })
}

fn fixed_width(data_type: &DataType, arrays: &[ArrayRef], rows: usize) -> Choice {
    let width = data_type.primitive_width().unwrap_or(8);
    let mut distinct = Distinct::default();
    for run in sample(arrays) {
        let data = run.to_data();
        let Some(values) = data.buffers().first() else { continue };
        let from = data.offset() * width;
        let values = values.get(from..from + data.len() * width).unwrap_or_default();
        for (row, value) in values.chunks_exact(width).enumerate() {
            if run.is_valid(row) {
                distinct.add(value);
            }
        }
    }
    let plain_bits = 8.0 * width as f64;
    let pays = distinct.dictionary_bits(rows, plain_bits) < DICTIONARY_PAYS * plain_bits;
    if pays { Choice::Dictionary } else { Choice::Plain }
}

/// Runs of neighbouring rows, spread evenly over what makes up the first row group.
fn sample(arrays: &[ArrayRef]) -> impl Iterator<Item = ArrayRef> + '_ {
    let rows: usize = arrays.iter().map(|array| array.len()).sum();
    let rows = rows.min(ROW_GROUP_ROWS);
    let runs = SAMPLE_ROWS / SAMPLE_RUN_ROWS;
    let stride = (rows / runs).max(SAMPLE_RUN_ROWS);
    (0..rows).step_by(stride).filter_map(move |mut start| {
        for array in arrays {
            if start < array.len() {
                return Some(array.slice(start, SAMPLE_RUN_ROWS.min(array.len() - start)));
            }
            start -= array.len();
        }
        None
    })
}

/// How many different values a sample has, and how many the whole is likely to have.
#[derive(Debug, Default)]
struct Distinct {
    seen: HashMap<u64, u32, FixedState>,
    values: u32,
}

impl Distinct {
    fn add(&mut self, value: &[u8]) {
        let hash = FixedState::default().hash_one(value);
        *self.seen.entry(hash).or_default() += 1;
        self.values += 1;
    }

    /// The bits that each of `rows` values takes by dictionary, its share of the dictionary
    /// included, where a value by itself takes `plain_bits`.
    fn dictionary_bits(&self, rows: usize, plain_bits: f64) -> f64 {
        let distinct = self.estimate(rows).max(1.0);
        distinct.log2().ceil().max(0.0) + plain_bits * distinct / rows.max(1) as f64
    }

    /// Chao's estimate: values that were met once hint at others that were not met.
    fn estimate(&self, rows: usize) -> f64 {
        let met = |times: u32| self.seen.values().filter(|n| **n == times).count() as f64;
        let (once, twice) = (met(1), met(2));
        let seen = self.seen.len() as f64;
        let rows = rows as f64;
        if once == f64::from(self.values) {
            return rows;
        }
        let unseen = if twice > 0.0 { once * once / (2.0 * twice) } else { once * (once - 1.0) / 2.0 };
        (seen + unseen).min(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Float64Array, Int8Array, Int32Array, Int64Array, StringArray};

    use super::*;

    /// A sequence without a pattern.
    fn scattered(n: u64) -> u64 {
        let x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x ^ (x >> 29)
    }

    fn chosen(array: impl Array + 'static) -> Choice {
        let array: ArrayRef = Arc::new(array);
        choose(&[array])
    }

    #[test]
    fn few_values_get_a_dictionary() {
        let rows = 0..60_000_u64;
        let status: StringArray =
            rows.clone().map(|n| Some(["new", "shipped", "returned"][n as usize % 3])).collect();
        assert_eq!(chosen(status), Choice::Dictionary);
        let wide: Int64Array =
            rows.clone().map(|n| Some((scattered(n) % 9) as i64 * 1_000_000_007)).collect();
        assert_eq!(chosen(wide), Choice::Dictionary);
        let price: Float64Array = rows.map(|n| Some((scattered(n) % 100) as f64 / 4.0)).collect();
        assert_eq!(chosen(price), Choice::Dictionary);
    }

    #[test]
    fn many_values_do_without_one() {
        let rows = 0..60_000_u64;
        let id: Int64Array = rows.clone().map(|n| Some(scattered(scattered(n) >> 7) as i64)).collect();
        assert_eq!(chosen(id), Choice::Plain);
        let small: Int32Array = rows.clone().map(|n| Some((scattered(n) % 1_000_000) as i32)).collect();
        assert_eq!(chosen(small), Choice::Packed);
        let of_any_width: Int32Array = rows.clone().map(|n| Some((scattered(n) >> 32) as i32)).collect();
        assert_eq!(chosen(of_any_width), Choice::Plain);
        let day: Date32Array = rows.clone().map(|n| Some((scattered(n) % 30_000) as i32)).collect();
        assert_eq!(chosen(day), Choice::Packed);
        let counter: Int64Array = rows.clone().map(|n| Some(n as i64)).collect();
        assert_eq!(chosen(counter), Choice::Packed);
        let key: StringArray = rows.clone().map(|n| Some(format!("user_{n:011}"))).collect();
        assert_eq!(chosen(key), Choice::Prefixed);
        let digest: StringArray = rows.clone().map(|n| Some(format!("{:016x}", scattered(n)))).collect();
        assert_eq!(chosen(digest), Choice::Prefixed);
        let note: StringArray =
            rows.clone().map(|n| Some(format!("{:x}", scattered(n) >> (n % 32)))).collect();
        assert_eq!(chosen(note), Choice::Plain);
        let measure: Float64Array = rows.map(|n| Some(scattered(n) as f64)).collect();
        assert_eq!(chosen(measure), Choice::Plain);
    }

    #[test]
    fn a_middling_number_of_values_is_estimated_from_the_sample() {
        let city: StringArray = (0..60_000)
            .map(|n| Some(format!("a city with a long name, number {}", scattered(n) % 3_000)))
            .collect();
        assert_eq!(chosen(city), Choice::Dictionary);
    }

    #[test]
    fn readers_that_were_not_tested_get_dictionary_and_plain() {
        assert_eq!(EncodingSet::of_readers("spark"), EncodingSet::Delta);
        assert_eq!(EncodingSet::of_readers(""), EncodingSet::Delta);
        assert_eq!(EncodingSet::of_readers("spark,hudi-rs"), EncodingSet::Delta);
        assert_eq!(EncodingSet::of_readers("spark,trino"), EncodingSet::Plain);
    }

    #[test]
    fn an_empty_sample_is_no_trouble() {
        assert_eq!(chosen(StringArray::new_null(0)), Choice::Plain);
        assert_eq!(chosen(StringArray::new_null(10)), Choice::Plain);
        assert_eq!(chosen(Int64Array::new_null(10)), Choice::Packed);
        assert_eq!(chosen(Int8Array::from(vec![7])), Choice::Packed);
    }
}
