use super::*;
use crate::partition_path::PartitionKind;

const REAL: &str = "#Updated at 2026-11-23T15:11:18.016Z
hoodie.table.keygenerator.type=SIMPLE
hoodie.table.type=MERGE_ON_READ
hoodie.table.name=t
hoodie.record.merge.mode=EVENT_TIME_ORDERING
hoodie.table.version=9
hoodie.table.ordering.fields=ts,seq
hoodie.timeline.layout.version=2
hoodie.table.partition.fields=p
hoodie.table.recordkey.fields=id
hoodie.datasource.write.hive_style_partitioning=true
hoodie.table.timeline.timezone=UTC
some.unknown=kept
";

fn read(text: &str) -> Result<TableConfig, TableConfigError> {
    TableConfig::from_properties(Properties::parse(text.as_bytes()).unwrap())
}

fn with(line: &str) -> Result<TableConfig, TableConfigError> {
    read(&format!("{REAL}{line}\n"))
}

#[test]
fn a_real_version_9_table_is_understood() {
    let config = read(REAL).unwrap();
    assert_eq!(config.table_type, TableType::MergeOnRead);
    assert_eq!(config.record_key, Some(RecordKeyRule::Bare("id".into())));
    assert_eq!(config.ordering_fields, ["ts", "seq"]);
    assert_eq!(config.merge_mode, MergeMode::EventTime);
    assert!(config.partition_path.hive_style);
    assert_eq!(config.zone, DeclaredZone::Utc);
    assert_eq!(config.timeline_folder(), ".hoodie/timeline");
    assert_eq!(config.history_folder(), ".hoodie/timeline/history");
    assert_eq!(config.properties.get("some.unknown"), Some("kept"));
    assert!(config.metadata_partitions().is_empty());
}

#[test]
fn the_checksum_covers_the_names() {
    // As Hudi 1.2.0 wrote it for a table of this name without a database.
    let crc = checksum("", "t");
    assert!(with(&format!("hoodie.table.checksum={crc}")).is_ok());
    assert!(matches!(with("hoodie.table.checksum=1"), Err(TableConfigError::Checksum { .. })));
}

#[test]
fn unknown_values_are_refused_by_key() {
    for line in [
        "hoodie.table.type=MERGE_ON_WRITE",
        "hoodie.record.merge.mode=LUCKY",
        "hoodie.table.partial.update.mode=KEEP_VALUES",
        "hoodie.table.timeline.timezone=MARS",
        "hoodie.index.type=BUCKET\nhoodie.bucket.index.num.buckets=0",
        "hoodie.table.keygenerator.type=USER_PROVIDED",
    ] {
        let key = line.split('=').next().unwrap();
        let error = with(line).unwrap_err().to_string();
        assert!(error.contains(key) || error.contains(key::BUCKETS), "{error}");
    }
    assert!(matches!(with("hoodie.table.version=10"), Err(TableConfigError::Version { .. })));
    assert!(matches!(with("hoodie.timeline.layout.version=1"), Err(TableConfigError::Layout { .. })));
}

#[test]
fn a_bucket_index_may_be_declared_without_its_number_of_buckets() {
    let config = with("hoodie.index.type=BUCKET\nhoodie.bucket.index.hash.field=p").unwrap();
    assert!(config.lacks_bucket_count());
    assert_eq!((config.bucket_index.clone(), config.bucket_hash_fields()), (None, vec!["p".to_owned()]));
    assert!(!read(REAL).unwrap().lacks_bucket_count());
}

#[test]
fn before_version_9_the_payload_class_decides() {
    let six = |payload: &str| {
        let text = REAL.replace("version=9", "version=6").replace("layout.version=2", "layout.version=1");
        let text = text.replace("hoodie.record.merge.mode=EVENT_TIME_ORDERING\n", "");
        read(&format!("{text}hoodie.compaction.payload.class=org.apache.hudi.common.model.{payload}\n"))
            .unwrap()
            .merge_mode
    };
    assert_eq!(six("DefaultHoodieRecordPayload"), MergeMode::EventTime);
    assert_eq!(six("OverwriteWithLatestAvroPayload"), MergeMode::CommitTime);
    assert!(matches!(six("PartialUpdateAvroPayload"), MergeMode::Custom(name) if name.contains("Partial")));
    // Version 9 tables keep a legacy class that means nothing any more.
    let nine =
        with("hoodie.table.legacy.payload.class=org.apache.hudi.common.model.PartialUpdateAvroPayload");
    assert_eq!(nine.unwrap().merge_mode, MergeMode::EventTime);
}

#[test]
fn one_complex_key_column_is_spelled_with_its_name() {
    let config = with("hoodie.table.keygenerator.type=COMPLEX").unwrap();
    assert_eq!(config.record_key, Some(RecordKeyRule::Composite(vec!["id".into()])));
    assert!(!config.ambiguous_record_key);
}

#[test]
fn a_new_table_reads_back_as_it_was_meant() {
    let new = NewTable {
        name: "flights".into(),
        table_type: TableType::MergeOnRead,
        record_key_fields: vec!["carrier".into(), "flight".into()],
        partition_fields: vec!["month".into()],
        ordering_fields: vec!["ts".into()],
        partial_update: Some(PartialUpdateMode::IgnoreDefaults),
        bucket_index: Some(BucketIndex { buckets: 2, hash_fields: vec!["carrier".into(), "flight".into()] }),
        hive_style: true,
        url_encode: true,
        create_schema: "{}".into(),
        readers: vec!["spark".into()],
    };
    let config = TableConfig::from_properties(new.to_properties()).unwrap();
    assert_eq!(config.bucket_index, new.bucket_index);
    assert_eq!(config.partial_update, new.partial_update);
    assert_eq!(config.record_key, Some(RecordKeyRule::Composite(new.record_key_fields)));
    assert_eq!(config.zone, DeclaredZone::Utc);
    let bytes = config.properties.to_bytes("created");
    assert_eq!(Properties::parse(&bytes).unwrap(), config.properties);
}

#[test]
fn custom_generators_name_the_kind_of_each_column() {
    let text = "hoodie.table.keygenerator.type=CUSTOM\nhoodie.table.partition.fields=a:simple,t:TIMESTAMP\n\
        hoodie.keygen.timebased.timestamp.type=UNIX_TIMESTAMP\nhoodie.keygen.timebased.output.dateformat=yyyy";
    let config = with(text).unwrap();
    let kinds: Vec<_> = config.partition_path.parts.iter().map(|p| (p.column.as_str(), &p.kind)).collect();
    assert!(matches!(kinds.as_slice(), [("a", PartitionKind::Simple), ("t", PartitionKind::Timestamp(_))]));
    assert!(with("hoodie.table.keygenerator.type=CUSTOM").is_err());
}
