//! File groups as they should not be.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_hudi::file_name::{DataFileName, FileId};
use lakebed_hudi::instant::InstantTime;

use super::facts::Facts;
use super::{Finding, FindingKind, Mend};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = twice(facts);
    if let Some(buckets) = facts.buckets {
        findings.extend(by_bucket(facts, buckets));
    }
    findings
}

/// Groups that are no bucket's, and buckets with more than one.
fn by_bucket(facts: &Facts, buckets: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut of_bucket: BTreeMap<(&str, u32), Vec<&FileId>> = BTreeMap::new();
    for group in facts.groups.iter().filter(|group| group.latest().is_some()) {
        let (partition, file_id) = (group.id.partition.as_str(), &group.id.file_id);
        match file_id.bucket_of(buckets) {
            Some(bucket) => of_bucket.entry((partition, bucket)).or_default().push(file_id),
            None => findings.push(Finding {
                kind: FindingKind::ForeignGroup,
                subject: format!("{partition}/{file_id}"),
                detail: format!("it is none of the {buckets} buckets: writers do not find its rows"),
                mend: overwrite(partition),
            }),
        }
    }
    for ((partition, bucket), ids) in of_bucket.into_iter().filter(|(_, ids)| ids.len() > 1) {
        let names: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
        findings.push(Finding {
            kind: FindingKind::DuplicateBucket,
            subject: format!("{partition}, bucket {bucket}"),
            detail: format!("it has the groups {}: every bucket writer fails", names.join(" and ")),
            mend: overwrite(partition),
        });
    }
    findings
}

fn overwrite(partition: &str) -> Mend {
    let text = format!(
        "read partition {partition:?} and overwrite it with its own rows, or roll back what wrote it"
    );
    Mend::Advice(text)
}

/// Base files of one group and instant.
fn twice(facts: &Facts) -> Vec<Finding> {
    let mut seen: BTreeSet<(&str, FileId, InstantTime)> = BTreeSet::new();
    let mut findings = Vec::new();
    for (partition, files) in &facts.files {
        for file in files {
            let Some(DataFileName::Base(name)) = DataFileName::parse(file.path.file_name()) else { continue };
            if facts.timeline.is_committed(name.instant)
                && !seen.insert((partition, name.file_id, name.instant))
            {
                findings.push(Finding {
                    kind: FindingKind::DuplicateBaseFile,
                    subject: file.path.to_string(),
                    detail: "there is another base file of its group and instant: readers take either"
                        .to_owned(),
                    mend: duplicate(facts, name.instant),
                });
            }
        }
    }
    findings
}

fn duplicate(facts: &Facts, instant: InstantTime) -> Mend {
    match facts.named.get(&instant) {
        Some(_) => Mend::Advice(format!("delete the one by hand that commit {instant} does not name")),
        None => Mend::Advice("compare the two, and delete one by hand".to_owned()),
    }
}
