import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.evaluation import plots_class, plots_inputs, plots_quantity
from stellar.evaluation.metrics import reliability_curve
from stellar.evaluation.pictures import bins_of, label, runs, span, wilson

LEVELS = np.array([0.025, 0.05, 0.1, 0.16, 0.25, 0.5, 0.75, 0.84, 0.9, 0.95, 0.975])
HOSTILE = ["<script>alert(1)</script>", "$\\frac{1}", "a\nb\x00c", "ZZ $ Ceti $", "\U0001f600" * 40]


def draw(n):
    rng = np.random.default_rng(0)
    truth = rng.uniform(4000, 8000, n)
    said = truth + rng.normal(0, 100, n)
    values = said[:, None] + 100 * np.linspace(-2, 2, len(LEVELS))
    x = np.where(rng.random(n) < 0.3, np.nan, rng.uniform(10, 20, n))
    p = rng.dirichlet(np.ones(len(HOSTILE)), n)
    y = np.array([rng.choice(len(HOSTILE), p=row) for row in p])
    curve = reliability_curve(y, p)
    names = np.array(HOSTILE, dtype=object)
    found = {name: {"precision": 0.5, "recall": 0.4, "f1": 0.44, "support": 7} for name in HOSTILE}
    contributions = rng.normal(size=(n, 3)) * [3, 2, 1]
    pair = ("bp_rp", "g_abs_mag")
    return [
        plots_quantity.predicted_against_true(truth, said, "teff_k"),
        plots_quantity.residuals_along(x, said - truth, "teff_k", HOSTILE[1]),
        plots_quantity.pit_histogram(truth, LEVELS, values, "teff_k"),
        plots_quantity.coverage_of_intervals(np.array([0.5, 0.9]), np.array([0.45, 0.88]), n, "teff_k"),
        plots_quantity.shares_by_slice(x, said > truth, "g_mag", "coverage", nominal=0.9),
        plots_quantity.shares_by_slice(x, said > truth, "g_mag", "coverage", edges=[12, 15]),
        plots_quantity.beside_baselines({"this": (1.0, 0.9, 1.2), HOSTILE[3]: (2.0, 2.0, 2.0)}, "mae"),
        plots_class.confusion(np.eye(len(HOSTILE), dtype=int) * 4, HOSTILE),
        plots_class.confusion(np.ones((30, 30), dtype=int), [f"class {k}" for k in range(30)]),
        plots_class.reliability({"raw": curve, "calibrated": curve}),
        plots_class.per_class(found),
        plots_inputs.distribution(truth, x, HOSTILE[1]),
        plots_inputs.class_shares(names[y], np.array([*names[y], None], dtype=object), "kind"),
        plots_inputs.importance_bars(["a", "b", HOSTILE[1]], np.array([1.0, 2.0, 3.0]), "dex", "Importance"),
        plots_inputs.importance_bars(["a", "b"], np.ones((2, 10)), "log odds", "Importance", None, list("ABCDEFGHIJ")),
        plots_inputs.swarm(["a", "b", "c"], contributions, contributions, "K"),
        plots_inputs.star_diagram(x, truth, said, pair, "teff_k", "Diagram", upside_down=True),
        plots_inputs.star_diagram(x, truth, said - truth, pair, "residual", "Diagram", about_zero=True),
        plots_inputs.class_diagram(x, truth, names[y], pair, "Diagram"),
        plots_inputs.colour_temperature(x, truth, said, ("bp_rp", "teff_k")),
    ]


@pytest.mark.parametrize("n", [40, 5000])
def test_pictures_have_the_same_bytes_each_time_and_are_not_blank(n):
    from matplotlib.image import imread

    once = draw(n)
    if n < 1000:
        assert draw(n) == once
    for first in once:
        assert first.alt
        drawn = imread(io.BytesIO(first.png))
        assert drawn.shape[:2] == (first.height, first.width)
        assert drawn[..., :3].std() > 0.02, f"{first.title} is blank"
        assert len(first.png) < 120_000


def test_a_column_without_values_has_a_picture_or_none():
    empty, n = np.full(50, np.nan), 50
    assert plots_quantity.shares_by_slice(empty, np.ones(n, bool), "g_mag", "coverage") is None
    assert plots_inputs.distribution(empty, empty, "u_g").caption == "missing: train 100.0%, test 100.0%"


def test_a_calibrated_model_lies_in_the_band_of_the_pit_and_an_overconfident_one_does_not():
    from scipy.stats import norm

    rng = np.random.default_rng(5)
    truth, values = rng.normal(size=4000), np.tile(norm.ppf(LEVELS), (4000, 1))

    def outside(scale):
        return int(plots_quantity.pit_histogram(truth, LEVELS, scale * values, "z").caption.split()[3])

    assert outside(1.0) <= 2
    assert outside(0.5) >= 6


def test_bars_of_the_pit_are_between_levels_and_hold_enough():
    edges = plots_quantity.pit_edges(LEVELS)
    assert edges[0] == 0 and edges[-1] == 1
    assert set(edges[1:-1]) <= set(LEVELS)
    assert np.diff(edges).min() >= plots_quantity.NARROWEST - 1e-12


def test_wilson_interval_is_that_of_the_textbook():
    # 81 of 263: Newcombe (1998), Stat. Med. 17, 857, table I: 0.2553 to 0.3662
    np.testing.assert_allclose(wilson(81, 263), (0.2553, 0.3662), atol=5e-5)
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == pytest.approx(1)


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=300), st.integers(1, 20))
def test_runs_hold_each_known_row_once_in_order(values, most):
    x = np.array(values, dtype=float)
    parts = runs(x, most, 5)
    rows = np.concatenate([*parts, np.zeros(0, int)]).astype(int)
    assert sorted(rows) == np.flatnonzero(np.isfinite(x)).tolist()
    assert (np.diff(x[rows]) >= 0).all()
    split = np.concatenate([*bins_of(x, [0.0]), np.zeros(0, int)]).astype(int)
    assert sorted(split) == sorted(rows)
    low, high = span(x)
    assert low < high


@given(st.text(max_size=60))
def test_a_label_is_one_line_and_no_formula(text):
    from matplotlib.cbook import is_math_text

    found = label(text)
    assert "\n" not in found and len(found.replace(r"\$", "$")) <= 28
    assert is_math_text(found) is False
