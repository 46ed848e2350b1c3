"""From a frame to a bundle: split, fit, calibrate, and set the conformal thresholds. No database, no files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stellar.errors import InputError
from stellar.evaluation.calibration import Calibrator, fit_calibrator
from stellar.evaluation.conformal import ConformalIntervals, ConformalSets
from stellar.evaluation.splits import PARTS, grouped_split, star_groups
from stellar.models.base import Model, create
from stellar.registry.bundle import Bundle, InputRanges, Meaning
from stellar.sky.healpix import spatial_index
from stellar.training.config import ModelConfig
from stellar.training.evaluate import true_classes
from stellar.training.frame import NotTrainableError, numbers

FEWEST_CALIBRATION_ROWS = 20


@dataclass(frozen=True)
class Fitted:
    """A bundle, and the part of each example of the frame (`train`, `validation`, `calibration`, `test`)."""

    bundle: Bundle
    parts: np.ndarray

    def rows(self, table: pa.Table, part: str) -> pa.Table:
        return table.filter(pa.array(self.parts == part))


def new_model(config: ModelConfig) -> Model:
    """The config's architecture, not fitted yet."""
    return create(config.architecture, features=config.columns, targets=(config.target.name,), **config.params)


def fit(config: ModelConfig, table: pa.Table, seed: int) -> Fitted:
    """Fit, calibrate and wrap a model; the same table, config and seed give the same bundle.

    Raises
    ------
    NotTrainableError
        As `split`.
    """
    parts = split(config, table, seed)
    train, validation, calibration = (table.filter(pa.array(parts == part)) for part in PARTS[:3])
    model = new_model(config)
    model.fit(train, _labels(config, train), validation=(validation, _labels(config, validation)), seed=seed)
    bundle = Bundle(_meaning(config), model, InputRanges.of(train, [*config.columns, *config.watch]))
    _calibrate(config, bundle, calibration)
    return Fitted(bundle, parts)


def split(config: ModelConfig, table: pa.Table, seed: int) -> np.ndarray:
    """Part of each example, str[n]; whole stars and whole sky cells go to one part.

    Raises
    ------
    NotTrainableError
        If the sky cells are too few for four parts, or the calibration part is too small.
    """
    groups = np.asarray(table["object_id"].to_pylist(), dtype=str)
    if config.on_sky:
        index = spatial_index(numbers(table, "ra"), numbers(table, "dec"))
        groups = star_groups(groups, index, config.split.order)
    try:
        parts = grouped_split(groups, {str(part): share for part, share in config.split.fractions.items()}, seed)
    except InputError as fault:
        raise NotTrainableError(f"{config.name}: cannot train: {fault}") from None
    if (held := int((parts == "calibration").sum())) < FEWEST_CALIBRATION_ROWS:
        raise NotTrainableError(
            f"{config.name}: cannot train: the calibration part has {held} examples, under "
            f"{FEWEST_CALIBRATION_ROWS}; more data, or a higher split.order"
        )
    return parts


def _labels(config: ModelConfig, table: pa.Table) -> np.ndarray:
    if config.target.kind == "quantity":
        return numbers(table, config.target.name)
    return np.asarray(table[config.target.name].to_pylist(), dtype=object)


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
    )


def _calibrate(config: ModelConfig, bundle: Bundle, table: pa.Table) -> None:
    quantiles = None
    if config.target.kind == "quantity":
        quantiles = bundle.quantiles(table)
        low, high = quantiles.interval(config.conformal.alpha)
        truth = numbers(table, config.target.name)
        bundle.intervals = ConformalIntervals.fit(low, high, truth, alpha=config.conformal.alpha)
    if not bundle.meaning.class_column:
        return
    raw = bundle.raw_probabilities(table, quantiles)
    index = {name: k for k, name in enumerate(bundle.classes)}
    y = np.array([index.get(name, -1) for name in true_classes(bundle, table)])
    # A class that no training example had cannot be calibrated; the test figures count it as wrong.
    raw, y = raw[y >= 0], y[y >= 0]
    calibrator, held = _fit_calibrator(config.calibration, raw, y)
    bundle.calibrator = calibrator
    conformal = config.conformal
    bundle.sets = ConformalSets.fit(
        calibrator.apply(raw[held]), y[held], alpha=conformal.alpha, method=conformal.method
    )


def _fit_calibrator(kind: str, raw: np.ndarray, y: np.ndarray) -> tuple[Calibrator, np.ndarray]:
    """Calibrator and the rows left for the conformal threshold.

    One temperature, fitted on all rows, does not wear them out; isotonic curves follow single rows, so they get the
    even ones and the threshold the odd ones.
    """
    rows = np.arange(len(y))
    if kind != "isotonic":
        return fit_calibrator(kind, raw, y), rows
    return fit_calibrator(kind, raw[::2], y[::2]), rows[1::2]
