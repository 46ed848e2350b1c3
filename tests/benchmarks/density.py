"""How soon the page Sky has its map over ten million rows: the cells, and rows per pixel, cold and warm.

Run as a process in the platform's environment with STELLAR_HOME: `.venv/bin/python tests/benchmarks/density.py DATASET`
prints one line of JSON, milliseconds of each answer.
"""

import json
import shutil
import sys
import time

REPEATS = 3
DATASET = "own.left"


def main(dataset: str) -> None:
    from stellar.lake.kept import KEPT
    from stellar.ledger.connect import ledger_session
    from stellar.serving import sky, sky_counts
    from stellar.settings import load_settings

    settings = load_settings()
    cache = settings.cache / sky_counts.CACHE
    took: dict[str, list[float]] = {}
    with ledger_session(settings, role="reader") as engine:
        key = sky.current(engine, dataset)
        assert key is not None

        def timed(name: str, **asked: object) -> dict:
            started = time.perf_counter()
            made = (
                sky.coverage(engine, settings, key)
                if name == "cells"
                else sky_counts.density(engine, settings, key, **asked)
            )
            text = json.dumps(made)
            took.setdefault(name, []).append(1000 * (time.perf_counter() - started))
            return {"rows": made["rows"], "bytes": len(text)}

        for _ in range(REPEATS):
            shutil.rmtree(cache, ignore_errors=True)
            KEPT.clear()
            timed("cells")
            found = timed("never counted", order=6)
            KEPT.clear()
            timed("counted before", order=6)
            one = next(cache.rglob("*.npy"))
            one.unlink()
            KEPT.clear()
            timed("one partition new", order=6)
            timed("asked again", order=6)
            timed("zoomed in", order=8, near=(130.0, 10.0, 20.0))
            timed("mean of a column", order=6, column="f0")
        partitions = len(sky.parts(engine, key))
        size = sum(path.stat().st_size for path in cache.rglob("*.npy"))
    print(json.dumps({"ms": took, "partitions": partitions, "cache_bytes": size, **found}))


if __name__ == "__main__":
    main(sys.argv[1])
