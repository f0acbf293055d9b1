//! Slices read beside one another, whose rows go out one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::ReadError;
use super::filter::BoundFilter;
use super::scan::{PlannedSlice, ScanOptions, Shape};
use super::shown_rows::merge_slice;
use super::slice::SliceReader;
use crate::table::TableSnapshot;

/// Slices that are open for each that is merged: those that are read next, and those whose rows wait.
const OPEN_PER_SLOT: usize = 2;

/// The slices that are being read; the first one's rows go out.
pub(super) struct SliceQueue {
    snapshot: TableSnapshot,
    options: Arc<ScanOptions>,
    shape: Arc<Shape>,
    todo: VecDeque<PlannedSlice>,
    slots: Arc<Semaphore>,
    /// Tells that the turn of the slice opened last has come.
    last: Option<oneshot::Receiver<()>>,
    open: VecDeque<mpsc::UnboundedReceiver<Waiting>>,
    left: u64,
}

/// A batch that waits to be taken, with the memory that is set aside for it.
struct Waiting {
    batch: Result<RecordBatch, ReadError>,
    _room: Option<OwnedSemaphorePermit>,
}

impl SliceQueue {
    pub(super) fn new(
        snapshot: TableSnapshot,
        options: ScanOptions,
        shape: Arc<Shape>,
        slices: Vec<PlannedSlice>,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(options.parallelism.max(1)));
        let left = options.limit.unwrap_or(u64::MAX);
        let (options, todo) = (Arc::new(options), slices.into());
        Self { snapshot, options, shape, todo, slots, last: None, open: VecDeque::new(), left }
    }

    /// The next batch, if there is one.
    pub(super) async fn next(&mut self) -> Option<Result<RecordBatch, ReadError>> {
        while self.left > 0 {
            while self.open.len() < OPEN_PER_SLOT * self.options.parallelism.max(1)
                && let Some(slice) = self.todo.pop_front()
            {
                let (rows, receiver) = mpsc::unbounded_channel();
                let turn = self.next_turn();
                tokio::spawn(read_slice(
                    self.snapshot.clone(),
                    self.shape.clone(),
                    self.options.clone(),
                    slice,
                    turn,
                    rows,
                ));
                self.open.push_back(receiver);
            }
            let Some(waiting) = self.open.front_mut()?.recv().await else {
                self.open.pop_front();
                continue;
            };
            return Some(waiting.batch.map(|batch| {
                let rows =
                    usize::try_from(self.left).map_or(batch.num_rows(), |left| batch.num_rows().min(left));
                self.left -= rows as u64;
                batch.slice(0, rows)
            }));
        }
        None
    }

    fn next_turn(&mut self) -> Turn {
        let (come, last) = oneshot::channel();
        Turn { before: self.last.replace(last), slots: self.slots.clone(), come }
    }
}

/// When a slice may be merged: after the one before it, and when there is a slot. In any other order
/// rows that wait for those of an earlier slice could keep it from its slot.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    slots: Arc<Semaphore>,
    come: oneshot::Sender<()>,
}

impl Turn {
    /// Waits for it, and for a slot.
    async fn take(self) -> Option<OwnedSemaphorePermit> {
        if let Some(before) = self.before {
            // One that failed before its turn is as good as one that had it.
            let _ = before.await;
        }
        let slot = self.slots.acquire_owned().await.ok();
        let _ = self.come.send(());
        slot
    }
}

async fn read_slice(
    snapshot: TableSnapshot,
    shape: Arc<Shape>,
    options: Arc<ScanOptions>,
    planned: PlannedSlice,
    turn: Turn,
    rows: mpsc::UnboundedSender<Waiting>,
) {
    let filters = pushed_down(&snapshot, &shape, &planned);
    let reader = SliceReader::open_filtered(&snapshot, &planned.slice, filters).await;
    let failed = rows.clone();
    let send_error = |error| {
        // Nobody waits for it any more if this fails.
        let _ = failed.send(Waiting { batch: Err(error), _room: None });
    };
    let reader = match reader {
        Ok(reader) => reader.with_batch_rows(options.batch_rows),
        Err(error) => return send_error(error),
    };
    let Some(_slot) = turn.take().await.filter(|_| !failed.is_closed()) else { return };
    let runtime = tokio::runtime::Handle::current();
    let outlet = Outlet::new(&options, rows, runtime);
    let merging =
        tokio::task::spawn_blocking(move || merge_slice(&reader, &shape, &options, &planned, &outlet));
    match merging.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => send_error(error),
        Err(_) => send_error(ReadError::Stopped),
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

/// Where a slice's batches go; waits while too many bytes of them have not been taken.
pub(super) struct Outlet {
    rows: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
    room_kib: u32,
    runtime: tokio::runtime::Handle,
}

impl Outlet {
    fn new(
        options: &ScanOptions,
        rows: mpsc::UnboundedSender<Waiting>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        let share_kib = options.memory_budget_bytes / options.parallelism.max(1) / (4 * OPEN_PER_SLOT) / 1024;
        let room_kib = u32::try_from(share_kib.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { rows, room: Arc::new(Semaphore::new(room_kib as usize)), room_kib, runtime }
    }

    /// Hands a batch out when there is room for it.
    pub(super) fn send(&self, batch: RecordBatch) -> Result<(), ReadError> {
        // Batches are often slices of larger ones: only their own part counts.
        let part = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
        let bytes: usize = batch.columns().iter().map(part).sum();
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let wanted = self.room.clone().acquire_many_owned(kib.min(self.room_kib));
        let room = self.runtime.block_on(async {
            tokio::select! {
                room = wanted => room.map_err(|_| ReadError::Stopped),
                () = self.rows.closed() => Err(ReadError::Stopped),
            }
        })?;
        self.rows.send(Waiting { batch: Ok(batch), _room: Some(room) }).map_err(|_| ReadError::Stopped)
    }
}
