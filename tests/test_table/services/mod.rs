//! What is done to a table beside writing to it: compaction is ours, all else is what other engines do.

mod archive;
mod clean;
mod compact;

use std::time::Duration;

use bytes::Bytes;
use lakebed::table::Table;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::timeline_file::TimelineFile;

pub use archive::archive;
pub use clean::{clean, clean_before};
pub use compact::{compact, maintain, maintainer, no_limits, planned, run, run_planned, schedule};

async fn put(table: &Table, file: TimelineFile, bytes: Bytes) {
    table.storage.put_if_absent(&table.timeline.path(&file), bytes).await.unwrap();
}

async fn time_after(table: &Table, before: InstantTime) -> InstantTime {
    let clock = &table.environment.clock;
    loop {
        let now = InstantTime::from_unix_millis(clock.unix_millis(), table.zone);
        if now > before {
            return now;
        }
        clock.sleep(Duration::from_millis(1)).await;
    }
}
