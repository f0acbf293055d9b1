use std::io::Cursor;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::StreamWriter;
use arrow_avro::writer::AvroWriter;
use lakebed::ingest::dry_run;

use super::*;

fn given(text: &str) -> RunOptions {
    given_bytes(text.to_owned().into_bytes())
}

fn given_bytes(bytes: Vec<u8>) -> RunOptions {
    RunOptions { stdin: Some(Box::new(Cursor::new(bytes))), ..RunOptions::default() }
}

/// Ids from 0 on, and texts that begin with `letter`, in blocks or messages of four records; in Arrow,
/// empty ones among them. In Avro, each call draws another mark to stand behind the blocks.
fn in_blocks(format: &str, count: i64, letter: &str) -> Vec<u8> {
    let batch = |ids: std::ops::Range<i64>| {
        let texts: ArrayRef =
            Arc::new(StringArray::from_iter_values(ids.clone().map(|id| format!("{letter}{id}"))));
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
        RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("v", texts, true)]).unwrap()
    };
    let schema = batch(0..0).schema();
    let blocks = (0..count).step_by(4).map(|id| batch(id..(id + 4).min(count)));
    if format == "arrow" {
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
        for block in blocks {
            writer.write(&block).unwrap();
            writer.write(&batch(0..0)).unwrap();
        }
        return writer.into_inner().unwrap();
    }
    let mut writer = AvroWriter::new(Vec::new(), schema.as_ref().clone()).unwrap();
    for block in blocks {
        writer.write(&block).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner()
}

#[tokio::test]
async fn blocks_of_standard_input_are_verified_whole() {
    for format in ["avro", "arrow"] {
        for committed in [3, 4, 6] {
            let place = Place::new().await;
            let job = |more: &str| place.job("{stdin: true}", &format!("format: {{type: {format}}}\n{more}"));
            let limit = format!("commit: {{rows: {committed}}}\n");
            let whole = in_blocks(format, 12, "v");
            place.run_one_commit(job(&limit), given_bytes(whole.clone())).await.unwrap();
            let other = in_blocks(format, 12, "w");
            let error = place.run(job(""), given_bytes(other)).await.unwrap_err().to_string();
            assert!(error.starts_with("standard input does not begin with the "), "{error}");
            assert!(error.contains(" records that were read before"), "{error}");
            let error =
                place.run(job(""), given_bytes(in_blocks(format, 2, "v"))).await.unwrap_err().to_string();
            assert!(error.contains("it has only 2 records"), "{error}");
            assert!(format == "arrow" || in_blocks(format, 12, "v") != whole, "the mark is another");
            let longer = zstd::encode_all(&*in_blocks(format, 16, "v"), 1).unwrap();
            place.run(job(""), given_bytes(longer)).await.unwrap();
            assert_eq!(place.ids(), (0..16).collect::<Vec<_>>(), "{format} {committed}");
        }
    }
}

#[tokio::test]
async fn standard_input_goes_on_behind_a_prefix_that_is_verified() {
    let place = Place::new().await;
    let job = |more: &str| place.job("{stdin: true}", &format!("format: {{type: csv}}\n{more}"));
    let summary = place.run_one_commit(job("commit: {rows: 3}\n"), given(&csv(0..8))).await.unwrap();
    assert!(summary.commits >= 1);
    let other = csv(0..8).replacen("v1", "w1", 1);
    let error = place.run(job(""), given(&other)).await.unwrap_err().to_string();
    assert!(error.starts_with("standard input does not begin with the "), "{error}");
    let error = place.run(job(""), given("id,v\n0,v0\n")).await.unwrap_err().to_string();
    assert!(error.contains("it was cut or replaced"), "{error}");
    let summary = place.run(job(""), given(&csv(0..10))).await.unwrap();
    assert_eq!(summary.inputs, 1, "the stream is one");
    assert_eq!(place.ids(), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dry_run_that_is_interrupted_says_so() {
    let place = Place::new().await;
    let job = || place.job("{stdin: true}", "format: {type: csv}\n");
    for stopped in [false, true] {
        let (_keep, stop) = watch::channel(stopped);
        let events = Arc::new(|_: &Event| ());
        let dry = dry_run(job(), given(&csv(0..8)), &place.environment, stop, events).await.unwrap();
        assert_eq!((dry.interrupted, dry.records == 0), (stopped, stopped), "{dry:?}");
        assert_eq!(dry.inputs, u64::from(!stopped));
    }
}
