//! How a plan says in which order its rows come.

use lakebed_hudi::timeline_metadata::{ClusteringPlan, ClusteringStrategy};

/// Execution strategies that merge slices, sort their rows and size the files: Spark's, and that of other engines.
const SORT_AND_SIZE: [&str; 2] = [
    "org.apache.hudi.client.clustering.run.strategy.SparkSortAndSizeExecutionStrategy",
    "org.apache.hudi.client.clustering.run.strategy.JavaSortAndSizeExecutionStrategy",
];

/// The columns to sort by, with commas between them.
const SORT_COLUMNS: &str = "hoodie.clustering.plan.strategy.sort.columns";

/// The strategy of a plan whose rows are sorted by `columns`.
pub(super) fn strategy(columns: &[String]) -> ClusteringStrategy {
    let sorted = (!columns.is_empty()).then(|| (SORT_COLUMNS.to_owned(), columns.join(",")));
    ClusteringStrategy {
        strategy_class_name: Some(SORT_AND_SIZE[0].to_owned()),
        strategy_params: sorted.into_iter().collect(),
        version: 1,
    }
}

/// The columns that the rows of a plan are sorted by, or what it asks for that is not done.
pub(super) fn sort_columns(plan: &ClusteringPlan) -> Result<Vec<String>, String> {
    let class = plan.strategy.as_ref().and_then(|strategy| strategy.strategy_class_name.as_deref());
    let Some(strategy) =
        plan.strategy.as_ref().filter(|_| class.is_some_and(|class| SORT_AND_SIZE.contains(&class)))
    else {
        return Err(format!("the execution strategy {}", class.unwrap_or("of its engine's own choice")));
    };
    if let Some(other) = strategy.strategy_params.keys().find(|key| *key != SORT_COLUMNS) {
        return Err(format!("{other}={}", strategy.strategy_params[other]));
    }
    let columns = strategy.strategy_params.get(SORT_COLUMNS).map_or("", String::as_str).split(',');
    Ok(columns.map(str::trim).filter(|column| !column.is_empty()).map(str::to_owned).collect())
}
