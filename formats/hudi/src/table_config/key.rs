//! Names of the properties that Lakebed reads or writes.

/// Table name.
pub const NAME: &str = "hoodie.table.name";
/// Database name; enters the checksum.
pub const DATABASE: &str = "hoodie.database.name";
/// COPY_ON_WRITE or MERGE_ON_READ.
pub const TYPE: &str = "hoodie.table.type";
/// Table version.
pub const VERSION: &str = "hoodie.table.version";
/// Version at creation.
pub const INITIAL_VERSION: &str = "hoodie.table.initial.version";
/// Timeline layout, 1 or 2.
pub const LAYOUT: &str = "hoodie.timeline.layout.version";
/// Folder of the timeline below `.hoodie`.
pub const TIMELINE_PATH: &str = "hoodie.timeline.path";
/// Folder of the history below the timeline.
pub const HISTORY_PATH: &str = "hoodie.timeline.history.path";
/// Record key columns.
pub const RECORD_KEY_FIELDS: &str = "hoodie.table.recordkey.fields";
/// Partition columns.
pub const PARTITION_FIELDS: &str = "hoodie.table.partition.fields";
/// Ordering columns.
pub const ORDERING_FIELDS: &str = "hoodie.table.ordering.fields";
/// Ordering column, older name.
pub const PRECOMBINE_FIELD: &str = "hoodie.table.precombine.field";
/// Merge mode.
pub const MERGE_MODE: &str = "hoodie.record.merge.mode";
/// Merge strategy.
pub const MERGE_STRATEGY_ID: &str = "hoodie.record.merge.strategy.id";
/// Payload class.
pub const PAYLOAD_CLASS: &str = "hoodie.compaction.payload.class";
/// Partial update mode.
pub const PARTIAL_UPDATE_MODE: &str = "hoodie.table.partial.update.mode";
/// Prefix of merge settings that readers need.
pub const MERGE_PROPERTY_PREFIX: &str = "hoodie.record.merge.property.";
/// Key generator by type.
pub const KEY_GENERATOR_TYPE: &str = "hoodie.table.keygenerator.type";
/// Key generator by class.
pub const KEY_GENERATOR_CLASS: &str = "hoodie.table.keygenerator.class";
/// `column=value` folders.
pub const HIVE_STYLE: &str = "hoodie.datasource.write.hive_style_partitioning";
/// Escaped folders.
pub const URL_ENCODE: &str = "hoodie.datasource.write.partitionpath.urlencode";
/// Dates as folders of folders.
pub const SLASH_DATES: &str = "hoodie.datasource.write.slash.separated.date.partitioning";
/// The class that makes partition columns of folders for Hive.
pub const PARTITION_EXTRACTOR: &str = "hoodie.table.partition_extractor_class";
/// Partition columns left out of files.
pub const DROP_PARTITION_COLUMNS: &str = "hoodie.datasource.write.drop.partition.columns";
/// Meta columns filled.
pub const POPULATE_META_FIELDS: &str = "hoodie.populate.meta.fields";
/// Format of base files.
pub const BASE_FILE_FORMAT: &str = "hoodie.table.base.file.format";
/// Table format, `native`.
pub const TABLE_FORMAT: &str = "hoodie.table.format";
/// Zone of instant times.
pub const TIMEZONE: &str = "hoodie.table.timeline.timezone";
/// Avro schema at creation.
pub const CREATE_SCHEMA: &str = "hoodie.table.create.schema";
/// Change data capture.
pub const CDC: &str = "hoodie.table.cdc.enabled";
/// Partitions of the metadata table.
pub const METADATA_PARTITIONS: &str = "hoodie.table.metadata.partitions";
/// Partitions of the metadata table that are being built.
pub const METADATA_PARTITIONS_INFLIGHT: &str = "hoodie.table.metadata.partitions.inflight";
/// Checksum of the names.
pub const CHECKSUM: &str = "hoodie.table.checksum";
/// Kind of index.
pub const INDEX_TYPE: &str = "hoodie.index.type";
/// Buckets of a simple bucket index.
pub const BUCKETS: &str = "hoodie.bucket.index.num.buckets";
/// Hashed columns of a bucket index.
pub const BUCKET_HASH_FIELD: &str = "hoodie.bucket.index.hash.field";
/// SIMPLE or CONSISTENT_HASHING.
pub const BUCKET_ENGINE: &str = "hoodie.index.bucket.engine";
/// Buckets by partition.
pub const BUCKET_EXPRESSIONS: &str = "hoodie.bucket.index.partition.expressions";
/// Base files of a table being bootstrapped.
pub const BOOTSTRAP_PATH: &str = "hoodie.bootstrap.base.path";
/// The engines that the table's owner reads with (Lakebed's own key).
pub const READERS: &str = "lakebed.readers";
