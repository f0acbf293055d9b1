use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, Int64Array, StringArray};
use proptest::prelude::*;

use super::*;
use crate::date_pattern::DatePattern;

fn simple(columns: &[&str]) -> PartitionPathRule {
    let parts = columns.iter().map(|c| PartitionPart { column: (*c).into(), kind: PartitionKind::Simple });
    PartitionPathRule { parts: parts.collect(), ..PartitionPathRule::none() }
}

fn batch(values: Vec<Option<&str>>) -> RecordBatch {
    RecordBatch::try_from_iter([("p", Arc::new(StringArray::from(values)) as ArrayRef)]).unwrap()
}

fn paths(rule: &PartitionPathRule, values: Vec<Option<&str>>) -> Vec<String> {
    let paths = rule.paths(&batch(values)).unwrap().paths;
    paths.downcast_dict::<StringArray>().unwrap().into_iter().map(|p| p.unwrap().to_owned()).collect()
}

#[test]
fn values_become_folders() {
    let rule = simple(&["p"]);
    assert_eq!(paths(&rule, vec![Some("a"), None, Some("")]), ["a", DEFAULT_PARTITION, DEFAULT_PARTITION]);
    let hive = PartitionPathRule { hive_style: true, url_encode: true, ..rule.clone() };
    assert_eq!(
        paths(&hive, vec![Some("a/b"), Some("sp ace"), Some("\u{e9}\u{6f22}"), Some("50%"), None]),
        ["p=a%2Fb", "p=sp ace", "p=\u{e9}\u{6f22}", "p=50%25", "p=__HIVE_DEFAULT_PARTITION__"]
    );
    let both = batch(vec![None, Some(""), Some("a")]);
    assert_eq!(rule.paths(&both).unwrap().paths.values().len(), 2, "null and empty share a path");
    let slashed = PartitionPathRule { slash_separated_dates: true, ..rule };
    assert_eq!(paths(&slashed, vec![Some("2024-01-02")]), ["2024/01/02"]);
}

#[test]
fn folders_become_values() {
    let hive = PartitionPathRule { hive_style: true, ..simple(&["a", "b"]) };
    let got = hive.values("a=x%2Fy/b=__HIVE_DEFAULT_PARTITION__").unwrap();
    assert_eq!(got, [Some("x/y".into()), None]);
    assert_eq!(hive.values("a=x"), None);
    assert_eq!(hive.values("a=x/c=y"), None);
    assert_eq!(PartitionPathRule::none().values(""), Some(vec![]));
}

#[test]
fn times_are_spelled_by_pattern() {
    let settings = |kind: &'static str| {
        TimestampRule::from_settings(move |key| match key {
            "timestamp.type" => Some(kind),
            "input.dateformat" => Some("yyyy-MM-dd'T'HH:mm:ssZ,yyyy-MM-dd"),
            "output.dateformat" => Some("yyyy/MM/dd"),
            _ => None,
        })
        .unwrap()
    };
    let seconds = settings("UNIX_TIMESTAMP");
    assert_eq!(seconds.spell(Some("1709802301")).as_deref(), Some("2024/03/07"));
    assert_eq!(seconds.spell(None).as_deref(), Some("1970/01/01"));
    assert_eq!(seconds.spell(Some("soon")), None);
    let text = settings("DATE_STRING");
    assert_eq!(text.spell(Some("2024-03-07T23:30:00-0200")).as_deref(), Some("2024/03/07"));
    assert_eq!(text.spell(Some("2024-03-07")).as_deref(), Some("2024/03/07"));
}

#[test]
fn a_bad_time_names_row_and_value() {
    let rule = PartitionPathRule {
        parts: vec![PartitionPart {
            column: "t".into(),
            kind: PartitionKind::Timestamp(Box::new(TimestampRule {
                input: TimestampInput::Number { unit_nanos: i64::MAX },
                output: DatePattern::parse("yyyy").unwrap(),
                output_zone: None,
            })),
        }],
        ..PartitionPathRule::none()
    };
    let times: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX, 0]));
    let made = rule.paths(&RecordBatch::try_from_iter([("t", times)]).unwrap()).unwrap();
    assert_eq!((made.paths.null_count(), made.paths.keys().value(2)), (2, 0));
    let [_, refused] = made.refused.as_slice() else { panic!("{:?}", made.refused) };
    assert!(
        refused.to_string().starts_with("row 1 has no partition: t is \"9223372036854775807\""),
        "{refused}"
    );
}

proptest! {
    #[test]
    fn escaping_round_trips(text in "\\PC{1,20}|[\\x01-\\x1f/%=]{1,8}") {
        let mut path = String::new();
        escape_into(&mut path, &text);
        prop_assert!(!path.contains(['/', '=']));
        prop_assert_eq!(unescape(&path), text);
    }

    #[test]
    fn unescaping_never_panics(text in "[%0-9a-g\\PC]{0,20}") {
        let _ = unescape(&text);
    }
}
