use lakebed_hudi::instant::TimelineZone;
use lakebed_hudi::table_config::BucketIndex;
use serde_json::Value;

use super::*;
use crate::settings::{Size, TimeSpan};
use crate::sink::StatedIndex;

const MINIMAL: &str = "pipeline: p\ntable: {uri: /lake/t}\nsource: {files: [\"/in/*.csv\"]}\n";

fn error(text: &str) -> String {
    Job::from_yaml(text).unwrap_err().to_string()
}

/// A job with that setting of its table.
fn table(setting: &str) -> String {
    format!("pipeline: p\ntable: {{uri: /t, {setting}}}\nsource: {{files: [a]}}\n")
}

#[test]
fn a_minimal_job_has_the_documented_defaults() {
    let job = Job::from_yaml(MINIMAL).unwrap();
    assert_eq!((job.pipeline.as_str(), job.operation), ("p", Operation::Upsert));
    assert_eq!(job.format(), crate::ingest::decode::Format::default());
    assert_eq!(job.bad_records.policy, BadRecordPolicy::Fail);
}

#[test]
fn the_annotated_example_is_read() {
    let job = Job::from_yaml(include_str!("example.yaml")).unwrap();
    assert_eq!(job.commit.interval, Some(TimeSpan(std::time::Duration::from_secs(60))));
    assert_eq!((job.commit.rows, job.commit.bytes), (Some(1_000_000), Some(Size(512 << 20))));
    assert_eq!(job.format().csv.nulls, ["", "NA"]);
    let new = job.table.create.as_ref().unwrap().new_table(&job.table.uri.parse().unwrap(), None);
    assert_eq!((new.name.as_str(), new.bucket_index.unwrap().buckets), ("flights", 8));
    let (commit, lock) = (job.table.commit_options(), job.table.lock_options());
    assert_eq!((commit.clock_skew.as_millis(), commit.heartbeat_misses), (200, 2));
    assert_eq!((lock.file_system_expire_minutes, lock.storage_validity_seconds), (10, 300));
    assert_eq!(job.table.timeline_zone().unwrap(), TimelineZone::Named(chrono_tz::Europe::Berlin));
}

#[test]
fn the_annotated_example_shows_every_setting() {
    fn keys(schema: &Value, all: &Value, found: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            keys(&all["$defs"][name.trim_start_matches("#/$defs/")], all, found);
        }
        schema["anyOf"].as_array().into_iter().flatten().for_each(|schema| keys(schema, all, found));
        for (key, child) in schema["properties"].as_object().into_iter().flatten() {
            found.push(key.clone());
            keys(child, all, found);
        }
    }
    let (schema, mut settings) = (json_schema(), Vec::new());
    keys(&schema, &schema, &mut settings);
    assert!(settings.len() > 40, "{settings:?}");
    let example = include_str!("example.yaml");
    for setting in settings {
        assert!(example.contains(&format!("{setting}:")), "{setting} is not in example.yaml");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, expected) in [
        (
            format!("{MINIMAL}comit: {{rows: 1}}\n"),
            "line 4, column 1: unknown setting \"comit\"; did you mean \"commit\"?",
        ),
        (
            format!("{MINIMAL}commit:\n  intervall: 5s\n"),
            "line 5, column 3: commit: unknown setting \"intervall\"; did you mean \"interval\"?",
        ),
        (
            format!("{MINIMAL}commit:\n  interval: 5 parsecs\n"),
            "line 5, column 13: commit.interval: \"5 parsecs\" is no time; write for example 30s, 5m or 1h",
        ),
        (
            format!("{MINIMAL}memory: lots\n"),
            "line 4, column 9: memory: \"lots\" is no size; write for example 64 MiB or 1 GB",
        ),
        (
            format!("{MINIMAL}commit: {{rows: many}}\n"),
            "line 4, column 16: commit.rows: expected a whole number from 0 on, found \"many\"",
        ),
        (
            format!("{MINIMAL}operation: upsrt\n"),
            "line 4, column 12: operation: unknown value \"upsrt\"; did you mean \"upsert\"?",
        ),
        ("pipeline: p\nsource: {stdin: true}\n".to_owned(), "line 1, column 1: setting \"table\" is missing"),
        (
            "pipeline: p\ntable: {uri: /t}\nsource: {stdin: true, files: [a]}\n".to_owned(),
            "source.stdin: it contradicts source.files: a job has one source",
        ),
        (
            "pipeline: p\ntable: {uri: /t}\nsource: {stdin: true}\nformat: {type: parquet}\n".to_owned(),
            "source.stdin: it contradicts format.type: parquet is read from its end and cannot come from a stream; \
             save it to a file",
        ),
        (
            MINIMAL.replace("*.csv", "{a,b}.csv"),
            "source.files: \"/in/{a,b}.csv\" has braces: list one pattern for each",
        ),
        (
            "pipeline: p\ntable: {uri: /t}\nsource: {files: [], stdin: true}\nformat: {type: csv}\n"
                .to_owned(),
            "line 3, column 17: source.files: it is empty; name at least one file",
        ),
        (
            MINIMAL.replace("pipeline: p", "pipeline: a/b"),
            "pipeline: pipeline \"a/b\" has no usable name: expected 1 to 100 letters",
        ),
        (
            format!("{MINIMAL}format: {{header: false, columns: [a, b]}}\nmapping: {{rename: {{c: id}}}}\n"),
            "mapping.rename.c: format.columns has no \"c\"",
        ),
        (
            format!(
                "{MINIMAL}format: {{header: false, columns: [op1, b]}}\nmapping: {{operation: {{column: op}}}}\n"
            ),
            "mapping.operation.column: format.columns has no \"op\"; did you mean \"op1\"?",
        ),
        (
            format!("{MINIMAL}format: {{type: jsonl, delimiter: ;}}\n"),
            "format.delimiter: it contradicts format.type: it is for csv, and the type is jsonl",
        ),
        (
            format!("{MINIMAL}format: {{escape: \",\"}}\n"),
            "format.escape: it contradicts format.delimiter: they are the same character",
        ),
        (
            format!("{MINIMAL}bad_records: {{limit: 3}}\n"),
            "bad_records.limit: it contradicts bad_records.policy: the policy is to fail",
        ),
        (
            format!("{MINIMAL}bad_records: {{policy: dead_letter}}\n"),
            "bad_records.path: it is needed for dead letters: the folder of their files",
        ),
        (
            format!("{MINIMAL}operation: insert_overwrite\ncommit: {{rows: 5}}\n"),
            "operation: it contradicts commit: an overwrite is one commit of all records",
        ),
        (
            "pipeline: p\ntable: {uri: gs://b/t}\nsource: {files: [a]}\n".to_owned(),
            "table.uri: \"gs://b/t\" is no table address: ",
        ),
        ("pipeline: [p\n".to_owned(), "line "),
        (
            table("create: {key: [id], bucket: 3}"),
            "line 2, column 38: table.create: unknown setting \"bucket\"; did you mean \"buckets\"?",
        ),
        (
            table("create: {key: [id], buckets: many}"),
            "line 2, column 47: table.create.buckets: expected a number or `none`, found \"many\"",
        ),
        (
            table("create: {key: [id], merge_mode: event_time}"),
            "table.create.merge_mode: it contradicts table.create.ordering: name the column",
        ),
        (
            table("create: {hash_field: [id]}"),
            "table.create.hash_field: it contradicts table.create.buckets: there are none",
        ),
        (
            table("create: {key: [id], type: copy-on-rite}"),
            "line 2, column 44: table.create.type: unknown value \"copy-on-rite\"; did you mean \"copy_on_write\"?",
        ),
        (
            table("create: {}").replace("files: [a]", "stdin: true") + "format: {type: csv}\n",
            "table.create.schema: it is needed: columns are told from files; standard input comes once",
        ),
        (
            table("create: {key: [id], buckets: none}"),
            "table.create.buckets: it contradicts operation: rows are found by their bucket; set a number, or insert",
        ),
        (
            table("create: {partition: [p]}"),
            "table.create.key: it contradicts operation: rows are found by their key; name its columns, or insert",
        ),
        (
            table("create: {key: [id]}") + "mapping: {partition: {column: m, from: at, pattern: yyyy}}\n",
            "mapping.partition.column: it contradicts table.create.partition: \"m\" is none of its columns; add it there",
        ),
        (
            table("").replace("[a]", "[s3://lake/in/*.csv]"),
            "source.files: \"s3://lake/in/*.csv\" is an address: inputs are files of this machine",
        ),
        (
            table("heartbeat: {misses: 0}"),
            "table.heartbeat.misses: it must be at least 1, or who lives is taken for dead",
        ),
        (
            table("clock_skew: 1s"),
            "table.clock_skew: it contradicts table.shared: clocks only differ where others write the table too",
        ),
        (table("lock: {expire: 90s}"), "table.lock.expire: it must be whole minutes, as Hudi counts it"),
        (
            table("timeline_timezone: Europe/Berlinn"),
            "line 2, column 37: table.timeline_timezone: \"Europe/Berlinn\" is no zone such as Europe/Berlin; did you mean \"Europe/Berlin\"?",
        ),
        (
            table("metadata_table: keep"),
            "line 2, column 34: table.metadata_table: unknown value \"keep\"; expected one of refuse, drop",
        ),
        (
            format!("{MINIMAL}operation: insert_overwrite\ncommit: {{empty: true}}\n"),
            "operation: it contradicts commit: an overwrite is one commit of all records",
        ),
    ] {
        let found = error(&text);
        assert!(found.starts_with(expected), "{found}\nexpected\n{expected}");
    }
    for (setting, expected) in [
        ("memory: [1]", "memory: expected a size such as 64 MiB or 1 GB, found a list"),
        ("memory: -5", "memory: \"-5\" is no size"),
        ("commit: {interval: 5}", "commit.interval: \"5\" is no time; write for example"),
        ("commit: {rows: 1.5}", "commit.rows: expected a whole number from 0 on, found 1.5"),
        ("commit: {empty: maybe}", "commit.empty: expected true or false, found \"maybe\""),
        ("commit: [1]", "commit: expected settings, found a list"),
        ("commit:", "commit: expected settings, found nothing"),
        ("format: {delimiter: ab}", "format.delimiter: expected one character, found \"ab\""),
        (
            "operation: [upsert]",
            "operation: expected one of upsert, delete, insert, insert_overwrite, insert_overwrite_table, found a list",
        ),
        ("mapping: {rename: [a]}", "mapping.rename: expected settings, found a list"),
        ("mapping: {rename: {a: 5}}", "mapping.rename.a: expected a text, found 5"),
        ("pipeline: q", "setting \"pipeline\" is there twice"),
    ] {
        let found = error(&format!("{MINIMAL}{setting}\n"));
        assert!(found.contains(&format!(": {expected}")), "{found}\nexpected\n{expected}");
    }
    assert_eq!(error("- a\n"), "line 1, column 1: expected settings, found a list");
    Job::from_yaml(&MINIMAL.replace("*.csv", "[{]a}.csv")).unwrap();
    assert!(error(&format!("{MINIMAL}pipeline: q\n")).contains("line 4"), "a setting that is there twice");
}

#[test]
fn paths_start_at_the_folder_of_the_job_file() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    std::fs::create_dir(root.join("jobs [1]")).unwrap();
    std::os::unix::fs::symlink("jobs [1]", root.join("link")).unwrap();
    let text = "pipeline: p\ntable: {uri: ../lake/t, create: {key: [id], schema: ./t.avsc}}\n\
                source: {files: [\"in/*.csv\", ../a.csv, /b.csv]}\n\
                bad_records: {policy: dead_letter, path: s3://lake/dead}\n";
    std::fs::write(root.join("jobs [1]/job.yaml"), text).unwrap();
    let root = root.display();
    for way in ["jobs [1]/job.yaml", "link/job.yaml", "link/../jobs [1]/./job.yaml"] {
        let job = Job::from_file(&folder.path().join(way)).unwrap();
        assert_eq!(
            job.source.files,
            [format!("{root}/jobs [[]1[]]/in/*.csv"), format!("{root}/a.csv"), "/b.csv".to_owned()]
        );
        assert_eq!(job.table.uri, format!("{root}/lake/t"));
        assert_eq!(job.table.create.unwrap().schema, Some(format!("{root}/jobs [1]/t.avsc")));
        assert_eq!(job.bad_records.path.as_deref(), Some("s3://lake/dead"));
    }
    let here = std::env::current_dir().unwrap();
    let job = Job::from_yaml(&table("").replace("/t", "lake/t")).unwrap();
    assert_eq!(
        (job.table.uri, job.source.files),
        (here.join("lake/t").display().to_string(), vec![here.join("a").display().to_string()],)
    );
}

#[test]
fn values_may_be_written_as_arguments_and_hudi_write_them() {
    let create = |settings: &str| {
        Job::from_yaml(&table(&format!("create: {{key: [id], {settings}}}"))).unwrap().table.create.unwrap()
    };
    for name in ["copy_on_write", "copy-on-write", "COPY_ON_WRITE", "cow"] {
        assert_eq!(create(&format!("type: {name}")).table_type, TableKind::CopyOnWrite, "{name}");
    }
    assert_eq!(create("type: MOR").table_type, TableKind::MergeOnRead);
    for name in ["event_time", "event-time", "EVENT_TIME_ORDERING"] {
        let mode = create(&format!("ordering: [ts], merge_mode: {name}")).merge_mode;
        assert_eq!(mode, Some(MergeKind::EventTime), "{name}");
    }
    let spelled = |mode| create(&format!("partial_update: {mode}")).partial_update.unwrap();
    for mode in ["ignore-defaults", "IGNORE_DEFAULTS"] {
        assert_eq!(spelled(mode), spelled("ignore_defaults"));
    }
    assert_eq!(spelled("FILL_UNAVAILABLE=Gone-By"), spelled("fill-unavailable=Gone-By"));
    let job = Job::from_yaml(&format!("{MINIMAL}operation: insert-overwrite\n")).unwrap();
    assert_eq!(job.operation, Operation::InsertOverwrite);
}

#[test]
fn the_published_schema_is_the_generated_one() {
    let generated = format!("{:#}\n", json_schema());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/ingest-job.schema.json");
    if std::env::var_os("LAKEBED_WRITE_SCHEMA").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), generated, "run again with LAKEBED_WRITE_SCHEMA=1");
    let schema = json_schema();
    assert_eq!(schema["required"], serde_json::json!(["pipeline", "table", "source"]));
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn an_index_is_that_of_buckets_or_none() {
    let job = |index: &str| {
        Job::from_yaml(&format!("pipeline: p\ntable: {{uri: t, index: {index}}}\nsource: {{files: [a]}}\n"))
    };
    assert_eq!(job("none").unwrap().table.stated_index(), StatedIndex::None);
    let buckets = BucketIndex { buckets: 3, hash_fields: Vec::new() };
    assert_eq!(job("{buckets: 3}").unwrap().table.stated_index(), StatedIndex::Bucket(buckets));
    let wrong = job("simple").unwrap_err().to_string();
    assert!(
        wrong.contains("table.index: ") && wrong.contains("expected the settings of a bucket index, or none"),
        "{wrong}"
    );
    let wrong = job("{bucket: 3}").unwrap_err().to_string();
    assert!(wrong.contains("did you mean \"buckets\"?"), "{wrong}");
}
