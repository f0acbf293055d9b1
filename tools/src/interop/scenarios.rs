//! The scenarios: one shape that everything is tried on, and others that differ in one thing.

use lakebed_hudi::table_config::TableType;

use super::script;
use super::shape::{Data, Keys, Ordering, Partial, Partitioning, Shape};
use super::step::{Step, rows};

/// Every kind of every dimension once, on either type of table; not each of the types that go the same way.
const IN_CI: [&str; 65] = [
    "cow/ours/archived",
    "cow/ours/archiving",
    "cow/ours/archiving/often",
    "cow/ours/cleaning/clustered",
    "cow/ours/cleaning/unpartitioned",
    "cow/ours/clustering",
    "cow/ours/clustering/in_turns",
    "cow/ours/data/nested",
    "cow/ours/everything/unpartitioned",
    "cow/ours/flagged",
    "cow/ours/in_flight",
    "cow/ours/insert",
    "cow/ours/insert/flagged",
    "cow/ours/keys/Date",
    "cow/ours/keys/Double",
    "cow/ours/keys/Long",
    "cow/ours/keys/Two",
    "cow/ours/ordering/CommitTime",
    "cow/ours/ordering/Float",
    "cow/ours/ordering/Timestamp",
    "cow/ours/ordering/Two",
    "cow/ours/partial/NullsByArrival",
    "cow/ours/partitioning/Encoded",
    "cow/ours/partitioning/Missing",
    "cow/ours/replacing",
    "cow/ours/rolling_back",
    "cow/ours/strays/dying_everywhere",
    "cow/ours/strays/we_recover",
    "cow/ours/widening",
    "cow/theirs/data/nested",
    "cow/theirs/keys/Timestamp",
    "cow/theirs/upsert",
    "mor/ours/buckets/7",
    "mor/ours/cleaning",
    "mor/ours/clustering/taken_over",
    "mor/ours/deleting",
    "mor/ours/everything",
    "mor/ours/heartbeats",
    "mor/ours/in_flight",
    "mor/ours/keys/Int",
    "mor/ours/keys/Odd",
    "mor/ours/keys/Timestamp",
    "mor/ours/metadata_table",
    "mor/ours/ordering/Date",
    "mor/ours/ordering/Decimal",
    "mor/ours/ordering/Double",
    "mor/ours/ordering/Int",
    "mor/ours/ordering/Short",
    "mor/ours/ordering/String",
    "mor/ours/ordering/TimestampNtz",
    "mor/ours/overwrite",
    "mor/ours/partial/Marker",
    "mor/ours/partitioning/Boolean",
    "mor/ours/partitioning/Two",
    "mor/ours/restoring",
    "mor/ours/restoring/on",
    "mor/ours/strays/dying_everywhere",
    "mor/ours/strays/spark_recovers",
    "mor/ours/strays/we_archive",
    "mor/ours/together",
    "mor/ours/widened",
    "mor/theirs/insert",
    "mor/theirs/ordering/Decimal",
    "mor/theirs/partitioning/Time",
    "mor/theirs/version_8",
];

/// A table's shape and what is done to it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name: table type, who creates it, and what is special.
    pub name: String,
    /// The table.
    pub shape: Shape,
    /// What is done to it.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Whether Spark creates the table, by the first step.
    pub fn theirs(&self) -> bool {
        matches!(self.steps.first(), Some(Step::SparkCreates(_)))
    }

    /// Whether it can be played in a bucket. Spark's own lock on S3 is in no package of Hudi that is
    /// to be had, so that both cannot write at the same time; and objects cannot be made older.
    pub fn fits_buckets(&self) -> bool {
        !self.steps.iter().any(|step| {
            matches!(step, Step::Together(_) | Step::Silence | Step::DiesEverywhere(_) | Step::CleanDies)
        })
    }

    /// Whether it is one of those that try every dimension once.
    pub fn in_ci(&self) -> bool {
        IN_CI.contains(&self.name.as_str())
    }
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    let plain = Shape {
        table_type: TableType::MergeOnRead,
        partitioning: Partitioning::Hive,
        keys: Keys::Text,
        ordering: Ordering::Long,
        data: Data::Flat,
        buckets: 2,
        partial: None,
        version: 9,
        wide: false,
    };
    let mut all = Vec::new();
    for (kind, table_type) in [("mor", TableType::MergeOnRead), ("cow", TableType::CopyOnWrite)] {
        let shape = Shape { table_type, ..plain };
        for (name, shape, steps) in
            [scripts(shape), unbucketed(shape), partial(shape), dimensions(shape)].concat()
        {
            all.push(Scenario {
                name: format!("{kind}/{name}"),
                steps: steps.into_iter().filter(|step| step.fits(&shape)).collect(),
                shape,
            });
        }
    }
    all
}

type Scenarios = Vec<(String, Shape, Vec<Step>)>;

/// Everything that happens to tables of the one shape.
fn scripts(shape: Shape) -> Scenarios {
    let more_buckets = Shape { buckets: 7, ..shape };
    let scripts = [
        ("ours/everything", shape, script::full()),
        (
            "ours/everything/unpartitioned",
            Shape { partitioning: Partitioning::None, ..shape },
            script::full(),
        ),
        ("ours/compacting", shape, script::compacting()),
        ("theirs/compacting", shape, after_spark(script::compacting())),
        ("ours/cleaning", shape, script::cleaning()),
        (
            "ours/cleaning/unpartitioned",
            Shape { partitioning: Partitioning::None, ..shape },
            script::cleaning(),
        ),
        ("theirs/cleaning", shape, after_spark(script::cleaning())),
        ("theirs/version_8/cleaning", Shape { version: 8, ..shape }, after_spark(script::cleaning())),
        ("ours/data/nested", Shape { data: Data::Nested, ..shape }, script::full()),
        ("ours/buckets/7", more_buckets, script::short()),
        ("ours/overwrite", shape, script::overwriting()),
        ("ours/archived", shape, script::archived()),
        ("ours/archiving", shape, script::archiving()),
        ("theirs/archiving", shape, after_spark(script::archiving())),
        ("ours/archiving/often", shape, script::archiving_often()),
        ("ours/archiving/replaced", shape, script::archiving_replaced()),
        ("ours/widening", shape, script::widening()),
        ("ours/widened", shape, script::widened()),
        ("ours/restoring", shape, script::restoring()),
        ("ours/restoring/in_turns", shape, script::restoring_in_turns()),
        ("ours/restoring/on", shape, script::restoring_on()),
        ("ours/rolling_back", shape, script::rolling_back()),
        ("theirs/rolling_back", shape, after_spark(script::rolling_back())),
        ("theirs/restoring/in_turns", shape, after_spark(script::restoring_in_turns())),
        ("ours/replacing", shape, script::replacing()),
        ("ours/in_flight", shape, script::in_flight()),
        ("ours/metadata_table", shape, script::metadata_table()),
        ("ours/together", shape, script::together()),
        ("ours/heartbeats", more_buckets, script::heartbeats()),
        ("ours/strays/spark_recovers", more_buckets, script::spark_recovers()),
        ("ours/strays/we_recover", more_buckets, script::we_recover()),
        ("ours/strays/we_archive", more_buckets, script::we_archive()),
        ("ours/strays/dying_everywhere", shape, script::dying_everywhere()),
        ("ours/deleting", shape, script::deleting()),
        ("ours/flagged", Shape { data: Data::Flagged, ..shape }, script::flagged()),
        ("theirs/upsert", shape, script::theirs()),
        ("theirs/everything", shape, script::theirs_full()),
        ("theirs/overwrite", shape, after_spark(script::overwriting())),
        ("theirs/widening", shape, after_spark(script::widening())),
        ("theirs/deleting", shape, after_spark(script::deleting())),
        ("theirs/flagged", Shape { data: Data::Flagged, ..shape }, after_spark(script::flagged())),
        ("theirs/data/nested", Shape { data: Data::Nested, ..shape }, script::theirs()),
        ("theirs/version_8", Shape { version: 8, ..shape }, script::theirs_full()),
        ("theirs/version_8/archiving", Shape { version: 8, ..shape }, after_spark(script::archiving())),
    ];
    scripts.into_iter().map(|(name, shape, steps)| (name.to_owned(), shape, steps)).collect()
}

/// Tables without a bucket index.
fn unbucketed(shape: Shape) -> Scenarios {
    let shape = Shape { buckets: 0, ..shape };
    vec![
        ("ours/insert".to_owned(), shape, script::inserting()),
        ("ours/insert/flagged".to_owned(), Shape { data: Data::Flagged, ..shape }, script::flagged_inserts()),
        ("theirs/insert".to_owned(), shape, after_spark(script::inserting())),
        (
            "theirs/version_8/insert".to_owned(),
            Shape { version: 8, ..shape },
            after_spark(script::inserting()),
        ),
        ("ours/clustering".to_owned(), shape, script::clustering()),
        ("ours/cleaning/clustered".to_owned(), shape, script::cleaning_clustered()),
        ("ours/clustering/in_turns".to_owned(), shape, script::clustering_in_turns()),
        ("ours/clustering/taken_over".to_owned(), shape, script::clustering_taken_over()),
        (
            "ours/clustering/unpartitioned".to_owned(),
            Shape { partitioning: Partitioning::None, ..shape },
            script::clustering_in_turns(),
        ),
        ("theirs/clustering/in_turns".to_owned(), shape, after_spark(script::clustering_in_turns())),
        (
            "theirs/version_8/clustering/in_turns".to_owned(),
            Shape { version: 8, ..shape },
            after_spark(script::clustering_in_turns()),
        ),
        ("theirs/clustering".to_owned(), shape, after_spark(script::clustering())),
    ]
}

/// Tables whose rows may say nothing of a column.
fn partial(shape: Shape) -> Scenarios {
    let of = |partial: Partial| {
        let shape = Shape { partial: Some(partial), ordering: partial.ordering(), ..shape };
        [
            (format!("ours/partial/{partial:?}"), shape, script::partial()),
            (format!("theirs/partial/{partial:?}"), shape, after_spark(script::partial())),
        ]
    };
    Partial::ALL.into_iter().flat_map(of).collect()
}

/// Shapes that differ in one thing, of tables that either side creates.
fn dimensions(shape: Shape) -> Scenarios {
    let partitionings = Partitioning::ALL
        .into_iter()
        .map(|partitioning| (format!("partitioning/{partitioning:?}"), Shape { partitioning, ..shape }));
    let keys = Keys::ALL.into_iter().map(|keys| (format!("keys/{keys:?}"), Shape { keys, ..shape }));
    let orderings = Ordering::ALL
        .into_iter()
        .map(|ordering| (format!("ordering/{ordering:?}"), Shape { ordering, ..shape }));
    let shapes = partitionings.chain(keys).chain(orderings);
    let both = |(name, shape)| {
        [
            (format!("ours/{name}"), shape, script::short()),
            (format!("theirs/{name}"), shape, script::theirs()),
        ]
    };
    let theirs = |partitioning| {
        let shape = Shape { partitioning, ..shape };
        (format!("theirs/partitioning/{partitioning:?}"), shape, script::theirs())
    };
    shapes.flat_map(both).chain(Partitioning::THEIRS.map(theirs)).collect()
}

/// The script on a table that Spark has written to.
fn after_spark(mut steps: Vec<Step>) -> Vec<Step> {
    steps.insert(0, Step::SparkCreates(vec![rows(60..66, 10, 9)]));
    steps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_those_of_ci_exist() {
        let all = all();
        let names: BTreeSet<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(IN_CI.iter().find(|name| !names.contains(**name)), None);
    }
}
