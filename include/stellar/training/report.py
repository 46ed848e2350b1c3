"""The report of a training: one page with the plots that people look at, the same bytes for the same version."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from stellar.evaluation.plots_quantity import beside_baselines
from stellar.pages import Fact, Gallery, Page, Part, Section, Table, Text, render
from stellar.training.card import COMPARED, Subject
from stellar.training.report_answers import answers, by_slices
from stellar.training.report_inputs import Seen, diagrams, distributions, features

REPORT = "report.html"


def write_report(folder: Path, subject: Subject) -> None:
    """Write `report.html` into `folder`."""
    (folder / REPORT).write_text(report(subject), encoding="utf-8")


def report(subject: Subject) -> str:
    """The page, self-contained: no script, nothing loaded from elsewhere, no time and no random id."""
    config, seen = subject.config, Seen.of(subject)
    sections = [
        Section("Figures", _figures(subject)),
        *(Section(title, parts) for title, parts in answers(subject, seen)),
        Section("By slices", by_slices(subject, seen)),
        Section("Stars", diagrams(subject, seen)),
        Section("Features", features(subject, seen)),
        Section("Beside its baselines", _baselines(subject)),
        Section("Examples", _examples(subject)),
        Section("Distributions", distributions(subject, seen)),
        Section("Provenance", _provenance(subject)),
        Section("Limits", [Text(_limits(subject))]),
        Section("Attributions", [Text(line) for line in config.attributions]),
    ]
    return render(Page(config.name, " ".join(config.description.split()), _facts(subject), sections))


def _facts(subject: Subject) -> list[Fact]:
    config = subject.config
    way = f"{config.split.folds} folds" if config.split.folds else "one part held back for the test"
    way += f", dealt {config.split.deals} times for the figures" if "deals" in subject.evaluation.details else ""
    return [
        Fact("Version", subject.key),
        Fact("Predicts", f"{', '.join(target.name for target in config.targets)} from {config.features}"),
        Fact("Architecture", config.architecture),
        Fact("Parameters", ", ".join(f"{key} {value}" for key, value in sorted(config.params.items())) or "defaults"),
        Fact("Tested by", f"{way}; {subject.evaluation.predictions.num_rows:,} test examples"),
        Fact("Sets and intervals", f"conformal, meant to hold {1 - config.conformal.alpha:.0%} of the truths"),
        Fact("Seed", str(subject.seed)),
    ]


def _figures(subject: Subject) -> list[Part]:
    evaluation = subject.evaluation
    known = {name: one for name, one in evaluation.figures.items() if isfinite(one.value)}
    sure = [
        (name, one.value, f"[{one.lower:.4g}, {one.upper:.4g}]") for name, one in known.items() if isfinite(one.lower)
    ]
    others = [(name, one.value) for name, one in known.items() if not isfinite(one.lower)]
    rules = [one["baseline"]["rule"] for one in evaluation.details.get("quantities", {}).values()]
    rules += [evaluation.details["baseline_classes"]["rule"]] if "baseline_classes" in evaluation.details else []
    made: list[Part] = [
        Text(
            f"On {evaluation.predictions.num_rows:,} test examples that the model did not learn from, with 95% "
            f"bootstrap intervals over stars. The plainest baseline says {'; '.join(rules)}."
        ),
        Table(("metric", "value", "95% interval"), sure, "Main figures"),
        Table(("metric", "value"), others, "Further figures"),
    ]
    return [one for one in made if not isinstance(one, Table) or one.rows]


def _baselines(subject: Subject) -> list[Part]:
    """The model beside its baselines on the same test examples, with the paired differences."""
    found: Mapping[str, Any] = subject.evaluation.details.get("baselines") or {}
    if not found:
        return []
    own = subject.evaluation.figures
    wanted = [name for name in COMPARED if name in own]
    pictures = []
    for metric in wanted[:4]:
        shown = {f"this ({subject.config.architecture})": (own[metric].value, own[metric].lower, own[metric].upper)}
        for name, one in found.items():
            value, lower, upper = one["figures"][metric]
            if value is not None:
                shown[name] = (value, value if lower is None else lower, value if upper is None else upper)
        pictures.append(beside_baselines(shown, metric))
    rows = [
        (name, one["architecture"], metric, *(pair["difference"][end] for end in ("value", "lower", "upper")))
        for name, one in found.items()
        for metric, pair in one["paired"].items()
    ]
    table = Table(
        ("baseline", "architecture", "metric", "difference", "lower", "upper"),
        rows,
        "This model minus the baseline, paired over stars, with 95% bootstrap intervals.",
    )
    return [Gallery(pictures), table] if rows else [Gallery(pictures)]


def _examples(subject: Subject) -> list[Part]:
    parts = subject.fitted.parts.tolist()
    counts = [(part, parts.count(part)) for part in sorted(set(parts))]
    stars = pc.count_distinct(subject.frame.table["object_id"]).as_py()
    made: list[Part] = [Table(("part", "examples"), counts, f"{len(parts):,} examples of {stars:,} stars.")]
    if subject.frame.dropped:
        rows = sorted(subject.frame.dropped.items())
        made.append(Table(("rule", "examples"), rows, "Left out or merged by rule."))
    return made


def _provenance(subject: Subject) -> list[Part]:
    made: list[Part] = [
        Table(
            ("dataset", "snapshot"),
            [(name, key[:16]) for name, key in sorted(subject.frame.snapshots.items())],
            "Trained from these snapshots.",
        )
    ]
    if subject.provenance.snapshots:
        rows = [(one["dataset"], one["key"][:16], one["rows"]) for one in subject.provenance.snapshots]
        made.append(Table(("dataset", "snapshot", "rows"), rows, "They were made from these."))
    if subject.provenance.batches:
        header = ("survey", "release", "dataset", "batches", "rows")
        batches = [[int(one[name]) if name in header[3:] else one[name] for name in header]
                   for one in subject.provenance.batches]  # fmt: skip
        made.append(Table(header, batches, "And these from the surveys' batches; `stellar lineage` lists each."))
    return made


def _limits(subject: Subject) -> str:
    share = subject.evaluation.figures["out_of_range_share"].value
    return (
        f"{share:.1%} of the test examples have inputs outside the central 99.8% of the training examples', or lack "
        "one that those had. Sets and intervals hold their promise on average over stars like those of the calibration "
        "examples, not within each slice. The figures hold for the surveys and fields of the data above."
    )
