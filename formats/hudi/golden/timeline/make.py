"""Makes the timeline files of this folder with Spark 3.5.6 and Hudi 1.2.0.

    HUDI_BUNDLE=<hudi-spark3.5-bundle_2.12-1.2.0.jar> TZ=UTC python3 make.py <target folder>

Needs Java 17 and pyspark==3.5.6. The tables are made in /lake, which must not exist: plans of
cleans, clusterings and rollbacks hold absolute paths. Instants, file ids and times differ from
run to run, so the values that tests expect must be adjusted after a new run.
"""
import os
import shutil
import sys

from pyspark.sql import SparkSession

LAKE, TARGET = "/lake", sys.argv[1]
QUIET = {
    "hoodie.metadata.enable": "false",
    "hoodie.write.auto.upgrade": "false",
    "hoodie.table.timeline.timezone": "UTC",
    "hoodie.embed.timeline.server": "false",
    "hoodie.compact.inline": "false",
    "hoodie.clean.automatic": "false",
    "hoodie.archive.automatic": "false",
}
FAIL = {
    "hoodie.precommit.validators":
        "org.apache.hudi.client.validator.SqlQuerySingleResultPreCommitValidator",
    "hoodie.precommit.validators.single.value.sql.queries": "select count(*) from <TABLE_NAME>#999999",
}
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.jars", os.environ["HUDI_BUNDLE"])
    .config("spark.serializer", "org.apache.spark.serializer.KryoSerializer")
    .config("spark.kryo.registrator", "org.apache.spark.HoodieSparkKryoRegistrar")
    .config("spark.sql.extensions", "org.apache.spark.sql.hudi.HoodieSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.hudi.catalog.HoodieCatalog")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.shuffle.partitions", "2")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
for key, value in QUIET.items():
    spark.sql(f"set {key}={value}")


class Table:
    def __init__(self, name, table_type, partitioned=True, **more):
        self.path, self.name = f"{LAKE}/{name}", name
        self.options = {
            **QUIET,
            "hoodie.table.name": name,
            "hoodie.datasource.write.recordkey.field": "id",
            "hoodie.table.ordering.fields": "ts",
            "hoodie.datasource.write.table.type": table_type,
            "hoodie.datasource.write.hive_style_partitioning": "true",
            "hoodie.index.bloom.num_entries": "10",
            "hoodie.upsert.shuffle.parallelism": "2",
            **{key.replace("__", "."): value for key, value in more.items()},
        }
        if partitioned:
            self.options["hoodie.datasource.write.partitionpath.field"] = "p"
        else:
            self.options["hoodie.datasource.write.keygenerator.class"] = (
                "org.apache.hudi.keygen.NonpartitionedKeyGenerator")

    def write(self, operation, ids, ts, partition="a", more=None):
        rows = [(f"k{i}", ts, i, partition) for i in ids]
        options = {**self.options, **(more or {}), "hoodie.datasource.write.operation": operation}
        frame = spark.createDataFrame(rows, "id string, ts long, n int, p string")
        frame.write.format("hudi").options(**options).mode("append").save(self.path)
        if ts == 1 and "hoodie.write.table.version" not in self.options:
            spark.sql(f"create table if not exists {self.name} using hudi location '{self.path}'")

    def fail(self, ids, ts):
        try:
            self.write("upsert", ids, ts, more=FAIL)
        except Exception as error:
            assert "Failed to upsert" in str(error), error
        else:
            raise AssertionError("the write was to fail")

    def call(self, procedure):
        rows = spark.sql(f"call {procedure}").collect()
        print(self.name, procedure, rows)

    def files(self, suffix, folder="timeline/"):
        folder = f"{self.path}/.hoodie/{folder}"
        return [folder + name for name in sorted(os.listdir(folder))
                if name[0].isdigit() and name.endswith(suffix)]

    def keep(self, suffix, number, name, folder="timeline/"):
        """Copies the `number`th file of the timeline that ends in `suffix`."""
        os.makedirs(os.path.dirname(f"{TARGET}/{name}"), exist_ok=True)
        shutil.copyfile(self.files(suffix, folder)[number], f"{TARGET}/{name}")


def merge_on_read():
    t = Table("mor", "MERGE_ON_READ", hoodie__index__type="BUCKET", hoodie__bucket__index__num__buckets="2")
    t.write("insert", range(4), 1)
    t.write("upsert", range(2), 2)
    t.call(f"run_compaction(op => 'schedule', path => '{t.path}', options => "
           "'hoodie.compact.inline.max.delta.commits=1,hoodie.metadata.enable=false')")
    t.call(f"run_compaction(op => 'run', path => '{t.path}')")
    t.fail([2], 3)
    t.write("upsert", [2], 4)
    last = os.path.basename(t.files(".deltacommit")[-1]).split("_")[0]
    t.call(f"create_savepoint(table => 'mor', commit_time => '{last}', user => 'u', comments => 'c')")
    t.write("delete", [3], 5)
    t.keep(".deltacommit", 0, "merge_on_read/insert.deltacommit")
    t.keep(".deltacommit.inflight", 1, "merge_on_read/upsert.deltacommit.inflight")
    t.keep(".deltacommit", 1, "merge_on_read/upsert.deltacommit")
    t.keep(".deltacommit", 3, "merge_on_read/delete.deltacommit")
    t.keep(".compaction.requested", 0, "merge_on_read/compaction.requested")
    t.keep(".commit", 0, "merge_on_read/compaction.commit")
    t.keep(".rollback.requested", 0, "merge_on_read/rollback.requested")
    t.keep(".rollback", 0, "merge_on_read/rollback")
    t.call(f"rollback_to_savepoint(table => 'mor', instant_time => '{last}')")
    t.keep(".savepoint", 0, "merge_on_read/savepoint")
    t.keep(".restore.requested", 0, "merge_on_read/restore.requested")
    t.keep(".restore", 0, "merge_on_read/restore")


def log_compaction():
    t = Table("logc", "MERGE_ON_READ", partitioned=False,
              hoodie__index__type="BUCKET", hoodie__bucket__index__num__buckets="1")
    t.write("insert", range(2), 1)
    t.write("upsert", range(2), 2)
    t.write("upsert", range(2), 3, more={
        "hoodie.log.compaction.inline": "true",
        "hoodie.log.compaction.enable": "true",
        "hoodie.log.compaction.blocks.threshold": "1",
        "hoodie.optimized.log.blocks.scan.enable": "true",
        "hoodie.log.compaction.inline.max.delta.commits": "1",
        "hoodie.compact.inline.max.delta.commits": "1",
    })
    t.keep(".logcompaction.requested", 0, "log_compaction/logcompaction.requested")
    t.keep(".deltacommit", 3, "log_compaction/logcompaction.deltacommit")


def copy_on_write():
    t = Table("cow", "COPY_ON_WRITE")
    t.write("insert", range(4), 1)
    t.write("insert", range(4), 1, partition="b")
    t.write("upsert", range(2), 2)
    t.write("upsert", range(2), 2, partition="b")
    t.call("run_clean(table => 'cow', retain_commits => 1, clean_policy => 'KEEP_LATEST_COMMITS')")
    t.call(f"run_clustering(path => '{t.path}', op => 'schedule', order => 'n')")
    t.call(f"run_clustering(path => '{t.path}', op => 'execute')")
    t.write("insert_overwrite", [1], 3)
    t.write("delete_partition", [1], 3, more={"hoodie.datasource.write.partitions.to.delete": "p=b"})
    t.call("run_clean(table => 'cow', file_versions_retained => 1, clean_policy => 'KEEP_LATEST_FILE_VERSIONS')")
    t.keep(".inflight", 0, "copy_on_write/insert.inflight")
    t.keep(".commit", 0, "copy_on_write/insert.commit")
    t.keep(".commit", 2, "copy_on_write/upsert.commit")
    t.keep(".clean.requested", 0, "copy_on_write/by_commits.clean.requested")
    t.keep(".clean", 0, "copy_on_write/by_commits.clean")
    t.keep(".clean.requested", 1, "copy_on_write/by_versions.clean.requested")
    t.keep(".clean", 1, "copy_on_write/by_versions.clean")
    t.keep(".clustering.requested", 0, "copy_on_write/clustering.requested")
    t.keep(".replacecommit", 0, "copy_on_write/clustering.replacecommit")
    t.keep(".replacecommit.requested", 0, "copy_on_write/insert_overwrite.replacecommit.requested")
    t.keep(".replacecommit.inflight", 0, "copy_on_write/insert_overwrite.replacecommit.inflight")
    t.keep(".replacecommit", 1, "copy_on_write/insert_overwrite.replacecommit")
    t.keep(".replacecommit.requested", 1, "copy_on_write/delete_partition.replacecommit.requested")
    t.keep(".replacecommit", 2, "copy_on_write/delete_partition.replacecommit")
    archive = "archive_commits(table => 'cow', min_commits => 2, max_commits => 3, retain_commits => 1, enable_metadata => false)"
    for ts in range(10, 14):
        t.write("upsert", [1], ts)
    t.call(archive)
    for ts in range(20, 22):
        t.write("upsert", [1], ts)
    t.call(archive)
    shutil.copytree(f"{t.path}/.hoodie/timeline/history", f"{TARGET}/history",
                    ignore=shutil.ignore_patterns("*.crc"))


def change_capture():
    t = Table("cdc", "COPY_ON_WRITE", partitioned=False, hoodie__table__cdc__enabled="true")
    t.write("upsert", range(4), 1)
    t.write("upsert", range(2), 2)
    t.keep(".commit", 1, "change_capture/upsert.commit")


def layout_1():
    v6 = {"hoodie__write__table__version": "6"}
    t = Table("v6cow", "COPY_ON_WRITE", **v6)
    t.write("insert", range(2), 1)
    t.write("insert_overwrite", [1], 2)
    t.keep(".commit", 0, "layout_1/insert.commit", "")
    t.keep(".replacecommit", 0, "layout_1/insert_overwrite.replacecommit", "")
    t = Table("v6mor", "MERGE_ON_READ", **v6)
    t.write("insert", range(2), 1)
    t.write("upsert", [0], 2)
    t.fail([1], 3)
    t.write("upsert", [1], 4)
    spark.sql("set hoodie.write.table.version=6")
    t.call(f"run_compaction(op => 'schedule', path => '{t.path}', options => "
           "'hoodie.compact.inline.max.delta.commits=1,hoodie.metadata.enable=false,"
           "hoodie.write.table.version=6,hoodie.write.auto.upgrade=false')")
    t.keep(".deltacommit", 1, "layout_1/upsert.deltacommit", "")
    t.keep(".deltacommit.inflight", 1, "layout_1/upsert.deltacommit.inflight", "")
    t.keep(".rollback.requested", 0, "layout_1/rollback.requested", "")
    t.keep(".rollback", 0, "layout_1/rollback", "")
    t.keep(".compaction.requested", 0, "layout_1/compaction.requested", "")


os.mkdir(LAKE)
for make in (merge_on_read, log_compaction, copy_on_write, change_capture, layout_1):
    make()
