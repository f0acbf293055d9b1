//! Arrow streams that are large, that lie, and that are several.

use super::*;

#[test]
fn a_message_that_the_memory_does_not_allow_is_named() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
    let batch = RecordBatch::try_from_iter([("id", numbers)]).unwrap();
    let mut file = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    file.write(&batch).unwrap();
    let file = file.into_inner().unwrap();
    let of = |unit_bytes| Format { limits: Limits { unit_bytes, ..Limits::default() }, ..Format::default() };
    let read =
        |format: &Format| read_on(open("t.arrows", &file, format, &wanted(&[("id", DataType::Int64)]))?);
    assert_eq!(read(&of(9_000)).unwrap().0.len(), 1_000);
    let refused = read(&of(4_096)).unwrap_err().to_string();
    assert!(
        refused.contains("a message takes 7.8 KiB, the memory allows 4.0 KiB: give the job more"),
        "{refused}"
    );
}

#[test]
fn a_stream_behind_a_stream_is_refused() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    let one = stream_of(&RecordBatch::try_from_iter([("id", numbers)]).unwrap());
    let read = |bytes: &[u8]| {
        read_on(open("t.arrows", bytes, &Format::default(), &wanted(&[("id", DataType::Int64)]))?)
    };
    assert_eq!(read(&one).unwrap().0.len(), 10);
    let refused = read(&[&one[..], &one[..]].concat()).unwrap_err().to_string();
    assert!(refused.contains("bytes follow its end: write one stream, not several"), "{refused}");
}

fn stream_of(batch: &RecordBatch) -> Vec<u8> {
    let mut file = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
    file.write(batch).unwrap();
    file.into_inner().unwrap()
}

#[test]
fn rows_that_a_message_has_no_room_for_are_refused() {
    let bare = |rows| {
        let schema = Schema::new(vec![Field::new("id", DataType::Null, true)]);
        let nulls: ArrayRef = Arc::new(arrow::array::NullArray::new(rows));
        stream_of(&RecordBatch::try_new(Arc::new(schema), vec![nulls]).unwrap())
    };
    let read = |rows| {
        let reader = open("t.arrows", &bare(rows), &Format::default(), &wanted(&[("id", DataType::Int64)]))?;
        read_on(reader).map(|(rows, _)| rows.len())
    };
    assert_eq!(read(20_000).unwrap(), 20_000);
    let refused = read(1 << 44).unwrap_err().to_string();
    assert!(refused.contains("a message claims 17592186044416 rows, it can hold 1048576"), "{refused}");
}

#[test]
fn values_that_many_rows_share_are_read_in_parts_of_bounded_size() {
    let rows = 20_000;
    let keys = arrow::array::Int32Array::from_iter_values((0..rows).map(|row| row % 3));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a".repeat(5_000), "b".to_owned(), "c".into()]));
    let shared: ArrayRef = Arc::new(DictionaryArray::new(keys, texts));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows.into()));
    let file = stream_of(&RecordBatch::try_from_iter([("id", ids), ("v", shared)]).unwrap());
    let start = |record| {
        let mut reader = open("t.arrows", &file, &Format::default(), &id_and_text()).unwrap();
        reader.skip_to(Place { record, ..Place::default() }).unwrap();
        reader
    };
    let (found, _) = read_on(start(0)).unwrap();
    assert_eq!(found.len(), 20_000);
    assert!(found.iter().all(|(record, row)| {
        row.starts_with(&format!("{record}={}", ["a", "b", "c"][*record as usize % 3]))
    }));
    let (behind, _) = read_on(start(9_999)).unwrap();
    assert_eq!(behind, found[9_999..]);
    let mut reader = start(0);
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        assert_eq!(chunk.decode().unwrap().rows.column(1).data_type(), &DataType::Utf8);
        bytes.push(chunk.bytes());
    }
    assert!(bytes.iter().all(|bytes| *bytes < 8 << 20), "{bytes:?}");
    // Each part counts its own rows alone.
    assert!(bytes.iter().sum::<usize>() < 50_000_000, "{bytes:?}");
}
