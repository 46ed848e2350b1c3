"""A made-up sky of stars whose colours follow their temperature, as small Arrow tables."""

import numpy as np
import pyarrow as pa

from stellar.training.config import ModelConfig

BANDS = {"M": 0.0, "K": 3900.0, "G": 5300.0, "F": 6000.0, "A": 7300.0}


def make_stars(n=1500, seed=1) -> pa.Table:
    """Stars over 20 by 20 degrees; `bp_rp` and `u_g` follow log Teff with noise, 10% of `u_g` missing."""
    rng = np.random.default_rng(seed)
    teff = 10 ** rng.uniform(np.log10(3200), np.log10(9000), n)
    bp_rp = 2.2 - 3.4 * np.log10(teff / 4000) + rng.normal(0, 0.08, n)
    u_g = 1.5 - 2 * np.log10(teff / 5000) + rng.normal(0, 0.15, n)
    names = np.array(list(BANDS))[np.searchsorted(list(BANDS.values())[1:], teff, side="right")]
    return pa.table(
        {
            "object_id": [f"gaia-{k:05d}" for k in range(n)],
            "ra": rng.uniform(350, 370, n) % 360,
            "dec": rng.uniform(-10, 10, n),
            "g_mag": rng.uniform(10, 20, n),
            "bp_rp": bp_rp,
            "u_g": pa.array(u_g, mask=rng.random(n) < 0.1),
            "teff_k": teff,
            "spectral_class": names.tolist(),
        }
    )


def make_config(**changes) -> ModelConfig:
    """Quantity with bands; `changes` replace whole keys."""
    content = {
        "name": "test-teff",
        "description": "A model of the tests' own",
        "family": "photometry",
        "features": "features.made",
        "example": "object_id",
        "target": {"name": "teff_k", "kind": "quantity", "class_name": "teff_class", "bands": BANDS},
        "columns": ["bp_rp", "u_g"],
        "watch": ["g_mag"],
        "architecture": "xgb_quantile",
        "params": {"rounds": 80, "learning_rate": 0.1, "max_depth": 4, "threads": 1},
        "split": {"order": 4, "fractions": {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.2}},
        "slices": [{"column": "g_mag", "edges": [14, 17]}],
        "policy": [
            {"metric": "mae", "op": "<=", "value": 600},
            {"metric": "mae", "op": "not_worse_than_current"},
            {"metric": "accuracy", "op": "not_worse_than_current"},
        ],
        "attributions": ["made by the tests"],
    }
    return ModelConfig.model_validate({**content, **changes})


def make_class_config(**changes) -> ModelConfig:
    """Classifier of the same stars."""
    return make_config(
        **{
            "name": "test-class",
            "target": {"name": "spectral_class", "kind": "class"},
            "architecture": "xgb_classifier",
            "policy": [{"metric": "accuracy", "op": ">=", "value": 0.6}],
            **changes,
        }
    )
