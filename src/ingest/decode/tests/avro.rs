//! Avro files as others write them, and as nobody should.

use std::io::{self, Read};

use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroOcfFormat;

use super::*;

const SCHEMA: &str =
    r#"{"type":"record","name":"r","fields":[{"name":"id","type":"long"},{"name":"v","type":"string"}]}"#;
const MARKER: [u8; 16] = [7; 16];

fn put_long(out: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// A file of blocks with the number of records that each claims, and the bytes that it has.
fn file_of(schema: &str, codec: &str, blocks: &[(i64, &[u8])]) -> Vec<u8> {
    let mut file = b"Obj\x01".to_vec();
    put_long(&mut file, 2);
    for text in ["avro.schema", schema, "avro.codec", codec] {
        put_bytes(&mut file, text.as_bytes());
    }
    put_long(&mut file, 0);
    file.extend(MARKER);
    for (records, bytes) in blocks {
        put_long(&mut file, *records);
        put_bytes(&mut file, bytes);
        file.extend(MARKER);
    }
    file
}

fn records(ids: std::ops::Range<i64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for id in ids {
        put_long(&mut bytes, id);
        put_bytes(&mut bytes, format!("v{id}").as_bytes());
    }
    bytes
}

fn within(unit_bytes: u64) -> Format {
    Format { limits: Limits { unit_bytes, ..small_blocks().limits }, ..Format::default() }
}

fn refused(file: &[u8]) -> String {
    let wanted = Wanted { unknown_allowed: true, ..Wanted::default() };
    open("t.avro", file, &within(1 << 20), &wanted).and_then(read_on).unwrap_err().to_string()
}

#[test]
fn blocks_are_unpacked_and_skipped() {
    let expected: Vec<String> = (0..10).map(|i| format!("{i}=v{i}")).collect();
    let codecs = [CompressionCodec::Deflate, CompressionCodec::Snappy, CompressionCodec::ZStandard];
    for codec in codecs {
        let mut writer = WriterBuilder::new(batch().schema().as_ref().clone())
            .with_compression(Some(codec))
            .build::<_, AvroOcfFormat>(Vec::new())
            .unwrap();
        for (start, rows) in [(0, 4), (4, 1), (5, 5)] {
            writer.write(&batch().slice(start, rows)).unwrap();
        }
        writer.finish().unwrap();
        let file = writer.into_inner();
        for record in 0..=10 {
            let mut reader = open("t.avro", &file, &small_blocks(), &id_and_text()).unwrap();
            reader.skip_to(Place { record, ..Place::default() }).unwrap();
            assert_eq!(texts(&read_on(reader).unwrap().0), expected[record as usize..], "{codec:?} {record}");
        }
    }
    assert!(refused(&file_of(SCHEMA, "bzip2", &[])).ends_with(
        "it is no sound avro file: its codec is \"bzip2\": known are null, deflate, snappy and zstandard"
    ));
}

#[test]
fn a_block_takes_no_more_than_the_memory_allows() {
    let zeros = vec![0; 8 << 20];
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(&zeros).unwrap();
    // Only the size that it starts with is there.
    let snappy = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0];
    for (codec, bytes) in [
        ("deflate", deflate.finish().unwrap()),
        ("zstandard", zstd::encode_all(&*zeros, 1).unwrap()),
        ("snappy", snappy.to_vec()),
    ] {
        let found = refused(&file_of(SCHEMA, codec, &[(1, &*bytes)]));
        assert!(
            found
                .contains("a block takes more unpacked, the memory allows 1.0 MiB: give the job more memory"),
            "{codec}: {found}"
        );
    }
    let mut claims = file_of(SCHEMA, "null", &[]);
    put_long(&mut claims, 1);
    put_long(&mut claims, i64::MAX);
    assert!(
        refused(&claims).contains("a block takes 8.0 EiB, the memory allows 1.0 MiB"),
        "{}",
        refused(&claims)
    );
}

/// Bytes that come one by one, each after a signal.
struct Interrupted {
    bytes: Cursor<Vec<u8>>,
    signal: bool,
}

impl Read for Interrupted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.signal = !self.signal;
        match buffer.first_chunk_mut::<1>() {
            _ if self.signal => Err(io::ErrorKind::Interrupted.into()),
            Some(byte) => self.bytes.read(byte),
            None => Ok(0),
        }
    }
}

#[test]
fn a_stream_is_read_on_after_a_signal() {
    let file = file_of(SCHEMA, "null", &[(2, &*records(0..2)), (1, &*records(2..3))]);
    let stream = PlainInput::Stream(Box::new(Interrupted { bytes: Cursor::new(file), signal: false }));
    let reader = InputReader::open(&"t.avro".into(), stream, &small_blocks(), &id_and_text()).unwrap();
    assert_eq!(texts(&read_on(reader).unwrap().0), ["0=v0", "1=v1", "2=v2"]);
}

#[test]
fn what_a_block_claims_is_held_against_its_bytes() {
    let three = records(0..3);
    for (blocks, expected) in [
        (vec![(4, &*three)], "t.avro at record 3: it is no sound avro file: it ends within a value"),
        (vec![(2, &*three)], "4 bytes follow the last record of a block"),
        (vec![(0, &*three)], "12 bytes follow the last record of a block"),
        (vec![(i64::MAX, &*three)], "a block claims 9223372036854775807 records, it can hold 6"),
        (vec![(-1, &*three)], "a block claims -1 records of 12 bytes"),
    ] {
        let found = refused(&file_of(SCHEMA, "null", &blocks));
        assert!(found.contains(expected), "{found}");
    }
    let mut other_mark = file_of(SCHEMA, "null", &[(3, &*three)]);
    *other_mark.last_mut().unwrap() ^= 1;
    assert!(refused(&other_mark).contains("the mark behind a block is not that of the file"));
}

#[test]
fn a_file_that_is_cut_within_a_block_is_refused() {
    let file = file_of(SCHEMA, "null", &[(3, &*records(0..3)), (2, &*records(3..5))]);
    let whole: Vec<usize> = (0..=file.len())
        .filter_map(|end| {
            open("t.avro", &file[..end], &small_blocks(), &id_and_text()).and_then(read_on).ok()
        })
        .map(|(rows, _)| rows.len())
        .collect();
    assert_eq!(whole, [0, 3, 5]);
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            if let Err(error) = open("t.avro", &flipped, &within(1 << 20), &id_and_text()).and_then(read_on) {
                assert!(!error.to_string().contains("panicked"), "bit {bit} of {at}: {error}");
            }
        }
    }
}

/// The rows of each batch, where a record may take a mebibyte.
fn rows_of(file: &[u8]) -> Result<Vec<usize>, DecodeError> {
    let wanted = Wanted { unknown_allowed: true, ..Wanted::default() };
    let mut reader = open("t.avro", file, &within(1 << 20), &wanted)?;
    let mut rows = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        rows.push(chunk.records());
    }
    Ok(rows)
}

/// One record of a list of `count` items, each of which is a zero.
fn list_of_zeros(item: &str, count: i64) -> Vec<u8> {
    let list = format!(
        r#"{{"type":"record","name":"r","fields":[{{"name":"v","type":{{"type":"array","items":{item}}}}}]}}"#
    );
    let mut bytes = Vec::new();
    put_long(&mut bytes, count);
    bytes.extend(vec![0; count as usize + 1]);
    file_of(&list, "null", &[(1, &*bytes)])
}

#[test]
fn short_values_count_as_what_they_take_in_memory() {
    // A row is a byte, and a megabyte in memory: thousands of them would make a batch.
    let wide = r#"{"type":"record","name":"r","fields":[{"name":"v","type":["null",{"type":"fixed","name":"f","size":1000000}]}]}"#;
    let nulls = |rows: i64| file_of(wide, "null", &[(rows, &*vec![0; rows as usize])]);
    let limits = Limits { unit_bytes: 4 << 20, ..Limits::default() };
    let wanted = Wanted { unknown_allowed: true, ..Wanted::default() };
    let mut reader = open("t.avro", &nulls(20), &Format { limits, ..Format::default() }, &wanted).unwrap();
    let first = reader.next_chunk().unwrap().unwrap();
    assert!((1..10).contains(&first.records()), "{}", first.records());
    // Lists of nulls that are records of a thousand columns; and of nulls beside other types, that are
    // places in one of these.
    let fields: Vec<String> = (0..1000).map(|i| format!(r#"{{"name":"c{i}","type":"long"}}"#)).collect();
    let record = format!(r#"{{"type":"record","name":"i","fields":[{}]}}"#, fields.join(","));
    for (item, count) in [
        (format!(r#"["null",{record}]"#), 100_000),
        (format!(r#"[{{"type":"null"}},{record}]"#), 100_000),
        (r#"["null","long","string"]"#.to_owned(), 100_000),
        // A symbol is a byte, and becomes a text of a thousand.
        (format!(r#"{{"type":"enum","name":"e","symbols":["{}"]}}"#, "s".repeat(1000)), 10_000),
    ] {
        assert_eq!(rows_of(&list_of_zeros(&item, 10)).unwrap(), [1]);
        let found = rows_of(&list_of_zeros(&item, count)).unwrap_err().to_string();
        assert!(found.contains("a record takes more than the 1.0 MiB that the memory allows"), "{found}");
    }
}

#[test]
fn decimals_of_more_digits_than_tables_have_are_decoded() {
    let schema = |digits| {
        format!(
            r#"{{"type":"record","name":"r","fields":[{{"name":"v","type":
            {{"type":"bytes","logicalType":"decimal","precision":{digits},"scale":2}}}}]}}"#
        )
    };
    // As Kafka Connect writes them.
    let file = file_of(&schema(64), "null", &[(1, &[4, 4, 210])]);
    let wanted = wanted(&[("v", DataType::Decimal256(64, 2))]);
    assert_eq!(texts(&read("t.avro", &file, &wanted).0), ["12.34"]);
    let found = refused(&file_of(&schema(77), "null", &[]));
    assert!(found.contains("wrong at v: expected a decimal of at most 76 digits"), "{found}");
}

#[test]
fn records_that_hold_themselves_are_named() {
    let root = r#"{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]}"#;
    let nested = format!(r#"{{"type":"record","name":"r","fields":[{{"name":"v","type":{root}}}]}}"#);
    for (schema, at) in [(root, "next"), (&*nested, "v.next")] {
        let found = refused(&file_of(schema, "null", &[]));
        let expected = format!("wrong at {at}: expected a type that does not hold itself, found \"Node\"");
        assert!(found.contains(&expected), "{found}");
    }
}

#[test]
fn types_of_one_name_in_two_namespaces_are_two() {
    let schema = r#"{"type":"record","name":"r","namespace":"a","fields":[
        {"name":"u","type":[{"type":"enum","name":"s","symbols":["x"]},
            {"type":"enum","name":"s","namespace":"b","symbols":["y"]}]},
        {"name":"id","type":"long"}]}"#;
    let file = file_of(schema, "null", &[(2, &[0, 0, 2, 2, 0, 4])]);
    let wanted = Wanted { unknown_allowed: true, ..wanted(&[("id", DataType::Int64)]) };
    let rows = read("t.avro", &file, &wanted).0;
    assert_eq!(texts(&rows), ["{a.s=x}=1", "{b.s=y}=2"]);
}

#[test]
fn columns_that_no_table_has_can_be_left_out() {
    let schema = r#"{"type":"record","name":"r","fields":[
        {"name":"u","type":["long","string",{"type":"record","name":"s","fields":[{"name":"a","type":"long"}]}]},
        {"name":"id","type":"long"},{"name":"v","type":{"type":"enum","name":"e","symbols":["x","y"]}}]}"#;
    let mut bytes = Vec::new();
    for (branch, value, id) in [(0, vec![2], 5), (1, vec![2, b'q'], 6), (2, vec![2], 7)] {
        put_long(&mut bytes, branch);
        bytes.extend(value);
        put_long(&mut bytes, id);
        put_long(&mut bytes, id % 2);
    }
    let wanted = Wanted { unknown_allowed: true, ..id_and_text() };
    let mut reader =
        open("t.avro", &file_of(schema, "null", &[(3, &*bytes)]), &small_blocks(), &wanted).unwrap();
    let rows = reader.next_chunk().unwrap().unwrap().decode().unwrap().rows;
    assert_eq!(rows.column(1).as_primitive::<Int64Type>().values(), &[5, 6, 7]);
    let symbols: Vec<_> = rows.column(2).as_string::<i32>().iter().flatten().collect();
    assert_eq!(symbols, ["y", "x", "y"]);
}
