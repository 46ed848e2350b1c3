"""The step `scores.<model>`: every row of the model's features gets its prediction, by partition.

The version's key enters the step's key, so scores are made again when the model changes, and for the partitions whose
features changed; everything else is carried over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from stellar.engine.step import Accounting, ColumnSource, Input, Partition, PartitionInput, Step, StepResult
from stellar.lake.schema import field
from stellar.registry.bundle import Bundle
from stellar.registry.store import ArtifactStore
from stellar.registry.versions import Version
from stellar.settings import load_settings

STEP_VERSION = 2
_KEPT = ("object_id", "ra", "dec")
_ENDS = {
    "lower": "Lower end of the calibrated interval",
    "upper": "Upper end of the calibrated interval",
    "width": "Width of the calibrated interval",
}
_DESCRIPTIONS = {
    "probability": "Calibrated probability of the best class",
    "prediction_set": "Classes that hold the truth with the promised probability",
    "is_out_of_range": "Whether an input lies outside what the model was trained on, or is missing against custom",
    "flags": "Which inputs: name<min, name>max, missing:name",
    "model": "Name of the model",
    "model_version": "First 16 hex digits of the version's key",
}


class ScoredModel(Protocol):
    """What scoring asks of a model's configuration."""

    @property
    def scores(self) -> str: ...


@dataclass(frozen=True)
class Scorer:
    """The step's function. It carries where this home keeps artifacts, which must not enter the key."""

    artifacts: Path
    address: str

    def __call__(self, _: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
        rows = inputs["features"].rows
        bundle = load_bundle(self.artifacts, self.address)
        table = score(bundle, rows, params["model"], params["model_version"])
        return StepResult(table, Accounting(rows.num_rows, table.num_rows))


def score_step(config: ScoredModel, version: Version, artifacts: Path | None = None) -> Step:
    """The step that scores the current features of a model's dataset with one of its versions.

    Parameters
    ----------
    config
        Names the dataset of the scores; which features and columns are read is what the version was trained with.
    artifacts
        Folder of the artifact store; that of `STELLAR_HOME` where not given.
    """
    trained = version.config
    example = trained["example"]
    # a curated dataset's rows belong to no object of their own yet
    kept = [name for name in _KEPT if name != "object_id" or trained["features"].startswith("features.")]
    read = trained.get("reads") or [*trained["columns"], *trained["watch"]]
    wanted = dict.fromkeys([example, *kept, *read])
    same = {name: [ColumnSource("features", name)] for name in [example, *kept]}
    predicted = [ColumnSource("features", name, f"predicted by {version.model} {version.number}") for name in read]
    return Step(
        dataset=config.scores,
        name=f"score {version.model}",
        version=STEP_VERSION,
        inputs={"features": Input(trained["features"], columns=tuple(wanted))},
        params={"model": version.model, "model_version": version.key[:16]},
        run=Scorer(artifacts or load_settings().artifacts, version.artifact_sha256),
        id_column=example,
        layout="inherit" if trained["on_sky"] else "plain",
        primary="features",
        models={"model": version.key},
        description=f"Scores of {version.model}: {trained['description'].strip()}",
        columns={**same, "model": [], "model_version": [], "*": predicted},
    )


def score(bundle: Bundle, rows: pa.Table, model: str, model_version: str) -> pa.Table:
    """Predictions beside the ids and positions of `rows`, in their order, each with its model version."""
    example = bundle.meaning.example
    kept = rows.select([name for name in dict.fromkeys([example, *_KEPT]) if name in rows.column_names])
    predictions = bundle.predict(rows)
    names = {"model": model, "model_version": model_version}
    columns = [
        *kept.columns,
        *predictions.columns,
        *(pa.array([text] * rows.num_rows, pa.string()) for text in names.values()),
    ]
    fields = [
        *kept.schema,
        *(_described(one) for one in [*predictions.schema, *(pa.field(n, pa.string()) for n in names)]),
    ]
    return pa.table(columns, schema=pa.schema(fields))


@lru_cache(maxsize=4)
def load_bundle(artifacts: Path, address: str) -> Bundle:
    """A version's bundle, its files' hashes checked, once per process."""
    return Bundle.load(ArtifactStore(artifacts).get(address))


def _described(column: pa.Field) -> pa.Field:
    name = column.name
    if name.startswith("probability_"):
        return field(name, column.type, None, "stat.probability", "Calibrated probability of this class")
    quantity, _, end = name.rpartition("_")
    what = _ENDS.get(end)
    if (quantity if what else name).endswith("_k"):
        return field(name, column.type, "K", "phys.temperature.effective", what or "Median")
    return field(name, column.type, description=_DESCRIPTIONS.get(name, "Best class"))
