//! What a table should hold after what happened to it.

use std::collections::BTreeMap;

use lakebed_hudi::bucket::BucketHash;
use lakebed_hudi::table_config::TableType;

use super::super::model::{Change, Model};
use super::workload::{Late, Service};

/// What the table should hold.
pub enum Expected {
    Plain(Model),
    Slices(Slices),
}

impl Expected {
    pub fn new(late: Late, table_type: TableType) -> Self {
        match late {
            Late::Rows => Self::Plain(Model::default()),
            Late::Deletes => Self::Slices(Slices { table_type, buckets: BTreeMap::new() }),
        }
    }

    pub fn upsert(&mut self, changes: &[Change]) {
        match self {
            Self::Plain(model) => model.upsert(changes),
            Self::Slices(slices) => slices.upsert(changes),
        }
    }

    pub fn upsert_beside(&mut self, pending: &[Change], changes: &[Change]) {
        match self {
            Self::Plain(model) => model.upsert(changes),
            Self::Slices(slices) => slices.upsert_beside(pending, changes),
        }
    }

    /// What a compaction merges is so for good: it forgets the deletes. All else changes nothing.
    pub fn serve(&mut self, service: Service) {
        match (self, service) {
            (Self::Slices(slices), Service::Schedule) => slices.schedule(),
            (Self::Slices(slices), Service::Compact) => {
                slices.run_planned();
                slices.schedule();
                slices.run_planned();
            }
            _ => {}
        }
    }

    pub fn run_planned(&mut self) {
        if let Self::Slices(slices) = self {
            slices.run_planned();
        }
    }

    /// `theirs` was begun after `ours` and completed before it, and `then` came in between. Log files
    /// come in the order of their instants: of equal ordering values the one counts that was begun
    /// later.
    pub fn side_by_side(&mut self, ours: &[Change], theirs: &[Change], then: Option<Service>) {
        match self {
            Self::Plain(model) => model.upsert(&[theirs, ours].concat()),
            Self::Slices(_) if then.is_some_and(Service::compacts) => {
                self.upsert(theirs);
                then.into_iter().for_each(|service| self.serve(service));
                self.upsert(ours);
            }
            Self::Slices(slices) => {
                slices.upsert(ours);
                slices.upsert(theirs);
            }
        }
    }

    pub fn overwrite(&mut self, changes: &[Change], whole_table: bool) {
        match self {
            Self::Plain(model) if whole_table => model.overwrite_table(changes),
            Self::Plain(model) => model.overwrite(changes),
            Self::Slices(slices) => {
                let stays = |p: &String| !whole_table && changes.iter().all(|c| c.partition != *p);
                slices.buckets.retain(|(partition, _), _| stays(partition));
                slices.upsert(changes);
            }
        }
    }

    pub fn rows(&self) -> Model {
        match self {
            Self::Plain(model) => model.clone(),
            Self::Slices(slices) => slices.rows(),
        }
    }
}

/// The greatest ordering value of a key, with its text or none if it deletes; the later of equals.
type Entries = BTreeMap<String, (i64, Option<String>)>;

fn fold(entries: &mut Entries, id: &str, ts: i64, text: Option<String>) {
    if entries.get(id).is_none_or(|(before, _)| ts >= *before) {
        entries.insert(id.to_owned(), (ts, text));
    }
}

/// The rows of a slice.
fn merged(base: &Entries, log: &Entries) -> Entries {
    let mut merged = base.clone();
    log.iter().for_each(|(id, (ts, text))| fold(&mut merged, id, *ts, text.clone()));
    merged.retain(|_, (_, text)| text.is_some());
    merged
}

fn by_bucket(changes: &[Change]) -> BTreeMap<(String, u32), Entries> {
    let hash = BucketHash::new(["id"], 2);
    let mut buckets: BTreeMap<(String, u32), Entries> = BTreeMap::new();
    for c in changes {
        let entries = buckets.entry((c.partition.clone(), hash.bucket(&c.id))).or_default();
        fold(entries, &c.id, c.ts, (!c.delete).then(|| c.text.clone()));
    }
    buckets
}

/// Hudi's own view: the first rows of a bucket are its base file, which knows of no delete; all
/// that follows is folded by itself and then put over the base, for good if that is copied on write.
pub struct Slices {
    table_type: TableType,
    buckets: BTreeMap<(String, u32), Slice>,
}

#[derive(Default)]
struct Slice {
    base: Entries,
    log: Entries,
    /// The log since a compaction of what was there before was planned.
    since: Option<Entries>,
}

impl Slice {
    fn rows(&self) -> Entries {
        let mut log = self.log.clone();
        for (id, (ts, text)) in self.since.iter().flatten() {
            fold(&mut log, id, *ts, text.clone());
        }
        merged(&self.base, &log)
    }
}

impl Slices {
    fn upsert(&mut self, changes: &[Change]) {
        for (bucket, mut entries) in by_bucket(changes) {
            if let Some(Slice { base, log, since }) = self.buckets.get_mut(&bucket) {
                let copied = self.table_type == TableType::CopyOnWrite;
                let onto = if copied { &mut *base } else { since.as_mut().unwrap_or(log) };
                entries.into_iter().for_each(|(id, (ts, text))| fold(onto, &id, ts, text));
                base.retain(|_, (_, text)| text.is_some());
                continue;
            }
            entries.retain(|_, (_, text)| text.is_some());
            if !entries.is_empty() {
                self.buckets.insert(bucket, Slice { base: entries, ..Slice::default() });
            }
        }
    }

    /// As [`Slices::upsert`], while another pipeline has prepared `pending`: a bucket that it has
    /// begun gets its first base file from nobody else, but where every file is one.
    fn upsert_beside(&mut self, pending: &[Change], changes: &[Change]) {
        let mut begun = by_bucket(pending);
        begun.retain(|_, entries| entries.values().any(|(_, text)| text.is_some()));
        for (bucket, _) in by_bucket(changes) {
            if begun.contains_key(&bucket) && self.table_type == TableType::MergeOnRead {
                self.buckets.entry(bucket).or_default();
            }
        }
        self.upsert(changes);
    }

    fn schedule(&mut self) {
        for slice in self.buckets.values_mut().filter(|slice| !slice.log.is_empty()) {
            slice.since.get_or_insert_default();
        }
    }

    fn run_planned(&mut self) {
        for Slice { base, log, since } in self.buckets.values_mut() {
            if let Some(since) = since.take() {
                *base = merged(base, &std::mem::replace(log, since));
            }
        }
    }

    fn rows(&self) -> Model {
        let mut rows = Model::default();
        for ((partition, _), slice) in &self.buckets {
            for (id, (ts, text)) in slice.rows() {
                rows.0.extend(text.map(|text| ((partition.clone(), id), (ts, text))));
            }
        }
        rows
    }
}
