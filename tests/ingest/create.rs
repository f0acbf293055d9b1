//! Tables that jobs make, and what they demand of those that are there.

use std::sync::Mutex;

use lakebed::ingest::dry_run;
use lakebed::ingest::job::BadRecordPolicy;
use lakebed::{Error, ErrorKind};

use super::*;

const ORDERS: &str = "order_no,at,op,n\n1,1772900757,I,5\n2,1772900758,I,6\n1,1772900759,U,7\n";

/// A folder with an input and no table.
struct Nothing(tempfile::TempDir);

impl Nothing {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.csv"), ORDERS).unwrap();
        Self(folder)
    }

    fn job(&self, create: &str) -> Job {
        let folder = self.0.path().display();
        let mapping = "{rename: {order_no: id}, cast: {at: {unit: seconds}}, operation: {column: op}, \
                       partition: {column: month, from: at, pattern: yyyy-MM}}";
        let text = format!(
            "pipeline: p\ntable: {{uri: {folder}/t, create: {create}}}\nsource: {{files: [{folder}/a.csv]}}\n\
             mapping: {mapping}\n"
        );
        Job::from_yaml(&text).unwrap()
    }

    async fn run(&self, create: &str) -> (Result<Summary, Error>, Vec<Event>) {
        self.run_job(self.job(create)).await
    }

    async fn run_job(&self, job: Job) -> (Result<Summary, Error>, Vec<Event>) {
        let (_keep, stop) = watch::channel(false);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let events = seen.clone();
        let see = Arc::new(move |event: &Event| events.lock().unwrap().push(event.clone()));
        let ran = run(job, RunOptions::default(), &Environment::real(), stop, see).await;
        let seen = seen.lock().unwrap().clone();
        (ran.map_err(Error::from), seen)
    }

    async fn table(&self) -> Table {
        let environment = Environment::real();
        let uri = self.0.path().join("t").display().to_string().parse().unwrap();
        let storage = storage::open(&uri, &environment).await.unwrap();
        Table::open(storage, &environment, None).await.unwrap()
    }
}

const CREATE: &str = "{key: [id], partition: [month], ordering: [at], buckets: 2}";

#[tokio::test]
async fn a_table_is_made_of_the_first_input_as_it_is_mapped() {
    let place = Nothing::new();
    let (summary, events) = place.run(CREATE).await;
    let summary = summary.unwrap();
    assert_eq!((summary.records, summary.rows), (3, 2), "two records have one key");
    assert!(matches!(&events[0], Event::Created { uri, columns: 4 } if uri.ends_with("/t")), "{events:?}");
    let table = place.table().await;
    assert_eq!((table.config.name.as_str(), table.config.table_type), ("t", TableType::MergeOnRead));
    assert_eq!(table.config.bucket_index.as_ref().unwrap().buckets, 2);
    let schema = table.snapshot(None).await.unwrap().schema().await.unwrap();
    let columns: Vec<_> = schema
        .arrow()
        .fields()
        .iter()
        .map(|f| format!("{} {}{}", f.name(), f.data_type(), if f.is_nullable() { "" } else { "!" }))
        .collect();
    assert_eq!(columns, ["id Int64!", "at Timestamp(µs, \"UTC\")", "n Int64", "month Utf8"]);

    // The same table again: nothing is made, nothing is in the way.
    let (summary, events) = place.run(CREATE).await;
    assert_eq!(summary.unwrap().records, 0);
    assert!(matches!(events[0], Event::Started { epoch: 2, .. }), "{events:?}");
}

#[tokio::test]
async fn bad_records_among_the_first_stop_no_job_that_collects_them() {
    let place = Nothing::new();
    let input = place.0.path().join("a.csv");
    std::fs::write(&input, ORDERS.replacen("\n2,", "\n\n2,x,", 1)).unwrap();
    let error = place.run(CREATE).await.0.unwrap_err();
    let text = format!(
        "{}:4: it has 5 fields, expected 4; correct it, or set bad_records.policy to dead_letter",
        input.display()
    );
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::DataQuality, text));
    assert!(!place.0.path().join("t/.hoodie").exists());
    let mut job = place.job(CREATE);
    job.bad_records.policy = BadRecordPolicy::DeadLetter;
    job.bad_records.path = Some(place.0.path().join("dead").display().to_string());
    let summary = place.run_job(job).await.0.unwrap();
    assert_eq!((summary.rows, summary.bad_records), (1, 1));
}

#[tokio::test]
async fn a_table_is_not_made_of_columns_that_the_sample_itself_does_not_fit() {
    let place = Nothing::new();
    let input = place.0.path().join("a.csv");
    std::fs::write(&input, "order_no,at,op,n\n1,1772900757,I,2026-03-07\n2,1772900758,I,2026-13-45\n")
        .unwrap();
    let told = format!(
        "schema {}:3, column \"n\", value \"2026-13-45\": it is no date, the type that the first records \
         together tell; correct it, or state the columns in a schema file (table.create.schema, or --schema)",
        input.display()
    );
    // No bad record either: the columns are wrong, and not the record.
    let mut job = place.job(CREATE);
    job.bad_records.policy = BadRecordPolicy::DeadLetter;
    job.bad_records.path = Some(place.0.path().join("dead").display().to_string());
    for job in [place.job(CREATE), job] {
        let (_keep, stop) = watch::channel(false);
        let events = Arc::new(|_: &Event| ());
        let dry = dry_run(job.clone(), RunOptions::default(), &Environment::real(), stop, events).await;
        for error in [place.run_job(job).await.0.unwrap_err(), Error::from(dry.unwrap_err())] {
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::FixInput, told.as_str()));
        }
        assert!(!place.0.path().join("t").exists() && !place.0.path().join("dead").exists());
    }
    // What the mapping reads as text has its type from there.
    let mut job = place.job(CREATE);
    job.mapping.cast.insert("n".to_owned(), Default::default());
    let error = place.run_job(job).await.0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataQuality, "{error}");
}

#[tokio::test]
async fn a_table_that_is_another_one_is_refused_with_each_difference() {
    let place = Nothing::new();
    place.run(CREATE).await.0.unwrap();
    let schema =
        r#"{"type":"record","name":"t","fields":[{"name":"id","type":"string"},{"name":"m","type":"int"}]}"#;
    std::fs::write(place.0.path().join("t.avsc"), schema).unwrap();
    let before = commits(&place.table().await).await;
    let schema = place.0.path().join("t.avsc").display().to_string();
    let other = format!("{{key: [id], partition: [month], type: cow, buckets: 3, schema: {schema}}}");
    let error = place.run(&other).await.0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    for difference in [
        "is another one than was asked for: type (hoodie.table.type) is \"MERGE_ON_READ\", asked for \"COPY_ON_WRITE\"; ",
        "ordering (hoodie.table.ordering.fields) is \"at\", asked for nothing; ",
        "buckets (hoodie.bucket.index.num.buckets) is \"2\", asked for \"3\"; ",
        "column \"id\" is bigint, asked for string; it has no column \"m\", asked for int; ask for what it is (a job \
         may leave out table.create), or name another place",
    ] {
        assert!(error.to_string().contains(difference), "{difference} is not in {error}");
    }
    assert_eq!(commits(&place.table().await).await, before);
}

#[tokio::test]
async fn of_a_table_that_a_failed_run_left_empty_it_is_said_how_to_have_it_anew() {
    let place = Nothing::new();
    std::fs::write(place.0.path().join("a.csv"), format!("{ORDERS}x,1772900760,I,8\n")).unwrap();
    let create = |columns: &str| {
        let schema = format!(
            r#"{{"type":"record","name":"t","fields":[{{"name":"id","type":"{columns}"}},
               {{"name":"at","type":{{"type":"long","logicalType":"timestamp-micros"}}}},
               {{"name":"month","type":"string"}},{{"name":"n","type":"long"}}]}}"#
        );
        std::fs::write(place.0.path().join("t.avsc"), schema).unwrap();
        let schema = place.0.path().join("t.avsc").display().to_string();
        format!("{{key: [id], partition: [month], ordering: [at], buckets: 2, schema: {schema}}}")
    };
    let error = place.run(&create("long")).await.0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataQuality, "{error}");
    let error = place.run(&create("string")).await.0.unwrap_err();
    let told = "column \"id\" is bigint, asked for string; nothing was ever committed to it: delete it to have it made anew, or ask";
    assert!(error.to_string().contains(told), "{error}");
    std::fs::remove_dir_all(place.0.path().join("t")).unwrap();
    assert_eq!(place.run(&create("string")).await.0.unwrap().rows, 3);
}

async fn commits(table: &Table) -> usize {
    table.timeline.load().await.unwrap().instants().count()
}

#[tokio::test]
async fn a_table_that_cannot_be_made_is_refused() {
    let place = Nothing::new();
    for (create, kind, text) in [
        (
            "{key: [idd], partition: [month]}",
            ErrorKind::FixInput,
            "table.create.key: key column \"idd\" is not in the schema; did you mean \"id\"?",
        ),
        (
            "{key: [id], partition: [month], buckets: 0}",
            ErrorKind::FixInput,
            "table.create.buckets: 0 buckets are not possible",
        ),
        (
            "{key: [id], partition: [month], hash_field: [month]}",
            ErrorKind::FixInput,
            "table.create.hash_field: hash column \"month\" is not one of the record key columns",
        ),
        (
            "{key: [id], partition: [month], ordering: [id, at], readers: [hudi-rs]}",
            ErrorKind::Refused,
            "reader hudi-rs cannot read this table rightly",
        ),
        (
            "{key: [id], partition: [month], schema: /nowhere.avsc}",
            ErrorKind::FixInput,
            "schema /nowhere.avsc: No such file",
        ),
    ] {
        let error = place.run(create).await.0.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(!place.0.path().join("t/.hoodie").exists());
    }
    std::fs::remove_file(place.0.path().join("a.csv")).unwrap();
    let error = place.run(CREATE).await.0.unwrap_err();
    assert!(error.to_string().ends_with("/a.csv: there is no such file; see source.files"), "{error}");
    let mut following = place.job(CREATE);
    following.source.follow = true;
    following.source.files = vec![place.0.path().join("*.csv").display().to_string()];
    let error = place.run_job(following).await.0.unwrap_err();
    let text = "table.create.schema: it is needed: there is no file yet to tell columns by";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::FixInput, text));
    assert!(!place.0.path().join("t/.hoodie").exists());
}
