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
        if let (Self::Slices(slices), Service::Compact) = (self, service) {
            slices.compact();
        }
    }

    /// `theirs` was begun after `ours` and completed before it, and `then` came in between. Log files
    /// come in the order of their instants: of equal ordering values the one counts that was begun
    /// later.
    pub fn side_by_side(&mut self, ours: &[Change], theirs: &[Change], then: Option<Service>) {
        match self {
            Self::Plain(model) => model.upsert(&[theirs, ours].concat()),
            Self::Slices(slices) if matches!(then, Some(Service::Compact)) => {
                slices.upsert(theirs);
                slices.compact();
                slices.upsert(ours);
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
    buckets: BTreeMap<(String, u32), (Entries, Entries)>,
}

impl Slices {
    fn upsert(&mut self, changes: &[Change]) {
        for (bucket, mut entries) in by_bucket(changes) {
            if let Some((base, log)) = self.buckets.get_mut(&bucket) {
                let copied = self.table_type == TableType::CopyOnWrite;
                let onto = if copied { &mut *base } else { log };
                entries.into_iter().for_each(|(id, (ts, text))| fold(onto, &id, ts, text));
                base.retain(|_, (_, text)| text.is_some());
                continue;
            }
            entries.retain(|_, (_, text)| text.is_some());
            if !entries.is_empty() {
                self.buckets.insert(bucket, (entries, Entries::new()));
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

    fn compact(&mut self) {
        for (base, log) in self.buckets.values_mut() {
            let merged = merged(base, log);
            if !merged.is_empty() {
                (*base, *log) = (merged, Entries::new());
            }
        }
    }

    fn rows(&self) -> Model {
        let mut rows = Model::default();
        for ((partition, _), (base, log)) in &self.buckets {
            for (id, (ts, text)) in merged(base, log) {
                rows.0.extend(text.map(|text| ((partition.clone(), id), (ts, text))));
            }
        }
        rows
    }
}
