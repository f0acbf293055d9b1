use lakebed::ingest::dry_run;
use tokio::runtime::Handle;

use super::*;

fn letters(place: &Place) -> Vec<(String, Vec<serde_json::Value>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(place.path("dead")).unwrap().map(Result::unwrap) {
        if entry.path().extension().is_some_and(|extension| extension == "jsonl") {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            files.push((entry.file_name().into_string().unwrap(), lines));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn policy(place: &Place, more: &str) -> String {
    format!("bad_records: {{policy: dead_letter, path: {}{more}}}\n", place.path("dead").display())
}

#[tokio::test]
async fn bad_records_are_published_once_with_the_commit_that_left_them_out() {
    let place = Place::new().await;
    place.deliver("a.csv", "id,v\n0,a\nx,b\n2,c\n,d\n4,e\n5\n");
    let job = || place.files_job(&format!("commit: {{rows: 2}}\n{}", policy(&place, "")));
    let mut bad = 0;
    while place.ids().len() < 3 {
        bad += place.run_one_commit(job(), RunOptions::default()).await.unwrap().bad_records;
    }
    place.run(job(), RunOptions::default()).await.unwrap();
    assert_eq!((place.ids(), bad), (vec![0, 2, 4], 3));
    let files = letters(&place);
    assert_eq!(files.len(), 3);
    let instants: Vec<String> =
        parquet_files(&place.path("t")).iter().map(|p| p.display().to_string()).collect();
    for (name, lines) in &files {
        let instant = name.strip_suffix(".jsonl").unwrap();
        assert!(instants.iter().any(|file| file.contains(instant)), "{name} is no instant of {instants:?}");
        assert_eq!(lines.len(), 1);
    }
    let all: Vec<_> =
        files.iter().flat_map(|(_, lines)| lines).map(|l| (&l["line"], &l["value"], &l["raw"])).collect();
    let json = |text: &str| serde_json::Value::from(text);
    assert_eq!(
        all,
        [
            (&3.into(), &json("x"), &json("x,b")),
            (&5.into(), &serde_json::Value::Null, &json(",d")),
            (&7.into(), &serde_json::Value::Null, &json("5")),
        ]
    );
    let pending = std::fs::read_dir(place.path("dead/_pending/p")).map(|files| files.count()).unwrap_or(0);
    assert_eq!(pending, 0);
}

/// Puts what a run has published back to where it waited, as a run leaves it that is killed after its
/// commit.
fn unpublish(place: &Place, name: &str) {
    let pending = place.path("dead/_pending/p");
    std::fs::create_dir_all(&pending).unwrap();
    std::fs::rename(place.path("dead").join(name), pending.join(name)).unwrap();
}

#[tokio::test]
async fn a_run_that_was_killed_before_publishing_is_finished_by_the_next() {
    let place = Place::new().await;
    place.deliver("a.csv", "id,v\n0,a\nx,b\n");
    let job = || place.files_job(&policy(&place, ""));
    let summary = place.run(job(), RunOptions::default()).await.unwrap();
    assert_eq!(summary.dead_letters, Some(format!("file:{}", place.path("dead").display())));
    let [(published, lines)] = <[_; 1]>::try_from(letters(&place)).unwrap();
    unpublish(&place, &published);
    // As a run leaves it that is killed before its commit.
    let pending = place.path("dead/_pending/p");
    std::fs::write(pending.join("20300101000000000.jsonl"), "{}\n").unwrap();
    place.run(job(), RunOptions::default()).await.unwrap();
    assert_eq!(letters(&place), [(published, lines)]);
    assert_eq!(std::fs::read_dir(&pending).map(|files| files.count()).unwrap_or(0), 0);
}

#[tokio::test]
async fn a_folder_of_dead_letters_is_refused_to_another_table() {
    let (one, other) = (Place::new().await, Place::new().await);
    for place in [&one, &other] {
        place.deliver("a.csv", "id,v\n0,a\nx,b\n");
    }
    let job = |place: &Place| place.files_job(&policy(&one, ""));
    one.run(job(&one), RunOptions::default()).await.unwrap();
    let before = letters(&one);
    unpublish(&one, &before[0].0);
    let refused = other.run(job(&other), RunOptions::default()).await.unwrap_err();
    assert!(matches!(refused, IngestError::OtherTablesLetters { .. }), "{refused}");
    let told = format!("these are the dead letters of table \"file:{}\"", one.path("t").display());
    assert!(refused.to_string().contains(&told), "{refused}");
    assert_eq!(lakebed::Error::from(refused).kind(), lakebed::ErrorKind::Refused);
    assert!(!other.path("t/.hoodie/.aux").exists(), "no epoch was claimed");
    let (_keep, stop) = watch::channel(false);
    let seen = Arc::new(|_: &Event| ());
    let dry = dry_run(job(&other), RunOptions::default(), &other.environment, stop, seen).await;
    assert!(matches!(dry, Err(IngestError::OtherTablesLetters { .. })), "{dry:?}");
    one.run(job(&one), RunOptions::default()).await.unwrap();
    assert_eq!(letters(&one), before);
}

#[tokio::test]
async fn half_written_dead_letters_go_when_nobody_can_be_writing_them() {
    let place = Place::new().await;
    place.deliver("a.csv", "id,v\nx,a\n");
    let job = || place.files_job(&policy(&place, ""));
    place.run(job(), RunOptions::default()).await.unwrap();
    let temporary = |folder: &str, number: u32| {
        let path = place.path(folder).join(format!(".lakebed-tmp-{number:032}"));
        (std::fs::File::create(&path).unwrap(), path)
    };
    let old = [temporary("dead", 1), temporary("dead/_pending/p", 2)];
    for (file, _) in &old {
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    let (_, new) = temporary("dead", 3);
    place.run(job(), RunOptions::default()).await.unwrap();
    assert_eq!((old.map(|(_, path)| path.exists()), new.exists()), ([false, false], true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_published_once_though_another_run_takes_over() {
    let place = Place::new().await;
    place.deliver("a.csv", "id,v\n0,a\nx,b\n");
    let job = place.files_job(&policy(&place, ""));
    let (_keep, stop) = watch::channel(false);
    // The other run looks for what is left behind before the first one ends its checkpoint.
    let other = (job.clone(), place.environment.clone());
    let take_over = Arc::new(move |event: &Event| {
        if let Event::Written { .. } = event {
            let (_keep, stop) = watch::channel(false);
            let (job, environment) = &other;
            let ended = run(job.clone(), RunOptions::default(), environment, stop, Arc::new(|_: &Event| ()));
            tokio::task::block_in_place(|| Handle::current().block_on(ended)).unwrap();
        }
    });
    let fenced = run(job.clone(), RunOptions::default(), &place.environment, stop, take_over).await;
    assert!(matches!(fenced, Err(IngestError::Fenced { by: 2 })), "{fenced:?}");
    assert_eq!(std::fs::read_dir(place.path("dead/_pending/p")).unwrap().count(), 0);
    place.run(job, RunOptions::default()).await.unwrap();
    assert_eq!(letters(&place).len(), 1);
}

#[tokio::test]
async fn more_bad_records_than_allowed_end_the_run() {
    let place = Place::new().await;
    place.deliver("a.csv", "id,v\nx,a\ny,b\nz,c\n,d\n");
    let error =
        place.run(place.files_job(&policy(&place, ", limit: 2")), RunOptions::default()).await.unwrap_err();
    assert!(matches!(&error, IngestError::TooManyBadRecords { limit: 2, found: 3, .. }), "{error}");
    let told = error.to_string();
    let (head, listed) = told.split_once("; the first:\n").unwrap();
    assert!(head.ends_with("correct the records, or raise the limit"), "{told}");
    for (line, (number, value)) in listed.lines().zip([(2, "x"), (3, "y"), (4, "z")]) {
        let end = format!("a.csv:{number}, column \"id\", value \"{value}\": it is no bigint");
        assert!(line.ends_with(&end), "{told}");
    }
    assert_eq!(listed.lines().count(), 3, "{told}");
    assert!(place.ids().is_empty());
}
