import hashlib

import numpy as np
import pytest

from stellar.evaluation import plots
from stellar.evaluation.metrics import reliability_curve


def draw(folder):
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1], 300)
    y = (rng.random(300) > p[:, 0]).astype(int)
    truth = rng.uniform(4000, 8000, 300)
    return [
        plots.confusion_plot(folder / "confusion.png", [[5, 1], [0, 9]], ["A", "B"], "test"),
        plots.reliability_plot(folder / "reliability.png", {"raw": reliability_curve(y, p)}),
        plots.residual_plot(folder / "residual.png", truth, truth + rng.normal(size=300) * 100, "Teff [K]"),
        plots.coverage_plot(folder / "coverage.png", np.array([0.5, 0.9]), np.array([0.45, 0.88])),
        plots.importance_plot(folder / "importance.png", ["a", "b"], np.array([0.3, 0.7])),
    ]


def test_plots_are_pictures_with_the_same_bytes_each_time(tmp_path):
    from matplotlib.image import imread

    first, second = draw(tmp_path / "one"), draw(tmp_path / "two")
    for a, b in zip(first, second, strict=True):
        assert hashlib.sha256(a.read_bytes()).digest() == hashlib.sha256(b.read_bytes()).digest()
        assert imread(a).std() > 0.02, f"{a.name} is blank"


@pytest.mark.parametrize("n", [1, 15])
def test_residuals_of_few_stars(tmp_path, n):
    truth = np.linspace(4000, 5000, n)
    assert plots.residual_plot(tmp_path / "r.png", truth, truth, "Teff [K]").stat().st_size > 1000


def test_a_class_that_reads_like_a_formula_is_a_name(tmp_path):
    path = plots.confusion_plot(tmp_path / "c.png", [[5, 1], [0, 9]], ["$\\frac{$", "ZZ Ceti"])
    assert path.stat().st_size > 1000
