//! Compactions beside writers, other maintainers, and what else happens to a table.

use std::collections::BTreeSet;

use futures::future::join_all;
use lakebed::commit::{Outcome, Scheduled};
use lakebed::maintain::compaction::{CompactionDraft, CompactionRules, plan};
use lakebed::maintain::{MaintainError, RunOutcome};
use lakebed::sink::{Prepared, Sink};
use lakebed::storage::fault::{Fault, FaultKind, LoggedOperation};
use lakebed::storage::{Operation, TablePath};
use lakebed::table::WriteOperation;
use lakebed::table::properties::load;
use lakebed_hudi::instant::InstantTime;
use lakebed_hudi::table_config::key;
use lakebed_hudi::timeline_file::{Action, TimelineFile};
use lakebed_hudi::timeline_metadata::{CommitMetadata, CompactionOperation, CompactionPlan, OperationType};

use super::place::{GROUPS, Place, Process, changes, commit, prepare, publish};
use crate::recovery::model::{Change, Model};
use crate::test_table::{is_committed, services};

/// The times at which a writer is about something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    BeforeTheSurvey,
    BeforeThePlan,
    BeforeTheRun,
    WithinTheRun,
    AfterIt,
}

const ALL: [When; 5] =
    [When::BeforeTheSurvey, When::BeforeThePlan, When::BeforeTheRun, When::WithinTheRun, When::AfterIt];

/// The operation with which a run begins its first file.
async fn first_file() -> usize {
    let (place, _) = Place::written().await;
    let planned = services::schedule(&place.maintainer().await).await.unwrap().unwrap();
    let process = Process::start(&place, planned, 4, None);
    process.run.await.unwrap().unwrap();
    let is_file =
        |o: &LoggedOperation| o.operation == Operation::Create && !o.path.as_str().starts_with(".hoodie/");
    process.storage.operations().iter().position(is_file).unwrap()
}

/// Log files and base files of the slice that has "a" of partition "x".
async fn slice_of_a(place: &Place) -> (bool, usize) {
    let groups = place.maintainer().await.survey().await.unwrap().groups;
    let of_x = groups.iter().filter(|group| group.id.partition == "p=x");
    // It has all the log files here.
    let slices = of_x.filter_map(|group| group.latest());
    let slice = slices.max_by_key(|slice| slice.logs.len()).unwrap();
    (slice.base.is_some(), slice.logs.len())
}

/// A checkpoint that is ended and committed beside a compaction.
struct Writer {
    sink: Sink,
    prepared: Option<Prepared>,
    model: Model,
}

impl Writer {
    fn changes() -> [Change; 1] {
        [Change::put("a", "x", 9, "beside")]
    }

    /// Ends and commits the checkpoint if it is time, and expects the rows of then.
    async fn at(&mut self, place: &Place, now: When, (ends, commits): (When, When)) {
        if now == ends {
            self.prepared = Some(prepare(&mut self.sink, 1, &Self::changes()).await);
        }
        if now == commits {
            let outcome = publish(&self.sink, &self.prepared.take().unwrap()).await;
            assert!(is_committed(&outcome), "{now:?}: {outcome:?}");
            self.model.upsert(&Self::changes());
        }
        assert_eq!(self.model.differences(&place.rows().await), [""; 0], "{now:?} of {ends:?} {commits:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_is_committed_at_any_time_is_in_the_slice_of_that_time() {
    let first_file = first_file().await;
    let pairs = ALL.iter().flat_map(|ends| ALL.iter().map(|commits| (*ends, *commits)));
    for times in pairs.filter(|(ends, commits)| ends <= commits) {
        let (place, model) = Place::written().await;
        let mut writer = Writer { sink: place.sink("beside").await, prepared: None, model };
        let maintainer = place.maintainer().await;
        writer.at(&place, When::BeforeTheSurvey, times).await;
        let survey = maintainer.survey().await.unwrap();
        writer.at(&place, When::BeforeThePlan, times).await;
        let draft = plan(&survey, &CompactionRules::everything());
        let scheduled = maintainer.schedule_compaction(&survey, &draft).await.unwrap();
        let Scheduled::At(planned) = scheduled else { panic!("{scheduled:?}") };
        writer.at(&place, When::BeforeTheRun, times).await;
        let fault = Fault { at: first_file, kind: FaultKind::StandStill };
        let running = Process::start(&place, planned, 4, Some(fault));
        assert!(running.stands_still().await);
        writer.at(&place, When::WithinTheRun, times).await;
        let report = running.wakes().await.unwrap();
        assert!(matches!(report.outcome, RunOutcome::Committed { .. }), "{report:?}");
        writer.at(&place, When::AfterIt, times).await;

        let is_on_new_base = times.1 > When::BeforeThePlan;
        assert_eq!(slice_of_a(&place).await, (true, usize::from(is_on_new_base)), "{times:?}");
        assert_eq!(place.problems(&writer.model).await, [""; 0], "{times:?}");
    }
}

/// What was deleted before the plan is forgotten with it: a late row of that key shows then.
#[tokio::test]
async fn a_late_row_meets_a_delete_if_both_are_merged_together() {
    for deleted_before_plan in [true, false] {
        let (place, mut model) = Place::written().await;
        let mut sink = place.sink("beside").await;
        let delete = [Change::delete("a", "x", 9)];
        if deleted_before_plan {
            commit(&mut sink, &delete).await;
        }
        let maintainer = place.maintainer().await;
        let planned = services::schedule(&maintainer).await.unwrap().unwrap();
        if !deleted_before_plan {
            commit(&mut sink, &delete).await;
        }
        services::run(&maintainer, planned).await.unwrap();
        commit(&mut sink, &[Change::put("a", "x", 3, "late")]).await;
        model.upsert(&delete);
        if deleted_before_plan {
            model.upsert(&[Change::put("a", "x", 3, "late")]);
        }
        // The fold keeps the greater ordering value, and so the delete, where both are in the logs.
        assert_eq!(model.differences(&place.rows().await), [""; 0], "deleted before: {deleted_before_plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_maintainers_one_does_the_work() {
    for seed in 0..8 {
        let (place, model) = Place::written().await;
        let planned = services::schedule(&place.maintainer().await).await.unwrap().unwrap();
        let processes = [1, 2, 3].map(|n| Process::start(&place, planned, 10 * seed + n, None).run);
        let mut committed = 0;
        for run in join_all(processes).await {
            match run.unwrap().unwrap().outcome {
                RunOutcome::Committed { .. } => committed += 1,
                RunOutcome::AtWork { .. } | RunOutcome::Over => {}
                RunOutcome::Stopped => panic!("nobody stopped it"),
            }
        }
        assert_eq!(committed, 1);
        assert_eq!(place.problems(&model).await, [""; 0]);
    }
}

/// The groups of each pending plan.
async fn plans(place: &Place) -> Vec<(InstantTime, BTreeSet<String>)> {
    let table = place.table().await;
    let mut plans = Vec::new();
    for instant in services::planned(&table).await {
        let bytes = table.timeline.read(&TimelineFile::requested(instant, Action::Compaction)).await.unwrap();
        let plan = CompactionPlan::from_avro(&bytes).unwrap();
        let group = |o: &CompactionOperation| format!("{}/{}", o.partition_path, o.file_id);
        plans.push((instant, plan.operations.iter().map(group).collect()));
    }
    plans
}

#[tokio::test(flavor = "multi_thread")]
async fn no_group_is_in_two_pending_plans() {
    for max_groups in [1, 2, 3, GROUPS] {
        let (place, model) = Place::written().await;
        let rules = CompactionRules { max_groups, ..CompactionRules::everything() };
        // All look at the table before the first of them plans.
        let mut drafts = Vec::new();
        for seed in 0..3 {
            let maintainer = place.process(place.disk.clone(), 20 + seed).maintainer().await;
            let survey = maintainer.survey().await.unwrap();
            drafts.push((plan(&survey, &rules), survey, maintainer));
        }
        let planning = drafts.into_iter().map(|(draft, survey, maintainer)| {
            tokio::spawn(async move { maintainer.schedule_compaction(&survey, &draft).await.unwrap() })
        });
        let scheduled: Vec<Scheduled> = join_all(planning).await.into_iter().map(Result::unwrap).collect();
        let count = |is: fn(&Scheduled) -> bool| scheduled.iter().filter(|s| is(s)).count();
        assert_eq!(count(|s| matches!(s, Scheduled::At(_))), 1, "{scheduled:?}");
        assert_eq!(count(|s| *s == Scheduled::Nothing), 2, "{scheduled:?}");
        // Who looks now plans the rest.
        while services::schedule(&place.maintainer().await).await.unwrap().is_some() {}
        let plans = plans(&place).await;
        let all: BTreeSet<&String> = plans.iter().flat_map(|(_, groups)| groups).collect();
        let total: usize = plans.iter().map(|(_, groups)| groups.len()).sum();
        assert_eq!((all.len(), total), (GROUPS, GROUPS), "{plans:?}");
        assert_eq!(plans.len(), if max_groups == GROUPS { 1 } else { 2 }, "{plans:?}");
        services::run_planned(&place.table().await).await;
        assert_eq!(place.problems(&model).await, [""; 0]);
    }
}

/// Has another engine end groups of partition `x`, which Hudi lets it do while a compaction of them is pending.
async fn replace_x(place: &Place) {
    let table = place.table().await;
    let snapshot = table.snapshot(None).await.unwrap();
    let files = snapshot.partition_files("p=x").await.unwrap();
    let groups = snapshot.file_groups("p=x", &files).await.unwrap();
    let replaced = groups.into_iter().map(|group| group.id.file_id).collect();
    let metadata = CommitMetadata {
        operation_type: Some(OperationType::InsertOverwrite),
        partition_to_replace_file_ids: Some([("p=x".to_owned(), replaced)].into()),
        extra_metadata: [(CommitMetadata::SCHEMA_KEY.to_owned(), snapshot.schema().await.unwrap().to_avro())]
            .into(),
        ..CommitMetadata::default()
    };
    let [begun, completed] = times_after(snapshot.timeline.latest_time().unwrap());
    let requested = TimelineFile::requested(begun, Action::ReplaceCommit);
    table.storage.put(&table.timeline.path(&requested), "".into()).await.unwrap();
    let file = TimelineFile::completed(begun, Action::ReplaceCommit, completed);
    table.storage.put(&table.timeline.path(&file), metadata.to_avro().unwrap().into()).await.unwrap();
}

/// Two times that come next.
fn times_after(last: InstantTime) -> [InstantTime; 2] {
    let last: u64 = last.as_str().parse().unwrap();
    [1, 2].map(|more| (last + more).to_string().parse().unwrap())
}

#[tokio::test]
async fn groups_that_were_replaced_since_the_plan_are_passed_over_whether_their_files_are_there_or_not() {
    for are_cleaned in [false, true] {
        let (place, mut model) = Place::written().await;
        let planned = services::schedule(&place.maintainer().await).await.unwrap().unwrap();
        replace_x(&place).await;
        model.0.retain(|(partition, _), _| partition != "x");
        if are_cleaned {
            for file in place.disk.list(&"p=x".parse().unwrap()).await.unwrap().files {
                if !file.path.file_name().starts_with(".hoodie_") {
                    place.disk.delete(&file.path).await.unwrap();
                }
            }
        }
        let later = place.later(3);
        let report = services::run(&later.maintainer().await, planned).await.unwrap();
        assert_eq!((report.groups, report.finished), (2, 2), "{report:?}");
        assert_eq!(model.differences(&later.rows().await), [""; 0]);
        assert!(services::maintain(&later.maintainer().await).await.unwrap().is_empty());
        assert_eq!(services::planned(&later.table().await).await, []);
    }
}

#[tokio::test]
async fn an_overwrite_of_ours_waits_for_the_compaction_of_what_it_replaces() {
    let (place, mut model) = Place::written().await;
    let maintainer = place.maintainer().await;
    let planned = services::schedule(&maintainer).await.unwrap().unwrap();
    let over = [Change::put("z", "x", 1, "over")];
    let mut sink = place.sink_for("over", WriteOperation::InsertOverwrite).await;
    let prepared = prepare(&mut sink, 1, &over).await;
    let outcome = publish(&sink, &prepared).await;
    assert!(
        matches!(&outcome, Outcome::Conflicted { reason } if reason.contains("planned to be compacted")),
        "{outcome:?}"
    );
    sink.rewind().await.unwrap();
    services::run(&maintainer, planned).await.unwrap();
    commit(&mut sink, &over).await;
    model.overwrite(&over);
    assert_eq!(place.problems(&model).await, [""; 0]);
}

/// As an overwrite that was ended before the plan and committed before it.
#[tokio::test]
async fn what_was_overwritten_between_the_survey_and_the_plan_is_not_planned() {
    let (place, mut model) = Place::written().await;
    let over = [Change::put("z", "x", 1, "over")];
    let mut sink = place.sink_for("over", WriteOperation::InsertOverwrite).await;
    let prepared = prepare(&mut sink, 1, &over).await;
    let maintainer = place.maintainer().await;
    let survey = maintainer.survey().await.unwrap();
    assert!(is_committed(&publish(&sink, &prepared).await));
    model.overwrite(&over);
    let draft = plan(&survey, &CompactionRules::everything());
    assert_eq!(draft.groups.len(), GROUPS);
    let scheduled = maintainer.schedule_compaction(&survey, &draft).await.unwrap();
    let Scheduled::At(planned) = scheduled else { panic!("{scheduled:?}") };
    let [(_, groups)] = plans(&place).await.try_into().unwrap();
    assert!(groups.len() == 2 && groups.iter().all(|group| group.starts_with("p=y/")), "{groups:?}");
    services::run(&maintainer, planned).await.unwrap();
    assert_eq!(model.differences(&place.rows().await), [""; 0]);
}

/// Has another engine take the table back to before its newest commit and the plans after that, as Hudi does it.
async fn restore(place: &Place, planned: Option<InstantTime>) {
    let table = place.table().await;
    let timeline = table.timeline.load().await.unwrap();
    let newest = timeline.completed_writes().next_back().unwrap();
    let delete = async |path: &TablePath| table.storage.delete(path).await.unwrap();
    for (_, stat) in table.timeline.commit_metadata(newest).await.unwrap().write_stats() {
        delete(&stat.path.as_ref().unwrap().parse().unwrap()).await;
    }
    let services = planned.into_iter().flat_map(|time| {
        [TimelineFile::inflight(time, Action::Compaction), TimelineFile::requested(time, Action::Compaction)]
    });
    let writes = [
        newest.file(),
        TimelineFile::inflight(newest.time, newest.action),
        TimelineFile::requested(newest.time, newest.action),
    ];
    for file in services.chain(writes) {
        delete(&table.timeline.path(&file)).await;
    }
    let [begun, completed] = times_after(timeline.latest_time().unwrap());
    let file = TimelineFile::completed(begun, Action::Restore, completed);
    // What a restore says is nobody's business here.
    table.storage.put(&table.timeline.path(&file), "restored".into()).await.unwrap();
}

fn model_of_first(commits: usize) -> Model {
    let mut model = Model::default();
    changes()[..commits].iter().for_each(|changes| model.upsert(changes));
    model
}

#[tokio::test]
async fn a_plan_is_stale_when_the_table_was_taken_back_after_the_survey() {
    let (place, _) = Place::written().await;
    let maintainer = place.maintainer().await;
    let survey = maintainer.survey().await.unwrap();
    let draft = plan(&survey, &CompactionRules::everything());
    restore(&place, None).await;
    let scheduled = maintainer.schedule_compaction(&survey, &draft).await.unwrap();
    assert!(matches!(&scheduled, Scheduled::Stale { reason } if reason.contains("restore")), "{scheduled:?}");
    assert_eq!(services::planned(&place.table().await).await, []);
    services::maintain(&maintainer).await.unwrap();
    assert_eq!(model_of_first(2).differences(&place.rows().await), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_is_given_up_when_the_table_is_taken_back_beneath_it() {
    let (place, _) = Place::written().await;
    let planned = services::schedule(&place.maintainer().await).await.unwrap().unwrap();
    let fault = Fault { at: first_file().await, kind: FaultKind::StandStill };
    let running = Process::start(&place, planned, 4, Some(fault));
    assert!(running.stands_still().await);
    restore(&place, Some(planned)).await;
    let given_up = running.wakes().await;
    assert!(given_up.is_err(), "{given_up:?}");
    let model = model_of_first(2);
    assert_eq!(model.differences(&place.rows().await), [""; 0]);
    // Its files go when the next one comes, and what has log files then is compacted.
    let later = place.later(5);
    services::maintain(&later.maintainer().await).await.unwrap();
    assert_eq!(model.differences(&later.rows().await), [""; 0]);
    let files = later.disk.list_all(&TablePath::root()).await.unwrap();
    let left: Vec<_> = files.iter().filter(|file| file.path.as_str().contains(planned.as_str())).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Sets properties of the table, as another engine may.
async fn set(place: &Place, properties: &[(&str, &str)]) {
    let mut now = load(place.disk.as_ref()).await.unwrap().properties;
    properties.iter().for_each(|(key, value)| now.set(*key, *value));
    let path: TablePath = ".hoodie/hoodie.properties".parse().unwrap();
    place.disk.put(&path, now.to_bytes("changed").into()).await.unwrap();
}

#[tokio::test]
async fn a_plan_is_stale_and_a_compaction_is_refused_when_the_properties_were_changed() {
    for (property, reason) in [
        ((key::MERGE_MODE, "COMMIT_TIME_ORDERING"), "ordering"),
        ((key::PARTIAL_UPDATE_MODE, "IGNORE_DEFAULTS"), "partial update mode"),
        ((key::METADATA_PARTITIONS, "files"), "metadata table"),
    ] {
        let (place, model) = Place::written().await;
        let maintainer = place.maintainer().await;
        let survey = maintainer.survey().await.unwrap();
        let draft = plan(&survey, &CompactionRules::everything());
        set(&place, &[property]).await;
        let scheduled = maintainer.schedule_compaction(&survey, &draft).await.unwrap();
        assert!(
            matches!(&scheduled, Scheduled::Stale { reason: told } if told.contains(reason)),
            "{scheduled:?}"
        );

        let (place, _) = Place::written().await;
        let maintainer = place.maintainer().await;
        let planned = services::schedule(&maintainer).await.unwrap().unwrap();
        set(&place, &[property]).await;
        let refused = maintainer.compact(planned, &services::no_limits(), &|_| {}).await.unwrap_err();
        assert!(
            matches!(&refused, MaintainError::Conflict { reason: told } if told.contains(reason)),
            "{refused}"
        );
        assert_eq!(services::planned(&place.table().await).await, [planned], "it is pending still");
        if property.0 == key::PARTIAL_UPDATE_MODE {
            // Whoever opens the table as it is now can do it.
            services::run(&place.maintainer().await, planned).await.unwrap();
            assert_eq!(place.problems(&model).await, [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_draft_of_nothing_is_not_planned() {
    let (place, _) = Place::written().await;
    let maintainer = place.maintainer().await;
    let survey = maintainer.survey().await.unwrap();
    let scheduled = maintainer.schedule_compaction(&survey, &CompactionDraft::default()).await.unwrap();
    assert_eq!(scheduled, Scheduled::Nothing);
    assert_eq!(place.table().await.timeline.load().await.unwrap().pending().count(), 0);
}
