//! Records of CSV and JSON lines.

use super::*;

#[test]
fn bad_csv_records_are_named_and_the_others_kept() {
    let text = "id,v\n1,a\nx,b\n\n3,\"multi\nline\"\n4\n5,e,f\n6,\n7,\"q\"\"q\"\n99999999999999999999,z\n8,h";
    let (rows, bad) = read("t.csv", text.as_bytes(), &id_and_text());
    assert_eq!(
        rows,
        [(0, "1=a"), (2, "3=multi\nline"), (5, "6=-"), (6, "7=q\"q"), (8, "8=h")]
            .map(|(r, t)| (r, t.to_owned()))
    );
    assert_eq!(
        bad,
        [
            "t.csv:3, column \"id\", value \"x\": it is no bigint",
            "t.csv:7: it has 1 fields, expected 2",
            "t.csv:8: it has 3 fields, expected 2",
            "t.csv:11, column \"id\", value \"99999999999999999999\": it is no bigint",
        ]
    );
    let mut invalid = b"id,v\n1,a\n2,\xff\n3,c\n".to_vec();
    let (rows, bad) = read("t.csv", &invalid, &id_and_text());
    assert_eq!(
        (texts(&rows), bad.as_slice()),
        (vec!["1=a", "3=c"], &["t.csv:3: it is not UTF-8".to_owned()][..])
    );
    invalid.truncate(5);
    assert_eq!(read("t.csv", &invalid, &id_and_text()).0, []);
}

#[test]
fn records_behind_a_block_of_blank_lines_are_read() {
    let text = format!("id,v\n{}1,a\n{}", "\n".repeat(100), "\r\n".repeat(40));
    assert_eq!(read("t.csv", text.as_bytes(), &id_and_text()).0, [(0, "1=a".to_owned())]);
    // And are known by the text before them, blank lines included.
    let opened = || open("t.csv", text.as_bytes(), &small_blocks(), &id_and_text()).unwrap();
    let (mut reader, mut again) = (opened(), opened());
    let chunk = reader.next_chunk().unwrap().unwrap();
    again.skip_to(chunk.place(1)).unwrap();
    assert_eq!(again.text_hash().unwrap().hex(), chunk.text_hash(1).unwrap().hex());
    let other = open("t.csv", text.replacen("\n\n", "\n \n", 1).as_bytes(), &small_blocks(), &id_and_text());
    let chunk_of_other = other.unwrap().next_chunk().unwrap().unwrap();
    assert_ne!(chunk_of_other.text_hash(1).unwrap().hex(), chunk.text_hash(1).unwrap().hex());
}

#[test]
fn csv_dialects_are_read() {
    let csv = CsvOptions {
        header: false,
        columns: vec!["id".into(), "v".into()],
        delimiter: b';',
        quote: b'\'',
        escape: Some(b'\\'),
        nulls: vec!["NA".into(), "\\N".into()],
    };
    let format = Format { csv, ..small_blocks() };
    let text = "1;'a;b'\r\n2;NA\r\n3;'it\\'s'\r\n4;\r\n5;\"x\"";
    let reader = open("t.csv", text.as_bytes(), &format, &id_and_text()).unwrap();
    let (rows, bad) = read_on(reader).unwrap();
    assert_eq!(texts(&rows), ["1=a;b", "2=-", "3=it's", "4=", "5=\"x\""], "{bad:?}");
    // Spark's way to ask for doubled quotes.
    let doubled =
        Format { csv: CsvOptions { escape: Some(b'"'), ..CsvOptions::default() }, ..small_blocks() };
    let text = "id,v\n1,\"a\"\n2,\"b\"\"\nc\"\n3,d\n";
    let (rows, bad) = read_on(open("t.csv", text.as_bytes(), &doubled, &id_and_text()).unwrap()).unwrap();
    assert_eq!(texts(&rows), ["1=a", "2=b\"\nc", "3=d"], "{bad:?}");
    let marked = "\u{feff}id,v\n1,a\n";
    assert_eq!(texts(&read("t.csv", marked.as_bytes(), &id_and_text()).0), ["1=a"]);
}

#[test]
fn bad_json_records_are_named_and_the_others_kept() {
    let lines = [
        r#"{"id": 1, "v": "a"}"#,
        r#"{"id": "x", "v": "b"}"#,
        "",
        r#"{"v": "no id"}"#,
        r#"{"id": 4, "v": "d""#,
        r#"[5]"#,
        r#"{"id": 6} {"id": 7}"#,
        r#"{"id": 1.5}"#,
        r#"{"ID": 8}"#,
        "\u{1}",
        r#"{"id": 9, "v": {"deep": 1}}"#,
        r#"{"id": 10, "v": "j"}"#,
    ];
    let (rows, bad) = read("t.jsonl", lines.join("\n").as_bytes(), &id_and_text());
    assert_eq!(texts(&rows), ["1=a", "-=no id", "10=j"]);
    assert_eq!(
        bad,
        [
            "t.jsonl:2, column \"id\", value \"x\": it is no bigint",
            "t.jsonl:5: the object does not end on its line",
            "t.jsonl:6: it is no JSON object",
            "t.jsonl:7: it is no JSON: trailing characters at line 1 column 11",
            "t.jsonl:8, column \"id\", value \"1.5\": it is no whole number",
            "t.jsonl:9, column \"ID\", value \"8\": the table has no such column (did you mean \"id\"?)",
            "t.jsonl:10: it is no JSON: expected value at line 1 column 1",
            "t.jsonl:11, column \"v\", value \"{\\\"deep\\\":1}\": it is no string",
        ]
    );
}

proptest! {
    #[test]
    fn csv_records_are_cut_where_the_csv_library_cuts_them(
        text in proptest::string::string_regex("([a,\"\n\r ]|\r\n){0,60}").unwrap(),
    ) {
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let expected: Vec<u64> =
            reader.byte_records().map(|r| r.unwrap().len() as u64).collect();
        let columns = vec!["c0".to_owned(), "c1".into(), "c2".into()];
        let csv = CsvOptions { header: false, columns, nulls: vec![], ..CsvOptions::default() };
        let format = Format { csv, ..small_blocks() };
        let wanted = Wanted { unknown_allowed: true, ..Wanted::default() };
        let mut reader = open("t.csv", text.as_bytes(), &format, &wanted).unwrap();
        let mut found = 0;
        let last = loop {
            let chunk = match reader.next_chunk() {
                Ok(Some(chunk)) => chunk,
                last => break last,
            };
            for index in 0..chunk.records() {
                let ChunkBody::Text(block, _) = &chunk.body else { unreachable!("it is text") };
                let (from, to) = (block.text_before(index).len(), block.text_before(index + 1).len());
                let record = &block.text_before(index + 1)[from..to];
                let mut alone = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(record);
                let fields: Vec<u64> = alone.byte_records().map(|r| r.unwrap().len() as u64).collect();
                prop_assert_eq!(&fields, &expected[found..=found]);
                found += 1;
            }
        };
        if let Err(error) = last {
            prop_assert!(matches!(error.problem, DecodeProblem::OpenQuote), "{}", error);
            found += 1;
        }
        prop_assert_eq!(found, expected.len());
    }
}
