"""Cones of 10 arcsec on 20 M rows: `stellar.lake.search.cone`, LSDB, and DuckDB over all files.

Run as a process in the platform's environment: `.venv/bin/python tests/benchmarks/cones.py CATALOG POSITIONS RADIUS`
prints one line of JSON, milliseconds and rows of each cone, as the peers do.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

RADIUS_ARCSEC = 10.0
CONES = 1000
PEER_CONES = 20


def positions_near(files: list[Path], count: int, seed: int) -> list[tuple[float, float]]:
    """Random positions within 5 arcsec of random rows, so that every cone holds a row."""
    rng = np.random.default_rng(seed)
    chosen = []
    for file in rng.choice(np.array(files, dtype=object), 10, replace=False):
        table = pq.ParquetFile(file).read(columns=["ra", "dec"])
        chosen.append(table.take(pa.array(rng.choice(table.num_rows, count // 10, replace=False))))
    table = pa.concat_tables(chosen)
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    angle, distance = rng.uniform(0, 2 * np.pi, len(ra)), rng.uniform(0, 5 / 3600, len(ra))
    dec = np.clip(dec + distance * np.sin(angle), -90, 90)
    ra = (ra + distance * np.cos(angle) / np.cos(np.radians(dec))) % 360
    order = rng.permutation(len(ra))
    return list(zip(ra[order].tolist(), dec[order].tolist(), strict=True))


def spread(milliseconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"p50_ms": float(np.percentile(milliseconds, 50)), "p95_ms": float(np.percentile(milliseconds, 95))}


def main(catalog: Path, positions: Path, radius_arcsec: float) -> None:
    from stellar.lake.search import cone

    wanted = json.loads(positions.read_text())
    cone(catalog, *wanted[0], radius_arcsec / 3600)  # opens the catalogue, imports what it needs
    rounds = []
    for _ in ("places never asked for", "the same places again"):
        took, rows = [], []
        for ra, dec in wanted:
            started = time.perf_counter()
            rows.append(cone(catalog, ra, dec, radius_arcsec / 3600).num_rows)
            took.append(1000 * (time.perf_counter() - started))
        rounds.append(took)
    print(json.dumps({"ms": rounds[0], "again_ms": rounds[1], "rows": rows}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
