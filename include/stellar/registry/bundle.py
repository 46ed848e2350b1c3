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
from dataclasses import asdict, dataclass, field, replace
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

FORMAT = 2
RANGE_PERCENTILES = (0.1, 99.9)
RARELY_MISSING = 0.01  # an input that under 1% of the training examples lacked is expected to be there


@dataclass(frozen=True)
class Meaning:
    """What a version predicts from which columns.

    Attributes
    ----------
    kind : str
        Of the target: `class`, or `quantity` (whose name's last part is its unit).
    further : tuple of str
        Quantities that the model gives beside its target.
    needs : tuple of str
        Columns of which a row must have one to be predicted; empty where any row is.
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
    further: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def quantities(self) -> tuple[str, ...]:
        """Every quantity that it predicts, the target first."""
        return (*((self.target,) if self.kind == "quantity" else ()), *self.further)


def interval_columns(quantity: str) -> tuple[str, str]:
    """Names of an interval's ends: `teff_k` gives `teff_k_lower`, `teff_k_upper`."""
    return f"{quantity}_lower", f"{quantity}_upper"


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


@dataclass(frozen=True)
class Answers:
    """What a bundle says of some rows, before it is put into columns.

    Attributes
    ----------
    quantiles : dict of str to Quantiles
        Predictive distribution of each quantity, in its unit.
    classes : tuple of str
        Names of the columns of the arrays below; empty where the model gives no classes.
    raw, probabilities : float64[n, k]
        Probabilities before and after calibration.
    best : object[n]
        Name of each row's class: the likeliest, unless the model chooses otherwise (a type between two templates).
    inside : bool[n, k] or None
        Which classes are in each row's prediction set.
    """

    quantiles: dict[str, Quantiles]
    classes: tuple[str, ...] = ()
    raw: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    probabilities: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    best: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=object))
    inside: np.ndarray | None = None

    @property
    def best_probability(self) -> np.ndarray:
        """Probability of each row's class, float64[n]; 0 for a type between those that have one."""
        named = self.best[:, None] == np.array(self.classes, dtype=object)[None, :]
        return np.where(named, self.probabilities, 0.0).sum(axis=1)


@dataclass
class Bundle:
    """A fitted model with what makes its output honest; `intervals` are by quantity."""

    meaning: Meaning
    model: Model
    ranges: InputRanges
    calibrator: Calibrator | None = None
    sets: ConformalSets | None = None
    intervals: dict[str, ConformalIntervals] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        if self.meaning.kind == "class":
            return self.model.classes[self.meaning.target]
        return tuple(self.meaning.bands)

    def answers(self, table: pa.Table) -> Answers:
        """Distributions, probabilities and sets of each row of `table`, which is not empty."""
        quantiles = {name: self.model.predict_dist(table, name) for name in self.meaning.quantities}
        if not self.meaning.class_column:
            return Answers(quantiles)
        if self.meaning.kind == "class":
            raw = self.model.predict_proba(table, self.meaning.target)
        else:
            raw = band_probabilities(quantiles[self.meaning.target], self.meaning.bands)
        return self.calibrated(Answers(quantiles, self.classes, raw), table)

    def calibrated(self, answers: Answers, table: pa.Table) -> Answers:
        """The answers with what calibrator and sets make of their raw probabilities."""
        p = self.calibrator.apply(answers.raw) if self.calibrator else answers.raw
        chosen = self.model.predict_class(table) if self.meaning.kind == "class" else None
        best = np.array(self.classes, dtype=object)[p.argmax(axis=1)] if chosen is None else np.array(chosen, object)
        inside = None
        if self.sets:
            # the answer is in its own set, also where the model chose another class than the likeliest
            inside = self.sets.sets(p) | (best[:, None] == np.array(self.classes, dtype=object)[None, :])
        return replace(answers, probabilities=p, best=best, inside=inside)

    def prediction_schema(self) -> pa.Schema:
        """Names and types of the columns of `predict`."""
        fields: list[tuple[str, pa.DataType]] = []
        for quantity in self.meaning.quantities:
            fields += [(name, pa.float64()) for name in (quantity, *interval_columns(quantity), f"{quantity}_width")]
        if self.meaning.class_column:
            fields += [(self.meaning.class_column, pa.string()), ("probability", pa.float64())]
            fields += [(probability_column(name), pa.float64()) for name in self.classes]
            fields += [("prediction_set", pa.list_(pa.string()))] if self.sets else []
        return pa.schema([*fields, ("is_out_of_range", pa.bool_()), ("flags", pa.string())])

    def predict(self, table: pa.Table, refused: Sequence[str | None] | None = None) -> pa.Table:
        """The prediction columns of each row of `table`, in its order.

        A quantity gives its median and the ends of its conformal interval; classes give the best class, `probability`,
        `probability_<class>` and `prediction_set`; all give `is_out_of_range` and `flags`. A row that has none of the
        columns that the model needs, or one that is `refused` for a reason, has nulls, and the reason in `flags`.
        """
        if not table.num_rows:  # an empty partition; not every library predicts for no rows
            return self.prediction_schema().empty_table()
        reasons = self._refusals(table, refused)
        able = np.flatnonzero([reason is None for reason in reasons])
        if len(able) == len(table):
            return self.columns(self.answers(table), table)
        rows = table.take(pa.array(able))
        made = self.columns(self.answers(rows), rows) if len(able) else self.prediction_schema().empty_table()
        place = np.full(len(table), -1, dtype=np.int64)
        place[able] = np.arange(len(able))
        made = made.take(pa.array(place, mask=place < 0))
        unlike = pc.fill_null(made["is_out_of_range"], True)
        flags = pc.coalesce(made["flags"], pa.array(reasons, pa.string()))
        columns = {name: made[name] for name in made.column_names} | {"is_out_of_range": unlike, "flags": flags}
        return pa.table(columns, schema=self.prediction_schema())

    def _refusals(self, table: pa.Table, refused: Sequence[str | None] | None) -> list[str | None]:
        """Why each row is not predicted, None where it is."""
        given: list[str | None] = [None] * len(table) if refused is None else [*refused]
        if not self.meaning.needs:
            return given
        held = [_numbers(table, name) for name in self.meaning.needs]
        seen = np.any([np.isfinite(values) for values in held if values is not None] or [[False] * len(table)], axis=0)
        why = f"not predicted: none of {', '.join(self.meaning.needs)} is there"
        return [reason or (None if there else why) for reason, there in zip(given, seen, strict=True)]

    def columns(self, answers: Answers, table: pa.Table) -> pa.Table:
        """The prediction columns of `answers`, which are those of `table`."""
        columns: dict[str, pa.Array] = {}
        for name, quantiles in answers.quantiles.items():
            low, high = self.interval(name, quantiles)
            lower, upper = interval_columns(name)
            columns |= {name: _doubles(quantiles.median), lower: _doubles(low), upper: _doubles(high)}
            columns[f"{name}_width"] = _doubles(high - low)
        if self.meaning.class_column:
            columns |= self._class_columns(answers)
        unlike, notes = self.ranges.flags(table)
        columns |= {"is_out_of_range": pa.array(unlike), "flags": pa.array(notes, pa.string())}
        return pa.table(columns, schema=self.prediction_schema())

    def interval(self, quantity: str, quantiles: Quantiles) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the interval that misses the truth at most `alpha` of the time; it always holds the median."""
        low, high = quantiles.interval(self.meaning.alpha)
        if quantity in self.intervals:
            low, high = self.intervals[quantity].apply(low, high)
        # a negative margin can draw a skewed interval in past its median
        return np.minimum(low, quantiles.median), np.maximum(high, quantiles.median)

    def _class_columns(self, answers: Answers) -> dict[str, pa.Array]:
        names = np.array(answers.classes, dtype=object)
        columns = {
            str(self.meaning.class_column): pa.array(answers.best, pa.string()),
            "probability": _doubles(answers.best_probability),
        }
        for k, name in enumerate(answers.classes):
            columns[probability_column(name)] = _doubles(answers.probabilities[:, k])
        if answers.inside is not None:
            members = pa.array([names[row].tolist() for row in answers.inside], pa.list_(pa.string()))
            columns["prediction_set"] = members
        return columns

    def save(self, folder: Path) -> None:
        """Write the bundle's files into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save(folder / "model")
        _write(folder / "bundle.json", {"format": FORMAT, **asdict(self.meaning)})
        _write(folder / "ranges.json", asdict(self.ranges))
        _write(folder / "calibration.json", self.calibrator.to_dict() if self.calibrator else None)
        sets = self.sets.to_dict() if self.sets else None
        intervals = {name: one.to_dict() for name, one in self.intervals.items()}
        _write(folder / "conformal.json", {"sets": sets, "intervals": intervals})

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Bundle from a folder whose hash was checked (`ArtifactStore.get`)."""
        about = _read(folder / "bundle.json")
        if (found := about.pop("format", None)) != FORMAT:
            raise IntegrityError(f"{folder}: bundle format {found!r}, not {FORMAT}; train the model again")
        stored = _read(folder / "conformal.json")
        intervals = {name: conformal_from_dict(one) for name, one in stored["intervals"].items()}
        calibration = _read(folder / "calibration.json")
        lists = {name: tuple(about.get(name, ())) for name in ("columns", "further", "needs")}
        return cls(
            Meaning(**{**about, **lists}),
            load_model(folder / "model"),
            InputRanges(**_read(folder / "ranges.json")),
            calibration and calibrator_from_dict(calibration),
            cast("ConformalSets | None", stored["sets"] and conformal_from_dict(stored["sets"])),
            cast("dict[str, ConformalIntervals]", intervals),
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
    if pa.types.is_null(column.type):  # an empty column of a text file
        return np.full(table.num_rows, np.nan)
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
