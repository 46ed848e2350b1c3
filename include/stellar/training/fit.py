"""From a frame to a bundle: split, fit, calibrate, and set the conformal thresholds. No database, no files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.evaluation.calibration import Calibrator, QuantileCalibrator, fit_calibrator
from stellar.evaluation.conformal import ConformalIntervals, ConformalSets
from stellar.evaluation.splits import grouped_split, hashed_folds, star_groups, stratified_folds
from stellar.models.base import Model, Quantiles, create
from stellar.models.preparation import Preparation
from stellar.registry.bundle import Answers, Bundle, Meaning
from stellar.registry.ranges import Novelty
from stellar.sky.healpix import spatial_index
from stellar.training.answers import joined
from stellar.training.config import Baseline, ModelConfig
from stellar.training.examples import example_weights, labels, prepared
from stellar.training.frame import NotTrainableError, numbers, true_classes
from stellar.training.judge import score
from stellar.training.trials import Chosen, TrialStore

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
    chosen: Chosen | None = None
    """What a search found for the bundle that is kept."""

    @property
    def test_rows(self) -> np.ndarray:
        """Rows that the figures are of, in the order of `tested`."""
        return np.concatenate([one.rows for one in self.tested])

    def rows(self, table: pa.Table, part: str) -> pa.Table:
        return table.filter(pa.array(self.parts == part))


def new_model(config: ModelConfig, baseline: Baseline | None = None, preparation: Preparation | None = None) -> Model:
    """The config's architecture, or that of one of its baselines, not fitted yet.

    Parameters
    ----------
    preparation
        Fitted: it knows all that the model sees.
    """
    one = baseline or config
    targets = tuple(target.name for target in config.targets)
    seen = (preparation or config.preparation).columns
    features = baseline.columns if baseline and baseline.columns else seen
    return create(one.architecture, features=features, targets=targets, **one.params)


@dataclass(frozen=True)
class How:
    """What is fitted beside the data: seed, the baseline in the place of the config's own model, where a long training
    keeps its state, and where a search keeps its trials.
    """

    seed: int
    baseline: Baseline | None = None
    checkpoints: Path | None = None
    trials: TrialStore = field(default_factory=TrialStore)


def fit(
    config: ModelConfig,
    table: pa.Table,
    seed: int,
    baseline: Baseline | None = None,
    checkpoints: Path | None = None,
    trials: TrialStore | None = None,
) -> Fitted:
    """Fit, calibrate and wrap a model; the same table, config and seed give the same bundle.

    Parameters
    ----------
    baseline
        Fit this one in the place of the config's own architecture, on the same parts.
    checkpoints
        Folder in which a long training keeps its state; one that was killed goes on from there.
    trials
        Where a search keeps its trials; in memory where not given.

    Raises
    ------
    NotTrainableError
        As `split`.
    """
    how = How(seed, baseline, checkpoints, trials or TrialStore())
    parts = split(config, table, seed)
    if config.split.folds:
        return _fit_folds(config, table, parts, how)
    train = parts == "train"
    config, chosen = _searched(config, table, train, parts == "validation", how, "all")
    bundle = _fitted(config, table, train, parts == "validation", how)
    calibration = table.filter(pa.array(parts == "calibration"))
    calibrate(config, bundle, bundle.answers(calibration), calibration)
    return Fitted(bundle, parts, (Tested(bundle, np.flatnonzero(parts == "test"), train),), chosen)


def _fit_folds(config: ModelConfig, table: pa.Table, parts: np.ndarray, how: How) -> Fitted:
    """A bundle that learned from every example, and one per fold for the figures.

    Where another survey's examples are the test, the folds only calibrate: then they are of the examples to learn from.
    A search is made anew for each fold, without the fold's examples, so that no figure is of examples that chose.
    """
    bundles, answers = _of_folds(config, table, parts, how)
    everything = parts != "test"
    config, chosen = _searched(config, table, everything, None, how, "all")
    kept = _fitted(config, table, everything, None, how)
    rows = np.concatenate([one.rows for one in bundles])
    calibrate(config, kept, joined(answers, kept.classes), table.take(rows))
    test = np.flatnonzero(parts == "test")
    outside = (Tested(kept, test, everything),) if len(test) else ()
    return Fitted(kept, parts, (*bundles, *outside) if _has_own(config, table) else outside, chosen)


def _searched(
    config: ModelConfig, table: pa.Table, learnt: np.ndarray, validation: np.ndarray | None, how: How, label: str
) -> tuple[ModelConfig, Chosen | None]:
    """The config with the hyper-parameters that its search chose, from these examples alone.

    A candidate is judged on the validation part or, where there is none, on folds of the examples to learn from.
    """
    about = config.search
    if about is None or how.baseline is not None:
        return config, None
    rounds = _rounds(config, table, learnt, validation, how.seed)

    def judge(params: dict[str, Any]) -> float:
        candidate = config.model_copy(update={"params": {**config.params, **params}})
        found, told = [], []
        for train, judged in rounds:
            bundle = _fitted(candidate, table, train, validation, replace(how, checkpoints=None))
            told.append(table.filter(pa.array(judged)))
            found.append(bundle.answers(told[-1]))
        return score(candidate, bundle, joined(found), pa.concat_tables(told), about.metric)

    chosen = how.trials.search(about, label, judge)
    return config.model_copy(update={"params": {**config.params, **chosen.params}}), chosen


def _rounds(
    config: ModelConfig, table: pa.Table, learnt: np.ndarray, validation: np.ndarray | None, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from and to judge on, bool[n] each, of one candidate."""
    if validation is not None:
        return [(learnt, validation)]
    assert config.search is not None
    rows = np.flatnonzero(learnt)
    part = table.take(rows)
    number = stratified_folds(_groups(config, part), _strata(config, part), config.search.folds, seed)
    found = []
    for fold in range(config.search.folds):
        judged = np.zeros(len(learnt), dtype=bool)
        judged[rows[number == fold]] = True
        found.append((learnt & ~judged, judged))
    return found


def _of_folds(config: ModelConfig, table: pa.Table, parts: np.ndarray, how: How) -> tuple[list[Tested], list[Answers]]:
    """A bundle per fold, which learned from the others and is calibrated by them, and its answers for the fold."""
    bundles = []
    for fold in sorted({part for part in parts if part.startswith("fold")}):
        learnt = (parts != fold) & (parts != "test")
        own, _ = _searched(config, table, learnt, None, how, f"without {fold}")
        bundles.append(Tested(_fitted(own, table, learnt, None, how), np.flatnonzero(parts == fold), learnt))
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


def fit_further_deals(
    config: ModelConfig, table: pa.Table, first: Fitted, seed: int, baseline: Baseline | None = None
) -> Iterator[Fitted]:
    """`first` with folds dealt anew, once for each of `split.deals` after it; for figures alone.

    Which stars are learned from together is chance, and moves the figures of few examples by more than many a change
    to a model does; the mean over several deals is moved less. What is tested on whole surveys stays as it is.
    """
    outside = tuple(one for one in first.tested if one.bundle is first.bundle)
    for number in range(1, config.split.deals if _has_own(config, table) else 1):
        parts = split(config, table, seed + number)
        bundles, _ = _of_folds(config, table, parts, How(seed + number, baseline))
        yield replace(first, parts=parts, tested=(*bundles, *outside))


def _has_own(config: ModelConfig, table: pa.Table) -> bool:
    """Whether some examples are neither only learned from nor only tested on."""
    return not config.split.column or table[config.split.column].null_count > 0


def _fitted(config: ModelConfig, table: pa.Table, train: np.ndarray, validation: np.ndarray | None, how: How) -> Bundle:
    told = np.any([table[target.truth].is_valid().to_numpy() for target in config.targets], axis=0)
    raw = table.filter(pa.array(train & told))
    preparation, examples, ranges = prepared(config, raw, how.seed)
    model = new_model(config, how.baseline, preparation)
    model.checkpoints = how.checkpoints
    held = None
    if validation is not None:
        part = table.filter(pa.array(validation))
        held = (preparation.apply(part), labels(config, part))
    weight = example_weights(config, raw)
    model.fit(examples, labels(config, raw), sample_weight=weight, validation=held, seed=how.seed)
    novelty = Novelty.of(preparation.with_derived(raw), config.columns) if model.kind == "tabular" else None
    return Bundle(_meaning(config), model, ranges, novelty=novelty, preparation=preparation)


def split(config: ModelConfig, table: pa.Table, seed: int) -> np.ndarray:
    """Part of each example, str[n]; whole stars and whole sky cells go to one part.

    Raises
    ------
    NotTrainableError
        If stars or sky cells are too few for the parts, or the calibration part is too small.
    """
    groups = _groups(config, table)
    try:
        if config.split.folds:
            return _folds(config, table, groups, seed)
        fractions = {str(part): share for part, share in (config.split.fractions or {}).items()}
        strata = _strata(config, table) if config.split.stratify else None
        parts = grouped_split(groups, fractions, seed, strata=strata)
    except InputError as fault:
        raise NotTrainableError(f"{config.name}: cannot train: {fault}") from None
    if (held := int((parts == "calibration").sum())) < FEWEST_CALIBRATION_ROWS:
        raise NotTrainableError(
            f"{config.name}: cannot train: the calibration part has {held} examples, under "
            f"{FEWEST_CALIBRATION_ROWS}; more data, or a higher split.order"
        )
    return parts


def _groups(config: ModelConfig, table: pa.Table) -> np.ndarray:
    """What stays together: stars, or sky cells."""
    groups = np.asarray(table["object_id"].to_pylist(), dtype=str)
    if config.is_split_by_cell:
        index = spatial_index(numbers(table, "ra"), numbers(table, "dec"))
        groups = star_groups(groups, index, int(config.split.order or 0))
    return groups


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
    if config.split.by == "hash":
        number = hashed_folds(groups, int(config.split.folds or 0), seed)
    else:
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
    if config.target.kind == "class":
        return np.asarray([value or "" for value in table[config.target.name].to_pylist()], dtype=str)
    about = config.split.stratify
    values = numbers(table, config.target.truth)
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values), dtype=np.int64)
    with np.errstate(invalid="ignore"):
        hot = values > about.hot_above if about and about.hot_above is not None else np.zeros(len(values), dtype=bool)
    bins = about.bins if about else STRATA_OF_A_QUANTITY
    rest = values[known & ~hot]
    edges = np.quantile(rest, np.linspace(0, 1, bins + 1)[1:-1]) if len(rest) else np.zeros(0)
    return np.select([hot, known], [bins, np.searchsorted(edges, values)], -1)


def _meaning(config: ModelConfig) -> Meaning:
    target = config.target
    return Meaning(
        model=config.name,
        features=config.features,
        example=config.example,
        target=target.name,
        kind=target.kind,
        columns=replace(config.preparation, watch=()).needed,
        alpha=config.conformal.alpha,
        class_column=target.class_column,
        bands=dict(target.bands or {}),
        further=tuple(one.name for one in config.further_targets),
        transforms={one.name: one.transform for one in config.targets if one.transform != "none"},
        needs=tuple(config.needs),
    )


def calibrate(config: ModelConfig, bundle: Bundle, answers: Answers, table: pa.Table) -> None:
    """Set the bundle's intervals, calibrator and sets by answers for examples that its model did not learn from."""
    for name, truth, rows in _known(config, table):
        quantiles = answers.quantiles[name]
        if config.conformal.levels and len(rows) >= FEWEST_CALIBRATION_ROWS:
            one = QuantileCalibrator.fit(quantiles.levels, quantiles.values[rows], truth)
            bundle.recalibration[name] = one
            quantiles = Quantiles(quantiles.levels, one.apply(quantiles.levels, quantiles.values))
        low, high = quantiles.interval(config.conformal.alpha)
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


def _known(config: ModelConfig, table: pa.Table) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each quantity with its known true values and their rows."""
    for target in config.targets:
        if target.kind == "quantity":
            truth = numbers(table, target.truth)
            rows = np.flatnonzero(np.isfinite(truth))
            yield target.name, truth[rows], rows


def _fit_calibrator(kind: str, raw: np.ndarray, y: np.ndarray) -> tuple[Calibrator, np.ndarray]:
    """Calibrator and the rows left for the conformal threshold.

    One temperature, fitted on all rows, does not wear them out; isotonic curves follow single rows, so they get the
    even ones and the threshold the odd ones.
    """
    rows = np.arange(len(y))
    if kind != "isotonic":
        return fit_calibrator(kind, raw, y), rows
    return fit_calibrator(kind, raw[::2], y[::2]), rows[1::2]
