//! What a run would do: the input is read and mapped, and nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array as _, BooleanArray, RecordBatch};
use lakebed_hudi::bucket::BucketHash;
use lakebed_hudi::schema::TableSchema;
use lakebed_hudi::table_config::TableConfig;
use serde::Serialize;
use tokio::sync::watch;

use super::bad_records::{BadRecords, SHOWN_MAX, line_of};
use super::checkpoint::{Checkpoint, part_bytes};
use super::create::{Found, find_table_of};
use super::decode::{BadRecord, Fault};
use super::job::{BadRecordPolicy, Job};
use super::mapping::Mapping;
use super::memory::InputMemory;
use super::reading::{Chunks, Ready, open_source, refusal, source_name};
use super::report::InputCount;
use super::source::Position;
use super::target::{position_of, sink_options};
use super::{Event, Events, IngestError, RunOptions};
use crate::environment::Environment;
use crate::sink::{MemoryShares, Opening, SinkError, by_bucket, check_open, index_of};
use crate::storage::Storage;
use crate::table::properties::PropertiesFileError;
use crate::table::{FileGroup, TableError, WriteOperation, check_readers};
use crate::write::{KeyRules, KeyedBatch};

/// What a run would do. Nothing was written.
#[derive(Debug, Default, Serialize)]
pub struct DryRun {
    /// The table.
    pub uri: String,
    /// Whether it would be made.
    pub creates_table: bool,
    /// The last checkpoint of earlier runs; 0 if there is none.
    pub checkpoint: u64,
    /// Whether the progress would be reset, and everything read again.
    pub resets_progress: bool,
    /// Records read.
    pub records: u64,
    /// Records that would be written, deletes included. Those of one key in a commit become one row.
    pub good_records: u64,
    /// Of these, records that would only delete their key.
    pub deletes: u64,
    /// Records that cannot be taken.
    pub bad_records: u64,
    /// The first few of them.
    pub first_bad_records: Vec<BadRecord>,
    /// Commits by the limits of rows and bytes, and the one that resets the progress; the limit of time
    /// may make them more.
    pub commits: u64,
    /// Inputs that were read, to their end or in part.
    pub inputs: u64,
    /// Bytes of input, unpacked.
    pub input_bytes: u64,
    /// Whether it was stopped before the end of what there is to read.
    pub interrupted: bool,
    /// Where the records would go, by partition and bucket.
    pub buckets: Vec<DryBucket>,
    /// Why the run would stop before its end.
    #[serde(serialize_with = "as_text")]
    pub stopped_by: Option<IngestError>,
}

/// What a run would write to one bucket, or to one partition of a table without buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DryBucket {
    /// The partition path.
    pub partition: String,
    /// The bucket; `None` where rows are only added.
    pub bucket: Option<u32>,
    /// Whether there are files of it.
    pub exists: bool,
    /// Records, deletes included.
    pub records: u64,
    /// Records that only delete their key.
    pub deletes: u64,
}

fn as_text<S: serde::Serializer>(error: &Option<IngestError>, serializer: S) -> Result<S::Ok, S::Error> {
    match error {
        Some(error) => serializer.serialize_some(&error.to_string()),
        None => serializer.serialize_none(),
    }
}

/// Reads and maps what a run of the job would, from where the table says that the last one came to,
/// and says what it would write. Changes nothing and claims no epoch.
///
/// Bad records do not end it: [`DryRun::stopped_by`] says whether they would end the run.
///
/// # Errors
/// As [`run`](super::run).
pub async fn dry_run(
    mut job: Job,
    mut options: RunOptions,
    environment: &Environment,
    mut stop: watch::Receiver<bool>,
    events: Events,
) -> Result<DryRun, IngestError> {
    // A source that is followed has no end, so what is there is read.
    job.source.follow = false;
    let storage = options.open_storage(&job, environment).await?;
    BadRecords::open(&job, storage.uri(), options.dead_letters.take(), environment).await?;
    let place = Place::find(&job, &storage, environment).await?;
    check_open(&place.config, &sink_options(&job))?;
    let shares = MemoryShares::new(storage.as_ref(), &place.schema, &sink_options(&job))?;
    let memory = InputMemory::of(&job, shares.input_bytes);
    check_readers(&place.config, place.schema.arrow()).map_err(TableError::from)?;
    let mapping = Arc::new(Mapping::new(&job, place.schema.arrow(), &KeyRules::of(&place.config))?);
    let position = place.position.clone().filter(|_| !options.reset_progress);
    let source = open_source(&job, memory, &mapping, position, &mut options, environment)?;
    let mut chunks = Chunks::of(source, mapping, memory);
    let mut dry = Dry::new(job, place, storage.uri().to_string(), memory);
    if options.reset_progress {
        dry.reset();
    }
    loop {
        let chunk = tokio::select! {
            biased;
            () = async { drop(stop.wait_for(|stop| *stop).await) } => {
                dry.report.interrupted = true;
                break;
            }
            chunk = chunks.next() => chunk,
        };
        let Some(chunk) = chunk else { break };
        let ready = chunk.ready().await?;
        dry.take(&ready)?;
        if let Some(chunk) = &ready.read.chunk {
            events(&dry.written(&chunk.input, &ready));
        }
    }
    Ok(dry.finish())
}

/// Where rows would go.
#[derive(Debug)]
struct Place {
    config: TableConfig,
    schema: TableSchema,
    position: Option<Position>,
    checkpoint: u64,
    creates_table: bool,
    /// The buckets that have files; without a number those of a table without buckets.
    existing: BTreeSet<(String, Option<u32>)>,
}

impl Place {
    async fn find(
        job: &Job,
        storage: &Arc<dyn Storage>,
        environment: &Environment,
    ) -> Result<Self, IngestError> {
        if let Found::Nothing(new, schema) = find_table_of(job, storage, environment).await? {
            let config = TableConfig::from_properties(new.to_properties())
                .map_err(|error| TableError::from(PropertiesFileError::Config(error)))?;
            let (position, checkpoint, existing) = (None, 0, BTreeSet::new());
            return Ok(Self { config, schema, position, checkpoint, creates_table: true, existing });
        }
        let opening = Opening::look(storage.clone(), environment, &job.pipeline, sink_options(job)).await?;
        let (mut config, snapshot) = (opening.table().config.clone(), opening.table().snapshot(None).await?);
        config.bucket_index = index_of(&config, &job.table.stated_index()).map_err(SinkError::from)?;
        let index = config.bucket_index.as_ref();
        let mut existing = BTreeSet::new();
        let looks_for = index.filter(|_| !WriteOperation::from(job.operation).overwrites());
        for (partition, groups) in snapshot.all_file_groups().await? {
            let bucket = |group: &FileGroup| group.id.file_id.bucket_of(index?.buckets);
            existing.extend(groups.iter().map(|group| (partition.clone(), bucket(group))));
            if let Some(index) = looks_for {
                by_bucket(&partition, groups, index.buckets)?;
            }
        }
        let progress = opening.progress().cloned().unwrap_or_default();
        Ok(Self {
            config,
            schema: opening.schema().clone(),
            position: position_of(&progress, source_name(job))?,
            checkpoint: progress.checkpoint,
            creates_table: false,
            existing,
        })
    }
}

/// Counts.
struct Dry {
    job: Job,
    place: Place,
    keys: KeyRules,
    hash: Option<BucketHash>,
    open: Checkpoint,
    inputs: InputCount,
    counts: BTreeMap<(String, Option<u32>), (u64, u64)>,
    /// What the dead letters of an overwrite take, and may take.
    letters_bytes: usize,
    letters_bytes_max: usize,
    report: DryRun,
}

impl Dry {
    fn new(job: Job, place: Place, uri: String, memory: InputMemory) -> Self {
        let (creates_table, checkpoint) = (place.creates_table, place.checkpoint);
        let index = place.config.bucket_index.as_ref();
        Self {
            keys: KeyRules::of(&place.config),
            hash: index.map(|index| BucketHash::new(index.hash_fields.iter().cloned(), index.buckets)),
            report: DryRun { uri, creates_table, checkpoint, ..DryRun::default() },
            open: Checkpoint::default(),
            inputs: InputCount::default(),
            counts: BTreeMap::new(),
            letters_bytes: 0,
            letters_bytes_max: memory.letters_bytes,
            job,
            place,
        }
    }

    /// The progress would be reset: by a commit of its own, or by that of an overwrite.
    fn reset(&mut self) {
        self.report.resets_progress = true;
        self.report.commits += u64::from(!self.overwrites());
    }

    fn take(&mut self, ready: &Ready) -> Result<(), IngestError> {
        self.report.inputs += self.inputs.begin(ready.read.chunk.as_ref());
        let Some(chunk) = &ready.read.chunk else { return Ok(()) };
        let refused = self.route(&ready.rows, ready.deletes.as_ref())?;
        let refused = refused.into_iter().map(|(row, fault)| {
            let record = ready.records.get(row).copied().unwrap_or_default();
            (record, chunk.bad(record as usize, fault))
        });
        let mut bad: Vec<(u32, BadRecord)> = ready.bad.iter().cloned().chain(refused).collect();
        bad.sort_by_key(|(record, _)| *record);
        bad.into_iter().for_each(|(_, bad)| self.add_bad(bad));
        self.check_letters();
        let (total, mut taken) = (chunk.records(), 0);
        while taken < total {
            let count = self.open.fit(&self.job.commit, total - taken);
            self.open.records += count as u64;
            self.open.bytes += part_bytes(chunk.bytes(), total, taken..taken + count);
            taken += count;
            if self.open.is_full(&self.job.commit) {
                self.commit();
            }
        }
        self.report.records += total as u64;
        self.report.input_bytes += chunk.bytes() as u64;
        Ok(())
    }

    /// Counts rows by bucket; returns those that cannot be written.
    fn route(
        &mut self,
        rows: &RecordBatch,
        deletes: Option<&BooleanArray>,
    ) -> Result<Vec<(usize, Fault)>, IngestError> {
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let rows = self.keys.conform(rows, deletes, self.place.schema.arrow()).map_err(SinkError::from)?;
        let (batch, refused) = self.keys.key(&rows, deletes).map_err(SinkError::from)?;
        self.count(&batch);
        Ok(refused.iter().map(|row| (row.row(), refusal(row))).collect())
    }

    fn count(&mut self, batch: &KeyedBatch) {
        let paths: Vec<&str> = batch.partition_paths().collect();
        let hash = self.hash.as_ref();
        let is_delete = |row| batch.deletes.as_ref().is_some_and(|d| d.is_valid(row) && d.value(row));
        let mut counted: BTreeMap<(u32, Option<u32>), (u64, u64)> = BTreeMap::new();
        for row in 0..batch.num_rows() {
            let bucket = hash.zip(batch.keys.as_ref()).map(|(hash, keys)| hash.bucket(keys.value(row)));
            let (records, deletes) = counted.entry((batch.partitions.keys().value(row), bucket)).or_default();
            *records += 1;
            *deletes += u64::from(is_delete(row));
        }
        for ((path, bucket), (records, deletes)) in counted {
            let partition = paths.get(path as usize).copied().unwrap_or_default().to_owned();
            let sum = self.counts.entry((partition, bucket)).or_default();
            *sum = (sum.0 + records, sum.1 + deletes);
            self.report.good_records += records;
            self.report.deletes += deletes;
        }
    }

    fn add_bad(&mut self, bad: BadRecord) {
        self.report.bad_records += 1;
        let (settings, found) = (&self.job.bad_records, self.report.bad_records);
        if self.report.first_bad_records.len() < SHOWN_MAX {
            self.report.first_bad_records.push(bad.clone());
        }
        if self.report.stopped_by.is_some() {
            return;
        }
        if self.overwrites() {
            self.letters_bytes += line_of(&bad).len();
        }
        self.report.stopped_by = match (settings.policy, settings.limit) {
            (BadRecordPolicy::Fail, _) => Some(IngestError::BadRecord(Box::new(bad))),
            (BadRecordPolicy::DeadLetter, Some(limit)) if found > limit => {
                let first = self.report.first_bad_records.clone();
                Some(IngestError::TooManyBadRecords { limit, found, first })
            }
            (BadRecordPolicy::DeadLetter, _) => None,
        };
    }

    /// Says if an overwrite has more dead letters than it may hold, which is looked at where a chunk
    /// ends.
    fn check_letters(&mut self) {
        if self.letters_bytes > self.letters_bytes_max && self.report.stopped_by.is_none() {
            let (found, limit_bytes) = (self.report.bad_records, self.letters_bytes_max as u64);
            self.report.stopped_by = Some(IngestError::TooManyLetters { found, limit_bytes });
        }
    }

    fn overwrites(&self) -> bool {
        WriteOperation::from(self.job.operation).overwrites()
    }

    fn commit(&mut self) {
        self.open = Checkpoint::default();
        self.report.commits += 1;
    }

    fn written(&self, input: &str, ready: &Ready) -> Event {
        let DryRun { records, input_bytes, bad_records, .. } = self.report;
        Event::Written {
            input: input.to_owned(),
            records,
            bytes: input_bytes,
            bad_records,
            buffered_bytes: 0,
            read_bytes: ready.read.extent.read_bytes,
            found_bytes: ready.read.extent.found_bytes,
        }
    }

    fn finish(mut self) -> DryRun {
        let found = self.report.bad_records;
        let none_is_good = self.overwrites() && self.report.good_records == 0 && found > 0;
        if none_is_good && self.report.stopped_by.is_none() {
            let first = self.report.first_bad_records.clone();
            self.report.stopped_by = Some(IngestError::AllBad { found, first });
        }
        if self.open.records > 0 {
            self.commit();
        }
        let existing = &self.place.existing;
        let buckets = self.counts.into_iter().map(|(key, (records, deletes))| {
            let exists = existing.contains(&key);
            let (partition, bucket) = key;
            DryBucket { partition, bucket, exists, records, deletes }
        });
        self.report.buckets = buckets.collect();
        self.report
    }
}
