"""Pictures of a classifier: which classes it confuses, and whether its probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stellar.evaluation.pictures import COLOURS, WIDTH, figure, label, picture
from stellar.pages import Picture

MANY = 14  # classes beyond which a matrix has no room for its counts


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Picture:
    """Confusion matrix: shades are shares of the true class, numbers are counts."""
    matrix = np.asarray(counts)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(max(WIDTH, 0.42 * len(classes) + 1.6), 9.0)
    made, axes = figure(side, side * 0.82)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    names, ticks = [label(name, 16) for name in classes], np.arange(len(classes))
    upright = len(classes) > 8 or max(len(name) for name in names) > 5
    size = 8 if len(classes) <= 24 else 6
    axes.set_xticks(ticks, names, rotation=90 if upright else 0, fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true")
    if len(classes) <= MANY:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if share[row, column] > 0.6 else "black"
                axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    made.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    away = matrix.copy()
    np.fill_diagonal(away, 0)
    row, column = np.unravel_index(int(away.argmax()), away.shape)
    worst = f"; most often {classes[row]} is taken for {classes[column]} ({away.max()} times)" if away.any() else ""
    right = float(np.trace(matrix) / max(matrix.sum(), 1))
    alt = f"Confusion matrix of {len(classes)} classes, {matrix.sum():,} test examples; {right:.1%} are right{worst}."
    return picture(made, "Confusion matrix", alt, "Rows are true classes, shades shares of a row, numbers counts.")


def reliability(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Picture:
    """Accuracy against confidence; `curves` maps a label ("raw", "calibrated") to `metrics.reliability_curve`."""
    made, axes = figure()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="perfect")
    said = []
    for number, (name, curve) in enumerate(curves.items()):
        confidence = np.array([one["confidence"] for one in curve])
        accuracy, n = np.array([one["accuracy"] for one in curve]), np.array([one["n"] for one in curve])
        error = np.sqrt(np.maximum(accuracy * (1 - accuracy), 0) / n)
        axes.errorbar(
            confidence, accuracy, yerr=error, marker="o", markersize=4, capsize=2, color=COLOURS[1 - number], label=name
        )
        said.append(f"{name}: mean gap {float(np.average(np.abs(accuracy - confidence), weights=n)):.3f}")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.05))
    axes.legend(fontsize=8)
    alt = f"Accuracy against confidence in runs of equally many test examples; {', '.join(said)}."
    return picture(made, "Reliability", alt, "On the grey line a confidence of 0.8 is right in 8 of 10 cases.")


def per_class(found: Mapping[str, Mapping[str, Any]]) -> Picture:
    """Precision, recall and F1 of each class."""
    names = list(found)
    made, axes = figure(WIDTH, min(0.32 * len(names) + 1.3, 9.0))
    place = np.arange(len(names))[::-1]
    for number, (metric, marker) in enumerate((("precision", "o"), ("recall", "s"), ("f1", "D"))):
        values = [found[name][metric] for name in names]
        axes.plot(values, place, marker, markersize=5, color=COLOURS[number], label=metric)
    texts = [f"{label(name, 18)} ({found[name]['support']})" for name in names]
    axes.set_yticks(place, texts, fontsize=8 if len(names) <= 24 else 6)
    axes.set(xlabel="share", xlim=(-0.03, 1.03), ylim=(-0.6, len(names) - 0.4))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.0), ncols=3, framealpha=0.9)
    axes.set_ylim(-0.6, len(names) + 0.4)
    worst = min(names, key=lambda name: found[name]["f1"])
    alt = f"Precision, recall and F1 of {len(names)} classes; the lowest F1 has {worst} ({found[worst]['f1']:.3f})."
    return picture(made, "Precision and recall by class", alt, "In brackets: test examples of the class.")
