//! A whole table's rows: which slices, in which order, and the stream of their batches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{and_kleene, cast, filter_record_batch, take};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use futures::stream::{self, BoxStream, StreamExt as _};
use lakebed_hudi::base_file::{META_COLUMNS, PARTITION_PATH};
use lakebed_hudi::schema::is_meta_column;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::ReadError;
use super::filter::{BoundFilter, Filter, unknown_column};
use super::partition_columns::PartitionColumns;
use super::slice::SliceReader;
use super::which_bucket::bucket_of;
use crate::memory::default_budget_bytes;
use crate::merge::{MergeColumns, MergeResources, MergeRules, MergedRows, SpillArea};
use crate::table::{FileGroup, FileGroupId, FileSlice, TableSnapshot};

/// What to read of a table, and with how much memory.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// The columns, in this order; all if `None`.
    pub columns: Option<Vec<String>>,
    /// Rows come out that pass all of these.
    pub filters: Vec<Filter>,
    /// No more rows than this.
    pub limit: Option<u64>,
    /// Whether all columns means Hudi's five, first, as well.
    pub with_meta: bool,
    /// Whether log files are left out: the rows as of the last compaction of each file group.
    pub base_files_only: bool,
    /// Rows per batch at most.
    pub batch_rows: usize,
    /// Memory for merging and for batches that wait, over all slices that are read at a time.
    /// What is decoded at the moment, a row group for each column, comes on top.
    /// [`default_budget_bytes`] unless set.
    pub memory_budget_bytes: usize,
    /// Where merges that need more memory put their log records.
    pub spill: SpillArea,
    /// Slices merged at the same time.
    pub parallelism: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            columns: None,
            filters: Vec::new(),
            limit: None,
            with_meta: false,
            base_files_only: false,
            batch_rows: 8192,
            memory_budget_bytes: usize::try_from(default_budget_bytes()).unwrap_or(usize::MAX),
            spill: SpillArea::default(),
            parallelism: std::thread::available_parallelism().map_or(2, usize::from),
        }
    }
}

/// A file slice that may hold rows that are asked for.
#[derive(Debug, Clone)]
pub struct PlannedSlice {
    /// The file group.
    pub group: FileGroupId,
    /// Its files.
    pub slice: FileSlice,
    /// The values of partition columns that the path decides, one each.
    shown: Arc<BTreeMap<String, ArrayRef>>,
}

/// The rows of a table that are asked for: slices found and pruned, nothing opened yet.
#[derive(Debug)]
pub struct Scan {
    snapshot: TableSnapshot,
    options: ScanOptions,
    slices: Vec<PlannedSlice>,
    shape: Arc<Shape>,
}

/// What is the same for all slices.
#[derive(Debug)]
struct Shape {
    /// All columns of the table as they are stored, meta columns first.
    stored: SchemaRef,
    /// The columns that come out, as they are shown.
    output: SchemaRef,
    filters: Vec<BoundFilter>,
    rules: Arc<MergeRules>,
}

impl Scan {
    /// Lists the files of `snapshot` and leaves out those that no row that passes can be in.
    ///
    /// Slices are in order of partition path, then file group id: on bucket tables that is the
    /// bucket.
    ///
    /// # Errors
    /// Columns that the table does not have, filters that do not fit their columns, and tables
    /// that cannot be read.
    pub async fn plan(snapshot: &TableSnapshot, options: ScanOptions) -> Result<Self, ReadError> {
        let stored = snapshot.schema().await?.arrow_with_meta();
        let partition_columns = PartitionColumns::of(&snapshot.table.config);
        let shown = partition_columns.shown(&stored);
        let filters: Vec<BoundFilter> =
            options.filters.iter().map(|filter| filter.bind(&shown)).collect::<Result<_, _>>()?;
        let rules = Arc::new(MergeRules::of(&snapshot.table.config)?);
        let output = output_schema(&shown, &options)?;
        let bucket = bucket_of(&snapshot.table.config, &stored, &filters);
        let mut slices = Vec::new();
        for (partition, files) in snapshot.partitions().await? {
            let values = Arc::new(partition_columns.values(&stored, &partition));
            if !partition_passes(&filters, &values, &partition)? {
                continue;
            }
            for group in snapshot.file_groups(&partition, &files).await? {
                let other_bucket = bucket
                    .as_ref()
                    .is_some_and(|buckets| group.id.file_id.bucket().is_some_and(|b| !buckets.contains(&b)));
                let slice = if options.base_files_only { last_base(&group) } else { group.latest().cloned() };
                let Some(slice) = slice.filter(|_| !other_bucket) else { continue };
                slices.push(PlannedSlice { group: group.id, slice, shown: values.clone() });
            }
        }
        let shape = Arc::new(Shape { stored, output, filters, rules });
        Ok(Self { snapshot: snapshot.clone(), options, slices, shape })
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.shape.output.clone()
    }

    /// The slices that are read, in their order.
    pub fn slices(&self) -> &[PlannedSlice] {
        &self.slices
    }

    /// The rows, slice by slice in order; within a slice base rows in their order, then new keys
    /// in order of arrival. No batch is empty. Ends after the first error.
    ///
    /// Must be called on a tokio runtime. Dropping the stream stops the work.
    pub fn stream(self) -> BoxStream<'static, Result<RecordBatch, ReadError>> {
        let left = self.options.limit.unwrap_or(u64::MAX);
        let todo: VecDeque<PlannedSlice> = self.slices.into();
        let slots = Arc::new(Semaphore::new(self.options.parallelism.max(1)));
        let running = Running {
            snapshot: self.snapshot,
            options: Arc::new(self.options),
            shape: self.shape,
            todo,
            turn: Turn { before: None, slots },
            open: VecDeque::new(),
            left,
        };
        stream::unfold(Some(running), |running| async move {
            let mut running = running?;
            match running.next().await {
                Some(Ok(batch)) => Some((Ok(batch), Some(running))),
                Some(Err(error)) => Some((Err(error), None)),
                None => None,
            }
        })
        .boxed()
    }
}

fn output_schema(shown: &SchemaRef, options: &ScanOptions) -> Result<SchemaRef, ReadError> {
    let names: Vec<String> = match &options.columns {
        Some(columns) => columns.clone(),
        None => {
            let names = shown.fields().iter().map(|field| field.name().clone());
            names.filter(|name| options.with_meta || !is_meta_column(name)).collect()
        }
    };
    let mut fields = Vec::with_capacity(names.len());
    if options.with_meta && options.columns.is_some() {
        let meta = META_COLUMNS.iter().filter(|meta| !names.iter().any(|name| name == *meta));
        fields.extend(meta.filter_map(|meta| shown.field_with_name(meta).ok().cloned()));
    }
    for name in &names {
        let field = shown.field_with_name(name).map_err(|_| unknown_column(name, shown))?;
        fields.push(field.clone());
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The last slice with a base file, without its log files.
fn last_base(group: &FileGroup) -> Option<FileSlice> {
    let slice = group.slices.iter().rev().find(|slice| slice.base.is_some())?;
    Some(FileSlice { logs: Vec::new(), ..slice.clone() })
}

/// Whether rows of a partition may pass, by the values that its path decides.
fn partition_passes(
    filters: &[BoundFilter],
    values: &BTreeMap<String, ArrayRef>,
    partition: &str,
) -> Result<bool, ReadError> {
    for filter in filters {
        let path: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![partition]));
        let value = match values.get(&filter.column) {
            Some(value) => value,
            None if filter.column == PARTITION_PATH => &path,
            None => continue,
        };
        if filter.passes(value)?.true_count() == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Slices that are open for each that is merged: those that are read next, and those whose rows wait.
const OPEN_PER_SLOT: usize = 2;

/// The slices that are being read; the first one's rows go out.
struct Running {
    snapshot: TableSnapshot,
    options: Arc<ScanOptions>,
    shape: Arc<Shape>,
    todo: VecDeque<PlannedSlice>,
    /// That of the next slice.
    turn: Turn,
    open: VecDeque<mpsc::UnboundedReceiver<Waiting>>,
    left: u64,
}

/// A batch that waits to be taken, with the memory that is set aside for it.
struct Waiting {
    batch: Result<RecordBatch, ReadError>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Running {
    async fn next(&mut self) -> Option<Result<RecordBatch, ReadError>> {
        while self.left > 0 {
            while self.open.len() < OPEN_PER_SLOT * self.options.parallelism.max(1)
                && let Some(slice) = self.todo.pop_front()
            {
                let (rows, receiver) = mpsc::unbounded_channel();
                let (turn, taken) = self.turn.pass_on();
                tokio::spawn(read_slice(
                    self.snapshot.clone(),
                    self.shape.clone(),
                    self.options.clone(),
                    slice,
                    (turn, taken),
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
}

/// When a slice may be merged: after the one before it, and when there is a slot. In any other order
/// rows that wait for those of an earlier slice could keep it from its slot.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    slots: Arc<Semaphore>,
}

impl Turn {
    /// This turn, and what says that it has come; the next one is left.
    fn pass_on(&mut self) -> (Self, oneshot::Sender<()>) {
        let (come, next) = oneshot::channel();
        let before = self.before.replace(next);
        (Self { before, slots: self.slots.clone() }, come)
    }

    /// Waits for it.
    async fn come(self) -> Option<OwnedSemaphorePermit> {
        if let Some(before) = self.before {
            // One that failed before its turn is as good as one that had it.
            let _ = before.await;
        }
        self.slots.acquire_owned().await.ok()
    }
}

async fn read_slice(
    snapshot: TableSnapshot,
    shape: Arc<Shape>,
    options: Arc<ScanOptions>,
    planned: PlannedSlice,
    (turn, taken): (Turn, oneshot::Sender<()>),
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
    let Some(_slot) = turn.come().await else { return send_error(ReadError::Stopped) };
    let _ = taken.send(());
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

fn merge_slice(
    reader: &SliceReader,
    shape: &Shape,
    options: &ScanOptions,
    planned: &PlannedSlice,
    outlet: &Outlet,
) -> Result<(), ReadError> {
    let mut shown = PathColumns::new(planned.shown.clone());
    // What the path decides is not read, nor filtered by: the partition has passed.
    let filters: Vec<&BoundFilter> = shape.filters.iter().filter(|f| !shown.decides(&f.column)).collect();
    let mut names: Vec<String> = Vec::new();
    let wanted = shape.output.fields().iter().map(|field| field.name());
    for name in wanted.chain(filters.iter().map(|filter| &filter.column)) {
        if !shown.decides(name) && !names.contains(name) {
            names.push(name.clone());
        }
    }
    let columns = Arc::new(MergeColumns::new(&shape.stored, Some(&names), &shape.rules)?);
    let share = options.memory_budget_bytes / options.parallelism.max(1);
    let resources = MergeResources { budget_bytes: share / 4 * 3, spill: options.spill.clone() };
    for batch in MergedRows::new(reader, columns, shape.rules.clone(), &resources)? {
        let shown = shown_rows(&batch?, shape, &filters, &mut shown)?;
        if shown.num_rows() > 0 {
            outlet.send(shown)?;
        }
    }
    Ok(())
}

/// Merged rows as they come out: filtered, with what the path decides.
fn shown_rows(
    merged: &RecordBatch,
    shape: &Shape,
    filters: &[&BoundFilter],
    shown: &mut PathColumns,
) -> Result<RecordBatch, ReadError> {
    let rows = merged.num_rows();
    shown.make_rows(rows)?;
    let column = |name: &str, data_type| match (merged.column_by_name(name), shown.get(name)) {
        (_, Some(values)) => Ok(values.slice(0, rows)),
        (Some(column), None) if column.data_type() == data_type => Ok(column.clone()),
        (Some(column), None) => cast(column, data_type),
        (None, None) => Err(ArrowError::SchemaError(format!("column {name} was not read"))),
    };
    let mut passes: Option<BooleanArray> = None;
    for filter in filters {
        let own = filter.passes(&column(&filter.column, &filter.data_type)?)?;
        passes = Some(match passes {
            Some(others) => and_kleene(&others, &own)?,
            None => own,
        });
    }
    let columns = shape.output.fields().iter().map(|field| column(field.name(), field.data_type()));
    let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
    let row_count = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(shape.output.clone(), columns, &row_count)?;
    match passes.filter(|passes| passes.true_count() < rows) {
        Some(passes) => Ok(filter_record_batch(&batch, &passes)?),
        None => Ok(batch),
    }
}

/// The columns of a slice that its path decides: the same value in each row.
struct PathColumns {
    values: Arc<BTreeMap<String, ArrayRef>>,
    /// The values as columns of so many rows, of which batches take their parts.
    columns: BTreeMap<String, ArrayRef>,
    rows: usize,
}

impl PathColumns {
    fn new(values: Arc<BTreeMap<String, ArrayRef>>) -> Self {
        Self { values, columns: BTreeMap::new(), rows: 0 }
    }

    fn decides(&self, column: &str) -> bool {
        self.values.contains_key(column)
    }

    /// Sees to it that there are at least `rows` rows.
    fn make_rows(&mut self, rows: usize) -> Result<(), ArrowError> {
        if self.rows < rows {
            let first = UInt32Array::from(vec![0; rows]);
            let repeat = |(name, value): (&String, &ArrayRef)| Ok((name.clone(), take(value, &first, None)?));
            self.columns = self.values.iter().map(repeat).collect::<Result<_, ArrowError>>()?;
            self.rows = rows;
        }
        Ok(())
    }

    fn get(&self, column: &str) -> Option<&ArrayRef> {
        self.columns.get(column)
    }
}

/// Where a slice's batches go; waits while too many bytes of them have not been taken.
struct Outlet {
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

    fn send(&self, batch: RecordBatch) -> Result<(), ReadError> {
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
