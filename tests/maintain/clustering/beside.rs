//! Clusterings beside writers, other services, and what else happens to a table.

use lakebed::commit::{Outcome, Scheduled};
use lakebed::maintain::clustering::plan;
use lakebed::maintain::compaction;
use lakebed::maintain::RunOutcome;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::WriteStat;

use super::*;
use crate::maintain::place::{prepare, publish};
use crate::test_table::is_committed;

#[tokio::test]
async fn inserts_go_on_beside_a_clustering() {
    let (place, instant, mut model) = with_plan().await;
    let mut sink = place.sink_for("beside", WriteOperation::Insert).await;
    let more = [Change::put("beside", "x", 9, "b")];
    let prepared = prepare(&mut sink, 1, &more).await;
    let report = run(&place, instant).await.unwrap();
    assert_eq!(report.left_out, []);
    assert!(is_committed(&publish(&sink, &prepared).await), "its groups are new ones");
    model.upsert(&more);
    assert_eq!(place.problems(&model).await, [""; 0]);
    assert_eq!(place.slices().await.len(), PARTITIONS.len() + 1);
}

#[tokio::test]
async fn an_overwrite_waits_for_a_planned_clustering_and_leaves_it_nothing_where_it_came_before() {
    let (place, instant, mut model) = with_plan().await;
    let mut sink = place.sink_for("over", WriteOperation::InsertOverwrite).await;
    let over = [Change::put("over", "x", 9, "o")];
    let prepared = prepare(&mut sink, 1, &over).await;
    let outcome = publish(&sink, &prepared).await;
    let Outcome::Conflicted { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("planned to be clustered"), "{reason}");
    run(&place, instant).await.unwrap();
    let mut sink = place.sink_for("over", WriteOperation::InsertOverwrite).await;
    commit(&mut sink, &over).await;
    model.overwrite(&over);
    assert_eq!(model.differences(&place.rows().await), [""; 0]);
}

/// A writer that has not heard of the plan writes to a group of it, or ends one: one of Hudi's, as the only
/// writer of its table.
async fn written_by_others(place: &Place, partition: &str, replaces: bool) -> Vec<String> {
    let slices = place.slices().await;
    let (group, slice) = slices.iter().find(|(group, _)| group.partition == partition).unwrap();
    let base = slice.base.as_ref().unwrap();
    let table = place.table().await;
    let (begun, completed) = ["20991231235959001", "20991231235959002"].map(|time| time.parse().unwrap()).into();
    let mut metadata = CommitMetadata::default();
    if replaces {
        metadata.partition_to_replace_file_ids = Some([(partition.to_owned(), vec![group.file_id.clone()])].into());
    } else {
        // The same rows in a new base file.
        let bytes = table.storage.get(&base.path, u64::MAX).await.unwrap().bytes;
        let name = format!("{partition}/{}_7-7-7_{begun}.parquet", group.file_id);
        table.storage.put(&name.parse().unwrap(), bytes).await.unwrap();
        let stat = WriteStat {
            file_id: group.file_id.to_string(),
            path: Some(name),
            ..WriteStat::default()
        };
        metadata.partition_to_write_stats = [(partition.to_owned(), vec![stat])].into();
    }
    let action = if replaces { Action::ReplaceCommit } else { Action::Commit };
    let file = TimelineFile::completed(begun, action, completed);
    table.storage.put(&table.timeline.path(&file), metadata.to_avro().unwrap().into()).await.unwrap();
    vec![group.file_id.to_string()]
}
