"""Plots on a terminal: what lies where, which way axes run, and what cannot be plotted."""

import numpy as np
import pyarrow as pa
import pytest

from stellar.cli.sql_plot import plot_text
from stellar.errors import InputError

TABLE = pa.table(
    {"teff_k": [4000.0, 6000.0, None, float("nan")], "mag": [20.0, 10.0, 1.0, 2.0], "name": ["a", "b", "c", "d"]}
)


def ticks(line):
    return [float(word) for word in line.replace("┤", " ").split()[:1]]


def left_axis(text):
    return [value for line in text.splitlines() if "┤" in line for value in ticks(line)]


def bottom_axis(text):
    return [float(word) for word in text.splitlines()[-2].split()]


def test_a_diagram_of_stars_has_bright_above_and_hot_to_the_left():
    text = plot_text(TABLE, "hr teff_k mag", width=60, height=20)
    assert left_axis(text) == sorted(left_axis(text)) and bottom_axis(text) == sorted(bottom_axis(text), reverse=True)
    assert "2 of 4 rows" in text and "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 60


def test_plain_axes_grow_and_right_ascension_grows_to_the_left():
    text = plot_text(TABLE, "teff_k mag", width=60, height=20)
    assert left_axis(text) == sorted(left_axis(text), reverse=True) and bottom_axis(text) == sorted(bottom_axis(text))
    sky = pa.table({"ra": [1.0, 50.0], "dec": [-10.0, 20.0]})
    text = plot_text(sky, "sky", width=60, height=20)
    assert bottom_axis(text) == sorted(bottom_axis(text), reverse=True)


def test_a_histogram_counts_all_rows_and_a_large_table_is_thinned():
    many = pa.table({"x": np.random.default_rng(1).normal(size=50_000), "y": np.zeros(50_000)})
    assert "50,000 of 50,000 rows" in plot_text(many, "x", width=60, height=15)
    assert "every 3th" in plot_text(many, "x y", width=60, height=15)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("", "plot what"), ("hr mag", "plot what"), ("a b c", "plot what"), ("nope", "no column nope; it has teff_k"),
        ("name", "name is string, not a number"), ("sky", "no column ra"),
    ],
)  # fmt: skip
def test_what_cannot_be_plotted_is_told(wanted, said):
    with pytest.raises(InputError, match=said):
        plot_text(TABLE, wanted)


def test_nothing_finite_is_told():
    with pytest.raises(InputError, match="no finite values"):
        plot_text(pa.table({"x": pa.array([None, None], pa.float64())}), "x")
