use std::io::{Cursor, Read as _, Write as _};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, DictionaryArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;

use super::*;

mod avro;
mod infer;
mod ipc;
mod parquet;
mod quotes;
mod text;

fn wanted(columns: &[(&str, DataType)]) -> Wanted {
    let columns = columns
        .iter()
        .map(|(name, data_type)| WantedColumn {
            name: (*name).to_owned(),
            data_type: data_type.clone(),
            required: true,
        })
        .collect();
    Wanted { columns, unknown_allowed: false }
}

fn id_and_text() -> Wanted {
    wanted(&[("id", DataType::Int64), ("v", DataType::Utf8)])
}

fn small_blocks() -> Format {
    Format {
        limits: Limits { block_bytes: 16, batch_rows: 3, record_bytes: 256, ..Limits::default() },
        ..Format::default()
    }
}

fn open(name: &str, bytes: &[u8], format: &Format, wanted: &Wanted) -> Result<InputReader, DecodeError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    InputReader::open(&name.into(), PlainInput::File(file, Meter::default()), format, wanted)
}

/// Rows by record, and bad records.
type Found = (Vec<(u64, String)>, Vec<String>);

/// The good rows as `id=v`, each with its record number, and the bad ones as text.
fn read_on(mut reader: InputReader) -> Result<Found, DecodeError> {
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    while let Some(chunk) = reader.next_chunk()? {
        let decoded = chunk.decode()?;
        for row in 0..decoded.rows.num_rows() {
            let record = chunk.first.record + u64::from(decoded.record_of(row));
            let cell = |c: &ArrayRef| {
                if c.is_null(row) { "-".into() } else { array_value_to_string(c, row).unwrap() }
            };
            rows.push((record, decoded.rows.columns().iter().map(cell).collect::<Vec<_>>().join("=")));
        }
        bad.extend(decoded.bad.iter().map(|(_, bad)| bad.to_string()));
    }
    Ok((rows, bad))
}

fn read(name: &str, bytes: &[u8], wanted: &Wanted) -> Found {
    read_on(open(name, bytes, &small_blocks(), wanted).unwrap()).unwrap()
}

fn failure(name: &str, bytes: &[u8], wanted: &Wanted) -> String {
    match open(name, bytes, &small_blocks(), wanted) {
        Ok(reader) => read_on(reader).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

fn texts(rows: &[(u64, String)]) -> Vec<&str> {
    rows.iter().map(|(_, text)| text.as_str()).collect()
}

fn batch() -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    let v: ArrayRef = Arc::new(StringArray::from_iter_values((0..10).map(|i| format!("v{i}"))));
    RecordBatch::try_from_iter_with_nullable([("id", id, true), ("v", v, true)]).unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The ten rows of [`batch`] in every format.
fn every_format() -> Vec<(&'static str, Vec<u8>)> {
    let batch = batch();
    let csv = (0..10).fold("id,v\n".to_owned(), |text, i| format!("{text}{i},v{i}\n"));
    let jsonl = (0..10).fold(String::new(), |text, i| format!("{text}{{\"id\":{i},\"v\":\"v{i}\"}}\n"));
    let mut parquet = Vec::new();
    let properties = parquet_properties();
    let mut writer =
        ::parquet::arrow::ArrowWriter::try_new(&mut parquet, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut avro = arrow_avro::writer::AvroWriter::new(Vec::new(), batch.schema().as_ref().clone()).unwrap();
    for start in [0, 4] {
        avro.write(&batch.slice(start, if start == 0 { 4 } else { 6 })).unwrap();
    }
    avro.finish().unwrap();
    let mut file = arrow::ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    let mut stream = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    for slice in [batch.slice(0, 7), batch.slice(7, 3)] {
        file.write(&slice).unwrap();
        stream.write(&slice).unwrap();
    }
    vec![
        ("t.csv.gz", gz(csv.as_bytes())),
        ("t.csv.zst", zstd::encode_all(csv.as_bytes(), 1).unwrap()),
        ("t.csv", csv.into_bytes()),
        ("t.jsonl.gz", gz(jsonl.as_bytes())),
        ("t.jsonl", jsonl.into_bytes()),
        ("t.parquet", parquet),
        ("t.avro", avro.into_inner()),
        ("t.arrow", file.into_inner().unwrap()),
        ("t.arrows", stream.into_inner().unwrap()),
    ]
}

fn parquet_properties() -> ::parquet::file::properties::WriterProperties {
    ::parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(4)).build()
}

#[test]
fn every_format_reads_all_records_and_goes_on_at_each() {
    let expected: Vec<String> = (0..10).map(|i| format!("{i}=v{i}")).collect();
    for (name, bytes) in every_format() {
        let (rows, bad) = read(name, &bytes, &id_and_text());
        assert_eq!(texts(&rows), expected, "{name}");
        assert!(bad.is_empty());
        let mut reader = open(name, &bytes, &small_blocks(), &id_and_text()).unwrap();
        let mut places = Vec::new();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            places.extend((0..=chunk.records()).map(|index| (chunk.place(index), chunk.text_hash(index))));
        }
        assert!(places.len() >= 11, "{name}");
        for (place, text) in places {
            let mut reader = open(name, &bytes, &small_blocks(), &id_and_text()).unwrap();
            reader.skip_to(place).unwrap();
            assert_eq!(
                reader.text_hash().map(TextHash::hex),
                text.map(|text| text.hex()),
                "{name} {place:?}"
            );
            let (rows, _) = read_on(reader).unwrap();
            assert_eq!(texts(&rows), expected[place.record as usize..], "{name} from {place:?}");
            assert!(rows.iter().zip(place.record..).all(|((record, _), expected)| *record == expected));
        }
        let mut reader = open(name, &bytes, &small_blocks(), &id_and_text()).unwrap();
        let beyond = Place { record: 11, line: 12, byte: 1 << 20 };
        let error = reader.skip_to(beyond).unwrap_err().to_string();
        assert!(error.contains("it was cut or replaced"), "{error}");
    }
}

#[test]
fn every_format_but_files_read_from_the_end_can_be_streamed() {
    for (name, bytes) in every_format() {
        let input = PlainInput::Stream(Box::new(Cursor::new(bytes)));
        let opened = InputReader::open(&name.into(), input, &small_blocks(), &id_and_text());
        match name {
            "t.parquet" => {
                let error = opened.unwrap_err().to_string();
                assert!(error.contains("cannot come from a stream: save it to a file"), "{error}");
            }
            _ => assert_eq!(read_on(opened.unwrap()).unwrap().0.len(), 10),
        }
    }
}

#[test]
fn cut_inputs_are_errors_and_never_panic() {
    for (name, bytes) in every_format() {
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            let result = open(name, cut, &small_blocks(), &id_and_text()).and_then(read_on);
            if let Err(error) = &result {
                assert!(!error.to_string().contains("panicked"), "{name} cut at {length}: {error}");
            }
            let may_end_early = matches!(name, "t.csv" | "t.jsonl" | "t.arrows") || length == 0;
            // Of Avro no more is told than that a block has ended.
            let whole = matches!(&result, Ok((rows, _)) if rows.len() == 10 || name == "t.avro" && [0, 4].contains(&rows.len()));
            assert!(result.is_err() || may_end_early || whole, "{name} cut at {length}: {result:?}");
        }
    }
}

#[test]
fn flipped_bits_never_panic_out_of_the_reader() {
    for (name, bytes) in every_format() {
        for at in (0..bytes.len()).step_by(7) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            let _ = open(name, &flipped, &small_blocks(), &id_and_text()).and_then(read_on);
        }
    }
}

#[test]
fn inputs_that_cannot_be_read_say_why() {
    let wanted = id_and_text();
    let jsonl = "{\"id\": 1}\n";
    for (name, bytes, expected) in [
        ("t.csv", b"".to_vec(), "t.csv: it has no header: it is empty"),
        ("t.csv", b"id,v,id\n".to_vec(), "t.csv: it has no header: column \"id\" is there twice"),
        (
            "t.csv",
            b"id\n1\n".to_vec(),
            "t.csv: column \"v\" is missing; map it, or set mapping.missing_columns to null",
        ),
        (
            "t.csv",
            b"id,v,idd\n".to_vec(),
            "t.csv: column \"idd\" is not in the table (did you mean \"id\"?); map it, or set \
             mapping.unknown_columns to ignore",
        ),
        (
            "t.csv",
            b"id\tv\n1\ta\n".to_vec(),
            "t.csv: column \"id\" is missing (\"id\\tv\" looks like several columns: is format.delimiter right?)",
        ),
        (
            "t.csv.gz",
            b"id,v\n".to_vec(),
            "t.csv.gz: it should be compressed with gzip, but its first bytes are [69, 64, 2c, 76]",
        ),
        (
            "t.dat",
            b"id,v\n".to_vec(),
            "t.dat: its name does not tell the format: set format.type to csv, jsonl, parquet, avro or arrow",
        ),
        (
            "t.parquet.gz",
            gz(b"PAR1"),
            "t.parquet.gz: gzip around parquet cannot be read: unpack the file, parquet compresses by itself",
        ),
        (
            "t.jsonl.gz",
            gz(jsonl.as_bytes())[..20].to_vec(),
            "t.jsonl.gz:1: its gzip compression is broken or cut off",
        ),
        ("t.parquet", b"PAR1PAR1".to_vec(), "t.parquet: it is no sound parquet file: "),
        ("t.avro", b"Obj\x01".to_vec(), "t.avro: it is no sound avro file: "),
        ("t.arrow", b"ARROW1\0\0".to_vec(), "t.arrow: it is no sound arrow file: "),
    ] {
        let found = failure(name, &bytes, &wanted);
        assert!(found.starts_with(expected), "{found}");
    }
    let array = format!("\n\n\n  [{}]", "{\"id\": 1},".repeat(100_000));
    assert_eq!(
        failure("t.json", array.as_bytes(), &wanted),
        "t.json: it begins with a JSON array, and one object a line is read: `jq -c '.[]'` makes that of an array"
    );
    let long = format!("id,v\n1,\"{}", "x".repeat(600_000));
    assert_eq!(
        failure("t.csv", long.as_bytes(), &wanted),
        "t.csv:2: a record is longer than 256 B and ends within quotes; raise format.record_bytes if that is right"
    );
}

#[test]
fn no_error_carries_more_than_the_start_of_an_input() {
    let (long, format) = ("x".repeat(100_000), Format::default());
    let told = |name: &str, text: String| match open(name, text.as_bytes(), &format, &id_and_text()) {
        Ok(reader) => read_on(reader).unwrap().1.concat(),
        Err(error) => error.to_string(),
    };
    for (name, text) in [
        ("t.csv", format!("id,v\n{long},a\n")),
        ("t.csv", format!("id,v,{long}\n")),
        ("t.csv", format!("id,v,{long},{long}\n")),
        ("t.jsonl", format!("{{\"id\": \"{long}\"}}\n")),
        ("t.jsonl", format!("{{\"{long}\": 1}}\n")),
        ("t.jsonl", format!("{{\"id\": {{\"{long}\": 1}}}}\n")),
        ("t.jsonl", format!("{long}\n")),
    ] {
        let told = told(name, text);
        assert!((20..700).contains(&told.len()), "{} bytes: {}", told.len(), brief(&told));
    }
}

#[test]
fn a_packed_bomb_takes_no_more_than_a_block() {
    let bomb = zstd::encode_all(std::io::repeat(b'x').take(1 << 30), 1).unwrap();
    assert!(bomb.len() < 1 << 18);
    let found = failure("t.jsonl.zst", &bomb, &id_and_text());
    assert_eq!(
        found,
        "t.jsonl.zst:1: a record is longer than 256 B; raise format.record_bytes if that is right"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for name in ["t.csv", "t.jsonl", "t.parquet", "t.avro", "t.arrow", "t.csv.gz", "t.jsonl.zst"] {
            if let Err(error) = open(name, &bytes, &small_blocks(), &id_and_text()).and_then(read_on) {
                prop_assert!(!error.to_string().contains("panicked"), "{}", error);
            }
        }
    }
}

#[test]
fn unknown_columns_are_skipped_when_allowed() {
    let wanted = Wanted { unknown_allowed: true, ..wanted(&[("id", DataType::Int64)]) };
    let csv = read("t.csv", b"x,id,y\n?,1,?\n?,2,?\n", &wanted);
    let json = read("t.jsonl", b"{\"id\":1,\"z\":[1]}\n{\"id\":2}\n", &wanted);
    assert_eq!((texts(&csv.0), texts(&json.0)), (vec!["1", "2"], vec!["1", "2"]));
    let (name, bytes) = every_format().into_iter().find(|(name, _)| *name == "t.avro").unwrap();
    let mut reader = open(name, &bytes, &small_blocks(), &wanted).unwrap();
    let chunk = reader.next_chunk().unwrap().unwrap();
    assert_eq!(chunk.decode().unwrap().rows.column(0).as_primitive::<Int64Type>().value(0), 0);
}
