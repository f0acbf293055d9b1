//! Tests of all records together: files by Java, arbitrary values, hostile bytes.

use super::*;

mod golden;
mod hostile;
mod round_trip;
mod sample;

/// The two conversions of one type, with the type itself out of sight.
struct Codec {
    name: &'static str,
    /// Decodes, and encodes what came out.
    again: fn(&[u8]) -> Result<Vec<u8>, MetadataError>,
    /// Encodes the value that the numbers give, decodes it and compares.
    round_trip: fn(&[u32]) -> Vec<u8>,
}

macro_rules! codecs {
    ($($type:ty: $sample:path),* $(,)?) => {
        [$(Codec {
            name: stringify!($type),
            again: |bytes| <$type>::from_avro(bytes)?.to_avro(),
            round_trip: |numbers| {
                let value: $type = $sample(&mut sample::Source::new(numbers));
                let bytes = value.to_avro().unwrap();
                assert_eq!(<$type>::from_avro(&bytes).unwrap(), value);
                bytes
            },
        }),*]
    };
}

const CODECS: [Codec; 10] = codecs![
    CommitMetadata: sample::commit_metadata,
    CompactionPlan: sample::compaction_plan,
    RequestedReplaceMetadata: sample::requested_replace_metadata,
    RollbackPlan: sample::rollback_plan,
    RollbackMetadata: sample::rollback_metadata,
    CleanerPlan: sample::cleaner_plan,
    CleanMetadata: sample::clean_metadata,
    SavepointMetadata: sample::savepoint_metadata,
    RestorePlan: sample::restore_plan,
    RestoreMetadata: sample::restore_metadata,
];

fn codec(name: &str) -> &'static Codec {
    CODECS.iter().find(|codec| codec.name == name).unwrap()
}
