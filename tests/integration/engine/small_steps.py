"""Small real steps for the engine's tests; module-level, so that other processes can run them."""

import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.engine.step import Accounting, Input, Step, StepResult
from stellar.surveys.base import Fetched, WorkUnit

STARS = pa.schema(
    [("id", pa.int64()), ("ra", pa.float64()), ("dec", pa.float64()), ("mag", pa.float64()), ("batch_id", pa.string())]
)
#: Fields of 2000 stars, degrees; each is one unit and lies in one base cell of the sky.
FIELDS = {"a": (40.0, 30.0), "b": (130.0, 30.0), "c": (220.0, -30.0), "d": (310.0, -30.0)}
ROWS = 2000


def field_table(name, seed=0, rows=ROWS, bad=1):
    """Stars of one field; the first `bad` of them have no declination, one in ten is faint, two rows come twice."""
    random = np.random.default_rng([seed, ord(name)])
    ra, dec = (center + random.uniform(-2, 2, rows) for center in FIELDS[name])
    dec[:bad] = np.nan
    ids = np.arange(rows) + 1_000_000 * ord(name)
    mag = random.uniform(10, 20, rows)
    table = pa.table({"id": ids, "ra": ra, "dec": dec, "mag": mag})
    return pa.concat_tables([table, table.slice(rows - 2)])


def fetched(name, sign="1", dataset="stars", **options):
    table = field_table(name, **options)
    unit = WorkUnit("test", dataset, "dr1", name, sign, {"field": name}, table.num_rows)
    return unit, Fetched(table, "http://service", f"field {name}", {"field": name}, "0" * 64)


def curate(partition, inputs, params):
    rows = inputs["raw"].rows
    if not rows.num_rows:
        return StepResult(STARS.empty_table(), Accounting(0, 0))
    placed = pc.and_(pc.is_valid(rows["ra"]), pc.is_valid(rows["dec"]))
    bad = rows.filter(pc.invert(placed))
    good = rows.filter(placed)
    bright = good.filter(pc.less(good["mag"], params["limit"]))
    _, first = np.unique(bright["id"].to_numpy(), return_index=True)
    unique = bright.take(pa.array(np.sort(first)))
    accounting = Accounting(
        rows.num_rows,
        unique.num_rows,
        merged=bright.num_rows - unique.num_rows,
        filtered={"faint": good.num_rows - bright.num_rows},
        quarantined=bad.num_rows,
    )
    refused = bad.append_column("reason", pa.array(["no position"] * bad.num_rows, pa.string()))
    return StepResult(unique.select(STARS.names).cast(STARS), accounting, refused)


def curate_step(limit=19.0, **change):
    given = {
        "dataset": "curated.stars",
        "name": "curate",
        "version": 1,
        "inputs": {"raw": Input("raw.stars", optional=True)},
        "params": {"limit": limit},
        "run": curate,
        "id_column": "id",
        "layout": "rows",
        "primary": "raw",
        "quarantine": "quarantine.stars",
    }
    return Step(**{**given, **change})


def double(partition, inputs, params):
    stars = inputs["stars"].rows
    table = pa.table(
        {"id": stars["id"], "ra": stars["ra"], "dec": stars["dec"], "twice": pc.multiply(stars["mag"], 2.0)}
    )
    return StepResult(table, Accounting(stars.num_rows, stars.num_rows))


def double_step(margin=0.0, run=double, **change):
    given = {
        "dataset": "features.double",
        "name": "double",
        "version": 1,
        "inputs": {"stars": Input("curated.stars", margin_arcsec=margin, columns=("id", "ra", "dec", "mag"))},
        "params": {},
        "run": run,
        "id_column": "id",
        "layout": "inherit",
        "primary": "stars",
    }
    return Step(**{**given, **change})


def lose_a_row(partition, inputs, params):
    result = double(partition, inputs, params)
    return StepResult(result.table.slice(1), Accounting(result.accounting.rows_in, result.accounting.rows_out - 1))


def lie_about_input(partition, inputs, params):
    result = double(partition, inputs, params)
    count = result.table.num_rows - 1
    return StepResult(result.table.slice(1), Accounting(count, count))


def move_away(partition, inputs, params):
    result = double(partition, inputs, params)
    moved = pc.negate(result.table["dec"])
    return StepResult(result.table.set_column(2, "dec", moved), result.accounting)


def random_numbers(partition, inputs, params):
    result = double(partition, inputs, params)
    noise = pa.array(np.frombuffer(os.urandom(8 * result.table.num_rows), np.uint64).astype(float))
    return StepResult(result.table.set_column(3, "twice", noise), result.accounting)


def slow(partition, inputs, params):
    """Says that it runs, then waits until it is told to go on."""
    flag = Path(params["flag"])
    (flag.parent / f"{flag.name}.{partition.file_name}").touch()
    while not flag.exists():
        time.sleep(0.02)
    return double(partition, inputs, {})


def count_names(partition, inputs, params):
    rows = inputs["stars"].rows
    table = pa.table({"id": rows["id"], "bucket": pa.array([partition.bucket] * rows.num_rows, pa.int32())})
    return StepResult(table, Accounting(rows.num_rows, rows.num_rows))


def plain_step(**change):
    return double_step(dataset="features.plain", name="plain", run=count_names, layout="plain", **change)


def margins(partition, inputs, params):
    """How many rows lay in the margin, for each row of the cell."""
    rows, near = inputs["stars"].rows, inputs["stars"].margin.num_rows
    table = rows.select(["id", "ra", "dec"]).append_column("near", pa.array([near] * rows.num_rows, pa.int64()))
    return StepResult(table, Accounting(rows.num_rows, rows.num_rows))
