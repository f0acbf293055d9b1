//! Tables that we wrote, read in every way that a scan has.

use arrow::array::{BooleanArray, RecordBatch};
use futures::{StreamExt as _, TryStreamExt as _};
use lakebed::read::{Filter, ReadError, Scan, ScanOptions, parse_as_of};
use lakebed::sink::SinkOptions;
use lakebed::table::{Table, TableSnapshot};

use crate::test_table::{Row, TestTable, bucket_table, checkpoint, is_committed, rows, texts};

struct Lake(TestTable);

impl Lake {
    /// Three commits: rows; updates and a late row; a delete.
    async fn with_three_commits() -> Self {
        let lake = Self(TestTable::create(&bucket_table()).await);
        let first = [("a", "x", 5, Some("a1")), ("b", "x", 5, Some("b1")), ("c", "y", 5, None)];
        lake.commit(1, &first, &[]).await;
        let second = [("a", "x", 3, Some("late")), ("b", "x", 6, Some("b2")), ("d", "y", 1, Some("d1"))];
        lake.commit(2, &second, &[]).await;
        lake.commit(3, &[("c", "y", 9, None)], &[true]).await;
        lake
    }

    /// Two commits of the same 200 rows, in nine partitions.
    async fn with_many_slices() -> Self {
        let lake = Self(TestTable::create(&bucket_table()).await);
        let names: Vec<_> = (0..200).map(|n| (format!("k{n}"), format!("p{}", n % 9))).collect();
        for number in 1..=2 {
            let rows: Vec<Row<'_>> =
                names.iter().map(|(id, p)| (id.as_str(), p.as_str(), number, Some("v"))).collect();
            lake.commit(number as u64, &rows, &[]).await;
        }
        lake
    }

    async fn commit(&self, number: u64, of: &[Row<'_>], deletes: &[bool]) {
        let mut sink = self.0.sink("p", SinkOptions::default()).await;
        let deletes = (!deletes.is_empty()).then(|| BooleanArray::from(deletes.to_vec()));
        sink.write(&rows(of), deletes.as_ref()).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }

    async fn snapshot(&self, as_of: Option<&str>) -> TableSnapshot {
        let table = Table::open(self.0.storage.clone(), &self.0.environment, None).await.unwrap();
        table.snapshot(as_of.map(|text| parse_as_of(text, None).unwrap())).await.unwrap()
    }

    async fn read(&self, options: ScanOptions) -> Result<Vec<RecordBatch>, ReadError> {
        Scan::plan(&self.snapshot(None).await, options).await?.stream().try_collect().await
    }

    async fn filtered(&self, filters: &[&str]) -> Vec<String> {
        let filters = filters.iter().map(|text| text.parse::<Filter>().unwrap()).collect();
        texts(&self.read(ScanOptions { filters, ..ScanOptions::default() }).await.unwrap())
    }
}

#[tokio::test]
async fn rows_are_merged_filtered_and_projected() {
    let lake = Lake::with_three_commits().await;
    let all = ["a x 5 a1", "b x 6 b2", "d y 1 d1"];
    assert_eq!(lake.filtered(&[]).await, all);
    assert_eq!(lake.filtered(&["p = x"]).await, all[..2]);
    assert_eq!(lake.filtered(&["id in (b, d)", "ts < 5"]).await, all[2..]);
    assert_eq!(lake.filtered(&["v = b1"]).await, [""; 0]);
    assert_eq!(lake.filtered(&["v = b2"]).await, all[1..2]);
    assert_eq!(lake.filtered(&["id = a"]).await, all[..1]);
    assert_eq!(lake.filtered(&["_hoodie_record_key = d", "p is not null"]).await, all[2..]);

    let options = ScanOptions { columns: Some(vec!["ts".into(), "p".into()]), ..ScanOptions::default() };
    let batches = lake.read(options).await.unwrap();
    let names: Vec<_> = batches[0].schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["ts", "p"]);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);

    let batches = lake.read(ScanOptions { with_meta: true, ..ScanOptions::default() }).await.unwrap();
    assert_eq!(batches[0].num_columns(), 9);
}

#[tokio::test]
async fn slices_come_in_order_however_many_are_merged_at_a_time() {
    let lake = Lake::with_many_slices().await;
    let read = async |parallelism, memory_budget_bytes| {
        let few = ScanOptions { parallelism, memory_budget_bytes, batch_rows: 3, ..ScanOptions::default() };
        let batches = lake.read(few).await.unwrap();
        arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
    };
    let all = read(4, 1 << 30).await;
    assert_eq!(all.num_rows(), 200);
    // Room for one batch that waits in each slice, and rows that are merged on disk.
    for parallelism in [1, 2, 30] {
        assert_eq!(read(parallelism, 1).await, all, "{parallelism} at a time");
    }
    let snapshot = lake.snapshot(None).await;
    let scan = Scan::plan(&snapshot, ScanOptions { parallelism: 1, ..ScanOptions::default() });
    let mut stopped = scan.await.unwrap().stream();
    assert!(stopped.try_next().await.unwrap().is_some());
    drop(stopped);
}

#[tokio::test]
async fn what_is_made_of_slices_comes_in_their_order() {
    let lake = Lake::with_many_slices().await;
    let snapshot = lake.snapshot(None).await;
    let scan = async |filter: &str, parallelism| {
        let options = ScanOptions {
            filters: vec![filter.parse().unwrap()],
            batch_rows: 3,
            parallelism,
            ..ScanOptions::default()
        };
        Scan::plan(&snapshot, options).await.unwrap()
    };
    let whole = lake.read(ScanOptions::default()).await.unwrap();
    let whole = arrow::compute::concat_batches(&whole[0].schema(), &whole).unwrap();
    for parallelism in [1, 2, 30] {
        let all = scan("id is not null", parallelism).await;
        let groups: Vec<_> = all.slices().iter().map(|slice| slice.group.clone()).collect();
        let slices = all.map_slices(|planned, rows| {
            let batches = rows.collect::<Result<Vec<_>, _>>()?;
            assert!(batches.iter().all(|batch| (1..=3).contains(&batch.num_rows())));
            Ok::<_, ReadError>((planned.group.clone(), batches))
        });
        let slices: Vec<_> = slices.try_collect().await.unwrap();
        assert_eq!(slices.iter().map(|(group, _)| group.clone()).collect::<Vec<_>>(), groups);
        let batches: Vec<_> = slices.into_iter().flat_map(|(_, batches)| batches).collect();
        assert_eq!(arrow::compute::concat_batches(&whole.schema(), &batches).unwrap(), whole);

        // Slices of which no row passes are there too, and rows need not be taken.
        let none = scan("ts > 5", parallelism).await;
        let counts = none.map_slices(|_, rows| Ok::<_, ReadError>(rows.count()));
        assert_eq!(counts.try_collect::<Vec<_>>().await.unwrap(), vec![0; groups.len()]);
        let firsts = scan("ts > 0", parallelism).await.map_slices(|_, mut rows| rows.next().transpose());
        let firsts: Vec<_> = firsts.try_collect::<Vec<_>>().await.unwrap();
        assert!(firsts.iter().all(Option::is_some), "{firsts:?}");

        // Nothing comes behind an error, which may be one of the caller's.
        let third = groups[2].clone();
        let failing = scan("ts > 0", parallelism).await.map_slices(move |planned, _| {
            if planned.group == third { Err(Failure::from("the third")) } else { Ok(()) }
        });
        let outcomes: Vec<_> = failing.map(|outcome| outcome.map_err(|e| e.to_string())).collect().await;
        assert_eq!(outcomes, [Ok(()), Ok(()), Err("the third".to_owned())]);
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_nobody_waits_for_ends_within_its_slice() {
    let lake = Lake::with_many_slices().await;
    let one_by_one = ScanOptions { parallelism: 1, batch_rows: 1, ..ScanOptions::default() };
    let scan = Scan::plan(&lake.snapshot(None).await, one_by_one).await.unwrap();
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let (goes_on, go) = std::sync::mpsc::channel::<()>();
    let go = std::sync::Mutex::new(go);
    let mut work = scan.map_slices(move |_, mut rows| {
        let first = rows.next();
        told.send(format!("{:?}", first.map(|batch| batch.map(drop)))).unwrap();
        // Nobody sends: this waits until the other end is gone.
        let _ = go.lock().unwrap().recv();
        let rest: Vec<_> = rows.map(|batch| batch.map(drop)).collect();
        told.send(format!("{rest:?}")).unwrap();
        Ok::<_, ReadError>(())
    });
    let said = tokio::select! {
        said = tells.recv() => said,
        made = work.next() => panic!("{made:?} was made of a slice that is still at work"),
    };
    assert_eq!(said.unwrap(), "Some(Ok(()))");
    drop(work);
    drop(goes_on);
    assert_eq!(tells.recv().await.unwrap(), "[Err(Stopped)]");
    assert_eq!(tells.recv().await, None, "no other slice is begun");
}

#[tokio::test]
async fn only_slices_that_can_hold_a_match_are_read() {
    let lake = Lake::with_three_commits().await;
    let snapshot = lake.snapshot(None).await;
    let slices = |filter: &str| {
        let filters = vec![filter.parse().unwrap()];
        let (snapshot, options) = (snapshot.clone(), ScanOptions { filters, ..ScanOptions::default() });
        async move {
            let scan = Scan::plan(&snapshot, options).await.unwrap();
            let partitions = scan.slices().iter().map(|slice| slice.group.partition.clone());
            partitions.collect::<Vec<_>>()
        }
    };
    assert!(slices("p = x").await.iter().all(|partition| partition == "p=x"));
    assert!(slices("p is null").await.is_empty());
    // One bucket of each partition.
    let of_key = slices("id = a").await;
    let all = slices("ts > 0").await;
    assert!(of_key.len() <= 2 && of_key.len() < all.len(), "{of_key:?} of {all:?}");
}

#[tokio::test]
async fn the_past_is_what_it_was() {
    let lake = Lake::with_three_commits().await;
    let now = lake.snapshot(None).await;
    let first = now.timeline.completed_writes().next().unwrap().time.to_string();
    let scan = Scan::plan(&lake.snapshot(Some(&first)).await, ScanOptions::default()).await.unwrap();
    let rows = texts(&scan.stream().try_collect::<Vec<_>>().await.unwrap());
    assert_eq!(rows, ["a x 5 a1", "b x 5 b1", "c y 5 -"]);
    let none = Scan::plan(&lake.snapshot(Some("2001-01-01")).await, ScanOptions::default()).await.unwrap();
    assert_eq!(none.stream().try_collect::<Vec<_>>().await.unwrap().len(), 0);
}

#[tokio::test]
async fn columns_that_are_not_there_are_named() {
    let lake = Lake::with_three_commits().await;
    let options = ScanOptions { columns: Some(vec!["z".into()]), ..ScanOptions::default() };
    let error = lake.read(options).await.unwrap_err().to_string();
    assert!(error.contains("\"z\"") && error.contains("id, p, ts, v"), "{error}");
}

#[tokio::test]
async fn a_damaged_base_file_is_named() {
    let lake = Lake::with_three_commits().await;
    let files = lake.0.storage.list_all(&"p=x".parse().unwrap()).await.unwrap();
    let base = files.iter().find(|file| file.path.as_str().ends_with(".parquet")).unwrap();
    let bytes = lake.0.storage.get(&base.path, u64::MAX).await.unwrap().bytes;
    for damaged in [bytes.slice(..bytes.len() - 1), bytes.slice(..6), bytes.slice(8..)] {
        lake.0.storage.put(&base.path, damaged).await.unwrap();
        let error = lake.read(ScanOptions::default()).await.unwrap_err().to_string();
        assert!(error.contains(base.path.as_str()), "{error}");
        let scan = Scan::plan(&lake.snapshot(None).await, ScanOptions::default()).await.unwrap();
        let counts = scan
            .map_slices(|_, rows| rows.map(|batch| Ok(batch?.num_rows())).sum::<Result<usize, ReadError>>());
        assert_eq!(counts.try_collect::<Vec<_>>().await.unwrap_err().to_string(), error);
    }
}
