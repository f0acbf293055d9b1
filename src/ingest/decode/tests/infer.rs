//! Columns told from a sample.

use super::*;

/// The columns with their types, the records looked at, and the bad one, or the error; without the folder.
fn told(name: &str, text: &[u8]) -> Result<(String, usize, Option<String>), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let short = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
    let Inferred { schema, records, bad } =
        infer_schema(&path, &Format::default(), 100).map_err(|error| short(error.to_string()))?;
    let columns = schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type()));
    Ok((columns.collect::<Vec<_>>().join(", "), records, bad.map(|bad| short(bad.to_string()))))
}

#[test]
fn columns_are_told_from_the_good_records_of_a_sample() {
    let columns = || "id Int64, v Utf8".to_owned();
    for (name, text, records, bad) in [
        ("t.csv", &b"id,v\n1,a\n\n2,b,c\n3,\"c\nc\"\n"[..], 2, "t.csv:4: it has 3 fields, expected 2"),
        ("t.csv", b"id,v\nx,\xe9\n1,a\n2\n", 1, "t.csv:2: it is not UTF-8"),
        (
            "t.csv",
            b"id,v\n1,a\nx,\"a\"b\n",
            1,
            "t.csv:3: text follows a closing quote; a quote within quotes is to be doubled",
        ),
        (
            "t.jsonl",
            b"{\"id\":1,\"v\":\"a\"}\n{\"id\":\"x\n{\"id\":2}\n",
            2,
            "t.jsonl:2: the object does not end on its line",
        ),
        ("t.jsonl", b"{\"id\":1,\"v\":\"a\"}\n\n7\n", 1, "t.jsonl:3: it is no JSON object"),
    ] {
        assert_eq!(told(name, text), Ok((columns(), records, Some(bad.to_owned()))));
    }
}

#[test]
fn a_sample_that_tells_no_columns_is_named_with_its_line() {
    for (name, text, error) in [
        (
            "t.csv",
            &b"id,v\n1\n2\n"[..],
            "t.csv: it has no good records to tell a schema by: state one (table.create.schema); the first: \
             t.csv:2: it has 1 fields, expected 2",
        ),
        ("t.csv", b"id,v\n1,a\n\n2,\"b\n", "t.csv:4: a quote opens in this record"),
        (
            "t.jsonl",
            b"{\"a\":1}\n\n[\n{\"a\":{\"b\":1}}\n{\"a\":2}\n",
            "t.jsonl:4: no column types fit this record and those before it",
        ),
    ] {
        let found = told(name, text).unwrap_err();
        assert!(found.starts_with(error), "{found}");
    }
}

#[test]
fn a_record_that_does_not_fit_what_it_helped_to_tell_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let misfit = |name: &str, text: &str, sample: usize| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let told = infer_schema(&path, &Format::default(), sample).unwrap().schema;
        let columns = told.fields().iter().map(|f| (f.name().clone(), f.data_type().clone()));
        let misfit = first_misfit(&path, &Format::default(), columns, sample).unwrap()?;
        Some(misfit.to_string().replace(&format!("{}/", folder.path().display()), ""))
    };
    for (name, text, expected) in [
        (
            "t.jsonl",
            "{\"id\":1,\"a\":1}\n{\"id\":2,\"a\":\"x\"}\n",
            "t.jsonl:1, column \"a\", value \"1\": it is no string",
        ),
        (
            "t.jsonl",
            "7\n{\"a\":[1]}\n\n{\"a\":2}\n",
            "t.jsonl:4, column \"a\", value \"2\": it is no array<bigint>",
        ),
        (
            "t.csv",
            "id,on\n1,2026-03-07\n2,2026-03-07,x\n3,2026-13-45\n",
            "t.csv:4, column \"on\", value \"2026-13-45\": it is no date",
        ),
    ] {
        assert_eq!(misfit(name, text, 100).as_deref(), Some(expected));
    }
    let later = "{\"a\":1}\n{\"a\":\"x\"}\n";
    assert_eq!(misfit("t.jsonl", later, 1), None, "records behind the sample tell nothing");
    assert_eq!(misfit("t.jsonl", "{\"a\":1}\n7\n{\"a\":0.5}\n{\"a\":null}\n{}\n", 100), None);
}

#[test]
fn schemas_are_told_from_a_sample_or_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("t.csv");
    std::fs::write(&csv, "a,b,c,d,e\n1,x,1.5,2024-01-01,2024-01-01T00:00:00\nNA,y,2,NA,NA\n").unwrap();
    let nulls = CsvOptions { nulls: vec!["NA".into()], ..CsvOptions::default() };
    let format = Format { csv: nulls, ..Format::default() };
    let inferred = infer_schema(&csv, &format, 100).unwrap();
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let types = [
        ("a", DataType::Int64),
        ("b", DataType::Utf8),
        ("c", DataType::Float64),
        ("d", DataType::Date32),
        ("e", micros),
    ];
    let fields: Vec<Field> = types.into_iter().map(|(name, t)| Field::new(name, t, true)).collect();
    assert_eq!(inferred, Inferred { schema: Arc::new(Schema::new(fields)), records: 2, bad: None });
    for (name, bytes) in every_format() {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let inferred = infer_schema(&path, &Format::default(), 3).unwrap();
        let types: Vec<_> =
            inferred.schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        assert_eq!(types, [("id".to_owned(), DataType::Int64), ("v".to_owned(), DataType::Utf8)], "{name}");
    }
    let zeros = "a,b,c,d\n007,7,2024-01-01T00:00:00Z,2024-01-01T00:00:00Z\n,0,2024-01-01 00:00:00+01:00,2024-01-01T00:00:00\n";
    std::fs::write(&csv, zeros).unwrap();
    let inferred = infer_schema(&csv, &Format::default(), 100).unwrap();
    let types: Vec<_> = inferred.schema.fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(types, ["Utf8", "Int64", "Timestamp(µs, \"UTC\")", "Timestamp(µs)"]);
    std::fs::write(&csv, "a,b\n").unwrap();
    let error = infer_schema(&csv, &Format::default(), 3).unwrap_err().to_string();
    assert!(error.ends_with("t.csv: it has no records to tell a schema by"), "{error}");
    let error = infer_schema(&folder.path().join("none.csv"), &Format::default(), 3).unwrap_err().to_string();
    assert!(error.contains("none.csv: it cannot be read: No such file"), "{error}");
}
