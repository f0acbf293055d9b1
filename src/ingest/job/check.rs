//! Settings that contradict each other.

use lakebed_hudi::date_pattern::DatePattern;

use super::{BadRecordPolicy, CreateSettings, FormatSettings, Job, MergeKind, Operation};
use crate::commit::check_pipeline_name;
use crate::ingest::decode::FormatKind;
use crate::near_match::near_match;
use crate::settings::{SettingsError, has_scheme};
use crate::storage::TableUri;

/// The longest record that can be asked for.
const RECORD_BYTES_MAX: u64 = 1 << 30;

/// Checks a job before anything is opened.
pub(super) fn check(job: &Job) -> Result<(), SettingsError> {
    if job.pipeline.is_empty() {
        return Err(SettingsError::new("pipeline", "it is empty; name the pipeline"));
    }
    check_pipeline_name(&job.pipeline).map_err(|error| SettingsError::new("pipeline", error.to_string()))?;
    address("table.uri", &job.table.uri)?;
    check_table(job)?;
    check_source(job)?;
    check_format(job)?;
    check_mapping(job)?;
    check_mapped_columns(job)?;
    check_bad_records(job)?;
    if let Some(services) = &job.services {
        services.services().check("services")?;
    }
    if job.commit.rows == Some(0) {
        return Err(SettingsError::new("commit.rows", "it must be at least 1"));
    }
    let overwrites = matches!(job.operation, Operation::InsertOverwrite | Operation::InsertOverwriteTable);
    let limits = [job.commit.rows.is_some(), job.commit.bytes.is_some(), job.commit.interval.is_some()];
    let limited = limits.contains(&true) || job.commit.empty;
    if overwrites && (limited || job.source.follow) {
        let with = if limited { "commit" } else { "source.follow" };
        return Err(contradiction("operation", with, "an overwrite is one commit of all records"));
    }
    Ok(())
}

fn contradiction(one: &str, other: &str, why: &str) -> SettingsError {
    SettingsError::new(one, format!("it contradicts {other}: {why}"))
}

fn address(setting: &str, text: &str) -> Result<(), SettingsError> {
    text.parse::<TableUri>().map(|_| ()).map_err(|error| SettingsError::new(setting, error.to_string()))
}

fn check_table(job: &Job) -> Result<(), SettingsError> {
    let table = &job.table;
    if table.clock_skew.is_some() && !table.shared {
        let why = "clocks only differ where others write the table too";
        return Err(contradiction("table.clock_skew", "table.shared", why));
    }
    table.lock.check("table.lock")?;
    table.heartbeat.check("table.heartbeat")?;
    let Some(create) = &table.create else { return Ok(()) };
    match (create.merge_mode, create.ordering.is_empty()) {
        (Some(MergeKind::EventTime), true) => {
            return Err(contradiction("table.create.merge_mode", "table.create.ordering", "name the column"));
        }
        (Some(MergeKind::CommitTime), false) => {
            let why = "ordering columns are not looked at then; leave one of the two out";
            return Err(contradiction("table.create.merge_mode", "table.create.ordering", why));
        }
        _ => {}
    }
    if !create.has_buckets() && !create.hash_field.is_empty() {
        return Err(contradiction("table.create.hash_field", "table.create.buckets", "there are none"));
    }
    if job.source.stdin && create.schema.is_none() {
        let why = "columns are told from files; standard input comes once";
        return Err(SettingsError::new("table.create.schema", format!("it is needed: {why}")));
    }
    check_created(job, create)
}

/// Checks a table that is to be made against what is to be done with it.
fn check_created(job: &Job, create: &CreateSettings) -> Result<(), SettingsError> {
    let finds_rows = matches!(job.operation, Operation::Upsert | Operation::Delete);
    if finds_rows && !create.has_buckets() && job.table.index.is_none() {
        let (setting, why) = match create.buckets {
            None => ("table.create.key", "rows are found by their key; name its columns, or insert"),
            Some(_) => ("table.create.buckets", "rows are found by their bucket; set a number, or insert"),
        };
        return Err(contradiction(setting, "operation", why));
    }
    match &job.mapping.partition {
        Some(made) if !create.partition.contains(&made.column) => {
            let why = format!("{:?} is none of its columns; add it there", made.column);
            Err(contradiction("mapping.partition.column", "table.create.partition", &why))
        }
        _ => Ok(()),
    }
}

fn check_source(job: &Job) -> Result<(), SettingsError> {
    let source = &job.source;
    if source.stdin && !source.files.is_empty() {
        return Err(contradiction("source.stdin", "source.files", "a job has one source"));
    }
    if !source.stdin && source.files.is_empty() {
        return Err(SettingsError::new("source", "set files or stdin"));
    }
    for (set, name) in [(source.follow, "source.follow"), (source.poll.is_some(), "source.poll")] {
        if set && source.stdin {
            return Err(contradiction(name, "source.stdin", "it is for files"));
        }
    }
    if source.poll.is_some() && !source.follow {
        return Err(contradiction(
            "source.poll",
            "source.follow",
            "files are looked for once unless followed",
        ));
    }
    if source.stdin && job.format.kind.is_none() {
        return Err(SettingsError::new(
            "format.type",
            "it is needed, since standard input has no name to tell it by",
        ));
    }
    if source.stdin && job.format.kind == Some(FormatKind::Parquet) {
        let why = "parquet is read from its end and cannot come from a stream; save it to a file";
        return Err(contradiction("source.stdin", "format.type", why));
    }
    for pattern in &source.files {
        if has_scheme(pattern) {
            let advice = "inputs are files of this machine, named by their paths";
            return Err(SettingsError::new("source.files", format!("{pattern:?} is an address: {advice}")));
        }
        // In a class a brace means itself: it is how a name with one is written.
        if pattern.split('{').rev().skip(1).any(|before| !before.ends_with('[')) {
            let advice = "list one pattern for each; a name with a brace is written with [{]";
            return Err(SettingsError::new("source.files", format!("{pattern:?} has braces: {advice}")));
        }
        glob::Pattern::new(pattern).map_err(|error| {
            SettingsError::new("source.files", format!("{pattern:?} is no pattern: {error}"))
        })?;
    }
    Ok(())
}

fn check_format(job: &Job) -> Result<(), SettingsError> {
    let format = &job.format;
    let for_csv = [
        ("format.header", format.header.is_some()),
        ("format.columns", format.columns.is_some()),
        ("format.delimiter", format.delimiter.is_some()),
        ("format.quote", format.quote.is_some()),
        ("format.escape", format.escape.is_some()),
        ("format.nulls", format.nulls.is_some()),
    ];
    if let Some(kind) = format.kind.filter(|kind| *kind != FormatKind::Csv)
        && let Some((name, _)) = for_csv.iter().find(|(_, set)| *set)
    {
        let why = format!("it is for csv, and the type is {}", kind.as_str());
        return Err(contradiction(name, "format.type", &why));
    }
    match (format.header, &format.columns) {
        (Some(false), None) => {
            return Err(contradiction(
                "format.header",
                "format.columns",
                "without a header, name the columns",
            ));
        }
        (None | Some(true), Some(_)) => {
            return Err(contradiction(
                "format.columns",
                "format.header",
                "the header names them; set it to false",
            ));
        }
        _ => {}
    }
    check_characters(format)?;
    if format.record_bytes.is_some_and(|size| size.0 > RECORD_BYTES_MAX) {
        return Err(SettingsError::new("format.record_bytes", "it must be at most 1 GiB"));
    }
    Ok(())
}

/// Checks the characters that part CSV.
fn check_characters(format: &FormatSettings) -> Result<(), SettingsError> {
    let characters = [
        ("format.delimiter", format.delimiter),
        ("format.quote", format.quote),
        ("format.escape", format.escape),
    ];
    for (name, character) in characters {
        if character.is_some_and(|c| !c.is_ascii() || c == '\n' || c == '\r') {
            return Err(SettingsError::new(name, "it must be one ASCII character and no line end"));
        }
    }
    if format.delimiter.unwrap_or(',') == format.quote.unwrap_or('"') {
        return Err(contradiction("format.delimiter", "format.quote", "they are the same character"));
    }
    if format.escape == Some(format.delimiter.unwrap_or(',')) {
        return Err(contradiction("format.escape", "format.delimiter", "they are the same character"));
    }
    Ok(())
}

fn check_mapping(job: &Job) -> Result<(), SettingsError> {
    let mapping = &job.mapping;
    let mut targets: Vec<&String> = mapping.rename.values().collect();
    targets.sort();
    if let Some([twice, _]) = targets.array_windows().find(|[a, b]| a == b) {
        return Err(SettingsError::new("mapping.rename", format!("two columns become {twice:?}")));
    }
    for (column, cast) in &mapping.cast {
        let path = format!("mapping.cast.{column}");
        if cast.pattern.is_some() && cast.unit.is_some() {
            return Err(contradiction(
                &format!("{path}.unit"),
                &format!("{path}.pattern"),
                "set one of them",
            ));
        }
        if let Some(pattern) = &cast.pattern {
            date_pattern(&format!("{path}.pattern"), pattern)?;
        }
    }
    if let Some(partition) = &mapping.partition {
        date_pattern("mapping.partition.pattern", &partition.pattern)?;
        if partition.column == partition.from {
            return Err(SettingsError::new("mapping.partition.column", "it cannot be made of itself"));
        }
        if targets.contains(&&partition.column) || mapping.cast.contains_key(&partition.column) {
            let with = if targets.contains(&&partition.column) { "mapping.rename" } else { "mapping.cast" };
            return Err(contradiction("mapping.partition.column", with, "the column is made, not read"));
        }
    }
    if let Some(operation) = &mapping.operation {
        if job.operation != Operation::Upsert {
            let why = "only upserts can be mixed with deletes";
            return Err(contradiction("mapping.operation", "operation", why));
        }
        if mapping.rename.contains_key(&operation.column) {
            return Err(contradiction(
                "mapping.operation.column",
                "mapping.rename",
                "it is no column of the table",
            ));
        }
        let (upsert, delete) = (operation.upserts(), operation.deletes());
        if let Some(both) = upsert.iter().find(|value| delete.contains(value)) {
            return Err(SettingsError::new(
                "mapping.operation",
                format!("{both:?} means both upsert and delete"),
            ));
        }
    }
    Ok(())
}

/// Checks the columns of the input that settings name, where the job names those that there are.
fn check_mapped_columns(job: &Job) -> Result<(), SettingsError> {
    let Some(columns) = &job.format.columns else { return Ok(()) };
    let renamed = job.mapping.rename.keys().map(|column| (format!("mapping.rename.{column}"), column));
    let operation = job.mapping.operation.iter().map(|o| ("mapping.operation.column".to_owned(), &o.column));
    for (setting, column) in renamed.chain(operation) {
        if !columns.contains(column) {
            let near = near_match(column, columns.iter().map(String::as_str));
            let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            return Err(SettingsError::new(&setting, format!("format.columns has no {column:?}{hint}")));
        }
    }
    Ok(())
}

fn date_pattern(setting: &str, pattern: &str) -> Result<(), SettingsError> {
    DatePattern::parse(pattern).map(|_| ()).map_err(|error| SettingsError::new(setting, error.to_string()))
}

fn check_bad_records(job: &Job) -> Result<(), SettingsError> {
    let settings = &job.bad_records;
    match (settings.policy, &settings.path) {
        (BadRecordPolicy::DeadLetter, None) => Err(SettingsError::new(
            "bad_records.path",
            "it is needed for dead letters: the folder of their files",
        )),
        (BadRecordPolicy::DeadLetter, Some(path)) => address("bad_records.path", path),
        (BadRecordPolicy::Fail, Some(_)) => {
            Err(contradiction("bad_records.path", "bad_records.policy", "the policy is to fail"))
        }
        (BadRecordPolicy::Fail, None) if settings.limit.is_some() => {
            Err(contradiction("bad_records.limit", "bad_records.policy", "the policy is to fail"))
        }
        (BadRecordPolicy::Fail, None) => Ok(()),
    }
}
