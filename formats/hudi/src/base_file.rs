//! What Hudi keeps in the footer of a base file.

use crate::bloom::{BloomError, BloomFilter};

const AVRO_SCHEMA: &str = "parquet.avro.schema";
const WRITER_MODEL: &str = "writer.model.name";
const BLOOM: &str = "org.apache.hudi.bloomfilter";
const BLOOM_TYPE: &str = "hoodie_bloom_filter_type_code";
const MIN_KEY: &str = "hoodie_min_record_key";
const MAX_KEY: &str = "hoodie_max_record_key";

/// The five columns that stand before the user's in every base file and data block, in order.
///
/// All are nullable strings.
///
/// Source: `HoodieRecord.HOODIE_META_COLUMNS`.
pub const META_COLUMNS: [&str; 5] = [COMMIT_TIME, COMMIT_SEQNO, RECORD_KEY, PARTITION_PATH, FILE_NAME];

/// The instant that wrote the row.
pub const COMMIT_TIME: &str = "_hoodie_commit_time";
/// The row's number within its commit: `<instant>_<task>_<row>`.
pub const COMMIT_SEQNO: &str = "_hoodie_commit_seqno";
/// The row's record key.
pub const RECORD_KEY: &str = "_hoodie_record_key";
/// The partition path that the row belongs to.
pub const PARTITION_PATH: &str = "_hoodie_partition_path";
/// The base file's name, or the file id in log blocks.
pub const FILE_NAME: &str = "_hoodie_file_name";
/// A sixth column where `hoodie.allow.operation.metadata.field` was set, as in Flink's changelog mode:
/// `I`, `-U`, `U` or `D`.
pub const OPERATION: &str = "_hoodie_operation";
/// A user's boolean column that deletes the row where it is true.
pub const IS_DELETED: &str = "_hoodie_is_deleted";

/// The footer entries of a base file.
///
/// None of them is required: Spark's row writer leaves out the schema, a file without rows has
/// no smallest and largest key.
///
/// Source: `HoodieAvroWriteSupport.finalizeWrite`, `HoodieBloomFilterWriteSupport`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BaseFileFooter {
    /// The Avro schema (JSON) of the rows, meta columns included.
    pub avro_schema: Option<String>,
    /// The smallest record key by bytes.
    pub min_record_key: Option<String>,
    /// The largest record key by bytes.
    pub max_record_key: Option<String>,
    /// The filter of all record keys.
    pub bloom_filter: Option<BloomFilter>,
}

impl BaseFileFooter {
    /// Picks Hudi's entries out of a Parquet footer's key-values.
    ///
    /// # Errors
    /// A bloom filter that cannot be read.
    pub fn from_key_values<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, BloomError> {
        let mut footer = Self::default();
        let (mut bloom, mut bloom_type) = (None, "DYNAMIC_V0");
        for (key, value) in entries {
            match key {
                AVRO_SCHEMA => footer.avro_schema = Some(value.to_owned()),
                MIN_KEY => footer.min_record_key = Some(value.to_owned()),
                MAX_KEY => footer.max_record_key = Some(value.to_owned()),
                BLOOM => bloom = Some(value),
                BLOOM_TYPE => bloom_type = value,
                _ => {}
            }
        }
        footer.bloom_filter = bloom.map(|text| BloomFilter::from_base64(bloom_type, text)).transpose()?;
        Ok(footer)
    }

    /// The key-values to write, in a fixed order.
    pub fn to_key_values(&self) -> Vec<(&'static str, String)> {
        let mut entries = Vec::new();
        if let Some(schema) = &self.avro_schema {
            entries.push((AVRO_SCHEMA, schema.clone()));
            entries.push((WRITER_MODEL, "avro".to_owned()));
        }
        if let Some(bloom) = &self.bloom_filter {
            entries.push((BLOOM, bloom.to_base64()));
            entries.push((BLOOM_TYPE, BloomFilter::TYPE_CODE.to_owned()));
        }
        entries.extend(self.min_record_key.clone().map(|key| (MIN_KEY, key)));
        entries.extend(self.max_record_key.clone().map(|key| (MAX_KEY, key)));
        entries
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocations::largest_allocation;

    fn footer(keys: &[&str]) -> BaseFileFooter {
        let mut bloom = BloomFilter::new(3, 1e-3);
        keys.iter().for_each(|key| bloom.insert(key));
        BaseFileFooter {
            avro_schema: Some("{\"type\":\"record\"}".into()),
            min_record_key: keys.iter().min().map(|key| (*key).to_owned()),
            max_record_key: keys.iter().max().map(|key| (*key).to_owned()),
            bloom_filter: Some(bloom),
        }
    }

    /// Reads entries and checks what memory that took.
    fn read(entries: &[(&str, String)]) -> Result<BaseFileFooter, BloomError> {
        let all_bytes: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        let entries = entries.iter().map(|(key, value)| (*key, value.as_str()));
        let (read, largest_bytes) = largest_allocation(|| BaseFileFooter::from_key_values(entries));
        assert!(largest_bytes <= 1024 + 4 * all_bytes, "{largest_bytes} bytes at once for {all_bytes}");
        read
    }

    #[test]
    fn a_file_of_another_writer_has_an_empty_footer() {
        let read = BaseFileFooter::from_key_values([("org.apache.spark.version", "3.5.6")]).unwrap();
        assert_eq!(read, BaseFileFooter::default());
        assert!(read.to_key_values().is_empty());
    }

    #[test]
    fn entries_that_were_cut_or_changed_are_other_values_or_an_error() {
        let entries = footer(&["k1", "k2", "k\u{e9}", "k4"]).to_key_values();
        for number in 0..entries.len() {
            let (key, value) = &entries[number];
            let tampered = |value: String| {
                let mut entries = entries.clone();
                entries[number].1 = value;
                read(&entries)
            };
            for (at, old) in value.char_indices() {
                let cut = tampered(value[..at].to_owned());
                assert!(cut.is_err() || !matches!(*key, BLOOM | BLOOM_TYPE), "{key} cut at {at}");
                for new in ['A', '/', '=', '\0', '\u{1F642}'] {
                    let rest = &value[at + old.len_utf8()..];
                    let _ = tampered(format!("{}{new}{rest}", &value[..at]));
                }
            }
            let left: Vec<_> = entries.iter().filter(|(other, _)| other != key).cloned().collect();
            assert!(read(&left).is_ok(), "no entry is required");
        }
    }

    proptest! {
        #[test]
        fn any_footer_round_trips(
            schema in prop::option::of("\\PC{0,30}"),
            min in prop::option::of("\\PC{0,12}"),
            max in prop::option::of("\\PC{0,12}"),
            keys in prop::option::of(prop::collection::vec("\\PC{1,12}", 0..20)),
        ) {
            let keys = keys.as_ref().map(|keys| keys.iter().map(String::as_str).collect::<Vec<_>>());
            let written = BaseFileFooter {
                avro_schema: schema,
                min_record_key: min,
                max_record_key: max,
                bloom_filter: keys.and_then(|keys| footer(&keys).bloom_filter),
            };
            prop_assert_eq!(read(&written.to_key_values()), Ok(written));
        }

        #[test]
        fn any_entries_are_survived(values in prop::collection::vec((0..6_usize, "\\PC{0,40}|[A-Za-z0-9+/]{0,40}={0,2}"), 0..8)) {
            let names = [AVRO_SCHEMA, BLOOM, BLOOM_TYPE, MIN_KEY, MAX_KEY, "another"];
            let entries: Vec<_> = values.into_iter().map(|(name, value)| (names[name], value)).collect();
            let _ = read(&entries);
        }
    }
}
