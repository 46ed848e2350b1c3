"""A small sky of stars as the published datasets that the questions of `sql/adql` ask about, built by the engine."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from brought import bring
from made_stars import make_stars
from stellar.engine import engine
from stellar.engine.context import Context
from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.lake.schema import field
from stellar.quality import suite_files, suites
from stellar.settings import CONFIG
from stellar.surveys.base import Fetched, WorkUnit

RA = field("ra", pa.float64(), "deg", "pos.eq.ra;meta.main", "ICRS")
DEC = field("dec", pa.float64(), "deg", "pos.eq.dec;meta.main", "ICRS")
ID = field("object_id", pa.string(), None, "meta.id;meta.main", "Best survey's prefix and id")
MAG = field("g_mag", pa.float32(), "mag", "phot.mag;em.opt", "Gaia G")
OBJECTS = pa.schema([ID, RA, DEC, field("best_survey", pa.string()), field("n_sources", pa.int32())])
SED = pa.schema(
    [
        *(ID, RA, DEC, MAG, field("bp_rp", pa.float64(), "mag")),
        *(field(name, pa.float64(), "mas", "pos.parallax.trig") for name in ("parallax_mas", "parallax_mas_err")),
    ]
)
TEFF = pa.schema(
    [
        *(ID, RA, DEC),
        field("teff_k", pa.float64(), "K", "phys.temperature.effective"),
        *(field(f"teff_k_{end}", pa.float64(), "K") for end in ("lower", "upper")),
        field("prediction_set", pa.list_(pa.string())),
        field("is_out_of_range", pa.bool_()),
        field("size", pa.int64(), None, None, "A reserved word < & > for a name"),
    ]
)
ASSOCIATIONS = pa.schema(
    [
        field("association_id", pa.string(), None, "meta.id"),
        *(ID, field("survey", pa.string())),
        field("separation_arcsec", pa.float64(), "arcsec", "pos.angDistance"),
        *(RA, DEC),
    ]
)


def sky(n: int, seed: int) -> pa.Table:
    """Stars around RA 0, Dec 0, with whatever the datasets are made of."""
    stars, rng = make_stars(n, seed), np.random.default_rng(seed)
    made = {
        "best_survey": pa.array(rng.choice(["gaia", "sdss", "lamost"], n)),
        "n_sources": pa.array(rng.integers(1, 4, n), pa.int32()),
        "parallax_mas": pa.array(rng.normal(2, 2, n)),
        "parallax_mas_err": pa.array(rng.uniform(0.05, 0.5, n)),
        "known": pa.array(rng.random(n) < 0.8),
    }
    for name, values in made.items():
        stars = stars.append_column(name, values)
    return stars.set_column(
        stars.schema.get_field_index("object_id"), "object_id", pa.array([f"gaia-{seed}-{k}" for k in range(n)])
    )


def _result(rows: pa.Table, made: pa.Table, schema: pa.Schema, **counts: dict[str, int]) -> StepResult:
    return StepResult(made.select(schema.names).cast(schema), Accounting(rows.num_rows, made.num_rows, **counts))


def run_objects(_: Partition, inputs: dict[str, PartitionInput], params: dict) -> StepResult:
    rows = inputs["stars"].rows
    return _result(rows, rows, OBJECTS)


def run_sed(_: Partition, inputs: dict[str, PartitionInput], params: dict) -> StepResult:
    rows = inputs["stars"].rows
    return _result(rows, rows, SED)


def run_teff(_: Partition, inputs: dict[str, PartitionInput], params: dict) -> StepResult:
    rows = inputs["stars"].rows
    known = rows.filter(rows["known"])
    teff = known["teff_k"].to_numpy()
    columns = {
        "teff_k_lower": pa.array(teff - 100.0),
        "teff_k_upper": pa.array(teff + 150.0),
        "prediction_set": pa.array([["G", "K"]] * len(teff), pa.list_(pa.string())),
        "is_out_of_range": pa.array(teff > 8500),
        "size": pa.array(np.arange(len(teff))),
    }
    for name, values in columns.items():
        known = known.append_column(name, values)
    return _result(rows, known, TEFF, filtered={"unknown": rows.num_rows - known.num_rows})


def run_associations(_: Partition, inputs: dict[str, PartitionInput], params: dict) -> StepResult:
    rows = inputs["stars"].rows
    parts = []
    for number, survey in enumerate(("gaia", "sdss", "lamost")):
        seen = rows.filter(pa.array(rows["n_sources"].to_numpy() > number))
        columns = {
            "association_id": pa.array([f"{survey}:{one}" for one in seen["object_id"].to_pylist()], pa.string()),
            "survey": pa.array([survey] * seen.num_rows, pa.string()),
            "separation_arcsec": pa.array(np.full(seen.num_rows, 0.25 * number)),
        }
        for name, values in columns.items():
            seen = seen.append_column(name, values)
        parts.append(seen)
    made = pa.concat_tables(parts)
    return _result(made, made, ASSOCIATIONS)  # what it adds is counted in


def steps() -> list[Step]:
    """The steps of the four datasets."""
    stars = {"stars": Input("raw.stars")}
    return [
        Step("curated.objects", "made_objects", 1, stars, {}, run_objects, "object_id", "rows", "stars"),
        Step("features.sed", "made_sed", 1, stars, {}, run_sed, "object_id", "rows", "stars"),
        Step("scores.photometric_teff", "made_teff", 1, stars, {}, run_teff, "object_id", "rows", "stars"),
        Step(
            "curated.associations", "made_associations", 1, stars, {}, run_associations, "association_id", "rows",
            "stars", adds_rows=True,
        ),
    ]  # fmt: skip


@contextmanager
def plain_gates() -> Iterator[None]:
    """The gate that holds of any dataset, in place of those of the survey datasets whose names these have."""
    with tempfile.TemporaryDirectory() as folder, patch.object(suite_files, "GATES", Path(folder)):
        shutil.copy(CONFIG / "gates" / "default.yaml", folder)
        suites.load_suite.cache_clear()
        yield
    suites.load_suite.cache_clear()


def bring_sky(ctx: Context, n: int = 3000, seed: int = 1) -> None:
    """Stars as one unit of a survey, through to current datasets."""
    with plain_gates():
        _bring(ctx, sky(n, seed), f"unit-{seed}")


def _bring(ctx: Context, stars: pa.Table, unit: str) -> None:
    work = WorkUnit("stars", "stars", "made", unit, unit, {}, stars.num_rows)
    bring(ctx, "stars", (work, Fetched(stars, "made", f"select {unit}", {}, "0" * 64)), reason="made")
    engine.run(ctx, steps(), who="tests", reason="made")
