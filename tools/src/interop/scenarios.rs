//! The scenarios: one shape that everything is tried on, and others that differ in one thing.

use lakebed_hudi::table_config::TableType;

use super::script::{self, Step};
use super::shape::{Data, Keys, Ordering, Partitioning, Shape};

/// A table's shape and what is done to it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name: table type, who creates it, and what is special.
    pub name: String,
    /// The table.
    pub shape: Shape,
    /// Whether Spark creates it, by the first step.
    pub theirs: bool,
    /// What is done to it.
    pub steps: Vec<Step>,
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
    };
    let scenario = |name: &str, shape: Shape, steps: Vec<Step>| Scenario {
        name: name.into(),
        shape,
        theirs: name.contains("/theirs/"),
        steps,
    };
    let mut all = vec![
        scenario("mor/ours/everything", plain, script::full()),
        scenario(
            "mor/ours/everything/unpartitioned",
            Shape { partitioning: Partitioning::None, ..plain },
            script::full(),
        ),
        scenario("mor/ours/data/nested", Shape { data: Data::Nested, ..plain }, script::full()),
        scenario("mor/ours/buckets/7", Shape { buckets: 7, ..plain }, script::short()),
    ];
    for table_type in [TableType::MergeOnRead, TableType::CopyOnWrite] {
        let kind = if table_type == TableType::MergeOnRead { "mor" } else { "cow" };
        let shape = Shape { table_type, buckets: 0, ..plain };
        all.push(scenario(&format!("{kind}/ours/insert"), shape, script::inserting()));
        all.push(scenario(&format!("{kind}/theirs/insert"), shape, after_spark(script::inserting())));
    }
    all.push(scenario("mor/theirs/upsert", plain, script::theirs()));
    all.push(scenario("mor/ours/overwrite", plain, script::overwriting()));
    for partitioning in Partitioning::ALL {
        let name = format!("mor/ours/partitioning/{partitioning:?}");
        all.push(scenario(&name, Shape { partitioning, ..plain }, script::short()));
    }
    for keys in Keys::ALL {
        let name = format!("mor/ours/keys/{keys:?}");
        all.push(scenario(&name, Shape { keys, ..plain }, script::short()));
    }
    for ordering in Ordering::ALL {
        let name = format!("mor/ours/ordering/{ordering:?}");
        all.push(scenario(&name, Shape { ordering, ..plain }, script::short()));
    }
    all
}

/// The script on a table that Spark has written to.
fn after_spark(mut steps: Vec<Step>) -> Vec<Step> {
    steps.insert(0, Step::Spark(vec![script::rows(60..66, 10, 9)]));
    steps
}
