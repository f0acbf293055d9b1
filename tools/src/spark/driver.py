"""One Spark session with Hudi that takes requests as JSON lines and answers each with one.

Started by `lakebed-tools`; see `session.rs` for the requests. Standard output carries answers
alone: whatever Spark prints goes to standard error.
"""
import datetime
import decimal
import glob
import json
import os
import shutil
import sys

answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
os.dup2(2, 1)

from pyspark.sql import DataFrame, Observation, SparkSession  # noqa: E402
from pyspark.sql.functions import count, lit  # noqa: E402
from pyspark.sql.types import StructType  # noqa: E402


def plain(value):
    """A value of a row as JSON can hold it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)) and not hasattr(value, "asDict"):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if hasattr(value, "asDict"):
        return {k: plain(v) for k, v in value.asDict().items()}
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, (datetime.datetime, datetime.date, decimal.Decimal)):
        return str(value)
    return repr(value)


class Driver:
    def __init__(self, settings):
        builder = SparkSession.builder
        for key, value in settings.items():
            if key.startswith("spark."):
                builder = builder.config(key, value)
        self.spark = builder.getOrCreate()
        for key, value in settings.items():
            if not key.startswith("spark."):
                self.spark.conf.set(key, value)
        self.spark.sparkContext.setLogLevel("ERROR")

    def sql(self, request):
        frame = self.spark.sql(request["query"])
        rows = frame.collect()
        return {"columns": frame.columns, "rows": [[plain(v) for v in row] for row in rows]}

    def set(self, request):
        if request["value"] is None:
            self.spark.conf.unset(request["key"])
        else:
            self.spark.conf.set(request["key"], request["value"])

    def rows(self, source) -> DataFrame:
        """Rows to write; every column nullable, as a stream of records would have them."""
        if "parquet" in source:
            return self.spark.read.parquet(source["parquet"])
        types = self.spark.sparkContext._jvm.org.apache.spark.sql.types
        schema = StructType.fromJson(json.loads(types.StructType.fromDDL(source["ddl"]).json()))
        frame = self.spark.sql(source["sql"])
        columns = [frame[c].cast(f.dataType).alias(f.name) for c, f in zip(frame.columns, schema.fields)]
        return self.spark.createDataFrame(frame.select(*columns).collect(), schema)

    def write(self, request):
        frame = self.rows(request["rows"])
        if not request["rows"].get("split"):
            frame = frame.coalesce(1)
        frame.write.format("hudi").options(**request["options"]).mode("append").save(request["table"])

    def read(self, request):
        frame = self.spark.read.format("hudi").options(**request["options"]).load(request["table"])
        self.export(frame, request["out"])

    def scan(self, request):
        frame = self.spark.read.format("hudi").load(request["table"]).select(*request["columns"])
        rows = Observation()
        frame.observe(rows, count(lit(1)).alias("rows")).write.format("noop").mode("overwrite").save()
        return {"columns": ["rows"], "rows": [[rows.get["rows"]]]}

    def rewrite(self, request):
        import pyarrow.parquet as parquet

        rows = parquet.read_table(request["file"]).replace_schema_metadata(None)
        parquet.write_table(rows, request["file"], compression="zstd", data_page_version="2.0",
                            store_schema=False, store_decimal_as_integer=True)

    def export(self, frame, out):
        folder = out + ".parts"
        frame.coalesce(1).write.option("compression", "zstd").mode("overwrite").parquet(folder)
        (part,) = glob.glob(f"{folder}/part-*.parquet")
        os.replace(part, out)
        shutil.rmtree(folder)

    def answer(self, request):
        try:
            result = getattr(self, request["op"])(request)
            return {"ok": True, **(result or {})}
        except Exception as error:  # The other side decides what a failure means.
            return {"ok": False, "error": str(error)}


def main():
    driver = Driver(json.loads(sys.stdin.readline()))
    print(json.dumps({"ok": True}), file=answers)
    for line in sys.stdin:
        print(json.dumps(driver.answer(json.loads(line))), file=answers)
    driver.spark.stop()


main()
