"""The model card: Markdown and plots for people, the same bytes for the same version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from stellar.evaluation.plots import confusion_plot, coverage_plot, reliability_plot, residual_plot
from stellar.evaluation.splits import PARTS
from stellar.training.config import ModelConfig
from stellar.training.figures import Evaluation
from stellar.training.fit import Fitted
from stellar.training.frame import Frame

COMPARED = ("accuracy", "macro_f1", "ece", "subtype_mae", "mae", "rmse", "crps")  # shown beside the baselines


@dataclass(frozen=True)
class Provenance:
    """Where a frame's snapshots came from: `snapshots` (dataset, key, rows) and `batches` per survey and release."""

    snapshots: Sequence[Mapping[str, Any]] = ()
    batches: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Subject:
    """Everything that a card is about."""

    config: ModelConfig
    key: str
    seed: int
    frame: Frame
    fitted: Fitted
    evaluation: Evaluation
    provenance: Provenance


def write_card(folder: Path, subject: Subject) -> None:
    """Write `card.md` and the plots that it shows into `folder`."""
    plots = _plots(folder, subject)
    sections = [
        _head(subject),
        _data(subject),
        _examples(subject),
        _preparation(subject),
        _search(subject),
        _metrics(subject),
        _baselines(subject),
        _per_class(subject),
        _slices(subject),
        "\n".join(["## Plots", "", *(f"![{title}]({name})" for name, title in plots)]),
        _limits(subject),
        "\n".join(["## Attributions", "", *(f"- {line}" for line in subject.config.attributions)]),
    ]
    (folder / "card.md").write_text("\n\n".join(part for part in sections if part) + "\n", encoding="utf-8")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; floats with four significant digits."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def _head(subject: Subject) -> str:
    config, model = subject.config, subject.fitted.bundle.model
    way = "cross" if config.split.folds else "split"
    facts = [
        ("version", f"`{subject.key[:16]}`"),
        ("predicts", f"{', '.join(f'`{target.name}`' for target in config.targets)} from `{config.features}`"),
        ("architecture", f"`{config.architecture}`"),
        ("parameters", ", ".join(f"{key} {value}" for key, value in sorted(model.params.items())) or "defaults"),
        ("inputs", ", ".join(f"`{name}`" for name in config.columns)),
        ("calibration", config.calibration),
        (
            "sets and intervals",
            f"{way} conformal, alpha {config.conformal.alpha:g}",
        ),
        ("seed", subject.seed),
        ("training", ", ".join(f"{key} {_cell(value)}" for key, value in _flat(model.history))),
    ]
    return f"# {config.name}\n\n{config.description.strip()}\n\n" + table(("", ""), facts)


def _flat(history: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Single figures of a training's history; models of several targets keep one mapping for each."""
    found: list[tuple[str, Any]] = []
    for key, value in sorted(history.items()):
        if isinstance(value, Mapping):
            found += _flat(value)
        elif isinstance(value, int | float | str):
            found.append((key, value))
    return found


def _data(subject: Subject) -> str:
    lines = ["## Data", "", "Trained from these snapshots:", ""]
    pinned = subject.frame.snapshots
    lines.append(table(("dataset", "snapshot"), [(name, f"`{key[:16]}`") for name, key in sorted(pinned.items())]))
    if subject.provenance.snapshots:
        rows = [(one["dataset"], f"`{one['key'][:16]}`", one["rows"]) for one in subject.provenance.snapshots]
        lines += ["", "They were made from:", "", table(("dataset", "snapshot", "rows"), rows)]
    if subject.provenance.batches:
        header = ("survey", "release", "dataset", "batches", "rows")
        rows = [tuple(one[name] for name in header) for one in subject.provenance.batches]
        lines += [
            "",
            "And these from the surveys' batches (`stellar lineage` lists each with its service and query):",
            "",
        ]
        lines.append(table(header, rows))
    return "\n".join(lines)


def _examples(subject: Subject) -> str:
    """Examples per part, and per class where there are classes."""
    frame, config = subject.frame.table, subject.config
    parts = subject.fitted.parts
    order = [*(part for part in PARTS if part in parts), *sorted({*parts} - {*PARTS})]
    cells = f"Whole HEALPix cells of order {config.split.order} go to one part, and with them each star"
    grouped = cells if config.is_split_by_cell else "Whole stars go to one part"
    if config.split.folds:
        shares = "each example is tested by a model that saw the other folds; the version that is kept learned from all"
    else:
        shares = ", ".join(f"{part} {share:g}" for part, share in (config.split.fractions or {}).items())
    lines = [
        "## Examples",
        "",
        f"{frame.num_rows} examples of {pc.count_distinct(frame['object_id']).as_py()} stars. {grouped} ({shares}).",
        "",
    ]
    if config.target.kind == "class":
        names = np.asarray(frame[config.target.name].to_pylist(), dtype=str)
        rows = [
            (name, *(int(((names == name) & (parts == part)).sum()) for part in order)) for name in sorted(set(names))
        ]
    else:
        rows = []
    rows.append(("all", *(int((parts == part).sum()) for part in order)))
    lines.append(table(("class", *order), rows))
    if subject.frame.dropped:
        lines += ["", "Left out or merged by rule:", ""]
        lines.append(table(("rule", "examples"), sorted(subject.frame.dropped.items())))
    return "\n".join(lines)


def _preparation(subject: Subject) -> str:
    """What is done to the rows, and to the target, before the model learns."""
    config, found = subject.config, []
    if config.missing.sentinels:
        found.append(("not known", ", ".join(f"{one:g}" for one in config.missing.sentinels)))
    found += [(f"derived `{name}`", f"`{sql}`") for name, sql in config.derived.items()]
    found += [(f"filter: {one.rule}", f"`{one.where}`") for one in config.filters]
    if config.missing.rule != "keep" or config.missing.indicators:
        value = "" if config.missing.value is None else f" {config.missing.value:g}"
        found.append(("missing values", config.missing.rule + value + ", indicators" * config.missing.indicators))
    if config.polynomials:
        found.append(("polynomials", f"degree {config.polynomials.degree} of {', '.join(config.polynomials.columns)}"))
    if config.clusters:
        found.append(("clusters", f"{config.clusters.components} of {', '.join(config.clusters.columns)}"))
    if config.weights is not None:
        about = config.weights
        found.append(("weights", f"`{about}`" if isinstance(about, str) else f"bins ** -{about.power:g}"))
    found += [(f"scale of `{one.name}`", one.transform) for one in config.targets if one.transform != "none"]
    lines = ["## Preparation", "", table(("", ""), found)] if found else []
    for name, one in subject.frame.corrections.items():
        rows = [(when, about.mean, about.median, about.scatter, about.rms)
                for when, about in (("before", one.before), ("after", one.after))]  # fmt: skip
        lines += [
            *([""] if lines else []),
            f"## Correction of `{name}`",
            "",
            f"T + w(T) (p(T) - T), with p of degree {len(one.coefficients) - 1} fitted to {one.stars} stars between "
            f"{one.lowest:.0f} and {one.highest:.0f} K and w from 0 to 1 over {one.blend:g} K around "
            f"{one.threshold:g} K; p = " + " + ".join(f"{c:.6g} x^{k}" for k, c in enumerate(one.coefficients))
            + f", x = (T - {one.centre:.6g}) / {one.scale:.6g}. Reference minus catalogue, K:",
            "",
            table(("", "mean", "median", "scatter", "rms"), rows),
        ]  # fmt: skip
    return "\n".join(lines)


def _search(subject: Subject) -> str:
    """The trials that chose hyper-parameters."""
    chosen = subject.fitted.chosen
    if chosen is None:
        return ""
    names = list(chosen.params)
    said = ", ".join(f"{name} {_cell(value)}" for name, value in chosen.params.items())
    rows = [(one.number, *(one.params[name] for name in names), one.value) for one in chosen.trials]
    where = "folds of the examples to learn from" if subject.config.split.folds else "the validation part"
    intro = f"Chosen of {len(rows)} trials by {chosen.metric} on {where}: {said}. No test example had a part in it."
    return "\n".join(["## Search", "", intro, "", table(("trial", *names, chosen.metric), rows)])


def _metrics(subject: Subject) -> str:
    rows = [(name, one.value, one.lower, one.upper) for name, one in subject.evaluation.figures.items()]
    details = subject.evaluation.details
    plain = [one["baseline"]["rule"] for one in details.get("quantities", {}).values()]
    plain += [details["baseline_classes"]["rule"]] if "baseline_classes" in details else []
    notes = [f"Plainest baseline: {rule}." for rule in plain]
    if "ece_raw" in details:
        notes.append(f"Calibration error before calibration: {details['ece_raw']:.4f}.")
    intro = (
        f"On {subject.evaluation.predictions.num_rows} test examples, which the model never saw; 95% bootstrap "
        "intervals over stars."
    )
    lines = ["## Metrics", "", intro, *notes]
    if told := details.get("deals"):
        dealt = (
            f"Each is the mean over {subject.config.split.deals} deals of the folds, where the least and most are given"
        )
        lines.append(f"{dealt}; plots, classes, slices and differences are of the first.")
    header = ("metric", "value", "lower", "upper", *(("least of the deals", "most") if told else ()))
    rows = [(*row, *_ends(told.get(row[0], ()))) for row in rows] if told else rows
    return "\n".join([*lines, "", table(header, rows)])


def _ends(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else (None, None)


def _baselines(subject: Subject) -> str:
    """The model beside its baselines, on the same test examples."""
    baselines = subject.evaluation.details.get("baselines")
    if not baselines:
        return ""
    wanted = [one for one in COMPARED if one in subject.evaluation.figures]
    own = subject.evaluation.figures
    rows = [(subject.config.architecture, *(own[one].value for one in wanted), "")]
    for name, found in baselines.items():
        paired = "; ".join(
            f"{metric} {one['difference']['value']:+.4g} [{one['difference']['lower']:+.4g}, "
            f"{one['difference']['upper']:+.4g}]"
            for metric, one in found["paired"].items()
        )
        rows.append((f"{name} ({found['architecture']})", *(found["figures"][one][0] for one in wanted), paired))
    header = ("model", *wanted, "this model minus it, paired over stars")
    return "## Beside its baselines\n\n" + table(header, rows)


def _per_class(subject: Subject) -> str:
    found = subject.evaluation.details.get("classes", {}).get("per_class")
    if not found:
        return ""
    rows = [(name, one["precision"], one["recall"], one["f1"], one["support"]) for name, one in found.items()]
    return "## Per class\n\n" + table(("class", "precision", "recall", "F1", "test examples"), rows)


def _slices(subject: Subject) -> str:
    slices = subject.evaluation.details["slices"]
    if not slices:
        return ""
    names = list(dict.fromkeys(name for part in slices for name in part["metrics"] or {}))
    rows = [(p["slice"], p["range"], p["n"], *((p["metrics"] or {}).get(name) for name in names)) for p in slices]
    return "## Slices\n\n" + table(("column", "range", "test examples", *names), rows)


def _limits(subject: Subject) -> str:
    share = subject.evaluation.figures["out_of_range_share"].value
    return (
        "## Limits\n\n"
        f"Rows whose inputs lie outside the central 99.8% of the training examples', or lack an input that those had, "
        f"carry `is_out_of_range` and say why in `flags`; {share:.1%} of the test examples do. Sets and intervals hold "
        "their promise on average over stars like those of the calibration part, not within each slice: see the table "
        "above. The figures hold for the surveys and fields of the data above."
    )


def _plots(folder: Path, subject: Subject) -> list[tuple[str, str]]:
    evaluation, config = subject.evaluation, subject.config
    shown = []
    if found := evaluation.details.get("classes"):
        confusion_plot(folder / "confusion.png", found["confusion"], found["classes"], config.name)
        reliability_plot(folder / "reliability.png", evaluation.details["reliability"], config.name)
        shown += [("confusion.png", "Confusion matrix"), ("reliability.png", "Reliability")]
    for target in subject.fitted.bundle.meaning.quantities:
        suffix = "" if target == config.target.name else f"_{target}"
        truth = evaluation.truth[target]
        known = np.flatnonzero(np.isfinite(truth))
        said = evaluation.predictions[target].to_numpy()[known]
        residual_plot(folder / f"residuals{suffix}.png", truth[known], said, target, config.name)
        coverage_plot(folder / f"coverage{suffix}.png", *coverage(subject, target, known), config.name)
        shown += [(f"residuals{suffix}.png", f"Residuals of {target}"),
                  (f"coverage{suffix}.png", f"Coverage of central intervals of {target}")]  # fmt: skip
    return shown


def coverage(subject: Subject, target: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nominal and observed coverage of the central intervals, before the conformal step."""
    quantiles, truth = subject.evaluation.quantiles[target], subject.evaluation.truth[target][rows]
    nominal = np.linspace(0.1, 0.9, 9)
    ends = [quantiles.interval(1 - share) for share in nominal]
    return nominal, np.array([((truth >= low[rows]) & (truth <= high[rows])).mean() for low, high in ends])
