"""Compares what readers find in base files of which parts were copied with what is in files written anew.

    compare.py JOB.json

Started by `lakebed-tools copied`, which has Spark and parquet-rs read beforehand; pyarrow and DuckDB read here.
"""
import datetime
import json
import os
import sys

import duckdb
import pyarrow as pa
import pyarrow.dataset as dataset
import pyarrow.parquet as parquet

FILE_NAME = "_hoodie_file_name"
YEAR = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def in_order(rows, schema):
    """The rows by key, each file's own name left out."""
    return rows.select(schema.names).cast(schema).sort_by("_hoodie_record_key").combine_chunks()


def condition(query, schema):
    field, column = dataset.field(query["column"]), schema.field(query["column"]).type

    def value(end):
        if query["kind"] == "seconds":
            return pa.scalar(YEAR + datetime.timedelta(seconds=end), column)
        return pa.scalar(end, column)

    return (field >= value(query["from"])) & (field <= value(query["to"]))


def readers_of_this_process(copied, query, where):
    yield "pyarrow", dataset.dataset(copied).to_table(filter=where)
    sql = f"set timezone = 'UTC'; select * from read_parquet('{copied}')"
    if query is not None:
        sql += f" where {query['sql']}"
    yield "DuckDB", duckdb.sql(sql).to_arrow_table()


def compare(table, queries):
    """How many comparisons were made; ends the program at the first difference."""
    anew = parquet.read_table(table["anew"])
    schema = pa.schema([field for field in anew.schema if field.name != FILE_NAME])
    compared = 0
    for number, query in [*enumerate(queries), (len(queries), None)]:
        where = None if query is None else condition(query, anew.schema)
        expected = in_order(anew if where is None else anew.filter(where), schema)
        if not 0 < expected.num_rows or (where is not None and expected.num_rows == anew.num_rows):
            sys.exit(f"{table['name']}: {query} finds {expected.num_rows} rows, which proves nothing")
        found = [(f["reader"], parquet.read_table(f["rows"])) for f in table["found"] if f["query"] == number]
        for reader, rows in [*found, *readers_of_this_process(table["copied"], query, where)]:
            names = rows.column(FILE_NAME).unique().to_pylist()
            if names != [os.path.basename(table["copied"])]:
                sys.exit(f"{table['name']}: {reader} finds the file names {names}")
            if not in_order(rows, schema).equals(expected):
                text = "all rows" if query is None else query["sql"]
                sys.exit(f"{table['name']}: {reader} finds {rows.num_rows} rows for {text}, other than the "
                         f"{expected.num_rows} expected")
            compared += 1
    return compared


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    for table in job["tables"]:
        print(f"{table['name']}: {compare(table, job['queries'])} reads are right")


main()
