//! Arbitrary values survive writing and reading, here and by the library's own reader.

use apache_avro::Reader;
use apache_avro::types::Value;
use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_value_of_any_record_round_trips(numbers in prop::collection::vec(any::<u32>(), 0..400)) {
        for codec in &CODECS {
            let bytes = (codec.round_trip)(&numbers);
            prop_assert_eq!(&bytes, &(codec.round_trip)(&numbers), "{} twice", codec.name);
            let values: Vec<Value> = Reader::new(&bytes[..]).unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(values.len(), 1, "{}", codec.name);
        }
    }
}

#[test]
fn lists_longer_than_a_block_of_the_encoder_survive() {
    let stat = WriteStat { file_id: "f-0".into(), num_writes: 1, ..WriteStat::default() };
    let stats = vec![stat; 3000];
    let metadata = CommitMetadata {
        partition_to_write_stats: [("p".to_owned(), stats)].into(),
        extra_metadata: (0..3000).map(|i| (format!("{i}"), String::new())).collect(),
        ..CommitMetadata::default()
    };
    assert_eq!(CommitMetadata::from_avro(&metadata.to_avro().unwrap()), Ok(metadata));
}
