"""Two models on the same test examples: paired figures with bootstrap intervals over stars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stellar.errors import InputError
from stellar.evaluation.bootstrap import paired_bootstrap
from stellar.models.mk_types import subtype_numbers
from stellar.registry.policy import PAIRED, PAIRED_METRICS, Comparison, Figure
from stellar.registry.store import ArtifactStore
from stellar.registry.versions import Version
from stellar.training.config import ModelConfig
from stellar.training.evaluate import evaluate_deals
from stellar.training.figures import LOWER_IS_BETTER, Evaluation, Rows, Sample, macro_f1
from stellar.training.fit import fit


def compare(config: ModelConfig, new: Evaluation, theirs: pa.Table, rows: Rows, name: str, test: pa.Table,
            seed: int) -> dict[str, Comparison]:  # fmt: skip
    """Paired figures of the new version and another model on the same test examples.

    Parameters
    ----------
    theirs
        The other's prediction columns for `rows`, of which it learned none.
    rows
        int[m], rows of `test`.
    """
    wanted = {rule.metric for rule in config.policy if rule.op in PAIRED}
    found: dict[str, Comparison] = {}
    if not len(rows):
        return found
    ours = new.predictions.take(rows)
    for metric in sorted(wanted & set(PAIRED_METRICS)):
        column = config.target.name if metric in ("mae", "rmse") else config.target.class_column
        if column is None or column not in theirs.column_names:
            continue
        truth = new.truth[config.target.name if metric in ("mae", "rmse") else "class"][rows]
        known = np.flatnonzero([value is not None and value == value for value in truth])
        if not len(known):
            continue
        stars = np.asarray(test["object_id"].take(rows[known]).to_pylist(), dtype=str)
        sample = Sample(len(known), np.unique(stars, return_inverse=True)[1], seed)
        higher = metric not in LOWER_IS_BETTER
        paired = paired_bootstrap(
            _answer_metric(metric, truth[known], ours[column].take(known)),
            _answer_metric(metric, truth[known], theirs[column].take(known)),
            len(known),
            higher_is_better=higher,
            resamples=sample.resamples,
            seed=seed,
            groups=sample.stars,
        )
        sign = 1 if higher else -1
        low, high = sorted((sign * paired.lower, sign * paired.upper))
        difference = Figure(sign * paired.difference, low, high)
        found[metric] = Comparison(metric, name, len(known), paired.candidate, paired.current, difference)
    return found


def against_baselines(
    config: ModelConfig, table: pa.Table, test: pa.Table, new: Evaluation, seed: int
) -> dict[str, dict[str, Comparison]]:
    """Fit each of the config's baselines on the same parts; paired figures by baseline, and their own in `new`."""
    found = {}
    alone = config.model_copy(update={"further_targets": []})
    for name, baseline in config.baselines.items():
        fitted = fit(alone, table, seed, baseline)
        theirs = evaluate_deals(alone, fitted, table, seed, baseline)
        rows = np.arange(test.num_rows)
        found[name] = compare(config, new, theirs.predictions, rows, name, test, seed)
        shown = {metric: [one.value, one.lower, one.upper] for metric, one in theirs.figures.items()}
        new.details.setdefault("baselines", {})[name] = {
            "architecture": baseline.architecture,
            "figures": {metric: [_known(value) for value in values] for metric, values in shown.items()},
            "paired": {metric: asdict(one) for metric, one in found[name].items()},
        }
    return found


@dataclass(frozen=True)
class Beside:
    """One version's figures on the examples that all of the compared ones were tested on."""

    version: str
    examples: int
    figures: dict[str, Figure]
    minus_first: dict[str, Figure]
    """Paired differences from the first version; above zero this one has more."""


def compare_versions(artifacts: ArtifactStore, chosen: Sequence[Version], seed: int) -> list[Beside]:
    """Versions side by side on the test examples that they share; none of them learned from these.

    Parameters
    ----------
    chosen : sequence of Version
        Of one model or of several that tell the same of the same examples.

    Raises
    ------
    InputError
        When they tell different things, or share no test example.
    """
    first = chosen[0]
    tables = [pq.read_table(artifacts.get(one.artifact_sha256) / "test_predictions.parquet") for one in chosen]
    column = str(first.config["target"]["name"])
    key = first.config["example"]
    truth = f"true_{first.config['target']['name']}"
    for one, table in zip(chosen, tables, strict=True):
        if lacking := [name for name in (key, truth, column) if name not in table.column_names]:
            raise InputError(f"{one} has no {', '.join(lacking)}: it does not tell what {first} tells")
    shared = tables[0].filter(pc.is_valid(tables[0][truth]))[key].combine_chunks()
    for table in tables[1:]:
        shared = shared.filter(pc.is_in(shared, value_set=table[key].combine_chunks()))
    if not len(shared):
        raise InputError(f"{', '.join(map(str, chosen))} share no test example")
    aligned = [table.take(pc.index_in(shared, value_set=table[key].combine_chunks())) for table in tables]
    true = np.asarray(aligned[0][truth].to_pylist(), dtype=None if _is_quantity(first) else object)
    stars = np.asarray(aligned[0]["object_id"].to_pylist(), dtype=str)
    metrics = ["mae", "rmse"] if _is_quantity(first) else ["accuracy", "macro_f1"]
    metrics += ["subtype_mae"] if first.config["target"].get("scale") == "mk" else []
    scores = [{metric: _answer_metric(metric, true, table[column]) for metric in metrics} for table in aligned]
    sample = Sample(len(shared), stars, seed)
    return [
        Beside(
            str(one),
            len(shared),
            {metric: sample.figure(own[metric]) for metric in metrics},
            {metric: _difference(own[metric], scores[0][metric], sample) for metric in metrics} if number else {},
        )
        for number, (one, own) in enumerate(zip(chosen, scores, strict=True))
    ]


def _difference(own: Callable[[Rows], float], first: Callable[[Rows], float], sample: Sample) -> Figure:
    paired = paired_bootstrap(own, first, sample.n, higher_is_better=True, resamples=sample.resamples, seed=sample.seed,
                              groups=sample.stars)  # fmt: skip
    return Figure(paired.difference, paired.lower, paired.upper)


def _is_quantity(version: Version) -> bool:
    return version.config["target"]["kind"] == "quantity"


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _answer_metric(metric: str, truth: np.ndarray, answer: pa.ChunkedArray) -> Callable[[Rows], float]:
    """A metric that needs the answers alone, so that versions with different class lists can be compared."""
    if metric in ("mae", "rmse"):
        error = np.abs(answer.to_numpy() - truth)
        power = 1 if metric == "mae" else 2
        return lambda rows: float((error[rows] ** power).mean() ** (1 / power))
    answers = np.asarray(answer.to_pylist(), dtype=object)
    if metric == "subtype_mae":
        away = np.abs(subtype_numbers(answers) - subtype_numbers(truth))
        return lambda rows: float(np.nanmean(away[rows]))
    if metric == "accuracy":
        correct = answers == truth
        return lambda rows: float(correct[rows].mean())
    names = {name: k for k, name in enumerate(sorted({*answers, *truth}))}
    y, predicted = (np.array([names[name] for name in values]) for values in (truth, answers))
    return lambda rows: macro_f1(y[rows], predicted[rows], len(names))
