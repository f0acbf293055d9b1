//! What all commands share: help, exit codes, errors, logs.

use super::{Place, command, lakebed, ran, unread};

#[test]
fn help_has_examples_and_the_exit_codes() {
    let help = lakebed(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for text in ["lakebed table create /lake/flights", "7 fenced (do not restart)", "s3a://bucket/path"] {
        assert!(help.out.contains(text), "{text:?} is not in {}", help.out);
    }
    let version = lakebed(&["--version"]);
    assert_eq!(version.out, format!("lakebed {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_arguments_are_usage_errors() {
    lakebed(&["timeline"]).refused(2, "<URI>");
    lakebed(&["frobnicate"]).refused(2, "unrecognized subcommand");
    lakebed(&["table", "show", "ftp://x/y"]).refused(2, "ftp://x/y");
    let limits = lakebed(&["timeline", "t", "--all", "--limit", "3"]);
    limits.refused(2, "cannot be used with");
}

#[test]
fn errors_are_json_where_answers_are() {
    let missing = lakebed(&["--format", "json", "table", "show", "/nowhere/at/all"]);
    let error = missing.json_error();
    assert_eq!((missing.code, missing.out.as_str()), (2, ""));
    assert_eq!(error["error"]["kind"], "fix_input");
    assert_eq!(error["error"]["exit_code"], 2);
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("file:/nowhere/at/all is no Hudi table"), "{message}");
    let usage = lakebed(&["timeline", "--format=json", "--limt"]);
    assert_eq!(usage.json_error()["error"]["exit_code"], 2);
}

#[test]
fn output_to_a_pipe_has_no_colours() {
    let place = Place::new();
    assert_eq!(place.create(&["--key", "id"]).code, 0);
    let shown = lakebed(&["table", "show", &place.table()]);
    assert!(!shown.out.contains('\x1b') && shown.out.contains("MERGE_ON_READ"), "{shown:?}");
    let missing = lakebed(&["table", "show", "/nowhere"]);
    assert!(!missing.err.contains('\x1b'), "{missing:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    assert_eq!(place.create(&["--key", "id"]).code, 0);
    let shown = unread(&["table", "show", &place.table()]);
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
}

#[test]
fn logs_go_to_standard_error_and_can_be_chosen() {
    let wrong = command(&["table", "show", "/nowhere"]).env("LAKEBED_LOG", "lakebed=loud").output().unwrap();
    ran(wrong).refused(2, "LAKEBED_LOG=\"lakebed=loud\"");
    let place = Place::new();
    assert_eq!(place.create(&["--key", "id"]).code, 0);
    let shown = lakebed(&["-vv", "--format", "json", "table", "show", &place.table()]);
    assert_eq!(shown.json()["table"], "events");
}
