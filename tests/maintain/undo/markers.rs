//! Writes and services that died and have no markers any more.

use super::*;
use crate::recovery::audit;

async fn remove_markers(scene: &Scene) {
    let markers = ".hoodie/.temp".parse().unwrap();
    assert!(!scene.disk.list_all(&markers).await.unwrap().is_empty());
    scene.disk.delete_dir(&markers).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_dead_write_are_found_without_its_markers() {
    for by_hand in [true, false] {
        let scene = Scene::new(TableType::MergeOnRead).await;
        scene.upsert(&[put("a", "x", 1)]).await;
        let dead = scene.dies(&[put("a", "x", 2), put("b", "y", 2)]).await;
        remove_markers(&scene).await;
        let scene = scene.later(2);
        match by_hand {
            true => scene.roll_back(dead).await.unwrap(),
            false => _ = scene.upsert(&[put("c", "z", 3)]).await,
        }
        let files = scene.disk.list_all(&lakebed::storage::TablePath::root()).await.unwrap();
        let left = files.iter().find(|file| {
            let path = file.path.as_str();
            !path.starts_with(".hoodie") && path.contains(dead.as_str())
        });
        assert!(left.is_none(), "by hand {by_hand}: {left:?}");
    }
}

/// A base file of the attempt before would stay beside that of the next one.
#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_dead_attempt_are_found_without_its_markers() {
    let scene = Scene::new(TableType::MergeOnRead).await;
    for ts in 1..=2 {
        scene.upsert(&[put("a", "x", ts)]).await;
    }
    let compaction = services::schedule(&scene.maintainer().await).await.unwrap().unwrap();
    compaction_dies(&scene, compaction).await;
    remove_markers(&scene).await;
    let scene = scene.later(2);
    services::maintain(&scene.maintainer().await).await.unwrap();
    let base_files = scene.disk.list_all(&"p=x".parse().unwrap()).await.unwrap();
    let made = base_files.iter().filter(|file| file.path.as_str().contains(compaction.as_str()));
    assert_eq!(made.filter(|file| file.path.as_str().ends_with(".parquet")).count(), 1);
    assert_eq!(audit::strays(scene.maintainer().await.table()).await, [""; 0]);
}
