"""One contiguous 1% of a 20 M row catalogue changes: how long until the cross-match follows, and is it the same as new?

Run as a process in the platform's environment, so that its start is no part of the figures:
`.venv/bin/python tests/benchmarks/increment.py DATA WORK` prints one line of JSON.
"""

import gc
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import sky as skies

CHANGED_FILE = 50  # of 100 in the order of the sky: begins where a cell of order 2 (1/192 of the sky) begins
NEW_IDS = 5_000_000_000
MOVE_DEG = 0.1 / 3600


def changed_rows(table: pa.Table) -> pa.Table:
    """The rows of one file after a sync: a tenth moved, a third with other values, 2% gone, 2% new.

    Moved rows stay within the range of the sky that the file covers (those that would leave it are not moved), and new
    ones stand 0.1 arcsec from old ones, so that the change stays in its 1% of the sky.
    """
    from cdshealpix.nested import lonlat_to_healpix

    rng = np.random.default_rng(skies.SEED)
    n = table.num_rows
    columns = {name: table[name].to_numpy().copy() for name in table.column_names}

    def pixel(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        import astropy.units as u
        from astropy.coordinates import Latitude, Longitude

        return lonlat_to_healpix(Longitude(ra * u.deg), Latitude(dec * u.deg), 29).astype(np.int64)

    before = pixel(columns["ra"], columns["dec"])
    step = rng.normal(0.0, MOVE_DEG, (2, n))
    ra = (columns["ra"] + step[0] / np.cos(np.radians(columns["dec"]))) % 360.0
    dec = np.clip(columns["dec"] + step[1], -90.0, 90.0)
    after = pixel(ra, dec)
    stays = (after >= before.min()) & (after <= before.max())
    fresh = np.flatnonzero(stays & (rng.random(n) < 0.02))
    new = {name: values[fresh].copy() for name, values in columns.items()}
    new |= {"id": NEW_IDS + np.arange(len(fresh)), "ra": ra[fresh], "dec": dec[fresh]}
    moved = stays & (rng.random(n) < 0.1)
    columns["ra"] = np.where(moved, ra, columns["ra"])
    columns["dec"] = np.where(moved, dec, columns["dec"])
    columns["f0"] = np.where(rng.random(n) < 1 / 3, columns["f0"] + 0.5, columns["f0"])
    kept = rng.random(n) >= 0.02
    return pa.table({name: np.concatenate([columns[name][kept], new[name]]) for name in table.column_names})


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every Parquet file of a snapshot, margins included, by its path in it."""
    found = sorted(path for path in folder.rglob("*.parquet"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def build(home: Path, data: Path) -> dict[str, dict]:
    """The chain of calls in one home: import left, import right, cross-match; outcomes and seconds of each call."""
    from stellar.flow.context import open_context
    from stellar.flow.matching import crossmatch
    from stellar.flow.tables import import_table
    from stellar.settings import load_settings

    found = {}
    with open_context(settings=load_settings(home=home)) as ctx:
        calls = {
            side: lambda side=side: import_table(ctx, skies.files(data, side), side, id_column="id")
            for side in ("left", "right")
        }
        calls["matched"] = lambda: crossmatch(ctx, "left", "right", "matched", radius_arcsec=1.0)
        # what earlier builds left in this process is not searched for garbage in the middle of this one, as in `timeit`
        gc.collect()
        gc.freeze()
        for name, call in calls.items():
            started = time.perf_counter()
            outcome = call()
            found[name] = outcome | {"wall": round(time.perf_counter() - started, 3)}
    return found


def report(builds: dict[str, dict[str, dict]], changed: int) -> dict:
    """Times of the builds and whether the incremental one ends as the full one does."""
    same = {}
    for name in ("left", "right", "matched"):
        grown, new = (builds[which][name] for which in ("increment", "full_of_changed"))
        same[name] = {
            "snapshot": grown["snapshot"] == new["snapshot"],
            "files": hashes(Path(grown["path"])) == hashes(Path(new["path"])),
        }
    seconds = {which: {name: one["wall"] for name, one in chain.items()} for which, chain in builds.items()}
    cells = {
        name: {"built": one["built"], "partitions": one["partitions"], "rows": one["rows"], "seconds": one["seconds"]}
        for name, one in builds["increment"].items()
    }
    return {"seconds": seconds, "same": same, "increment": cells, "changed_rows": changed}


def main(data: Path, work: Path) -> None:
    input_folder = work / "input"
    input_folder.mkdir(parents=True)
    for file in data.glob("*.parquet"):
        os.link(file, input_folder / file.name)
    builds = {"full": build(work / "home", input_folder)}
    file = skies.files(input_folder, "left")[CHANGED_FILE]
    table = changed_rows(pq.ParquetFile(file).read())
    file.unlink()  # the cache keeps its own link
    pq.write_table(table, file)
    builds["increment"] = build(work / "home", input_folder)
    builds["full_of_changed"] = build(work / "home-full", input_folder)
    print(json.dumps(report(builds, table.num_rows)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
