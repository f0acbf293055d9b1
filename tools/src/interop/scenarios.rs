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
        theirs: name.contains("/theirs/"),
        steps: steps.into_iter().filter(|step| step.fits(&shape)).collect(),
        shape,
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
        let kind = kind(table_type);
        let shape = Shape { table_type, buckets: 0, ..plain };
        all.push(scenario(&format!("{kind}/ours/insert"), shape, script::inserting()));
        all.push(scenario(&format!("{kind}/theirs/insert"), shape, after_spark(script::inserting())));
    }
    all.push(scenario("mor/theirs/upsert", plain, script::theirs()));
    all.push(scenario("mor/ours/overwrite", plain, script::overwriting()));
    let rewritten = Shape { table_type: TableType::CopyOnWrite, ..plain };
    let unpartitioned = Shape { partitioning: Partitioning::None, ..rewritten };
    let nested = Shape { data: Data::Nested, ..rewritten };
    all.push(scenario("cow/ours/everything", rewritten, script::full()));
    all.push(scenario("cow/ours/everything/unpartitioned", unpartitioned, script::full()));
    all.push(scenario("cow/ours/data/nested", nested, script::full()));
    all.push(scenario("cow/theirs/upsert", rewritten, script::theirs()));
    all.push(scenario("cow/ours/overwrite", rewritten, script::overwriting()));
    for shape in [plain, rewritten] {
        for partitioning in Partitioning::ALL {
            let name = format!("{}/ours/partitioning/{partitioning:?}", kind(shape.table_type));
            all.push(scenario(&name, Shape { partitioning, ..shape }, script::short()));
        }
        for keys in Keys::ALL {
            let name = format!("{}/ours/keys/{keys:?}", kind(shape.table_type));
            all.push(scenario(&name, Shape { keys, ..shape }, script::short()));
        }
        for ordering in Ordering::ALL {
            let name = format!("{}/ours/ordering/{ordering:?}", kind(shape.table_type));
            all.push(scenario(&name, Shape { ordering, ..shape }, script::short()));
        }
    }
    all
}

fn kind(table_type: TableType) -> &'static str {
    match table_type {
        TableType::CopyOnWrite => "cow",
        TableType::MergeOnRead => "mor",
    }
}

/// The script on a table that Spark has written to.
fn after_spark(mut steps: Vec<Step>) -> Vec<Step> {
    steps.insert(0, Step::Spark(vec![script::rows(60..66, 10, 9)]));
    steps
}
