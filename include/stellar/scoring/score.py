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
from stellar.registry.description import outputs_of
from stellar.registry.store import ArtifactStore
from stellar.registry.versions import Version
from stellar.settings import load_settings

STEP_VERSION = 3
_KEPT = ("object_id", "ra", "dec")
_NAMES = {"model": "Name of the model", "model_version": "First 16 hex digits of the version's key"}
# by how the name of a quantity begins
_UCDS = {"teff_": "phys.temperature.effective", "logg_": "phys.gravity", "feh_": "phys.abund.Fe"}


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
        *described(bundle),
        *(field(name, pa.string(), description=_NAMES[name]) for name in names),
    ]
    return pa.table(columns, schema=pa.schema(fields))


def described(bundle: Bundle) -> list[pa.Field]:
    """Columns of a prediction with what a reader must know about them."""
    return [
        field(column.name, column.type, one["unit"], _ucd(column.name), one["description"])
        for column, one in zip(bundle.prediction_schema(), outputs_of(bundle), strict=True)
    ]


def _ucd(name: str) -> str | None:
    if name.startswith("probability"):
        return "stat.probability"
    return next((ucd for start, ucd in _UCDS.items() if name.startswith(start)), None)


@lru_cache(maxsize=4)
def load_bundle(artifacts: Path, address: str) -> Bundle:
    """A version's bundle, its files' hashes checked, once per process."""
    return Bundle.load(ArtifactStore(artifacts).get(address))
