//! How fast data files are read and written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lakebed::storage::Storage;
use lakebed::storage::paced::{Pace, PacedStorage};

use super::{Place, path};
use crate::maintain::clock::StepClock;

#[tokio::test]
async fn data_files_are_read_and_written_no_faster_than_is_asked_for() {
    let (environment, _) = StepClock::environment(1_790_000_000_000);
    let place = Place::memory();
    let paced = PacedStorage::new(place.storage.clone(), Pace::new(1000, &environment));
    let storage: Arc<dyn Storage> = Arc::new(paced);
    let (clock, begun) = (&environment.clock, environment.clock.monotonic());
    let passed = || clock.monotonic().saturating_sub(begun);

    let mut file = storage.create(&path("p/data"), None).await.unwrap();
    for _ in 0..10 {
        file.write(Bytes::from(vec![1; 1000])).await.unwrap();
    }
    file.finish().await.unwrap();
    // The last one is not waited for.
    assert_eq!(passed(), Duration::from_secs(9));
    storage.get_ranges(&path("p/data"), &[0..1500, 2000..2500]).await.unwrap();
    storage.get_range(&path("p/data"), 0..1).await.unwrap();
    assert_eq!(passed(), Duration::from_secs(12));

    // The timeline does not wait.
    storage.put(&path(".hoodie/timeline/x"), Bytes::from(vec![1; 100_000])).await.unwrap();
    storage.get_range(&path(".hoodie/timeline/x"), 0..100_000).await.unwrap();
    storage.get(&path(".hoodie/timeline/x"), 100_000).await.unwrap();
    assert_eq!(passed(), Duration::from_secs(12));
}
