//! Files of the timeline that nobody can read.

use lakebed_hudi::timeline_file::Action;

use super::facts::{BrokenFile, Facts};
use super::{Finding, FindingKind, Mend};
use crate::timeline::Instant;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let unknown = facts.unknown.iter().map(|(path, why)| Finding {
        kind: FindingKind::UnknownFile,
        subject: path.clone(),
        detail: format!("{why}; as long as it is there Lakebed neither reads nor writes the table"),
        mend: Mend::Advice(
            "move it out of the table, unless an engine put it there that is newer".to_owned(),
        ),
    });
    let broken = facts.broken.iter().map(|file| Finding {
        kind: FindingKind::BrokenFile,
        subject: file.path.clone(),
        detail: file.why.clone(),
        mend: Mend::Advice(advice(facts, file)),
    });
    unknown.chain(broken).collect()
}

fn advice(facts: &Facts, file: &BrokenFile) -> String {
    let Some(instant) = &file.of else {
        return "put it back from a copy: until then nobody can tell what old files are".to_owned();
    };
    let anew = format!("put it back from a copy; without one delete it: {}", without(facts, instant));
    match instant.action {
        Action::Restore => {
            "put it back from a copy, and do not delete it: the restore would be gone on with, and \
                            undo what came since"
                .to_owned()
        }
        _ => anew,
    }
}

/// What becomes of an instant whose completed file is deleted.
fn without(facts: &Facts, instant: &Instant) -> String {
    let Instant { time, action, requested_as, .. } = instant;
    let uri = &facts.uri;
    match action {
        Action::Clean => format!("the clean is then gone on with (lakebed clean {uri} --run {time})"),
        Action::Rollback => "whoever writes next goes on with the rollback then".to_owned(),
        Action::Savepoint => {
            format!(
                "what it kept is not kept any more, and can be savepointed again (lakebed savepoint {uri})"
            )
        }
        _ if requested_as != action => {
            format!(
                "the {requested_as} is then pending again, and is rolled back (lakebed rollback {uri} {time}); what it \
                 wrote is lost where a clean has deleted what it read"
            )
        }
        _ => format!(
            "the write then counts as one that died, is rolled back (lakebed rollback {uri} {time}), and its rows are \
             lost, with those that it took over from files which a clean has deleted since"
        ),
    }
}
