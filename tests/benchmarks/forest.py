"""The stock random forest for temperatures of eclipsing binaries, as it was published, on one Parquet file and split.

Run as a process: `.venv/bin/python tests/benchmarks/forest.py eb.parquet [--trees 300] [--ebv] [--jobs 2]` prints one
line of JSON: seconds of reading, of fitting (all and a tree), of predicting, and the figures on the test rows.

The recipe: scikit-learn's `RandomForestRegressor`, 300 trees of depth 20, everything else its default, on six Gaia
magnitudes and colours; target log10 Teff of the catalogue; rows with a catalogue temperature. Nothing is scaled.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow.parquet as pq

MISSING = -999.0
FEATURES = ("g", "bp", "rp", "bp_rp", "g_rp", "bp_g")
TREES, DEPTH, SEED = 300, 20, 42
TEST_SHARE = 0.2
BLOCK = 20_000  # rows whose trees' answers are held at once


def is_test(source_id: np.ndarray) -> np.ndarray:
    """Which rows are tested on, bool[n]: a fifth, by a hash of the identifier alone (splitmix64, Steele et al. 2014).

    THE split of the eclipsing binaries: whatever is compared with the forest uses it.
    """
    x = np.asarray(source_id).astype(np.uint64)
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53 < TEST_SHARE


def read(path: Path, further: Sequence[str] = ()) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features float32[n, k], log10 Teff float64[n] and identifiers int64[n] of the rows with a temperature."""
    columns = ["source_id", "g", "bp", "rp", "teff_gaia", *further]
    table = pq.read_table(path, columns=columns)
    column = {name: table[name].to_numpy() for name in columns}
    column |= {
        "bp_rp": column["bp"] - column["rp"],
        "g_rp": column["g"] - column["rp"],
        "bp_g": column["bp"] - column["g"],
    }
    known = column["teff_gaia"] != MISSING
    features = np.column_stack([column[name][known] for name in (*FEATURES, *further)]).astype(np.float32)
    return features, np.log10(column["teff_gaia"][known].astype(np.float64)), column["source_id"][known]


def crps_of_ensemble(members: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """CRPS of each row's empirical distribution: E|X - y| - E|X - X'| / 2 (Gneiting & Raftery 2007, eq. 21).

    Parameters
    ----------
    members : float[m, n]
        What each member says.
    truth : float[n]
    """
    m = len(members)
    ranks = 2.0 * np.arange(1, m + 1) - m - 1.0
    spread = (ranks[:, None] * np.sort(members, axis=0)).sum(axis=0) / m**2
    return np.abs(members - truth).mean(axis=0) - spread


def pit_of_ensemble(members: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the members below the truth, ties halved: uniform (mean 0.5, deviation 0.289) if calibrated."""
    return ((members < truth).sum(axis=0) + 0.5 * (members == truth).sum(axis=0)) / len(members)


def figures(teff: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """MAE and RMSE [K], R2, share within 10% of the catalogue's temperature."""
    error = predicted - teff
    return {
        "mae_k": float(np.abs(error).mean()),
        "rmse_k": float(np.sqrt((error**2).mean())),
        "r2": float(1.0 - (error**2).sum() / ((teff - teff.mean()) ** 2).sum()),
        "within_10": float((np.abs(error) < 0.1 * teff).mean()),
    }


def measure(
    path: Path, *, trees: int = TREES, further: Sequence[str] = (), jobs: int = 1, tested: Path | None = None
) -> dict[str, Any]:
    """Fit the forest on the rows that are not tested on, and what it does on the others.

    Parameters
    ----------
    path : Path
        The catalogue.
    trees : int
        Fewer than 300 change MAE little, each costs the same time.
    further : sequence of str
        Columns beside the six, such as `ebv`.
    jobs : int
        Threads of scikit-learn.
    tested : Path, optional
        Parquet file whose `source_id` are the rows to test on, in the place of `is_test`: another model's test part.

    Returns
    -------
    dict
        Settings, `n_train`, `n_test`, seconds, and the figures; CRPS and PIT are of the trees' own predictions.
    """
    from sklearn.ensemble import RandomForestRegressor

    started = time.perf_counter()
    features, log_teff, source_id = read(path, further)
    test = is_test(source_id) if tested is None else np.isin(source_id, pq.read_table(tested)["source_id"].to_numpy())
    read_s = time.perf_counter() - started
    forest = RandomForestRegressor(trees, max_depth=DEPTH, random_state=SEED, n_jobs=jobs)
    started = time.perf_counter()
    forest.fit(features[~test], log_teff[~test])
    fit_s = time.perf_counter() - started
    started = time.perf_counter()
    predicted = 10.0 ** forest.predict(features[test])
    predict_s = time.perf_counter() - started
    teff = 10.0 ** log_teff[test]
    crps, pit = [], []
    for start in range(0, len(teff), BLOCK):
        rows = slice(start, start + BLOCK)
        members = np.stack([10.0 ** tree.predict(features[test][rows]) for tree in forest.estimators_])
        crps.append(crps_of_ensemble(members, teff[rows]))
        pit.append(pit_of_ensemble(members, teff[rows]))
    of_rows, at = np.concatenate(crps), np.concatenate(pit)
    return {
        "features": [*FEATURES, *further],
        "trees": trees,
        "jobs": jobs,
        "n_train": int((~test).sum()),
        "n_test": int(test.sum()),
        "seconds": {"read": read_s, "fit": fit_s, "fit_per_tree": fit_s / trees, "predict": predict_s},
        "figures": figures(teff, predicted)
        | {"crps_k": float(of_rows.mean()), "pit_mean": float(at.mean()), "pit_std": float(at.std())},
    }


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogue", type=Path)
    parser.add_argument("--trees", type=int, default=TREES)
    parser.add_argument("--ebv", action="store_true", help="E(B-V) beside the six features")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--tested", type=Path, help="Parquet file with the source_id of the rows to test on")
    args = parser.parse_args(arguments)
    further = ["ebv"] if args.ebv else []
    print(json.dumps(measure(args.catalogue, trees=args.trees, further=further, jobs=args.jobs, tested=args.tested)))


if __name__ == "__main__":
    main(sys.argv[1:])
