//! What happens to a table, drawn from a seed.

use std::collections::BTreeMap;

use super::super::model::{Change, Random};

const STEPS: usize = 40;
const IDS: u64 = 10;
const PARTITIONS: [&str; 3] = ["x", "y", "z"];

#[derive(Debug, Clone)]
pub enum Step {
    Upsert(Vec<Change>),
    /// Two checkpoints are prepared before the first is committed.
    InFlight(Vec<Change>, Vec<Change>),
    Overwrite {
        changes: Vec<Change>,
        whole_table: bool,
    },
    /// Another pipeline commits.
    Foreign(Vec<Change>),
    /// Another pipeline commits between the end of a checkpoint and its commit.
    Race {
        ours: Vec<Change>,
        theirs: Vec<Change>,
        then: Option<Service>,
    },
    /// Somebody looks after the table.
    Service(Service),
    /// The process stops and another one comes.
    Restart,
    /// It stops while it writes: what it wrote is lost and written again.
    StopWriting(Vec<Change>),
    /// It stops before it commits; the next one adopts what was prepared, or writes it again.
    StopPrepared {
        changes: Vec<Change>,
        adopted: bool,
    },
}

/// What is done to a table beside writing to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Files go that only older versions of the table need.
    Clean,
    /// It is planned to merge log files with their base files.
    Schedule,
    /// That is done, and then whatever has log files is planned and done.
    Compact,
    /// Commits leave the active timeline; what they replaced was cleaned before.
    Archive,
}

impl Service {
    /// Whether it decides which log files are merged for good.
    pub fn compacts(self) -> bool {
        matches!(self, Self::Schedule | Self::Compact)
    }
}

/// What late rows may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// Rows, but no deletes: so that the order of files makes no difference.
    Rows,
    /// Anything.
    Deletes,
}

pub struct Workload {
    random: Random,
    late: Late,
    now: i64,
    /// Of keys that were deleted: since when.
    deleted: BTreeMap<(String, String), i64>,
}

impl Workload {
    pub fn steps(seed: u64, late: Late) -> Vec<Step> {
        let mut workload = Self { random: Random(seed), late, now: 10, deleted: BTreeMap::new() };
        (0..STEPS).map(|_| workload.step()).collect()
    }

    fn step(&mut self) -> Step {
        match self.random.below(24) {
            0..=5 => Step::Upsert(self.changes()),
            6..=8 => Step::InFlight(self.changes(), self.changes()),
            9 => self.overwrite(),
            10..=12 => Step::Foreign(self.changes()),
            13..=14 => self.race(),
            15 => Step::Restart,
            16..=17 => Step::StopWriting(self.changes()),
            18..=21 => Step::Service(self.service()),
            _ => Step::StopPrepared { changes: self.changes(), adopted: self.random.below(2) == 0 },
        }
    }

    fn changes(&mut self) -> Vec<Change> {
        (0..=self.random.below(8)).map(|_| self.change()).collect()
    }

    fn change(&mut self) -> Change {
        self.now += 1;
        let id = format!("k{}", self.random.below(IDS));
        let partition = PARTITIONS[self.random.below(3) as usize];
        let key = (partition.to_owned(), id.clone());
        let mut ts = self.now - [0, 0, 0, 1, 5, 20][self.random.below(6) as usize].min(self.now - 1);
        if self.random.below(4) == 0 {
            let since = self.deleted.entry(key).or_insert(ts);
            *since = ts.max(*since);
            return Change::delete(&id, partition, ts);
        }
        if let Some(since) = self.deleted.get(&key).filter(|_| self.late == Late::Rows) {
            ts = ts.max(since + 1);
        }
        Change::put(&id, partition, ts, &format!("v{}", self.now))
    }

    /// Equal ordering values of one key are left to the model that knows the order of files, where no
    /// compaction changes that.
    fn race(&mut self) -> Step {
        let (theirs, mut ours) = (self.changes(), self.changes());
        let then = (self.random.below(2) == 0).then(|| self.service());
        let key = |c: &Change| (c.partition.clone(), c.id.clone(), c.ts);
        if self.late == Late::Rows || then.is_some_and(Service::compacts) {
            ours.retain(|our| theirs.iter().all(|their| key(our) != key(their)));
        }
        if ours.is_empty() { Step::Foreign(theirs) } else { Step::Race { ours, theirs, then } }
    }

    fn service(&mut self) -> Service {
        [Service::Clean, Service::Schedule, Service::Compact, Service::Archive][self.random.below(4) as usize]
    }

    /// New rows of one or two partitions, of each key one.
    fn overwrite(&mut self) -> Step {
        self.now += 1;
        let whole_table = self.random.below(3) == 0;
        self.deleted.retain(|_, _| !whole_table);
        let mut changes = Vec::new();
        for partition in &PARTITIONS[..=self.random.below(2) as usize] {
            self.deleted.retain(|(p, _), _| p != partition);
            let first = self.random.below(IDS);
            changes
                .extend((first..IDS).map(|id| Change::put(&format!("k{id}"), partition, self.now, "over")));
        }
        Step::Overwrite { changes, whole_table }
    }
}
