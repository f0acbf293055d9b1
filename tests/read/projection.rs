//! What reading some of the columns asks of the storage.

use std::sync::Arc;

use lakebed::read::ScanOptions;
use lakebed::sink::SinkOptions;
use lakebed::storage::fault::FaultStorage;
use lakebed::table::Table;
use xxhash_rust::xxh3::xxh3_128;

use crate::test_table::*;

const ROWS: usize = 20_000;

/// Values that no codec makes much smaller, and a few bytes of everything else.
async fn write(table: &TestTable, checkpoints: u64) {
    let mut sink = table.sink("p", SinkOptions::default()).await;
    for number in 1..=checkpoints {
        let ids: Vec<String> = (0..ROWS).map(|row| format!("{row:06}")).collect();
        let text = |row: usize| {
            (0..16).map(move |part| format!("{:032x}", xxh3_128(&[row as u8, (row >> 8) as u8, part])))
        };
        let texts: Vec<String> = (0..ROWS).map(|row| text(row).collect()).collect();
        let all: Vec<Row<'_>> = ids
            .iter()
            .zip(&texts)
            .map(|(id, text)| (id.as_str(), "x", number as i64, Some(text.as_str())))
            .collect();
        sink.write(&rows(&all), None).await.unwrap();
        assert!(is_committed(&checkpoint(&mut sink, number).await));
    }
}

/// Bytes of data files that are read for `columns` of all rows.
async fn read_bytes(table: &TestTable, columns: &[&str]) -> u64 {
    let storage = FaultStorage::new(table.storage.clone());
    let opened = Table::open(Arc::new(storage.clone()), &table.environment, None).await.unwrap();
    let columns = Some(columns.iter().map(|&column| column.to_owned()).collect());
    let snapshot = opened.snapshot(None).await.unwrap();
    let batches = read(&snapshot, ScanOptions { columns, ..ScanOptions::default() }).await;
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), ROWS);
    let of_data = |path: &str| !path.starts_with(".hoodie");
    storage.operations().iter().filter(|o| of_data(o.path.as_str())).map(|o| o.bytes).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_nobody_asks_for_are_not_fetched() {
    for checkpoints in [1, 3] {
        let table = TestTable::create(&bucket_table()).await;
        write(&table, checkpoints).await;
        let (few, all) = (read_bytes(&table, &["ts"]).await, read_bytes(&table, &["ts", "v"]).await);
        assert!(few * 4 < all, "{checkpoints} commits: {few} bytes for one column, {all} with the wide one");
    }
}
