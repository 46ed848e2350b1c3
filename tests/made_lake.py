"""Features and labels of made-up stars in a lake, brought through the engine as a survey's are."""

import pyarrow as pa
import pyarrow.compute as pc

import brought
from made_stars import make_stars
from stellar.engine import engine
from stellar.engine.context import Context
from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.surveys.base import Fetched, WorkUnit

FEATURES = ("object_id", "ra", "dec", "g_mag", "bp_rp", "u_g")


def run_features(_: Partition, inputs: dict[str, PartitionInput], params: dict) -> StepResult:
    rows = inputs["stars"].rows
    return StepResult(rows.select(FEATURES), Accounting(rows.num_rows, rows.num_rows))


def run_labels(_: Partition, inputs: dict[str, PartitionInput], params: dict) -> StepResult:
    rows = inputs["stars"].rows
    rows = rows.filter(pc.is_valid(rows["teff_k"]))
    n = rows.num_rows
    parts = [
        pa.table(
            {
                "label_id": pc.binary_join_element_wise(target, rows["object_id"], ":"),
                "object_id": rows["object_id"],
                "target": pa.array([target] * n, pa.string()),
                "value_float": rows["teff_k"] if target == "teff_k" else pa.nulls(n, pa.float64()),
                "value_string": rows["spectral_class"] if target != "teff_k" else pa.nulls(n, pa.string()),
                "error_float": pa.nulls(n, pa.float64()),
                "survey": pa.array(["made"] * n, pa.string()),
                "survey_id": rows["object_id"],
            }
        )
        for target in ("teff_k", "spectral_class")
    ]
    return StepResult(pa.concat_tables(parts), Accounting(2 * n, 2 * n))


FEATURES_STEP = Step(
    "features.made", "made_features", 1, {"stars": Input("raw.stars")}, {}, run_features, "object_id", "rows", "stars"
)
LABELS_STEP = Step(
    "features.labels", "made_labels", 1, {"stars": Input("raw.stars")}, {}, run_labels, "label_id", "plain"
)


def bring(ctx: Context, stars: pa.Table, unit: str = "all") -> None:
    """Stars as one unit of a survey `stars`, through to current features and labels."""
    work = WorkUnit("stars", "stars", "made", unit, f"{unit}-{stars.num_rows}", {}, stars.num_rows)
    brought.bring(ctx, "stars", (work, Fetched(stars, "made", f"select {unit}", {}, "0" * 64)), reason="made")
    engine.run(ctx, [FEATURES_STEP, LABELS_STEP], who="tests", reason="made")


def bring_stars(ctx: Context, n: int = 1500, seed: int = 1, unit: str = "all") -> None:
    bring(ctx, make_stars(n, seed), unit)


def pass_on(_: Partition, inputs: dict[str, PartitionInput], params: dict) -> StepResult:
    rows = inputs["raw"].rows
    return StepResult(rows.drop_columns(["batch_id"]), Accounting(rows.num_rows, rows.num_rows))


def bring_plain(ctx: Context, name: str, table: pa.Table, id_column: str) -> None:
    """A table without positions as the current dataset `features.<name>`."""
    unit = WorkUnit("made", name, "made", "all", "1", {}, len(table))
    brought.bring(ctx, "made", (unit, Fetched(table, "made", "select", {}, "0" * 64)), dataset=name, reason="made")
    step = Step(f"features.{name}", "made", 1, {"raw": Input(f"raw.{name}")}, {}, pass_on, id_column, "plain", "raw")
    engine.run(ctx, [step], who="tests", reason="made")
