//! Slices read beside one another; what comes of them goes out one after the other.
//!
//! Each slice passes three hands: a task of the runtime opens it, ahead of its turn; one of a few
//! threads, which stay for the whole scan, merges it and makes pieces of its rows; and the queue hands
//! these out.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ReadError;
use super::filter::BoundFilter;
use super::outlet::{OPEN_PER_SLOT, Outlet, Waiting};
use super::planned::{PlannedSlice, Shape};
use super::scan_options::ScanOptions;
use super::slice::SliceReader;
use super::slice_rows::SliceRows;
use crate::table::TableSnapshot;

/// Makes pieces of the rows of a slice, and sends them.
pub(super) type Work<T> =
    dyn Fn(&PlannedSlice, SliceRows<'_>, &Outlet<T>) -> Result<(), ReadError> + Send + Sync;

/// The slices that are being read; the first one's pieces go out.
pub(super) struct SliceQueue<T> {
    snapshot: TableSnapshot,
    options: Arc<ScanOptions>,
    shape: Arc<Shape>,
    todo: VecDeque<PlannedSlice>,
    open: VecDeque<mpsc::UnboundedReceiver<Waiting<T>>>,
    mergers: Sender<Opening<T>>,
}

/// A slice that is being opened, for the next thread that merges.
struct Opening<T> {
    planned: PlannedSlice,
    reader: JoinHandle<Result<SliceReader, ReadError>>,
    pieces: mpsc::UnboundedSender<Waiting<T>>,
}

impl<T: Send + 'static> SliceQueue<T> {
    pub(super) fn new(
        snapshot: TableSnapshot,
        options: ScanOptions,
        shape: Arc<Shape>,
        slices: Vec<PlannedSlice>,
        work: &Arc<Work<T>>,
    ) -> Self {
        let (mergers, openings) = channel();
        let openings = Arc::new(Mutex::new(openings));
        let options = Arc::new(options);
        for _ in 0..options.parallelism.max(1).min(slices.len()) {
            let merging = Merging {
                openings: openings.clone(),
                shape: shape.clone(),
                options: options.clone(),
                work: work.clone(),
                runtime: Handle::current(),
            };
            tokio::task::spawn_blocking(move || merging.run());
        }
        Self { snapshot, options, shape, todo: slices.into(), open: VecDeque::new(), mergers }
    }

    /// The next piece, if there is one.
    pub(super) async fn next(&mut self) -> Option<Result<T, ReadError>> {
        loop {
            self.open_more();
            match self.open.front_mut()?.recv().await {
                Some(Waiting::Piece(piece, _room)) => return Some(Ok(piece)),
                Some(Waiting::Failed(error)) => return Some(Err(error)),
                Some(Waiting::End) => drop(self.open.pop_front()),
                None => return Some(Err(ReadError::Stopped)),
            }
        }
    }

    fn open_more(&mut self) {
        while self.open.len() < OPEN_PER_SLOT * self.options.parallelism.max(1)
            && let Some(planned) = self.todo.pop_front()
        {
            let (pieces, receiver) = mpsc::unbounded_channel();
            self.open.push_back(receiver);
            let filters = pushed_down(&self.snapshot, &self.shape, &planned);
            let (snapshot, slice) = (self.snapshot.clone(), planned.slice.clone());
            let reader =
                tokio::spawn(async move { SliceReader::open_filtered(&snapshot, &slice, filters).await });
            // If no thread is there to take it, nothing comes of it: that is found there.
            let _ = self.mergers.send(Opening { planned, reader, pieces });
        }
    }
}

/// A thread that merges slices, in order. In any other order pieces that wait for those of an earlier
/// slice could keep it from being merged.
struct Merging<T> {
    openings: Arc<Mutex<Receiver<Opening<T>>>>,
    shape: Arc<Shape>,
    options: Arc<ScanOptions>,
    work: Arc<Work<T>>,
    runtime: Handle,
}

impl<T: Send> Merging<T> {
    fn run(&self) {
        while let Some(Opening { planned, reader, pieces }) = self.next() {
            if pieces.is_closed() {
                continue;
            }
            let end = match self.merge(&planned, reader, &pieces) {
                Ok(()) => Waiting::End,
                Err(error) => Waiting::Failed(error),
            };
            // Nobody waits for it any more if this fails.
            let _ = pieces.send(end);
        }
    }

    /// Waits for the next slice; `None` if there is none.
    fn next(&self) -> Option<Opening<T>> {
        self.openings.lock().ok()?.recv().ok()
    }

    fn merge(
        &self,
        planned: &PlannedSlice,
        reader: JoinHandle<Result<SliceReader, ReadError>>,
        pieces: &mpsc::UnboundedSender<Waiting<T>>,
    ) -> Result<(), ReadError> {
        let reader = self.runtime.block_on(reader).map_err(|_| ReadError::Stopped)??;
        let reader = reader.with_batch_rows(self.options.batch_rows);
        let is_waited_for = || !pieces.is_closed();
        let rows = SliceRows::new(&reader, &self.shape, &self.options, planned, &is_waited_for)?;
        let outlet = Outlet::new(&self.options, pieces.clone(), self.runtime.clone());
        (self.work)(planned, rows, &outlet)
    }
}

/// The filters that may leave out base rows before the merge: all where there is nothing to
/// merge, else those on columns that are the same in every version of a key.
fn pushed_down(snapshot: &TableSnapshot, shape: &Shape, planned: &PlannedSlice) -> Vec<BoundFilter> {
    let key_columns = snapshot.table.config.record_key.as_ref().map_or(&[][..], |rule| rule.columns());
    let stored = |filter: &&BoundFilter| {
        let same_type = shape.stored.field_with_name(&filter.column);
        same_type.is_ok_and(|field| *field.data_type() == filter.data_type)
            && !planned.shown.contains_key(&filter.column)
    };
    let of_key = |filter: &&BoundFilter| {
        let is_key =
            key_columns.contains(&filter.column) || filter.column == lakebed_hudi::base_file::RECORD_KEY;
        is_key && !filter.is_null_test()
    };
    let filters = shape.filters.iter().filter(stored);
    if planned.slice.logs.is_empty() {
        filters.cloned().collect()
    } else {
        filters.filter(of_key).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use lakebed_hudi::file_name::FileId;
    use lakebed_hudi::schema::TableSchema;
    use lakebed_hudi::table_config::TableType;

    use super::*;
    use crate::memory::SpillArea;
    use crate::merge::MergeRules;
    use crate::table::one_column::of_one_column;
    use crate::table::{FileGroupId, FileSlice, Table};

    /// Three slices without rows, of which two are open at a time, and a thread to merge them.
    async fn queue() -> (SliceQueue<()>, Merging<()>) {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
        let new = of_one_column(TableType::CopyOnWrite);
        let table = Table::in_memory(&new).await;
        let snapshot = table.snapshot(None).await.unwrap();
        let rules = Arc::new(MergeRules::of(&table.config).unwrap());
        let stored = TableSchema::from_avro(&new.create_schema).unwrap().arrow_with_meta();
        let spill = SpillArea::default();
        let shape = Arc::new(Shape { stored, output: schema, filters: Vec::new(), rules, spill });
        let planned = |bucket| PlannedSlice {
            group: FileGroupId { partition: String::new(), file_id: FileId::of_bucket(bucket) },
            slice: FileSlice {
                base_instant: "20260101000000001".parse().unwrap(),
                base: None,
                logs: Vec::new(),
            },
            shown: Arc::default(),
        };
        let options = Arc::new(ScanOptions { parallelism: 1, ..ScanOptions::default() });
        let (mergers, openings) = channel();
        let merging = Merging {
            openings: Arc::new(Mutex::new(openings)),
            shape: shape.clone(),
            options: options.clone(),
            work: Arc::new(|_, mut rows, _| rows.try_for_each(|batch| batch.map(drop))),
            runtime: Handle::current(),
        };
        let todo = [planned(0), planned(1), planned(2)].into();
        (SliceQueue { snapshot, options, shape, todo, open: VecDeque::new(), mergers }, merging)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_thread_that_dies_within_a_slice_ends_its_rows_with_an_error() {
        let (mut queue, merging) = queue().await;
        let thread = tokio::task::spawn_blocking(move || merging.run());
        assert!(queue.next().await.is_none());
        drop(queue);
        thread.await.unwrap();

        let (mut queue, merging) = self::queue().await;
        // Where tasks run nobody may wait for one: it panics with the first slice in its hands.
        let thread = tokio::spawn(async move { merging.run() });
        for slice in ["whose thread died", "that was open", "that no thread is left for"] {
            assert!(matches!(queue.next().await, Some(Err(ReadError::Stopped))), "a slice {slice}");
            queue.open.pop_front();
        }
        assert!(thread.await.unwrap_err().is_panic());
    }
}
