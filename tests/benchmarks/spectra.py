"""Spectra: how many are prepared, learned from and predicted a second, on one simulated survey.

Run as a process in the platform's environment: `.venv/bin/python tests/benchmarks/spectra.py` prints one line of JSON.
With the name of one of its works it does only that and what it needs, for its memory.
"""

import json
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa

SCALE, SEED, ROUNDS, EPOCHS = 0.5, 20260101, 3, 4
MODELS = {
    "spectral_multitask": {"epochs": EPOCHS, "patience": EPOCHS},
    "template_match": {},
    "spectral_regression": {"members": [{"components": 40}]},
}


def observed() -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """Curated spectra of stars of the simulated sky, their temperatures in K, and MK types that follow from these."""
    from stellar.archive import build, sdss_spec
    from stellar.archive.spectra_model import LOGLAM
    from stellar.features.ragged import list_column
    from stellar.models.mk_types import subtype_name

    sky = build.make_sky(SEED, SCALE)
    star, plate = sdss_spec.choose_targets(sky, SCALE, np.random.default_rng(SEED))
    teff = sky["teff"][star] if "teff" in sky else sky["teff_k"][star]
    seen = sdss_spec.observe(sky, star, plate, np.random.default_rng(SEED + 1))
    kept = np.flatnonzero(np.isfinite(teff) & (teff > 3000) & (teff < 10_000))
    n = len(kept)
    table = pa.table(
        {
            "spec_id": [f"made-{k:05d}" for k in range(n)],
            "ra": np.zeros(n),
            "dec": np.zeros(n),
            "epoch_yr": np.full(n, 2008.0),
            "class": ["STAR"] * n,
            "z": np.zeros(n),
            "zerr": np.full(n, 1e-5),
            "loglam": list_column(np.broadcast_to(LOGLAM.astype(np.float32), (n, len(LOGLAM))), pa.float32()),
            "flux": list_column(seen["flux"][kept], pa.float32()),
            "ivar": list_column(seen["ivar"][kept], pa.float32()),
            "and_mask": list_column(np.zeros((n, len(LOGLAM)), dtype=np.int64), pa.int64()),
        }
    )
    edges = np.array([3000, 3900, 5300, 6000, 7300, 10_000.0])  # M K G F A, as in config/models/photometric-teff.yaml
    number = 10 * (6 - np.interp(teff[kept], edges, np.arange(6)))
    return table, teff[kept], np.array([subtype_name(one) for one in number], dtype=object)


def works() -> dict[str, tuple[Callable[[], None], int]]:
    """What to run, and how many spectra it works on."""
    from stellar.features.spectra import spectra_features
    from stellar.models import create

    raw, teff, types = observed()
    ids = pa.chunked_array([raw["spec_id"].combine_chunks()])
    features, _, _ = spectra_features(raw, ids)
    place = {name: k for k, name in enumerate(raw["spec_id"].to_pylist())}
    rows = np.array([place[name] for name in features["spec_id"].to_pylist()])
    teff, types = teff[rows], types[rows]
    labels = {
        "spectral_multitask": {"kind": np.array([one[0] for one in types], dtype=object), "teff_k": teff},
        "template_match": types,
        "spectral_regression": teff,
    }
    columns = ["flux", "ivar", "mask"]
    few = features.slice(0, 300)
    found: dict[str, tuple[Callable[[], None], int]] = {"prepare": (lambda: spectra_features(raw, ids), raw.num_rows)}
    for name, params in MODELS.items():
        targets = tuple(labels[name]) if isinstance(labels[name], dict) else ("one",)
        known, learned = labels[name], features
        if name == "template_match":  # templates are few
            known, learned = types[:300], few

        def train(name: str = name, params: dict = params, known: object = known, learned: pa.Table = learned,
                  targets: tuple = targets) -> object:  # fmt: skip
            return create(name, features=columns, targets=targets, **params).fit(learned, known, seed=1)

        model = train()

        def predict(model: object = model, targets: tuple = targets) -> None:
            if model.classes:
                model.predict_proba(features, next(iter(model.classes)))
            else:
                model.predict_dist(features, targets[0])

        epochs = EPOCHS if name == "spectral_multitask" else 1
        found |= {
            f"learn, {name}": (train, learned.num_rows * epochs),
            f"predict, {name}": (predict, features.num_rows),
        }
    return found


def main(only: str | None) -> None:
    wanted = works()
    if only:
        wanted[only][0]()
        print(json.dumps({}))
        return
    took: dict[str, list[float]] = {}
    for name, (run, count) in wanted.items():
        run()
        for _ in range(1 if name.startswith("learn") else ROUNDS):
            started = time.perf_counter()
            run()
            took.setdefault(name, []).append(count / (time.perf_counter() - started))
    counts = {name: count for name, (_, count) in wanted.items()}
    print(json.dumps({"spectra": wanted["prepare"][1], "per_second": took, "worked_on": counts}))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
