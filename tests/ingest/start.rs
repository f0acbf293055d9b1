//! What a run asks of its table before it reads.

use lakebed::storage::Operation::{Get, List};
use lakebed::storage::fault::FaultStorage;

use super::*;

#[tokio::test]
async fn a_run_looks_at_its_table_before_and_after_it_claims_its_pipeline() {
    let place = Place::new().await;
    place.deliver("a.csv", &csv(0..3));
    assert_eq!(place.run(place.files_job(""), RunOptions::default()).await.unwrap().rows, 3);
    let uri = place.path("t").display().to_string().parse().unwrap();
    let storage = FaultStorage::new(storage::open(&uri, &place.environment).await.unwrap());
    let options = RunOptions { storage: Some(Arc::new(storage.clone())), ..RunOptions::default() };
    assert!(place.run(place.files_job(""), options).await.unwrap().is_nothing());
    let operations = storage.operations();
    let count = |wanted, start: &str| {
        let of_place =
            operations.iter().filter(|o| o.operation == wanted && o.path.as_str().starts_with(start));
        of_place.count()
    };
    // The newest commit tells how far the pipeline has come, and whether its groups look like buckets.
    let timeline = ".hoodie/timeline/";
    assert_eq!(
        [count(List, ".hoodie/timeline"), count(Get, timeline), count(Get, ".hoodie/hoodie.properties")],
        [2, 2, 1],
        "{operations:#?}"
    );
}
