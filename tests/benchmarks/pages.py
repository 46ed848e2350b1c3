"""Questions of the page Catalogue over 10 M scored rows: cones and ids, from the question to its answer.

Run as a process in the platform's environment: `.venv/bin/python tests/benchmarks/pages.py FOLDER` makes the rows where
they are not there yet, imports them into a home below FOLDER, and prints one line of JSON.
"""

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 10_000_000
FILES = 10
ASKED = 40
#: So long the console has been up when the first question comes: whoever opens the page reads, and writes a question.
UP_S = 5.0
OTHER = "zeros"  # the process warms up with another dataset than is asked about
SEED = 20260101


def scored_rows(rows: int, part: int) -> pa.Table:
    """Rows as a model's scores have them, over the whole sky; ids do not follow positions."""
    rng = np.random.default_rng([SEED, part])
    teff = rng.uniform(3000, 9000, rows)
    return pa.table(
        {
            "object_id": pa.array([f"gaia-{part:02d}{number:08d}" for number in rng.permutation(rows)]),
            "ra": rng.uniform(0, 360, rows),
            "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, rows))),
            "teff_k": teff,
            "teff_k_lower": teff - 150,
            "teff_k_upper": teff + 150,
            "novelty": rng.uniform(0, 1, rows),
            "flags": pa.array(np.where(rng.random(rows) < 0.1, "bp_rp<min", "")),
        }
    )


def home_of(folder: Path, rows: int = ROWS, files: int = FILES) -> Path:
    """A home with the rows as `own.scored`, made once."""
    home = folder / "home"
    if not (home / "lake" / "own" / "scored").is_dir():
        parts = []
        for part in range(files):
            path = folder / f"scored_{part:02d}.parquet"
            if not path.exists():
                pq.write_table(scored_rows(rows // files, part), path)
            parts.append(path)
        other = folder / f"{OTHER}.parquet"
        pq.write_table(scored_rows(10_000, files), other)
        for name, paths in (("scored", parts), (OTHER, [other])):
            columns = ["--id", "object_id", "--ra", "ra", "--dec", "dec"]
            command = [sys.executable, "-m", "stellar", "import", *map(str, paths), "--name", name, *columns]
            subprocess.run(command, check=True, env=_environment(home), stdout=subprocess.DEVNULL)
    return home


def measure_questions(home: Path, rows: int = ROWS, files: int = FILES, asked: int = ASKED) -> dict:
    """Milliseconds from a question to its answer; the first of each kind, which nobody asked before, apart.

    The console has been up for `UP_S`, and warmed up with a question about another dataset.
    """
    from stellar.ledger.connect import ledger_session
    from stellar.serving.console import Console, Limits
    from stellar.settings import load_settings

    rng = np.random.default_rng(SEED)
    places = zip(rng.uniform(0, 360, asked), np.degrees(np.arcsin(rng.uniform(-1, 1, asked))), strict=True)
    ids = [f"gaia-{rng.integers(files):02d}{rng.integers(rows // files):08d}" for _ in range(asked)]
    statements = {
        "cone": [f"SELECT * FROM cone('own.scored', {ra:.6f}, {dec:.6f}, 0.1)" for ra, dec in places],
        "id": [f"SELECT * FROM own.scored WHERE object_id = '{one}'" for one in ids],
    }
    settings = load_settings(home=home)
    found: dict = {"rows": rows, "up_s": UP_S}
    with ledger_session(settings, role="reader"):
        console = Console(settings, Limits(workers=1))
        started = time.perf_counter()
        console.warm()
        found["start_s"] = time.perf_counter() - started
        time.sleep(UP_S)
        for kind, each in statements.items():
            took, answered = [], 0
            for statement in each:
                started = time.perf_counter()
                answered += len(console.run(statement, user="bench", token=uuid.uuid4().hex, time_s=300)["rows"])
                took.append(1000 * (time.perf_counter() - started))
            found[kind] = {"first_ms": took[0], "p50_ms": float(np.percentile(took[1:], 50)),
                           "p95_ms": float(np.percentile(took[1:], 95)), "answered": answered}  # fmt: skip
        console.close()
    if found["id"]["answered"] != asked:
        raise SystemExit(f"{asked} ids were asked for, {found['id']['answered']} rows found")
    return found


def _environment(home: Path) -> dict[str, str]:
    import os

    return os.environ | {"STELLAR_HOME": str(home)}


if __name__ == "__main__":
    work = Path(sys.argv[1])
    work.mkdir(parents=True, exist_ok=True)
    print(json.dumps(measure_questions(home_of(work))))
