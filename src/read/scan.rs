//! What to read of a whole table: which slices, in which order, with which columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use lakebed_hudi::base_file::{META_COLUMNS, PARTITION_PATH};
use lakebed_hudi::schema::is_meta_column;

use super::ReadError;
use super::filter::{BoundFilter, FilterError, unknown_column};
use super::outlet::Outlet;
use super::partition_columns::PartitionColumns;
use super::planned::{PlannedSlice, Shape};
use super::scan_options::ScanOptions;
use super::slice_queue::{SliceQueue, Work};
use super::slice_rows::SliceRows;
use super::which_bucket::bucket_of;
use crate::merge::MergeRules;
use crate::table::{FileGroup, FileSlice, TableSnapshot};

/// The rows of a table that are asked for: slices found and pruned, nothing opened yet.
///
/// Columns have the types that Spark shows: of partition columns those that it reads from the paths.
#[derive(Debug)]
pub struct Scan {
    snapshot: TableSnapshot,
    options: ScanOptions,
    slices: Vec<PlannedSlice>,
    shape: Arc<Shape>,
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
        let index = snapshot.table.config.bucket_index.as_ref();
        let bucket = bucket_of(&snapshot.table.config, &stored, &filters);
        let mut slices = Vec::new();
        for (partition, files) in snapshot.partitions().await? {
            let values = Arc::new(partition_columns.values(&stored, &partition));
            if !partition_passes(&filters, &values, &partition)? {
                continue;
            }
            for group in snapshot.file_groups(&partition, &files).await? {
                // Of groups that are no buckets nobody knows which keys they have.
                let is_in = index.and_then(|index| group.id.file_id.bucket_of(index.buckets));
                let other_bucket =
                    bucket.as_ref().is_some_and(|buckets| is_in.is_some_and(|b| !buckets.contains(&b)));
                let slice = if options.base_files_only { last_base(&group) } else { group.latest().cloned() };
                let Some(slice) = slice.filter(|_| !other_bucket) else { continue };
                slices.push(PlannedSlice { group: group.id, slice, shown: values.clone() });
            }
        }
        let spill = snapshot.table.environment.spill.clone();
        let shape = Arc::new(Shape { stored, output, filters, rules, spill });
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
        until_error(self.pieces(|_, rows, outlet| {
            for batch in rows {
                let batch = batch?;
                let bytes = held_bytes(&batch);
                outlet.send(batch, bytes)?;
            }
            Ok(())
        }))
    }

    /// What `work` makes of each slice, in the order of the slices. Ends after the first error, which
    /// may be of `work`'s own kind.
    ///
    /// Slices are worked on beside one another, each on the thread that merges it. Unlike those of
    /// [`Scan::stream`], its rows are handed to no other thread and wait for no other slice's: this is
    /// the fast way for whatever is made of rows and is much smaller. Results that wait are outside of
    /// the memory budget, two for each slice that is merged at a time. `work` may block; if it panics,
    /// that is [`ReadError::Stopped`].
    ///
    /// Must be called on a tokio runtime. Dropping the stream stops the work.
    ///
    /// ```no_run
    /// # use futures::TryStreamExt as _;
    /// # use lakebed::read::{ReadError, Scan};
    /// # async fn example(scan: Scan) -> Result<usize, ReadError> {
    /// let counts = scan.map_slices(|_, rows| rows.map(|batch| Ok(batch?.num_rows())).sum());
    /// counts.try_fold(0, async |sum, count: usize| Ok(sum + count)).await
    /// # }
    /// ```
    pub fn map_slices<T, E, W>(self, work: W) -> BoxStream<'static, Result<T, E>>
    where
        T: Send + 'static,
        E: From<ReadError> + Send + 'static,
        W: Fn(&PlannedSlice, SliceRows<'_>) -> Result<T, E> + Send + Sync + 'static,
    {
        let made = self.pieces(move |planned, rows, outlet| outlet.send(work(planned, rows), 0));
        until_error(made.map(|made| made?))
    }

    fn pieces<T, W>(self, work: W) -> impl Stream<Item = Result<T, ReadError>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: Fn(&PlannedSlice, SliceRows<'_>, &Outlet<T>) -> Result<(), ReadError> + Send + Sync + 'static,
    {
        let work: Arc<Work<T>> = Arc::new(work);
        let queue = SliceQueue::new(self.snapshot, self.options, self.shape, self.slices, &work);
        stream::unfold(queue, async |mut queue| Some((queue.next().await?, queue)))
    }
}

/// Ends after the first error, and lets go of what more would have come of.
fn until_error<T: Send + 'static, E: Send + 'static>(
    results: impl Stream<Item = Result<T, E>> + Send + 'static,
) -> BoxStream<'static, Result<T, E>> {
    let results = stream::unfold(Some(results.boxed()), async |results| {
        let mut results = results?;
        let next = results.next().await?;
        let rest = next.is_ok().then_some(results);
        Some((next, rest))
    });
    results.boxed()
}

/// The memory of a batch: those are often slices of larger ones, of which only their part counts.
fn held_bytes(batch: &RecordBatch) -> usize {
    let part = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
    batch.columns().iter().map(part).sum()
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
    for (i, name) in names.iter().enumerate() {
        if names.iter().take(i).any(|earlier| earlier == name) {
            return Err(FilterError::Repeated { column: name.clone() }.into());
        }
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
