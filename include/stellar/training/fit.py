"""From a frame to a bundle: split, fit, calibrate, and set the conformal thresholds. No database, no files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.evaluation.calibration import Calibrator, fit_calibrator
from stellar.evaluation.conformal import ConformalIntervals, ConformalSets
from stellar.evaluation.splits import grouped_split, star_groups, stratified_folds
from stellar.models.base import Labels, Model, create
from stellar.registry.bundle import Answers, Bundle, InputRanges, Meaning
from stellar.sky.healpix import spatial_index
from stellar.training.answers import joined
from stellar.training.config import Baseline, ModelConfig
from stellar.training.frame import NotTrainableError, numbers, true_classes

FEWEST_CALIBRATION_ROWS = 20
STRATA_OF_A_QUANTITY = 10  # deciles of the target, dealt evenly to the folds


@dataclass(frozen=True)
class Tested:
    """Rows of the frame that a model may be judged on, and the bundle that has seen none of them."""

    bundle: Bundle
    rows: np.ndarray
    learnt: np.ndarray
    """bool[n]: rows that the bundle's model was fitted on."""


@dataclass(frozen=True)
class Fitted:
    """The bundle that is kept, the part of each example of the frame, and what the figures come from.

    Parts are `train`, `validation`, `calibration`, `test`, or with folds `train` (learned from only), `fold 1` to
    `fold k`, and `test`.
    """

    bundle: Bundle
    parts: np.ndarray
    tested: tuple[Tested, ...]

    @property
    def test_rows(self) -> np.ndarray:
        """Rows that the figures are of, in the order of `tested`."""
        return np.concatenate([one.rows for one in self.tested])

    def rows(self, table: pa.Table, part: str) -> pa.Table:
        return table.filter(pa.array(self.parts == part))


def new_model(config: ModelConfig, baseline: Baseline | None = None) -> Model:
    """The config's architecture, or that of one of its baselines, not fitted yet."""
    one = baseline or config
    targets = tuple(target.name for target in config.targets)
    return create(one.architecture, features=one.columns or config.columns, targets=targets, **one.params)


@dataclass(frozen=True)
class How:
    """What is fitted beside the data: seed, the baseline in the place of the config's own model, and where a long
    training keeps its state.
    """

    seed: int
    baseline: Baseline | None = None
    checkpoints: Path | None = None


def fit(
    config: ModelConfig,
    table: pa.Table,
    seed: int,
    baseline: Baseline | None = None,
    checkpoints: Path | None = None,
) -> Fitted:
    """Fit, calibrate and wrap a model; the same table, config and seed give the same bundle.

    Parameters
    ----------
    baseline
        Fit this one in the place of the config's own architecture, on the same parts.
    checkpoints
        Folder in which a long training keeps its state; one that was killed goes on from there.

    Raises
    ------
    NotTrainableError
        As `split`.
    """
    how = How(seed, baseline, checkpoints)
    parts = split(config, table, seed)
    if config.split.folds:
        return _fit_folds(config, table, parts, how)
    train = parts == "train"
    bundle = _fitted(config, table, train, parts == "validation", how)
    calibration = table.filter(pa.array(parts == "calibration"))
    calibrate(config, bundle, bundle.answers(calibration), calibration)
    return Fitted(bundle, parts, (Tested(bundle, np.flatnonzero(parts == "test"), train),))


def _fit_folds(config: ModelConfig, table: pa.Table, parts: np.ndarray, how: How) -> Fitted:
    """A bundle that learned from every example, and one per fold for the figures.

    Where another survey's examples are the test, the folds only calibrate: then they are of the examples to learn from.
    """
    bundles, answers = _of_folds(config, table, parts, how)
    everything = parts != "test"
    kept = _fitted(config, table, everything, None, how)
    rows = np.concatenate([one.rows for one in bundles])
    calibrate(config, kept, joined(answers, kept.classes), table.take(rows))
    test = np.flatnonzero(parts == "test")
    outside = (Tested(kept, test, everything),) if len(test) else ()
    return Fitted(kept, parts, (*bundles, *outside) if _has_own(config, table) else outside)


def _of_folds(config: ModelConfig, table: pa.Table, parts: np.ndarray, how: How) -> tuple[list[Tested], list[Answers]]:
    """A bundle per fold, which learned from the others and is calibrated by them, and its answers for the fold."""
    bundles = []
    for fold in sorted({part for part in parts if part.startswith("fold")}):
        learnt = (parts != fold) & (parts != "test")
        bundles.append(Tested(_fitted(config, table, learnt, None, how), np.flatnonzero(parts == fold), learnt))
    answers = [one.bundle.answers(table.take(one.rows)) for one in bundles]
    for number, one in enumerate(bundles):
        others = [k for k in range(len(bundles)) if k != number]
        rows = np.concatenate([bundles[k].rows for k in others])
        calibrate(config, one.bundle, joined([answers[k] for k in others], one.bundle.classes), table.take(rows))
    return bundles, answers


def fit_by_cell(config: ModelConfig, table: pa.Table, seed: int) -> Fitted | None:
    """Models of folds of whole sky cells, where `split.also_by_cell` asks for them; for figures alone.

    Raises
    ------
    NotTrainableError
        When there are fewer cells than folds.
    """
    if (grouped := config.by_cell) is None:
        return None
    parts = split(grouped, table, seed)
    bundles, _ = _of_folds(grouped, table, parts, How(seed))
    return Fitted(bundles[0].bundle, parts, tuple(bundles))


def _has_own(config: ModelConfig, table: pa.Table) -> bool:
    """Whether some examples are neither only learned from nor only tested on."""
    return not config.split.column or table[config.split.column].null_count > 0


def _fitted(config: ModelConfig, table: pa.Table, train: np.ndarray, validation: np.ndarray | None, how: How) -> Bundle:
    model = new_model(config, how.baseline)
    model.checkpoints = how.checkpoints
    told = np.any([table[target.name].is_valid().to_numpy() for target in config.targets], axis=0)
    examples = table.filter(pa.array(train & told))
    held = None
    if validation is not None:
        part = table.filter(pa.array(validation))
        held = (part, labels(config, part))
    model.fit(examples, labels(config, examples), validation=held, seed=how.seed)
    return Bundle(_meaning(config), model, InputRanges.of(examples, [*config.columns, *config.watch]))


def split(config: ModelConfig, table: pa.Table, seed: int) -> np.ndarray:
    """Part of each example, str[n]; whole stars and whole sky cells go to one part.

    Raises
    ------
    NotTrainableError
        If stars or sky cells are too few for the parts, or the calibration part is too small.
    """
    groups = np.asarray(table["object_id"].to_pylist(), dtype=str)
    if config.is_split_by_cell:
        index = spatial_index(numbers(table, "ra"), numbers(table, "dec"))
        groups = star_groups(groups, index, int(config.split.order or 0))
    try:
        if config.split.folds:
            return _folds(config, table, groups, seed)
        fractions = config.split.fractions or {}
        parts = grouped_split(groups, {str(part): share for part, share in fractions.items()}, seed)
    except InputError as fault:
        raise NotTrainableError(f"{config.name}: cannot train: {fault}") from None
    if (held := int((parts == "calibration").sum())) < FEWEST_CALIBRATION_ROWS:
        raise NotTrainableError(
            f"{config.name}: cannot train: the calibration part has {held} examples, under "
            f"{FEWEST_CALIBRATION_ROWS}; more data, or a higher split.order"
        )
    return parts


def _folds(config: ModelConfig, table: pa.Table, groups: np.ndarray, seed: int) -> np.ndarray:
    """`fold 1` … for the examples that are dealt, `train` and `test` for those that the frame marks."""
    parts = np.full(table.num_rows, "", dtype=object)
    if config.split.column:
        parts = np.array([part or "" for part in table[config.split.column].to_pylist()], dtype=object)
        if wrong := sorted(set(parts) - {"train", "test", ""}):
            raise InputError(f"{config.split.column} says {', '.join(wrong)}; it may say `train`, `test` or be null")
    dealt = parts == ("" if _has_own(config, table) else "train")
    if both := sorted({*groups[parts == "test"]} & {*groups[parts != "test"]}):
        raise InputError(f"{len(both)} stars are both learned from and tested on, the first is {both[0]}")
    if config.split.column and not _has_own(config, table) and not (parts == "test").any():
        raise InputError(f"the frame has nothing to test on: all its rows have {config.split.column} `train`")
    strata = _strata(config, table.filter(pa.array(dealt)))
    number = stratified_folds(groups[dealt], strata, int(config.split.folds or 0), seed)
    parts[dealt] = [f"fold {one + 1:02d}" for one in number]
    # what is dealt is one star's whole: rows that are only learned from must not tell of a fold's stars
    shared = np.isin(groups, groups[dealt]) & ~dealt & (parts == "train")
    if shared.any():
        first = groups[shared][0]
        raise InputError(f"{int(shared.sum())} rows to learn from are of stars of the folds, the first of {first}")
    return parts.astype(str)


def _strata(config: ModelConfig, table: pa.Table) -> np.ndarray:
    """What is dealt evenly: classes, or runs of a quantity."""
    name = config.target.name
    if config.target.kind == "class":
        return np.asarray([value or "" for value in table[name].to_pylist()], dtype=str)
    values = numbers(table, name)
    if not np.isfinite(values).any():
        return np.zeros(len(values), dtype=np.int64)
    edges = np.nanquantile(values, np.linspace(0, 1, STRATA_OF_A_QUANTITY + 1)[1:-1])
    return np.where(np.isfinite(values), np.searchsorted(edges, values), -1)


def labels(config: ModelConfig, table: pa.Table) -> Labels:
    """Truth as a model takes it: an array of one target, a mapping of several."""
    found = {
        target.name: numbers(table, target.name)
        if target.kind == "quantity"
        else np.asarray(table[target.name].to_pylist(), dtype=object)
        for target in config.targets
    }
    return found if config.further_targets else found[config.target.name]


def _meaning(config: ModelConfig) -> Meaning:
    target = config.target
    return Meaning(
        model=config.name,
        features=config.features,
        example=config.example,
        target=target.name,
        kind=target.kind,
        columns=tuple(config.columns),
        alpha=config.conformal.alpha,
        class_column=target.class_column,
        bands=dict(target.bands or {}),
        further=tuple(one.name for one in config.further_targets),
        needs=tuple(config.needs),
    )


def calibrate(config: ModelConfig, bundle: Bundle, answers: Answers, table: pa.Table) -> None:
    """Set the bundle's intervals, calibrator and sets by answers for examples that its model did not learn from."""
    for name, truth, rows in _known(bundle, table):
        low, high = answers.quantiles[name].interval(config.conformal.alpha)
        bundle.intervals[name] = ConformalIntervals.fit(low[rows], high[rows], truth, alpha=config.conformal.alpha)
    if not bundle.meaning.class_column:
        return
    index = {name: k for k, name in enumerate(bundle.classes)}
    y = np.array([index.get(name, -1) for name in true_classes(bundle.meaning, table)])
    # A class that no training example had cannot be calibrated; the test figures count it as wrong.
    raw, y = answers.raw[y >= 0], y[y >= 0]
    calibrator, held = _fit_calibrator(config.calibration, raw, y)
    bundle.calibrator = calibrator
    conformal = config.conformal
    bundle.sets = ConformalSets.fit(
        calibrator.apply(raw[held]), y[held], alpha=conformal.alpha, method=conformal.method
    )


def _known(bundle: Bundle, table: pa.Table) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each quantity with its known true values and their rows."""
    for name in bundle.meaning.quantities:
        truth = numbers(table, name)
        rows = np.flatnonzero(np.isfinite(truth))
        yield name, truth[rows], rows


def _fit_calibrator(kind: str, raw: np.ndarray, y: np.ndarray) -> tuple[Calibrator, np.ndarray]:
    """Calibrator and the rows left for the conformal threshold.

    One temperature, fitted on all rows, does not wear them out; isotonic curves follow single rows, so they get the
    even ones and the threshold the odd ones.
    """
    rows = np.arange(len(y))
    if kind != "isotonic":
        return fit_calibrator(kind, raw, y), rows
    return fit_calibrator(kind, raw[::2], y[::2]), rows[1::2]
