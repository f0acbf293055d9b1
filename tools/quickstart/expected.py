#!/usr/bin/env python3
"""What the quickstart table must hold, computed from the source alone: prints expected.csv.

    python3 expected.py path/to/flights.csv > expected.csv

Per month: rows, sums, and a checksum that does not depend on the order of rows: the sum of the CRC-32 of each row's
text. A row's text is the values of TEXT_COLUMNS joined by '|', empty where the source says NA.
"""

import csv
import sys
import zlib

TEXT_COLUMNS = [
    "date", "carrier", "flight", "origin", "dest", "tailnum", "dep_time", "dep_delay", "arr_time", "arr_delay",
    "air_time", "distance",
]  # fmt: skip

months = {}
with open(sys.argv[1], newline="") as file:
    for source in csv.DictReader(file):
        row = {name: "" if value == "NA" else value for name, value in source.items()}
        row["date"] = "{:0>4}-{:0>2}-{:0>2}".format(row["year"], row["month"], row["day"])
        month = months.setdefault(row["date"][:7], [0, 0, 0, 0])
        month[0] += 1
        month[1] += int(row["distance"])
        month[2] += int(row["arr_delay"] or 0)
        month[3] += zlib.crc32("|".join(row[name] for name in TEXT_COLUMNS).encode())

print("month,rows,distance,arr_delay,checksum")
for month, sums in sorted(months.items()):
    print(month, *sums, sep=",")
