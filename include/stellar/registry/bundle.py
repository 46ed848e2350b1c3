"""What one model version's artifact folder holds, and the one way from feature rows to predictions.

    bundle.json        target, classes, columns: what the predictions mean
    model/             the fitted model in its library's own files
    calibration.json   probabilities -> calibrated probabilities
    conformal.json     prediction sets and intervals
    ranges.json        what the training examples' inputs looked like
    card.md, *.png, metrics.json, examples.parquet, config.json   for people and for later comparisons

Training and scoring both predict through `Bundle.predict`, so that what was evaluated is what is written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.errors import InputError, IntegrityError
from stellar.evaluation.calibration import Calibrator, calibrator_from_dict
from stellar.evaluation.conformal import ConformalIntervals, ConformalSets, conformal_from_dict
from stellar.evaluation.metrics import pit_from_quantiles
from stellar.models.base import Model, Quantiles, load_model

FORMAT = 1
RANGE_PERCENTILES = (0.1, 99.9)
RARELY_MISSING = 0.01  # an input that under 1% of the training examples lacked is expected to be there


@dataclass(frozen=True)
class Meaning:
    """What a version predicts from which columns.

    Attributes
    ----------
    kind : str
        `class`, or `quantity` (whose name's last part is its unit).
    class_column : str or None
        Column of the predicted class; None for a quantity without bands.
    bands : dict
        Class -> lower edge, ascending; classes that the predictive distribution of a quantity gives.
    """

    model: str
    features: str
    example: str
    target: str
    kind: str
    columns: tuple[str, ...]
    alpha: float
    class_column: str | None = None
    bands: dict[str, float] = field(default_factory=dict)

    @property
    def interval_columns(self) -> tuple[str, str]:
        """Names of the interval's ends: `teff_k` gives `teff_lower_k`, `teff_upper_k`."""
        stem, _, unit = self.target.rpartition("_")
        return (f"{stem}_lower_{unit}", f"{stem}_upper_{unit}") if stem else (f"{unit}_lower", f"{unit}_upper")


@dataclass(frozen=True)
class InputRanges:
    """Central 99.8% range of each numeric input over the training examples, and how often it was missing."""

    lower: dict[str, float]
    upper: dict[str, float]
    missing: dict[str, float]

    @classmethod
    def of(cls, table: pa.Table, columns: Sequence[str]) -> InputRanges:
        lower, upper, missing = {}, {}, {}
        for name in columns:
            values = _numbers(table, name)
            if values is None:
                continue
            present = values[np.isfinite(values)]
            missing[name] = 1 - len(present) / max(len(values), 1)
            if len(present):
                lower[name], upper[name] = (float(edge) for edge in np.percentile(present, RANGE_PERCENTILES))
        return cls(lower, upper, missing)

    def flags(self, table: pa.Table) -> tuple[np.ndarray, list[str]]:
        """Whether each row's inputs are unlike the training examples', and which: `bp_rp<min;missing:g_mag`."""
        notes: list[list[str]] = [[] for _ in range(table.num_rows)]
        for name, share in self.missing.items():
            values = _numbers(table, name)
            if values is None:
                raise InputError(f"the features have no numeric column {name}, which the model was trained with")
            absent = ~np.isfinite(values)
            with np.errstate(invalid="ignore"):
                below = values < self.lower.get(name, -np.inf)
                above = values > self.upper.get(name, np.inf)
            found = [(below, f"{name}<min"), (above, f"{name}>max")]
            if share < RARELY_MISSING:
                found.append((absent, f"missing:{name}"))
            for rows, note in found:
                for row in np.flatnonzero(rows):
                    notes[row].append(note)
        return np.array([bool(note) for note in notes], dtype=bool), [";".join(note) for note in notes]


@dataclass
class Bundle:
    """A fitted model with what makes its output honest."""

    meaning: Meaning
    model: Model
    ranges: InputRanges
    calibrator: Calibrator | None = None
    sets: ConformalSets | None = None
    intervals: ConformalIntervals | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        if self.meaning.kind == "class":
            return self.model.classes_
        return tuple(self.meaning.bands)

    def quantiles(self, table: pa.Table) -> Quantiles:
        """Predictive distribution of a quantity, in its unit."""
        return self.model.predict_dist(table)

    def raw_probabilities(self, table: pa.Table, quantiles: Quantiles | None = None) -> np.ndarray:
        """Probabilities before calibration, float64[n, k]."""
        if self.meaning.kind == "class":
            return self.model.predict_proba(table)
        return band_probabilities(quantiles or self.quantiles(table), self.meaning.bands)

    def prediction_schema(self) -> pa.Schema:
        """Names and types of the columns of `predict`."""
        fields: list[tuple[str, pa.DataType]] = []
        if self.meaning.kind == "quantity":
            fields += [(name, pa.float64()) for name in (self.meaning.target, *self.meaning.interval_columns)]
        if self.meaning.class_column:
            fields += [(self.meaning.class_column, pa.string()), ("probability", pa.float64())]
            fields += [(probability_column(name), pa.float64()) for name in self.classes]
            fields += [("prediction_set", pa.list_(pa.string()))] if self.sets else []
        return pa.schema([*fields, ("is_out_of_range", pa.bool_()), ("flags", pa.string())])

    def predict(self, table: pa.Table) -> pa.Table:
        """The prediction columns of each row of `table`, in its order.

        A quantity gives `<target>` (median) and its conformal interval; classes give the best class, `probability`,
        `probability_<class>` and `prediction_set`; both give `is_out_of_range` and `flags`.
        """
        if not table.num_rows:  # an empty partition; not every library predicts for no rows
            return self.prediction_schema().empty_table()
        columns: dict[str, pa.Array] = {}
        quantiles = None
        if self.meaning.kind == "quantity":
            quantiles = self.quantiles(table)
            low, high = self.interval(quantiles)
            lower, upper = self.meaning.interval_columns
            columns |= {self.meaning.target: _doubles(quantiles.median), lower: _doubles(low), upper: _doubles(high)}
        if self.meaning.class_column:
            columns |= self._class_columns(self.probabilities(table, quantiles))
        unlike, notes = self.ranges.flags(table)
        columns |= {"is_out_of_range": pa.array(unlike), "flags": pa.array(notes, pa.string())}
        return pa.table(columns, schema=self.prediction_schema())

    def probabilities(self, table: pa.Table, quantiles: Quantiles | None = None) -> np.ndarray:
        """Calibrated probabilities, float64[n, k]."""
        raw = self.raw_probabilities(table, quantiles)
        return self.calibrator.apply(raw) if self.calibrator else raw

    def interval(self, quantiles: Quantiles) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the interval that misses the truth at most `alpha` of the time; it always holds the median."""
        low, high = quantiles.interval(self.meaning.alpha)
        if self.intervals:
            low, high = self.intervals.apply(low, high)
        # a negative margin can draw a skewed interval in past its median
        return np.minimum(low, quantiles.median), np.maximum(high, quantiles.median)

    def _class_columns(self, probabilities: np.ndarray) -> dict[str, pa.Array]:
        names = np.array(self.classes, dtype=object)
        columns = {
            str(self.meaning.class_column): pa.array(names[probabilities.argmax(axis=1)], pa.string()),
            "probability": _doubles(probabilities.max(axis=1)),
        }
        for k, name in enumerate(self.classes):
            columns[probability_column(name)] = _doubles(probabilities[:, k])
        if self.sets:
            inside = self.sets.sets(probabilities)
            members = pa.array([names[row].tolist() for row in inside], pa.list_(pa.string()))
            columns["prediction_set"] = members
        return columns

    def save(self, folder: Path) -> None:
        """Write the bundle's files into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save(folder / "model")
        _write(folder / "bundle.json", {"format": FORMAT, **asdict(self.meaning)})
        _write(folder / "ranges.json", asdict(self.ranges))
        _write(folder / "calibration.json", self.calibrator.to_dict() if self.calibrator else None)
        parts = {"sets": self.sets, "intervals": self.intervals}
        _write(folder / "conformal.json", {name: part.to_dict() if part else None for name, part in parts.items()})

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Bundle from a folder whose hash was checked (`ArtifactStore.get`)."""
        about = _read(folder / "bundle.json")
        if (found := about.pop("format", None)) != FORMAT:
            raise IntegrityError(f"{folder}: bundle format {found!r}, not {FORMAT}; train the model again")
        stored = _read(folder / "conformal.json")
        sets, intervals = (stored[name] and conformal_from_dict(stored[name]) for name in ("sets", "intervals"))
        calibration = _read(folder / "calibration.json")
        return cls(
            Meaning(**{**about, "columns": tuple(about["columns"])}),
            load_model(folder / "model"),
            InputRanges(**_read(folder / "ranges.json")),
            calibration and calibrator_from_dict(calibration),
            cast("ConformalSets | None", sets),
            cast("ConformalIntervals | None", intervals),
        )


def band_probabilities(quantiles: Quantiles, bands: dict[str, float]) -> np.ndarray:
    """Probability of each band of a quantity, float64[n, k], from its predictive distribution.

    A band reaches from its lower edge to the next band's; the first one has no lower end.
    """
    n = len(quantiles.values)
    edges = list(bands.values())[1:]
    below = [pit_from_quantiles(np.full(n, edge), quantiles.levels, quantiles.values) for edge in edges]
    cumulative = np.stack([np.zeros(n), *below, np.ones(n)], axis=1)
    return np.diff(np.maximum.accumulate(cumulative, axis=1), axis=1)


def band_of(values: np.ndarray, bands: dict[str, float]) -> np.ndarray:
    """Index of the band of each value, int64[n]."""
    return np.searchsorted(np.array(list(bands.values())[1:]), values, side="right")


def probability_column(name: str) -> str:
    """Column of a class's probability: `probability_` and the class in lower case, other signs as `_`."""
    return "probability_" + "".join(sign if sign.isalnum() else "_" for sign in name.lower())


def _numbers(table: pa.Table, name: str) -> np.ndarray | None:
    """A numeric column as float64[n], nulls as NaN; None for a column that is absent or of another kind."""
    if name not in table.column_names:
        return None
    column = table[name]
    numeric = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean)
    if not any(is_kind(column.type) for is_kind in numeric):
        return None
    return pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()


def _doubles(values: np.ndarray) -> pa.Array:
    return pa.array(np.asarray(values, dtype=np.float64))


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=False, allow_nan=False) + "\n", encoding="utf-8")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise IntegrityError(f"{path}: not readable ({fault}); train the model again or restore the artifact") from None
