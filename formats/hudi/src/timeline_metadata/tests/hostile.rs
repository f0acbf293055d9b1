//! Bytes that nobody wrote on purpose: cut, flipped, or lying about sizes.

use std::sync::LazyLock;

use apache_avro::{Schema, Writer};
use proptest::prelude::*;

use super::*;
use crate::allocations::largest_allocation;
use crate::timeline_metadata::container;

/// A value of every record with something in every list.
fn examples() -> impl Iterator<Item = (&'static Codec, Vec<u8>)> {
    static BYTES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let numbers: Vec<u32> = (0..4000).map(|i| i * 7 + 3).collect();
        CODECS.iter().map(|codec| (codec.round_trip)(&numbers)).collect()
    });
    CODECS.iter().zip(BYTES.iter().cloned())
}

/// A container around `record` with `schema` in its header.
fn container_of(schema: &str, record: &[u8]) -> Vec<u8> {
    container::build(schema, record)
}

fn commit_schema(fields: &str) -> String {
    let name = r#""name":"HoodieCommitMetadata","namespace":"org.apache.hudi.avro.model""#;
    format!(r#"{{"type":"record",{name},"fields":[{fields}]}}"#)
}

/// Decodes `bytes` and checks that no piece of memory was taken that is out of proportion to them.
fn bounded<T>(bytes: &[u8], decode: impl FnOnce() -> T) -> T {
    let (decoded, largest_bytes) = largest_allocation(decode);
    // Items may take 64 times their bytes, and a list that grows twice as much.
    let allowed_bytes = (1 << 20) + 128 * bytes.len();
    assert!(largest_bytes <= allowed_bytes, "{largest_bytes} bytes at once for {}", bytes.len());
    decoded
}

fn again(codec: &Codec, bytes: &[u8]) -> Result<Vec<u8>, MetadataError> {
    bounded(bytes, || (codec.again)(bytes))
}

fn commit_from_avro(bytes: &[u8]) -> Result<CommitMetadata, MetadataError> {
    bounded(bytes, || CommitMetadata::from_avro(bytes))
}

#[test]
fn nothing_that_was_cut_off_decodes() {
    for (codec, bytes) in examples() {
        assert_eq!(again(codec, &[]), Err(MetadataError::Empty));
        for end in 1..bytes.len() {
            assert!(again(codec, &bytes[..end]).is_err(), "{} cut at {end}", codec.name);
        }
    }
}

#[test]
fn a_record_cut_inside_a_whole_container_does_not_decode() {
    for (codec, bytes) in examples() {
        let whole = container::open(&bytes).unwrap();
        let schema = std::str::from_utf8(whole.schema).unwrap();
        for end in 0..whole.record.len() {
            let cut = container_of(schema, &whole.record[..end]);
            assert!(matches!(again(codec, &cut), Err(MetadataError::Record { .. })), "{} {end}", codec.name);
        }
        let longer = container_of(schema, &[whole.record, &[0]].concat());
        assert!(again(codec, &longer).is_err(), "{}", codec.name);
    }
}

#[test]
fn every_record_refuses_every_other() {
    for (codec, bytes) in examples() {
        for other in CODECS.iter().filter(|other| other.name != codec.name) {
            assert!(matches!(again(other, &bytes), Err(MetadataError::Kind { .. })), "{}", other.name);
        }
    }
}

#[test]
fn lying_counts_and_lengths_are_refused_before_memory_is_taken() {
    let huge = |bytes: &[u8]| [bytes, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0x1f][..]].concat();
    let list = commit_schema(r#"{"name":"a","type":{"type":"array","items":"long"}}"#);
    let text = commit_schema(r#"{"name":"a","type":"string"}"#);
    let fixed = commit_schema(r#"{"name":"a","type":{"type":"fixed","name":"f","size":9000000000}}"#);
    for (schema, record) in [(&list, huge(&[])), (&text, huge(&[])), (&fixed, huge(&[]))] {
        let error = commit_from_avro(&container_of(schema, &record)).unwrap_err();
        assert!(matches!(error, MetadataError::Record { .. }), "{schema}: {error}");
    }
    let header = huge(b"Obj\x01");
    assert!(matches!(commit_from_avro(&header), Err(MetadataError::Container { .. })));
}

#[test]
fn items_of_few_bytes_or_none_cannot_multiply() {
    // Blocks of one byte claim 63 records of no bytes each, or one block claims as many of one byte.
    let many = 1 << 18;
    let count: Vec<u8> = vec![0x80, 0x80, 0x20];
    for (fields, items) in
        [("", vec![126; many]), (r#"{"name":"numWrites","type":"long"}"#, [count, vec![2; many]].concat())]
    {
        let stat = format!(r#"{{"type":"record","name":"HoodieWriteStat","fields":[{fields}]}}"#);
        let stats = format!(r#"{{"type":"map","values":{{"type":"array","items":{stat}}}}}"#);
        let schema = commit_schema(&format!(r#"{{"name":"partitionToWriteStats","type":{stats}}}"#));
        let record = [&[2, 0][..], &items, &[0, 0]].concat();
        let error = commit_from_avro(&container_of(&schema, &record)).unwrap_err();
        assert!(error.to_string().contains("fewer bytes than so many items have"), "{error}");
    }
}

#[test]
fn items_of_json_cannot_multiply() {
    let stats = vec!["{}"; 1 << 18].join(",");
    let json = format!(r#"{{"partitionToWriteStats":{{"p":[{stats}]}}}}"#);
    let error = bounded(json.as_bytes(), || CommitMetadata::from_bytes(json.as_bytes())).unwrap_err();
    assert!(error.to_string().contains("fewer bytes than so many items have"), "{error}");
}

#[test]
fn schemas_that_contain_themselves_end() {
    let schema = commit_schema(r#"{"name":"me","type":["null","HoodieCommitMetadata"]}"#);
    let error = commit_from_avro(&container_of(&schema, &[2; 100_000])).unwrap_err();
    assert!(error.to_string().contains("nest too deep"), "{error}");
}

#[test]
fn nested_defaults_in_a_schema_take_no_time() {
    let (mut kind, mut default) = ("\"int\"".to_owned(), "1".to_owned());
    for depth in 0..28 {
        let field = format!(r#"{{"name":"f","type":[{kind},"null"],"default":{default}}}"#);
        kind = format!(r#"{{"type":"record","name":"r{depth}","fields":[{field}]}}"#);
        default = format!(r#"{{"f":{default}}}"#);
    }
    let schema = commit_schema(&format!(r#"{{"name":"a","type":["null",{kind}]}}"#));
    assert_eq!(commit_from_avro(&container_of(&schema, &[0])), Ok(CommitMetadata::default()));
}

#[test]
fn unusable_schemas_are_named() {
    for schema in ["", "{", "\"teleport\"", "[]", "{\"type\":\"record\"}", &"[".repeat(100_000)] {
        let error = commit_from_avro(&container_of(schema, &[])).unwrap_err();
        assert!(matches!(error, MetadataError::Schema { .. } | MetadataError::Kind { .. }), "{error}");
        assert!(error.to_string().len() < 500);
    }
}

#[test]
fn newer_writers_may_add_fields_of_any_type() {
    let schema = commit_schema(
        r#"{"name":"z","type":["null",{"type":"map","values":{"type":"array","items":["null","string","bytes"]}}]},
           {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
           {"name":"x","type":{"type":"fixed","name":"F","size":3}},
           {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}},
           {"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}},
           {"name":"f","type":"float"},
           {"name":"compacted","type":"boolean"},
           {"name":"version","type":"long"},
           {"name":"operationType","type":"string"}"#,
    );
    let mut record = vec![2, 2, 2, b'k', 6, 0, 2, 2, b'v', 4, 2, 9, 0, 0];
    record.extend([2, 7, 7, 7, 2, 1, 14]);
    record.extend(1.5_f32.to_le_bytes());
    record.extend([1, 6, 12]);
    record.extend(b"UPSERT");
    let want = CommitMetadata {
        compacted: true,
        version: Some(3),
        operation_type: Some(OperationType::Upsert),
        ..CommitMetadata::default()
    };
    assert_eq!(commit_from_avro(&container_of(&schema, &record)), Ok(want));
}

#[test]
fn bytes_of_neither_form_are_refused_by_their_first() {
    for bytes in [&b"PAR1"[..], b"Obj\x02", b"\0", b"[]"] {
        assert!(matches!(CommitMetadata::from_bytes(bytes), Err(MetadataError::Magic { .. })), "{bytes:?}");
    }
    for bytes in [&b""[..], b" \n"] {
        assert_eq!(CommitMetadata::from_bytes(bytes), Err(MetadataError::Empty));
    }
}

#[test]
fn json_that_is_cut_or_odd_is_refused_and_nulls_are_nothing() {
    let json =
        br#"{"partitionToWriteStats":{"p":[{"fileId":null,"numWrites":null,"prevCommit":"null"},null]},
        "compacted":null,"operationType":null,"unknown":{"a":[1,{}]}}"#;
    let stat = WriteStat { prev_commit: "null".into(), ..WriteStat::default() };
    let want = CommitMetadata {
        partition_to_write_stats: [("p".to_owned(), vec![stat])].into(),
        ..CommitMetadata::default()
    };
    assert_eq!(CommitMetadata::from_bytes(json), Ok(want));
    for end in 1..json.len() {
        let cut = &json[..end];
        assert!(bounded(cut, || CommitMetadata::from_bytes(cut)).is_err(), "{end}");
    }
    assert!(matches!(CommitMetadata::from_json(b"[]"), Err(MetadataError::Json { .. })));
    let deep = "{\"a\":".repeat(100_000);
    for odd in ["{\"compacted\":3}", "{\"extraMetadata\":[]}", &deep] {
        assert!(matches!(CommitMetadata::from_bytes(odd.as_bytes()), Err(MetadataError::Json { .. })));
    }
}

#[test]
fn a_file_with_two_records_is_refused() {
    let schema = Schema::parse_str(&commit_schema(r#"{"name":"version","type":"int"}"#)).unwrap();
    let mut writer = Writer::new(&schema, Vec::new());
    for version in [1, 2] {
        let fields = vec![("version".to_owned(), apache_avro::types::Value::Int(version))];
        writer.append(apache_avro::types::Value::Record(fields)).unwrap();
    }
    let bytes = writer.into_inner().unwrap();
    assert!(matches!(CommitMetadata::from_avro(&bytes), Err(MetadataError::Container { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn flipped_bits_never_panic(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        for (codec, mut bytes) in examples() {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let _ = again(codec, &bytes);
        }
    }

    /// Avro spells all counts and lengths in this way, the first bits first.
    #[test]
    fn lying_numbers_are_survived(at in any::<prop::sample::Index>(), number in any::<u64>(), shift in 0..64_u32) {
        let mut left = number >> shift;
        let mut lie = Vec::new();
        while left >= 0x80 {
            lie.push(left as u8 | 0x80);
            left >>= 7;
        }
        lie.push(left as u8);
        for (codec, mut bytes) in examples() {
            let at = at.index(bytes.len());
            let end = (at + lie.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&lie[..end - at]);
            let _ = again(codec, &bytes);
        }
    }

    #[test]
    fn any_record_under_any_schema_never_panics(record in prop::collection::vec(any::<u8>(), 0..300)) {
        for codec in &CODECS {
            let schema = (codec.round_trip)(&[]);
            let schema = std::str::from_utf8(container::open(&schema).unwrap().schema).unwrap().to_owned();
            let _ = again(codec, &container_of(&schema, &record));
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for codec in &CODECS {
            let _ = again(codec, &bytes);
            let _ = again(codec, &[container::MAGIC, &bytes].concat());
        }
        bounded(&bytes, || CommitMetadata::from_bytes(&bytes).is_ok());
        bounded(&bytes, || CommitMetadata::from_json(&bytes).is_ok());
    }
}
