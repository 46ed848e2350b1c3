"""What one model version's artifact folder holds, and the one way from feature rows to predictions.

    bundle.json        target, classes, columns: what the predictions mean
    preparation.json   what happens to rows before the model sees them; null where nothing does
    model/             the fitted model in its library's own files
    calibration.json   probabilities -> calibrated probabilities
    conformal.json     prediction sets and intervals
    ranges.json        what the training examples' inputs looked like
    novelty.json       how far from their middle they lay
    card.md, *.png, report.html, metrics.json, examples.parquet, config.json   for people and for later comparisons

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

from stellar.errors import IntegrityError
from stellar.evaluation.calibration import Calibrator, QuantileCalibrator, calibrator_from_dict
from stellar.evaluation.conformal import ConformalIntervals, ConformalSets, conformal_from_dict
from stellar.evaluation.metrics import pit_from_quantiles
from stellar.models.base import Model, Quantiles, load_model
from stellar.models.preparation import Preparation, source_columns
from stellar.registry.ranges import Columns, InputRanges, Novelty, numeric_column

FORMAT = 3


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
    columns : tuple of str
        What a table of features must have; the model may see others that are made from them.
    transforms : dict
        Quantity -> `log10`, where the model learned and answers on that scale.
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
    transforms: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    @property
    def quantities(self) -> tuple[str, ...]:
        """Every quantity that it predicts, the target first."""
        return (*((self.target,) if self.kind == "quantity" else ()), *self.further)


def interval_columns(quantity: str) -> tuple[str, str]:
    """Names of an interval's ends: `teff_k` gives `teff_k_lower`, `teff_k_upper`."""
    return f"{quantity}_lower", f"{quantity}_upper"


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
    method : string[n] or None
        Which of the model's methods the target's distribution is of.
    """

    quantiles: dict[str, Quantiles]
    classes: tuple[str, ...] = ()
    raw: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    probabilities: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    best: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=object))
    inside: np.ndarray | None = None
    method: pa.Array | None = None

    @property
    def best_probability(self) -> np.ndarray:
        """Probability of each row's class, float64[n]; 0 for a type between those that have one."""
        named = self.best[:, None] == np.array(self.classes, dtype=object)[None, :]
        return np.where(named, self.probabilities, 0.0).sum(axis=1)


@dataclass
class Bundle:
    """A fitted model with what makes its output honest; `intervals` and `recalibration` are by quantity."""

    meaning: Meaning
    model: Model
    ranges: InputRanges
    calibrator: Calibrator | None = None
    sets: ConformalSets | None = None
    intervals: dict[str, ConformalIntervals] = field(default_factory=dict)
    recalibration: dict[str, QuantileCalibrator] = field(default_factory=dict)
    novelty: Novelty | None = None
    preparation: Preparation = field(default_factory=Preparation)

    @property
    def classes(self) -> tuple[str, ...]:
        if self.meaning.kind == "class":
            return self.model.classes[self.meaning.target]
        return tuple(self.meaning.bands)

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns that a table to predict for must have: what the model's are made from, and what is watched."""
        watched = (one for name in self.ranges.missing for one in source_columns(name, self.preparation.derived))
        return tuple(dict.fromkeys([*self.meaning.columns, *watched]))

    def answers(self, table: pa.Table) -> Answers:
        """Distributions, probabilities and sets of each row of `table`, which is not empty."""
        return self._answers(self.preparation.apply(table))

    def _answers(self, prepared: pa.Table) -> Answers:
        quantiles, method = {}, None
        for name in self.meaning.quantities:
            quantiles[name], said = self._distribution(prepared, name)
            method = said if name == self.meaning.target else method
        if not self.meaning.class_column:
            return Answers(quantiles, method=method)
        if self.meaning.kind == "class":
            raw = self.model.predict_proba(prepared, self.meaning.target)
            chosen = self.model.predict_class(prepared)
        else:
            raw, chosen = band_probabilities(quantiles[self.meaning.target], self.meaning.bands), None
        return self._calibrated(Answers(quantiles, self.classes, raw, method=method), chosen)

    def _distribution(self, prepared: pa.Table, quantity: str) -> tuple[Quantiles, pa.Array | None]:
        """Predictive distribution in the quantity's unit, calibrated where it can be; and its method.

        Quantiles of 10^x are 10^ of the quantiles of x.
        """
        found, method = self.model.predict_by(prepared, quantity)
        values = 10.0**found.values if self.meaning.transforms.get(quantity) == "log10" else found.values
        if quantity in self.recalibration:
            values = self.recalibration[quantity].apply(found.levels, values)
        return Quantiles(found.levels, values), method

    def _calibrated(self, answers: Answers, chosen: Sequence[str] | None) -> Answers:
        """The answers with what calibrator and sets make of their raw probabilities."""
        p = self.calibrator.apply(answers.raw) if self.calibrator else answers.raw
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
        fields += [("method", pa.string())] if self.model.methods else []
        fields += [("novelty", pa.float64())] if self.novelty else []
        return pa.schema([*fields, ("is_out_of_range", pa.bool_()), ("flags", pa.string())])

    def predict(self, table: pa.Table, refused: Sequence[str | None] | None = None) -> pa.Table:
        """The prediction columns of each row of `table`, in its order.

        A quantity gives its median and the ends of its conformal interval; classes give the best class, `probability`,
        `probability_<class>` and `prediction_set`; all give `is_out_of_range` and `flags`, those of numbers
        `novelty`. A row that has none of the columns that the model needs, or one that is `refused` for a reason, has
        nulls, and the reason in `flags`.
        """
        if not table.num_rows:  # an empty partition; not every library predicts for no rows
            return self.prediction_schema().empty_table()
        derived = self.preparation.with_derived(table)
        reasons = self._refusals(derived, refused)
        if reasons is None:
            return self._columns(self._answers(self.preparation.completed(derived)), derived)
        able = np.flatnonzero([reason is None for reason in reasons])
        made = self.prediction_schema().empty_table()
        if len(able):
            rows = derived.take(pa.array(able))
            made = self._columns(self._answers(self.preparation.completed(rows)), rows)
        place = np.full(len(table), -1, dtype=np.int64)
        place[able] = np.arange(len(able))
        made = made.take(pa.array(place, mask=place < 0))
        unlike = pc.fill_null(made["is_out_of_range"], True)
        flags = pc.coalesce(made["flags"], pa.array(reasons, pa.string()))
        columns = {name: made[name] for name in made.column_names} | {"is_out_of_range": unlike, "flags": flags}
        return pa.table(columns, schema=self.prediction_schema())

    def _refusals(self, table: pa.Table, refused: Sequence[str | None] | None) -> list[str | None] | None:
        """Why each row is not predicted, None where it is; None where all are."""
        if refused is None and not self.meaning.needs:
            return None
        given: list[str | None] = [None] * len(table) if refused is None else [*refused]
        if self.meaning.needs:
            held = [numeric_column(table, name) for name in self.meaning.needs]
            parts = [np.isfinite(values) for values in held if values is not None]
            seen = np.any(parts or [[False] * len(table)], axis=0)
            if not seen.all():
                why = f"not predicted: none of {', '.join(self.meaning.needs)} is there"
                given = [reason or (None if there else why) for reason, there in zip(given, seen, strict=True)]
        return given if any(reason is not None for reason in given) else None

    def columns(self, answers: Answers, table: pa.Table) -> pa.Table:
        """The prediction columns of `answers`, which are those of `table`."""
        return self._columns(answers, self.preparation.with_derived(table))

    def _columns(self, answers: Answers, derived: pa.Table) -> pa.Table:
        columns: dict[str, pa.Array] = {}
        for name, quantiles in answers.quantiles.items():
            low, high = self.interval(name, quantiles)
            lower, upper = interval_columns(name)
            columns |= {name: _doubles(quantiles.median), lower: _doubles(low), upper: _doubles(high)}
            columns[f"{name}_width"] = _doubles(high - low)
        if self.meaning.class_column:
            columns |= self._class_columns(answers)
        if self.model.methods:
            columns["method"] = answers.method
        inputs = Columns(derived)
        unlike, notes = self.ranges.flags(inputs)
        if self.novelty:
            columns["novelty"] = _doubles(self.novelty.shares(inputs))
        columns |= {"is_out_of_range": pa.array(unlike), "flags": notes}
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
        _write(folder / "preparation.json", None if self.preparation.is_empty else self.preparation.to_dict())
        _write(folder / "ranges.json", asdict(self.ranges))
        _write(folder / "novelty.json", self.novelty.to_dict() if self.novelty else None)
        levels = {name: one.to_dict() for name, one in self.recalibration.items()}
        classes = self.calibrator.to_dict() if self.calibrator else None
        _write(folder / "calibration.json", {"classes": classes, "quantiles": levels})
        sets = self.sets.to_dict() if self.sets else None
        intervals = {name: one.to_dict() for name, one in self.intervals.items()}
        _write(folder / "conformal.json", {"sets": sets, "intervals": intervals})

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Bundle from a folder whose hash was checked (`ArtifactStore.get`)."""
        about = _read(folder / "bundle.json")
        if (found := about.pop("format", None)) != FORMAT:
            raise IntegrityError(f"{folder}: bundle format {found!r}, not {FORMAT}; train the model again")
        prepared = _read(folder / "preparation.json")
        stored = _read(folder / "conformal.json")
        intervals = {name: conformal_from_dict(one) for name, one in stored["intervals"].items()}
        calibration, novelty = _read(folder / "calibration.json"), _read(folder / "novelty.json")
        lists = {name: tuple(about[name]) for name in ("columns", "further", "needs")}
        return cls(
            Meaning(**{**about, **lists}),
            load_model(folder / "model"),
            InputRanges(**_read(folder / "ranges.json")),
            calibration["classes"] and calibrator_from_dict(calibration["classes"]),
            cast("ConformalSets | None", stored["sets"] and conformal_from_dict(stored["sets"])),
            cast("dict[str, ConformalIntervals]", intervals),
            {name: QuantileCalibrator.from_dict(one) for name, one in calibration["quantiles"].items()},
            novelty and Novelty.from_dict(novelty),
            Preparation.from_dict(prepared) if prepared else Preparation(),
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


def _doubles(values: np.ndarray) -> pa.Array:
    return pa.array(np.asarray(values, dtype=np.float64))


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=False, allow_nan=False) + "\n", encoding="utf-8")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise IntegrityError(f"{path}: not readable ({fault}); train the model again or restore the artifact") from None
