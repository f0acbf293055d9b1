//! Quotes that do not tell where a field ends.

use super::*;

const OPEN: &str = "a quote opens in this record and is not closed up to the end of the input";

/// The good rows before the input cannot be read on, and why it cannot.
fn rows_and_failure(text: &str, format: &Format) -> (Vec<String>, String) {
    let mut reader = open("t.csv", text.as_bytes(), format, &id_and_text()).unwrap();
    let mut rows = Vec::new();
    loop {
        match reader.next_chunk() {
            Ok(Some(chunk)) => {
                let decoded = chunk.decode().unwrap().rows;
                let id = |row| array_value_to_string(decoded.column(0), row).unwrap();
                rows.extend((0..decoded.num_rows()).map(id));
            }
            Ok(None) => panic!("the input was read: {rows:?}"),
            Err(error) => return (rows, error.to_string()),
        }
    }
}

#[test]
fn a_quote_that_is_never_closed_is_named_by_the_line_of_its_record() {
    let rows = (3..2000).fold(String::new(), |text, id| format!("{text}{id},v\n"));
    for format in [Format::default(), small_blocks()] {
        let wide = Limits { record_bytes: 1 << 20, ..format.limits };
        let format = Format { limits: wide, ..format };
        for (text, found, line) in [
            (format!("id,v\n1,a\n2,\"oops\n{rows}"), vec!["1"], 3),
            ("id,v\n1,\"a\nb\"\n\n2,\"cut of".to_owned(), vec!["1"], 5),
            ("id,v\n\n\"".to_owned(), vec![], 3),
            ("id,v\n1,\"a\"\"".to_owned(), vec![], 2),
        ] {
            let (ids, error) = rows_and_failure(&text, &format);
            assert_eq!(ids, found);
            assert!(error.starts_with(&format!("t.csv:{line}: {OPEN}")), "{error}");
        }
    }
    assert_eq!(
        failure("t.csv", b"id,\"v\n1,a\n", &id_and_text()),
        "t.csv: it has no header: a quote in it is not closed up to the end of the input"
    );
}

#[test]
fn an_escaped_quote_closes_nothing() {
    let csv = CsvOptions { escape: Some(b'\\'), ..CsvOptions::default() };
    let format = Format { csv, ..Format::default() };
    let (ids, error) = rows_and_failure("id,v\n1,\"a\\\"\"\n2,\"a\\\"\n", &format);
    assert_eq!(ids, ["1"]);
    assert!(error.starts_with(&format!("t.csv:3: {OPEN}")), "{error}");
}

#[test]
fn text_behind_a_closing_quote_makes_a_record_bad() {
    let text = "id,v\n1,a\n2,\"tw\"o\n3,\"c\"\n4,\"d\" \n5,\"oops\n6,\"fine\"\n7,a \"quoted\" word\n8,h\n";
    let (rows, bad) = read("t.csv", text.as_bytes(), &id_and_text());
    assert_eq!(texts(&rows), ["1=a", "3=c", "7=a \"quoted\" word", "8=h"]);
    let stray = "text follows a closing quote; a quote within quotes is to be doubled";
    assert_eq!(bad, [3, 5, 6].map(|line| format!("t.csv:{line}: {stray}")));
    assert_eq!(
        failure("t.csv", b"id,\"v\"w\n1,a\n", &id_and_text()),
        format!("t.csv: it has no header: {stray}")
    );
}
