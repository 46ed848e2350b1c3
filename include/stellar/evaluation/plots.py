"""Plots of a model's evaluation, as PNG with the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stellar.evaluation.pictures import label as shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _figure(width: float = 6.0, height: float = 5.0) -> tuple[Figure, Axes]:
    # the object interface with the Agg canvas: no display, no global state, safe inside a task
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _write(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # no software stamp: it names a version, and the artifact's hash would change with it
    figure.savefig(path, format="png", metadata={"Software": None})
    return path


def confusion_plot(path: Path, confusion: Sequence[Sequence[int]], classes: Sequence[str], title: str = "") -> Path:
    """Confusion matrix: shades are shares of the true class, numbers are counts."""
    counts = np.asarray(confusion)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(5.0, 0.55 * len(classes) + 2)
    figure, axes = _figure(side, side * 0.9)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks, classes = np.arange(len(classes)), [shown(name) for name in classes]
    axes.set_xticks(ticks, classes, rotation=90 if len(classes) > 8 else 0)
    axes.set_yticks(ticks, classes)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if share[row, column] > 0.6 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    return _write(figure, path)


def reliability_plot(path: Path, curves: dict[str, list[dict[str, Any]]], title: str = "") -> Path:
    """Accuracy against confidence; `curves` maps a label ("raw", "calibrated") to `metrics.reliability_curve`."""
    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="perfect")
    for label, curve in curves.items():
        confidence, accuracy = [b["confidence"] for b in curve], np.array([b["accuracy"] for b in curve])
        error = np.sqrt(np.maximum(accuracy * (1 - accuracy), 0) / np.array([b["n"] for b in curve]))
        axes.errorbar(confidence, accuracy, yerr=error, marker="o", capsize=2, label=label)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.05), title=title)
    axes.legend()
    return _write(figure, path)


def residual_plot(path: Path, y_true: np.ndarray, prediction: np.ndarray, label: str, title: str = "") -> Path:
    """Residuals against the truth, with their running median and 16 to 84% band; `label` is name and unit."""
    y, residual = np.asarray(y_true, float), np.asarray(prediction, float) - np.asarray(y_true, float)
    figure, axes = _figure(7, 4.5)
    axes.scatter(y, residual, s=4, alpha=0.3, linewidths=0, rasterized=True)
    order = np.argsort(y, kind="stable")
    chunks = [part for part in np.array_split(order, max(min(20, len(y) // 20), 1)) if len(part)]
    band = np.array([[np.median(y[c]), *np.quantile(residual[c], [0.16, 0.5, 0.84])] for c in chunks])
    axes.plot(band[:, 0], band[:, 2], color="C1", label="median")
    axes.fill_between(band[:, 0], band[:, 1], band[:, 3], color="C1", alpha=0.25, label="16 to 84%")
    axes.axhline(0, color="grey", linewidth=1)
    axes.set(xlabel=f"true {label}", ylabel=f"predicted - true {label}", title=title)
    axes.legend()
    return _write(figure, path)


def coverage_plot(path: Path, nominal: np.ndarray, observed: np.ndarray, title: str = "") -> Path:
    """Share of truths inside central intervals against the share promised."""
    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, label="perfect")
    axes.plot(nominal, observed, marker="o", label="observed")
    axes.set(xlabel="nominal coverage", ylabel="observed coverage", xlim=(0, 1), ylim=(0, 1.02), title=title)
    axes.legend()
    return _write(figure, path)


def importance_plot(path: Path, names: Sequence[str], gains: np.ndarray, title: str = "", top: int = 20) -> Path:
    """Share of the gain of each feature in a boosted model, the largest `top`."""
    order = np.argsort(-np.asarray(gains), kind="stable")[:top][::-1]
    figure, axes = _figure(6, 0.25 * len(order) + 1.5)
    axes.barh([names[k] for k in order], np.asarray(gains)[order])
    axes.set(xlabel="share of gain", title=title)
    return _write(figure, path)
