"""Pictures of what a model was given: distributions, what it makes of its inputs, and diagrams of the stars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stellar.evaluation.pictures import (
    COLOURS,
    DENSITY,
    WIDTH,
    figure,
    label,
    picture,
    runs,
    small_figure,
    span,
    thinned,
)
from stellar.pages import Picture

MOST_CLASSES = 7  # that have a colour of their own
TOP = 20  # features shown
MOST_POINTS = 6000


def distribution(train: np.ndarray, test: np.ndarray, name: str) -> Picture:
    """Densities of a column in the training and the test examples; what is missing is said below."""
    known_train, known_test = train[np.isfinite(train)], test[np.isfinite(test)]
    low, high = span(known_train, known_test, tails=0.005)
    bins = np.linspace(low, high, 31)
    made, axes = small_figure()
    for values, colour, text in ((known_train, COLOURS[5], "train"), (known_test, COLOURS[1], "test")):
        inside = values[(values >= low) & (values <= high)]
        if len(inside):
            fill = {"fill": True, "alpha": 0.6} if text == "train" else {"linewidth": 1.4}
            counts = np.histogram(inside, bins=bins)[0]
            axes.stairs(counts / len(inside), bins, color=colour, label=text, **fill)
    axes.set_xlabel(label(name, 34), fontsize=8)
    axes.locator_params(axis="x", nbins=5)
    if len(known_train) or len(known_test):
        axes.legend(fontsize=7, frameon=False)
    missing = [1 - len(known) / max(len(every), 1) for known, every in ((known_train, train), (known_test, test))]
    said = f"missing: train {missing[0]:.1%}, test {missing[1]:.1%}"
    middle = [f"{np.median(known):.4g}" if len(known) else "none" for known in (known_train, known_test)]
    alt = f"Distribution of {name}: median {middle[0]} in training, {middle[1]} in test; {said}."
    return picture(made, name, alt, said)


def class_shares(train: np.ndarray, test: np.ndarray, name: str) -> Picture:
    """Share of each class in the training and the test examples; arrays of names, None where not known."""
    names = sorted({str(one) for one in [*train, *test] if one is not None})
    made, axes = figure(WIDTH, min(0.3 * len(names) + 1.2, 9.0))
    place = np.arange(len(names))[::-1]
    said = []
    for number, (values, text) in enumerate(((train, "train"), (test, "test"))):
        known = [str(one) for one in values if one is not None]
        shares = np.array([known.count(one) for one in names]) / max(len(known), 1)
        axes.barh(place + 0.2 - 0.4 * number, shares, height=0.4, color=COLOURS[(5, 1)[number]], label=text)
        said.append(f"{text} {len(known):,}")
    axes.set_yticks(place, [label(one, 20) for one in names], fontsize=8 if len(names) <= 24 else 6)
    axes.set(xlabel="share of the examples")
    axes.legend(fontsize=8)
    return picture(
        made, f"Classes of {name}", f"Shares of {len(names)} classes of {name}; examples: {', '.join(said)}."
    )


def importance_bars(
    names: Sequence[str], values: np.ndarray, unit: str, title: str, spread: np.ndarray | None = None,
    parts: Sequence[str] = (),
) -> Picture:  # fmt: skip
    """The most important features, the largest first.

    Parameters
    ----------
    values : float64[f] or float64[f, k]
        With `parts`, one column for each (class); the likeliest to matter have a colour, the others one together.
    spread : float64[f], optional
        Standard deviation over repeats.
    """
    whole = values if values.ndim == 1 else values.sum(axis=1)
    order = np.argsort(-whole, kind="stable")[:TOP]
    made, axes = figure(WIDTH, 0.26 * len(order) + 1.3)
    place, left = np.arange(len(order))[::-1], np.zeros(len(order))
    if values.ndim == 1:
        axes.barh(place, values[order], xerr=None if spread is None else spread[order], color=COLOURS[0], capsize=2)
    else:
        largest = np.argsort(-values.sum(axis=0), kind="stable")
        for number, k in enumerate(largest[:MOST_CLASSES]):
            axes.barh(place, values[order, k], left=left, color=COLOURS[number], label=label(parts[k], 14))
            left = left + values[order, k]
        if len(largest) > MOST_CLASSES:
            rest = values[np.ix_(order, largest[MOST_CLASSES:])].sum(axis=1)
            axes.barh(place, rest, left=left, color="lightgrey", label="others")
        axes.legend(fontsize=7, loc="lower right")
    axes.set_yticks(place, [label(names[k]) for k in order], fontsize=8)
    axes.set_xlabel(unit, fontsize=9)
    first = ", ".join(f"{names[k]} {whole[k]:.3g}" for k in order[:3])
    return picture(made, title, f"{title}, {unit}: {first} are the largest of {len(names)} features.")


def swarm(names: Sequence[str], contributions: np.ndarray, inputs: np.ndarray, unit: str) -> Picture:
    """Each row's contribution of each feature, coloured by the feature's rank among the rows (grey: missing).

    Parameters
    ----------
    contributions, inputs : float[n, f]
    """
    order = np.argsort(-np.abs(contributions).mean(axis=0), kind="stable")[: TOP - 5]
    made, axes = figure(WIDTH, 0.32 * len(order) + 1.5)
    from matplotlib.cm import ScalarMappable

    for row, k in enumerate(order):
        rows = thinned(len(contributions), 600, seed=int(k))
        x, value = contributions[rows, k], inputs[rows, k].astype(np.float64)
        y = len(order) - 1 - row + _offsets(x)
        known = np.isfinite(value)
        ranks = np.zeros(len(rows))
        ranks[known] = np.argsort(np.argsort(value[known], kind="stable"), kind="stable") / max(known.sum() - 1, 1)
        axes.scatter(x[~known], y[~known], s=4, color="grey", linewidths=0)
        axes.scatter(x[known], y[known], s=4, c=ranks[known], cmap="coolwarm", vmin=0, vmax=1, linewidths=0)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(np.arange(len(order))[::-1], [label(names[k]) for k in order], fontsize=8)
    axes.set_xlabel(f"contribution [{unit}]", fontsize=9)
    axes.set_ylim(-0.7, len(order) - 0.3)
    bar = made.colorbar(ScalarMappable(cmap="coolwarm"), ax=axes, shrink=0.6, aspect=30)
    bar.set_ticks([0, 1], labels=["low", "high"])
    bar.set_label("feature's value", fontsize=8)
    return picture(
        made,
        "What each feature does to single answers",
        f"Contributions of {len(order)} features to {len(contributions)} single predictions, a point each, in {unit}.",
        "Right of the line a feature raises the answer, left it lowers it; red are high values of the feature, grey "
        "missing ones.",
    )


def _offsets(x: np.ndarray, bins: int = 60) -> np.ndarray:
    """Heights that keep points of nearly one value apart: alternating about 0, wider where they crowd."""
    low, high = float(x.min()), float(x.max())
    place = np.minimum(((x - low) / max(high - low, 1e-30) * bins).astype(int), bins - 1)
    counts, rank = np.bincount(place, minlength=bins), np.zeros(len(x))
    order = np.argsort(place, kind="stable")
    starts = np.cumsum(counts) - counts
    rank[order] = np.arange(len(x)) - starts[place[order]]
    side = np.where(rank % 2 == 0, 1.0, -1.0) * np.ceil(rank / 2)
    return 0.8 * side / max(int(counts.max()), 12)


def star_diagram(
    x: np.ndarray, y: np.ndarray, value: np.ndarray, axes_names: tuple[str, str], value_name: str, title: str,
    *, upside_down: bool = False, about_zero: bool = False, caption: str = "",
) -> Picture:  # fmt: skip
    """Two columns of the stars against each other, coloured by the median of a third in each cell.

    Parameters
    ----------
    upside_down : bool
        Whether the y axis falls (magnitudes: bright ones are above).
    about_zero : bool
        Whether the value is a difference, with white at none.
    """
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(value)
    x, y, value = x[known], y[known], value[known]
    made, axes = figure(WIDTH, 4.6)
    x_range, y_range = span(x), span(y)
    few = len(x) <= 3000
    grid = axes.hexbin(
        x, y, C=value, gridsize=30 if few else 55, reduce_C_function=np.median, mincnt=1 if few else 3,
        cmap="RdBu_r" if about_zero else DENSITY, extent=(*x_range, *y_range), linewidths=0.1,
    )  # fmt: skip
    # by the cells: single stars with large residuals would leave the others pale
    low, high = span(np.asarray(grid.get_array(), dtype=np.float64), tails=0.02)
    if about_zero:
        high = max(abs(low), abs(high))
        low = -high
    grid.set_clim(low, high)
    made.colorbar(grid, ax=axes, label=f"median {label(value_name)}", shrink=0.85)
    if about_zero:
        axes.set_facecolor("#e8e8e8")
    axes.set(xlabel=label(axes_names[0]), ylabel=label(axes_names[1]), xlim=x_range)
    axes.set_ylim(*(y_range[::-1] if upside_down else y_range))
    alt = (
        f"{title}: {len(x):,} test examples by {axes_names[0]} and {axes_names[1]}; colour is the median {value_name}."
    )
    return picture(made, title, alt, caption)


def class_diagram(
    x: np.ndarray, y: np.ndarray, classes: np.ndarray, axes_names: tuple[str, str], title: str,
    *, upside_down: bool = False,
) -> Picture:  # fmt: skip
    """Two columns of the stars against each other, a point each, coloured by predicted class."""
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    rows = known[thinned(len(known), MOST_POINTS)]
    names, counts = np.unique(classes[rows].astype(str), return_counts=True)
    shown = names[np.argsort(-counts, kind="stable")][:MOST_CLASSES]
    made, axes = figure(WIDTH, 4.6)
    for number, name in enumerate([*shown, None]):
        mine = rows[classes[rows].astype(str) == name] if name else rows[~np.isin(classes[rows].astype(str), shown)]
        if len(mine):
            colour = COLOURS[number] if name else "lightgrey"
            text = label(name, 14) if name else "others"
            axes.scatter(x[mine], y[mine], s=6, alpha=0.6, linewidths=0, color=colour, label=text)
    low, high = span(y[rows])
    axes.set(xlabel=label(axes_names[0]), ylabel=label(axes_names[1]), xlim=span(x[rows]))
    axes.set_ylim(*((high, low) if upside_down else (low, high)))
    axes.legend(fontsize=7, markerscale=2)
    alt = f"{title}: {len(rows):,} test examples by {axes_names[0]} and {axes_names[1]}, coloured by predicted class."
    return picture(made, title, alt)


def colour_temperature(colour: np.ndarray, true: np.ndarray, said: np.ndarray, names: tuple[str, str]) -> Picture:
    """Temperature along colour: predicted values with their density, and the running medians of both."""
    from stellar.evaluation.plots_quantity import density

    known = np.isfinite(colour) & np.isfinite(true) & np.isfinite(said)
    colour, true, said = colour[known], true[known], said[known]
    made, axes = figure(WIDTH, 4.6)
    x_range, y_range = span(colour), span(true, said)
    density(axes, colour, said, x_range, y_range)
    parts = runs(colour)
    for values, text, line in ((true, "median of the true", "-"), (said, "median of the predicted", "--")):
        curve = np.array([[np.median(colour[rows]), np.median(values[rows])] for rows in parts])
        axes.plot(curve[:, 0], curve[:, 1], line, color=COLOURS[1] if line == "-" else "black", label=text)
    axes.set(xlabel=label(names[0]), ylabel=f"predicted {label(names[1])}", xlim=x_range, ylim=y_range)
    axes.legend(fontsize=8)
    title = f"{names[1]} along {names[0]}"
    alt = f"Predicted {names[1]} along {names[0]}, {len(colour):,} test examples, with running medians of both."
    return picture(made, title, alt)
