//! What every storage guarantees, what each kind adds, and the locks on top of them.

mod conformance;
mod full_disk;
mod local;
mod lock;
mod pace;
mod power_loss;

use std::sync::Arc;

use lakebed::environment::Environment;
use lakebed::storage::fault::FaultStorage;
use lakebed::storage::object::ObjectStorage;
use lakebed::storage::paced::{Pace, PacedStorage};
use lakebed::storage::{self, Storage, TablePath, TableUri};

/// An empty place for a table that nobody else uses.
pub struct Place {
    pub storage: Arc<dyn Storage>,
    /// It goes with the place.
    folder: Option<tempfile::TempDir>,
}

impl Place {
    pub async fn local() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let uri = folder.path().join("lake/t").display().to_string();
        Self { storage: open(&uri).await, folder: Some(folder) }
    }

    pub fn memory() -> Self {
        let uri: TableUri = "s3://memory/lake/t".parse().unwrap();
        Self { storage: Arc::new(ObjectStorage::in_memory(&uri, &Environment::real())), folder: None }
    }

    pub async fn faultless() -> Self {
        let place = Self::local().await;
        Self { storage: Arc::new(FaultStorage::new(place.storage)), folder: place.folder }
    }

    /// So fast that nobody waits.
    pub async fn paced() -> Self {
        let place = Self::local().await;
        let pace = Pace::new(u64::MAX, &Environment::real());
        Self { storage: Arc::new(PacedStorage::new(place.storage, pace)), folder: place.folder }
    }

    /// A prefix of its own in the bucket that the environment names.
    pub async fn s3() -> Self {
        let own = Environment::real().ids.uuid();
        Self { storage: open(&format!("s3://lake/{own}/t")).await, folder: None }
    }
}

pub async fn open(uri: &str) -> Arc<dyn Storage> {
    storage::open(&uri.parse().unwrap(), &Environment::real()).await.unwrap()
}

pub fn path(text: &str) -> TablePath {
    text.parse().unwrap()
}

/// A test of each named check for each kind of storage.
macro_rules! on_every_storage {
    ($($check:ident)*) => {
        mod on_local_disk {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                super::conformance::$check(super::Place::local().await.storage).await;
            })*
        }
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                super::conformance::$check(super::Place::memory().storage).await;
            })*
        }
        mod without_faults {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                super::conformance::$check(super::Place::faultless().await.storage).await;
            })*
        }
        mod at_a_pace {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                super::conformance::$check(super::Place::paced().await.storage).await;
            })*
        }
        mod on_s3 {
            $(#[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs S3Mock: lakebed-tools s3mock -- cargo test -p lakebed --test it -- --ignored s3"]
            async fn $check() {
                super::conformance::$check(super::Place::s3().await.storage).await;
            })*
        }
    };
}

on_every_storage! {
    a_new_file_is_put_once
    of_many_that_put_one_file_one_wins
    a_put_replaces
    a_version_is_replaced_once
    of_many_that_replace_one_version_one_wins
    a_file_is_read_up_to_a_limit
    ranges_are_read_in_the_order_given
    ranges_outside_of_the_file_are_refused
    a_file_has_a_size_and_a_time
    a_folder_lists_what_is_directly_in_it
    names_after_a_name_are_listed
    a_stamp_tells_of_what_came_and_went
    everything_below_a_folder_is_listed
    a_file_is_deleted_once
    a_folder_is_deleted_with_everything_below
    the_own_folder_is_no_file
    the_folder_above_has_the_table_in_it
    a_data_file_follows_its_marker_and_shows_when_finished
    a_data_file_never_replaces_another
    of_many_that_finish_one_file_one_wins
    what_is_given_up_never_shows
    leftovers_are_invisible_and_files_are_not_swept
    files_of_several_parts_are_whole
    names_are_taken_as_they_are
    what_is_cancelled_happens_whole_or_not_at_all
}

// Not on S3Mock, which sends half of the old bytes where a file is replaced while it is read, and
// forgets what is at a path when an upload in parts to it is given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_one_version_or_the_other() {
    let place = Place::local().await;
    conformance::a_reader_sees_one_version_or_the_other(place.storage.clone()).await;
    conformance::a_reader_sees_one_version_or_the_other(Place::memory().storage).await;
}

#[tokio::test]
async fn a_file_of_several_parts_never_replaces_another() {
    let place = Place::local().await;
    conformance::a_file_of_several_parts_never_replaces_another(place.storage.clone()).await;
    conformance::a_file_of_several_parts_never_replaces_another(Place::memory().storage).await;
}

#[tokio::test]
#[ignore = "needs S3Mock: lakebed-tools s3mock -- cargo test -p lakebed --test it -- --ignored s3"]
async fn a_file_of_several_parts_is_not_completed_over_another_on_s3() {
    conformance::finish_over_another_in_parts(&Place::s3().await.storage).await;
}
