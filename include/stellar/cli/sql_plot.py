"""Plots of a result on the terminal: histogram, one column against another, Hertzsprung-Russell diagram, sky."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stellar.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

USAGE = "COLUMN (a histogram), X Y, hr COLOUR MAGNITUDE, or sky [RA DEC]"
#: More points than this are thinned out evenly: a terminal has fewer cells.
MOST_POINTS = 20_000


def plot_text(table: pa.Table, wanted: str, *, width: int = 100, height: int = 30) -> str:
    """A plot of columns of a table, as lines of text.

    Parameters
    ----------
    table : pyarrow.Table
    wanted : str
        ``COLUMN``: its histogram; ``X Y``; ``hr X Y``: bright above and hot to the left, that is with the vertical axis
        reversed, and a horizontal one of temperatures too (teff is in its name); ``sky``: right ascension increasing
        to the left.
    width, height : int
        Cells of the terminal.

    Raises
    ------
    InputError
        When a column is not there, is not numeric, or has no finite values.
    """
    import plotext

    kind, *rest = wanted.split() or [""]
    names = rest if kind in ("hr", "sky") else wanted.split()
    names = names or (["ra", "dec"] if kind == "sky" else [])
    if len(names) != (1 if kind not in ("hr", "sky") and len(names) == 1 else 2):
        raise InputError(f"plot what? {USAGE}")
    columns = [_numbers(table, name) for name in names]
    finite = np.all([np.isfinite(column) for column in columns], axis=0)
    columns = [column[finite] for column in columns]
    if not len(columns[0]):
        raise InputError(f"nothing to plot: {' and '.join(names)} have no finite values")
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    rows = f"{len(columns[0]):,} of {table.num_rows:,} rows"
    if len(names) == 1:
        bins = int(np.clip(np.sqrt(len(columns[0])), 5, width // 3))
        figure.draw(figure.hist(columns[0].tolist(), bins=bins))
        figure.label(names[0], "x")
        figure.label("rows", "y")
        figure.title(rows)
    else:
        step = -(-len(columns[0]) // MOST_POINTS)
        figure.draw(figure.signal(*(column[::step].tolist() for column in columns), marker="braille"))
        for axis, name in zip("xy", names, strict=True):
            figure.label(name, axis)
        figure.title(rows + (f", every {step}th" if step > 1 else ""))
        if kind == "sky" or (kind == "hr" and "teff" in names[0]):
            figure.ruler("x").direction(-1)
        if kind == "hr":
            figure.ruler("y").direction(-1)
    return str(plotext.uncolorize(figure.build().string())).rstrip()


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    import pyarrow as pa

    if name not in table.schema.names:
        raise InputError(f"plot: the result has no column {name}; it has {', '.join(table.schema.names)}")
    type_ = table.schema.field(name).type
    if not (pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_)):
        raise InputError(f"plot: {name} is {type_}, not a number")
    values: NDArray[np.float64] = table[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values
