"""Temperatures of two million eclipsing binaries: our model beside the stock forest, on one catalogue and one split.

Run as a process in the platform's environment, `.venv/bin/python tests/benchmarks/photometry.py EXPORT CATALOGUE`
prints one line of JSON: how long the exported model takes for all rows of the catalogue as an array in memory, and from
file to file.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "include" / "stellar" / "config" / "models" / "photometric-teff-eb.yaml"
MODEL = "photometric-teff-eb"
TREES, OF_TREES, ROUNDS = 12, 300, 3  # of the forest, of the published one
SLICES = "predicted teff_k"
FIGURES = ("mae", "rmse", "r2", "within_10_percent", "crps", "pit_mean", "pit_std", "interval_coverage")


def run(folder: Path, stellar: Path, say: Callable[[str], None], former: dict, *, ours: bool, peers: bool) -> dict:
    """Both sides; the catalogue is made once and kept in `folder`."""
    from benchmarks.measure import measure

    catalogue = folder / "eclipsing_binaries.parquet"
    if not catalogue.exists():
        folder.mkdir(parents=True, exist_ok=True)
        measure([stellar, "archive", "eclipsing-binaries", "--out", catalogue])
    tested = folder / "tested.parquet"
    found = {name: former[name] for name in ("ours", "forest") if name in former}
    if ours or not tested.exists():
        found["ours"] = _ours(folder, catalogue, tested, stellar)
        say(f"  ours: {found['ours']}")
    if peers:
        forest = [sys.executable, Path(__file__).with_name("forest.py"), catalogue, "--jobs", "2", "--tested", tested]
        found["forest"] = measure([*forest, "--trees", str(TREES)]).json()
        say(f"  forest: {found['forest']}")
    return found


def _ours(folder: Path, catalogue: Path, tested: Path, stellar: Path) -> dict:
    from benchmarks.measure import measure

    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    config = yaml.safe_load(CONFIG.read_text())
    config["source"]["file"] = str(catalogue)
    (work / CONFIG.name).write_text(yaml.safe_dump(config))
    home = {"STELLAR_HOME": str(work / "home")}
    trained = measure([stellar, "train", work / CONFIG.name, "--json"], home)
    about = measure([stellar, "models", "show", MODEL, "--json"], home).json()
    measure([stellar, "models", "export", MODEL, work / "export"], home)
    made = measure([stellar, "predict", MODEL, catalogue, "--out", work / "scores.parquet"], home)
    shutil.copyfile(work / "export" / "bundle" / "test_predictions.parquet", tested)
    model = work / "export" / "bundle" / "model"
    speed = measure([sys.executable, Path(__file__), work / "export", catalogue]).json()
    found = {
        "seconds": {"train": trained.seconds, "fit": about["training_s"], "predict": made.seconds, **speed["seconds"]},
        "rows": speed["rows"],
        "model_bytes": sum(one.stat().st_size for one in model.rglob("*") if one.is_file()),
        "figures": {name: about["metrics"][name] for name in FIGURES},
        "coverage": {
            one["slice"].partition("=")[2]: one["value"]
            for one in about["slices"]
            if one["name"] == "interval_coverage" and one["slice"].startswith(SLICES)
        },
    }
    shutil.rmtree(work)
    return found


def main(export: Path, catalogue: Path) -> None:
    import pyarrow.parquet as pq

    from stellar.cli.predict import Written
    from stellar.models.base import numeric_matrix
    from stellar.registry import feature_tables
    from stellar.registry.standalone import open_export

    bundle, key = open_export(export)
    table = pq.read_table(catalogue, columns=list(bundle.reads))
    matrix = numeric_matrix(bundle.preparation.apply(table), bundle.model.features)
    seconds: dict[str, list[float]] = {"array": [], "file to file": []}
    for _ in range(ROUNDS):
        bundle.model.use_threads(len(os.sched_getaffinity(0)))
        started = time.perf_counter()
        bundle.model.predict_matrix(matrix)
        seconds["array"].append(time.perf_counter() - started)
        started = time.perf_counter()
        with Written(export / "speed.parquet") as written:
            tables = feature_tables.tables_of_features(catalogue, bundle, is_of_curated=False)
            for part in feature_tables.predictions(bundle, tables, key, lambda where, why: sys.exit(why)):
                written.add(part)
        seconds["file to file"].append(time.perf_counter() - started)
    print(json.dumps({"rows": len(matrix), "seconds": seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
