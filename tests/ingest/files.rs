use std::io::Write as _;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use lakebed::commit::{Outcome, PipelineProgress, SourceProgress};
use lakebed::ingest::decode::{Format, Wanted};
use lakebed::ingest::job::{self, LateNames};
use lakebed::ingest::source::{DoneFiles, FilesPosition, FilesSource, Source};
use lakebed::sink::{Sink, SinkOptions};
use lakebed::table::WriteOperation;
use parquet::arrow::ArrowWriter;

use super::*;

#[tokio::test]
async fn runs_that_are_stopped_after_each_commit_take_every_record_once() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..10));
    place.deliver("b.jsonl", &jsonl(10..17));
    place.deliver("c.csv", "id,v\n");
    place.deliver("d.csv", &csv(17..20));
    let mut runs = 0;
    while place.ids().len() < 20 {
        let summary = place
            .run_one_commit(place.files_job("commit: {rows: 3}\n"), RunOptions::default())
            .await
            .unwrap();
        assert!(summary.commits >= 1 && summary.inputs >= 1, "what is read in part counts: {summary:?}");
        runs += 1;
    }
    assert!(runs > 1, "{runs}");
    assert_eq!(place.ids(), (0..20).collect::<Vec<_>>());
    let summary = place.run(place.files_job(""), RunOptions::default()).await.unwrap();
    assert_eq!((summary.records, summary.commits), (0, 0));
    for name in ["a.csv", "b.jsonl"] {
        std::fs::remove_file(place.path("in").join(name)).unwrap();
    }
    place.deliver("e.csv", &csv(20..22));
    let summary = place.run(place.files_job(""), RunOptions::default()).await.unwrap();
    assert_eq!((summary.records, summary.rows, summary.commits, summary.inputs), (2, 2, 1, 1));
    assert_eq!(place.ids(), (0..22).collect::<Vec<_>>());
    let reset = RunOptions { reset_progress: true, ..RunOptions::default() };
    assert_eq!(place.run(place.files_job(""), reset).await.unwrap().rows, 5);
}

#[tokio::test]
async fn bytes_and_rows_end_a_checkpoint_whichever_comes_first() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..100));
    let summary =
        place.run(place.files_job("commit: {rows: 40, bytes: 1 GiB}\n"), RunOptions::default()).await;
    assert_eq!(summary.unwrap().commits, 3);
    place.deliver("b.csv", &csv(100..110));
    place.deliver("c.csv", &csv(110..120));
    let summary = place.run(place.files_job("commit: {bytes: 20}\n"), RunOptions::default()).await.unwrap();
    assert_eq!((summary.commits, summary.records), (2, 20));
    assert_eq!(place.ids(), (0..120).collect::<Vec<_>>());
}

#[tokio::test]
async fn new_files_are_followed_until_the_run_is_stopped() {
    let place = Place::new().await;
    let source = format!("{{files: [\"{}/*\"], follow: true, poll: 5ms}}", place.path("in").display());
    let job = || place.job(&source, "commit: {interval: 20ms}\n");
    let (stopping, stop) = watch::channel(false);
    let running = run(job(), RunOptions::default(), &place.environment, stop, Arc::new(|_: &Event| ()));
    let delivering = async {
        for (name, ids) in [("a.csv", 0..3), ("b.csv", 3..5), ("d.csv", 5..9)] {
            let until = ids.end;
            place.deliver(name, &csv(ids));
            while place.ids().len() < usize::try_from(until).unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        stopping.send_replace(true);
    };
    let delivering = tokio::time::timeout(Duration::from_secs(60), delivering);
    let (summary, delivered) = tokio::join!(running, delivering);
    delivered.unwrap();
    let summary = summary.unwrap();
    assert_eq!((summary.records, summary.inputs), (9, 3));
    assert_eq!(place.ids(), (0..9).collect::<Vec<_>>());

    place.deliver("c.csv", &csv(9..10));
    let once = || RunOptions { once: true, ..RunOptions::default() };
    let error = place.run(job(), once()).await.unwrap_err().to_string();
    assert!(error.contains("c.csv: it is new, and sorts before") && error.contains("d.csv"), "{error}");
    let mut ignoring = job();
    ignoring.source.late_names = LateNames::Ignore;
    assert_eq!(place.run(ignoring, once()).await.unwrap().records, 0);
}

#[tokio::test]
async fn an_old_folder_that_comes_late_is_noticed_though_others_went() {
    let place = Place::new().await;
    let pattern = format!("{{files: [\"{}/**/*.csv\"]}}", place.path("in").display());
    let job = || place.job(&pattern, "");
    for (name, ids) in [("in/b", 0..2), ("in/c", 2..4), ("in/d", 4..6), ("a", 6..8)] {
        std::fs::create_dir(place.path(name)).unwrap();
        std::fs::write(place.path(name).join("1.csv"), csv(ids)).unwrap();
    }
    assert_eq!(place.run(job(), RunOptions::default()).await.unwrap().rows, 6);
    std::fs::remove_dir_all(place.path("in/b")).unwrap();
    std::fs::remove_dir_all(place.path("in/c")).unwrap();
    assert_eq!(place.run(job(), RunOptions::default()).await.unwrap().rows, 0, "what went is no error");
    // The folder moves, and the file in it stays as old as it is.
    std::fs::rename(place.path("a"), place.path("in/a")).unwrap();
    let error = place.run(job(), RunOptions::default()).await.unwrap_err().to_string();
    assert!(
        error.contains("in/a/1.csv: it is new, and sorts before") && error.contains("in/d/1.csv"),
        "{error}"
    );
    assert_eq!(place.ids(), (0..6).collect::<Vec<_>>());
}

#[tokio::test]
async fn files_that_were_moved_or_copied_with_their_job_are_not_read_again() {
    let place = Place::new().await;
    place.deliver("1.csv", &csv(0..2));
    place.deliver("2.csv", &csv(2..4));
    let job = |folder: &str, late: &str| {
        place.job(&format!("{{files: [\"{}/*\"], late_names: {late}}}", place.path(folder).display()), "")
    };
    assert_eq!(place.run(job("in", "fail"), RunOptions::default()).await.unwrap().rows, 4);
    for (folder, late) in [("moved", "fail"), ("copied", "fail"), ("copied", "ignore")] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
        for name in ["1.csv", "2.csv"] {
            std::fs::copy(place.path("in").join(name), place.path(folder).join(name)).unwrap();
        }
        let error = place.run(job(folder, late), RunOptions::default()).await.unwrap_err();
        let (again, before) = (place.path(folder).join("2.csv"), place.path("in/2.csv"));
        let starts = format!("{}: it has the name, the size and the beginning of", again.display());
        let told = error.to_string();
        assert!(told.starts_with(&starts) && told.contains(&before.display().to_string()), "{told}");
        assert_eq!(lakebed::Error::from(error).kind(), lakebed::ErrorKind::FixInput);
    }
    assert_eq!(place.ids(), (0..4).collect::<Vec<_>>());

    let reset = RunOptions { reset_progress: true, ..RunOptions::default() };
    assert_eq!(place.run(job("copied", "fail"), reset).await.unwrap().rows, 4);
}

#[tokio::test]
async fn a_folder_of_each_day_is_read_though_its_files_have_the_names_of_yesterday() {
    let place = Place::new().await;
    let days = [("1", csv(0..2)), ("2", csv(2..4)), ("3", csv(0..0)), ("4", csv(0..0)), ("5", csv(4..5))];
    for (day, text) in days {
        std::fs::create_dir_all(place.path(day)).unwrap();
        let file = place.path(day).join("data.csv");
        std::fs::write(&file, text).unwrap();
        let job = place.job(&format!("{{files: [\"{}\"]}}", file.display()), "");
        place.run(job, RunOptions::default()).await.unwrap();
    }
    assert_eq!(place.ids(), (0..5).collect::<Vec<_>>());
}

#[tokio::test]
async fn inputs_that_are_not_there_are_named() {
    let place = Place::new().await;
    let once = || RunOptions { once: true, ..RunOptions::default() };
    let (folder, literal) = (place.path("in").display().to_string(), place.path("in/a.csv"));
    let job = |files: &str| {
        place.job(
            &format!("{{files: [{}], follow: true, poll: 5ms}}", files.replace("IN", &folder)),
            "commit: {interval: 20ms}\n",
        )
    };
    let error = place.run(job("IN/a.csv"), RunOptions::default()).await.unwrap_err().to_string();
    assert_eq!(error, format!("{folder}/a.csv: there is no such file; see source.files"));
    let error = place.run(job("IN"), RunOptions::default()).await.unwrap_err().to_string();
    assert_eq!(error, format!("{folder}: it is no file; those in a folder are named by {folder}/*"));
    let error = place.run(job("\"IN/*.csv\", \"IN/*.gz\""), once()).await.unwrap_err().to_string();
    assert_eq!(error, format!("no file is named by {folder}/*.csv nor by {folder}/*.gz; see source.files"));

    // One that follows waits.
    let following = place.run_one_commit(job("\"IN/*.csv\""), RunOptions::default());
    let (summary, ()) = tokio::join!(following, async { place.deliver("a.csv", &csv(0..2)) });
    assert_eq!(summary.unwrap().rows, 2);
    // What was read may go.
    std::fs::remove_file(&literal).unwrap();
    for files in ["\"IN/*.csv\"", "IN/a.csv", "IN/.//a.csv"] {
        assert_eq!(place.run(job(files), once()).await.unwrap().records, 0);
    }
    let reset = RunOptions { reset_progress: true, ..once() };
    let error = place.run(job("\"IN/*.csv\""), reset).await.unwrap_err().to_string();
    assert!(error.starts_with("no file is named by"), "{error}");
    assert_eq!(
        place.run(job("\"IN/*.csv\""), once()).await.unwrap().records,
        0,
        "the progress is still there"
    );
    let error = place.run(job("IN/b.csv"), once()).await.unwrap_err().to_string();
    assert!(error.ends_with("/b.csv: there is no such file; see source.files"), "{error}");
    std::fs::write(place.path("in/c[1]{2}.csv"), csv(2..3)).unwrap();
    assert_eq!(place.run(job("\"IN/c[[]1[]][{]2}.csv\""), once()).await.unwrap().rows, 1);
}

#[tokio::test]
async fn a_file_that_is_written_anew_under_its_name_is_noticed() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..2));
    place.run(place.files_job(""), RunOptions::default()).await.unwrap();
    place.deliver("a.csv", &csv(2..4));
    let error = place.run(place.files_job(""), RunOptions::default()).await.unwrap_err().to_string();
    assert!(error.contains("a.csv: it was put there or changed after all files up to"), "{error}");
}

#[tokio::test]
async fn a_file_that_only_has_another_mode_is_the_same_for_the_next_run() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..2));
    place.run(place.files_job(""), RunOptions::default()).await.unwrap();
    let path = place.path("in/a.csv");
    let changed = || std::fs::metadata(&path).map(|file| (file.ctime(), file.ctime_nsec())).unwrap();
    let before = changed();
    while changed() == before {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    place.deliver("b.csv", &csv(2..4));
    assert_eq!(place.run(place.files_job(""), RunOptions::default()).await.unwrap().records, 2);
    // Whoever keeps the time of writing still has another size.
    let written = std::fs::metadata(&path).and_then(|file| file.modified()).unwrap();
    place.deliver("a.csv", &csv(4..9));
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
    let error = place.run(place.files_job(""), RunOptions::default()).await.unwrap_err().to_string();
    assert!(error.contains("a.csv: it was put there or changed after all files up to"), "{error}");
}

#[tokio::test]
async fn a_run_that_follows_notices_what_is_written_anew_and_not_what_only_has_another_mode() {
    let place = Place::new().await;
    let source = format!("{{files: [\"{}/*\"], follow: true, poll: 5ms}}", place.path("in").display());
    let job = place.job(&source, "commit: {interval: 20ms}\n");
    let (_stopping, stop) = watch::channel(false);
    let running = run(job, RunOptions::default(), &place.environment, stop, Arc::new(|_: &Event| ()));
    let delivering = async {
        for (name, ids) in [("a.csv", 0..2), ("b.csv", 2..4)] {
            let until = usize::try_from(ids.end).unwrap();
            place.deliver(name, &csv(ids));
            while place.ids().len() < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(place.path("in").join(name), mode).unwrap();
        }
        place.deliver("a.csv", &csv(4..9));
    };
    let both = async { tokio::join!(running, delivering) };
    let (ended, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("a.csv: it was put there or changed after all files up to"), "{error}");
    assert_eq!(place.ids(), (0..4).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_late_name_before_a_file_that_was_read_in_part_can_be_left_out() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..2));
    place.deliver("c.csv", &csv(2..9));
    let job = |late: &str| {
        let source = format!("{{files: [\"{}/*\"], late_names: {late}}}", place.path("in").display());
        place.job(&source, "commit: {rows: 3}\n")
    };
    place.run_one_commit(job("fail"), RunOptions::default()).await.unwrap();
    place.deliver("b.csv", &csv(20..22));
    if place.ids().len() < 9 {
        let error = place.run(job("fail"), RunOptions::default()).await.unwrap_err().to_string();
        assert!(error.contains("b.csv: it is new, and sorts before"), "{error}");
    }
    place.run(job("ignore"), RunOptions::default()).await.unwrap();
    assert_eq!(place.ids(), (0..9).collect::<Vec<_>>());
}

#[tokio::test]
async fn progress_without_names_is_gone_on_from_by_their_count() {
    let place = Place::new().await;
    for name in ["a.csv", "b.csv", "c.csv"] {
        place.deliver(name, &csv(0..1));
    }
    let read = |names: u64| {
        let pattern = place.path("in/*").display().to_string();
        let mark = place.path("in/b.csv").display().to_string();
        let done = DoneFiles { mark, names, changed: i64::MAX, known: None, states: None, last: None };
        let from = FilesPosition { done: Some(done), open: None };
        let format = (Format::default(), Wanted { columns: Vec::new(), unknown_allowed: true });
        let source = FilesSource::new(vec![pattern], None, LateNames::Fail, format, &place.environment, from);
        async move { Source::Files(Box::new(source)).next().await }
    };
    assert!(read(2).await.unwrap().unwrap().chunk.unwrap().input.ends_with("c.csv"));
    let error = read(1).await.unwrap_err().to_string();
    assert!(error.starts_with("1 of 2 files: it is new, and sorts before"), "{error}");
}

#[tokio::test]
async fn files_that_change_or_vanish_once_a_part_was_read_are_named() {
    let place = Place::new().await;
    let whole = format!("{}x,v9\n", csv(0..25));
    place.deliver("a.csv", &whole);
    let job = || place.files_job("commit: {rows: 4}\n");
    let failure = async |job| place.run(job, RunOptions::default()).await.unwrap_err().to_string();
    failure(job()).await;
    let read = format!("a.csv: {} of its records were read, and it has changed since", place.ids().len());
    assert!(place.ids().len() >= 4, "of six checkpoints two at most were under way");
    for other in [whole.replace("v0", "w0"), whole.replace("id,v", "v,id")] {
        place.deliver("a.csv", &other);
        let error = failure(job()).await;
        assert!(error.contains(&read) && error.contains("the hash of the text up to there was"), "{error}");
    }
    std::fs::remove_file(place.path("in/a.csv")).unwrap();
    let error = failure(job()).await;
    assert!(
        error.contains("a.csv: it is gone, and ") && error.contains("of its records were read"),
        "{error}"
    );
    place.deliver("a.csv", &whole);
    assert!(failure(job()).await.contains("it is no bigint; correct it"));
    place.deliver("a.csv", &format!("{}25,v25\n26,v26\n", csv(0..25)));
    place.run(job(), RunOptions::default()).await.unwrap();
    assert_eq!(place.ids(), (0..27).collect::<Vec<_>>(), "what follows was corrected");
}

#[tokio::test]
async fn a_file_whose_bad_end_was_taken_out_is_read_to_its_end() {
    let place = Place::new().await;
    place.deliver("a.csv", &format!("{}x,v9\n", csv(0..24)));
    let job = || place.files_job("commit: {rows: 4}\n");
    let mut runs = 0;
    while place.ids().len() < 24 {
        place.run(job(), RunOptions::default()).await.unwrap_err();
        runs += 1;
        assert!(runs < 9, "{:?}", place.ids());
    }
    place.deliver("a.csv", &csv(0..24));
    let mut overwrite = job();
    overwrite.operation = job::Operation::InsertOverwriteTable;
    overwrite.commit = job::CommitSettings::default();
    let commits = place.run(overwrite, RunOptions::default()).await.unwrap().commits;
    let groups = place.table().await.snapshot(None).await.unwrap().all_file_groups().await.unwrap();
    let is_there = groups.iter().any(|(_, groups)| !groups.is_empty());
    assert_eq!((commits, is_there), (0, true), "an overwrite by nothing leaves all as it is");
    let summary = place.run(job(), RunOptions::default()).await.unwrap();
    assert_eq!((summary.records, summary.commits), (0, 1), "the table knows that it was read");
    assert_eq!(place.run(job(), RunOptions::default()).await.unwrap().commits, 0);
    std::fs::remove_file(place.path("in/a.csv")).unwrap();
    place.deliver("b.csv", &csv(24..26));
    assert_eq!(place.run(job(), RunOptions::default()).await.unwrap().records, 2);
    assert_eq!(place.ids(), (0..26).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_packed_file_is_read_on_behind_its_first_chunks_when_it_was_corrected() {
    let place = Place::new().await;
    let deliver = |text: &str, level: u32| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        packed.write_all(text.as_bytes()).unwrap();
        std::fs::write(place.path("in/a.jsonl.gz"), packed.finish().unwrap()).unwrap();
    };
    let job = || place.files_job("commit: {rows: 5000}\n");
    deliver(&format!("{}{{\"id\": \"x\"}}\n", jsonl(0..30_000)), 1);
    let error = place.run(job(), RunOptions::default()).await.unwrap_err().to_string();
    assert!(error.contains("a.jsonl.gz:30001, column \"id\""), "{error}");
    assert!(place.ids().len() >= 10_000, "of six checkpoints two at most were under way");
    let other = jsonl(0..30_000).replacen("\"v9000\"", "\"w9000\"", 1);
    deliver(&other, 9);
    let error = place.run(job(), RunOptions::default()).await.unwrap_err().to_string();
    assert!(error.contains("it has changed since (the hash of the text up to there"), "{error}");
    deliver(&jsonl(0..30_002), 9);
    place.run(job(), RunOptions::default()).await.unwrap();
    assert_eq!(place.ids(), (0..30_002).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_is_no_text_is_gone_on_with_as_it_was_alone() {
    let place = Place::new().await;
    let deliver = |ids: Vec<Option<i64>>| {
        let ids: ArrayRef = Arc::new(Int64Array::from(ids));
        let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        std::fs::write(place.path("in/a.parquet"), writer.into_inner().unwrap()).unwrap();
    };
    let job = || place.files_job("commit: {rows: 4}\nmapping: {missing_columns: \"null\"}\n");
    let failure = async |job| place.run(job, RunOptions::default()).await.unwrap_err().to_string();
    deliver((0..25).map(Some).chain([None]).collect());
    let error = failure(job()).await;
    assert!(error.contains("a.parquet"), "{error}");
    assert_eq!(failure(job()).await, error);
    deliver((0..27).map(Some).collect());
    let read = format!("a.parquet: {} of its records were read, and it has changed since", place.ids().len());
    let error = failure(job()).await;
    assert!(error.contains(&read) && error.contains("--reset-progress"), "{error}");
}

#[tokio::test]
async fn a_bad_record_stops_the_run_and_what_was_committed_stays() {
    let place = Place::new().await;
    place.deliver("a.csv", &format!("{}x,v9\n", csv(0..9)));
    let error = place
        .run(place.files_job("commit: {rows: 4}\n"), RunOptions::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with(
            "a.csv:11, column \"id\", value \"x\": it is no bigint; correct it, or set bad_records.policy to dead_letter"
        ),
        "{error}"
    );
    assert_eq!(place.ids().len() % 4, 0);
    let pending = place.timeline().await.pending().count();
    assert_eq!((pending, place.markers()), (0, 0), "what was not committed is rolled back at once");
}

#[tokio::test]
async fn a_run_that_was_fenced_leaves_the_table_to_who_has_taken_over() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..3));
    let source = format!("{{files: [\"{}/*\"], follow: true, poll: 5ms}}", place.path("in").display());
    let table = place.path("t").display().to_string().parse().unwrap();
    let storage = storage::open(&table, &place.environment).await.unwrap();
    let (stopping, stop) = watch::channel(false);
    let (written, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let events = Arc::new(move |event: &Event| {
        let _ = written.send(matches!(event, Event::Written { .. }));
    });
    let job = place.job(&source, "commit: {interval: 1h}\n");
    let running = run(job, RunOptions::default(), &place.environment, stop, events);
    let taking_over = async {
        while !seen.recv().await.unwrap() {}
        let options =
            SinkOptions { operation: WriteOperation::Insert, commit_empty: true, ..SinkOptions::default() };
        let mut sink = Sink::open(storage, &place.environment, "p", Vec::new(), options).await.unwrap();
        let prepared = sink.prepare(PipelineProgress::default()).await.unwrap().unwrap();
        stopping.send_replace(true);
        (sink, prepared)
    };
    let (ran, (_sink, prepared)) = tokio::join!(running, taking_over);
    assert!(matches!(ran, Err(IngestError::Fenced { by: 2 })), "{ran:?}");
    let pending: Vec<_> = place.timeline().await.pending().map(|instant| instant.time).collect();
    assert_eq!(pending, [prepared.task.instant], "the write of who has taken over stays");
}

#[tokio::test]
async fn progress_with_relative_names_is_not_guessed_at() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..3));
    let table = place.path("t").display().to_string().parse().unwrap();
    let storage = storage::open(&table, &place.environment).await.unwrap();
    let options =
        SinkOptions { operation: WriteOperation::Insert, commit_empty: true, ..SinkOptions::default() };
    let mut sink = Sink::open(storage, &place.environment, "p", Vec::new(), options).await.unwrap();
    let position = serde_json::json!({"files": {"done": {"mark": "in/a.csv", "names": 1, "changed": 0}}});
    let stands = SourceProgress { position, watermark: None };
    let progress =
        PipelineProgress { epoch: 1, checkpoint: 1, sources: [("files".to_owned(), stands)].into() };
    let prepared = sink.prepare(progress).await.unwrap().unwrap();
    assert!(matches!(sink.committer().commit(&prepared).await.unwrap(), Outcome::Committed { .. }));
    drop(sink);

    let error = place.run(place.files_job(""), RunOptions::default()).await.unwrap_err().to_string();
    assert!(error.contains("read up to \"in/a.csv\", and not in which folder"), "{error}");
    let reset = RunOptions { reset_progress: true, ..RunOptions::default() };
    assert_eq!(place.run(place.files_job(""), reset).await.unwrap().rows, 3);
}
