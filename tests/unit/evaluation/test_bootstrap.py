import numpy as np
import pytest

from stellar.errors import InputError
from stellar.evaluation.bootstrap import bootstrap, paired_bootstrap


def test_interval_of_a_mean_is_the_textbook_one():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = bootstrap(lambda rows: values[rows].mean(), 400, seed=1)
    error = values.std() / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.lower == pytest.approx(values.mean() - 1.96 * error, abs=0.03)
    assert found.upper == pytest.approx(values.mean() + 1.96 * error, abs=0.03)
    assert bootstrap(lambda rows: values[rows].mean(), 400, seed=1) == found


def test_groups_widen_the_interval_of_repeated_rows():
    values = np.repeat(np.random.default_rng(0).normal(size=50), 10)
    star = np.repeat(np.arange(50), 10)
    rows = bootstrap(lambda r: values[r].mean(), 500, seed=2)
    stars = bootstrap(lambda r: values[r].mean(), 500, seed=2, groups=star)
    assert (stars.upper - stars.lower) > 2.5 * (rows.upper - rows.lower)


def test_paired_sees_a_difference_smaller_than_either_interval():
    rng = np.random.default_rng(4)
    hard = rng.normal(size=600)
    a, b = hard + 0.10 + 0.1 * rng.normal(size=600), hard + 0.1 * rng.normal(size=600)
    found = paired_bootstrap(lambda r: a[r].mean(), lambda r: b[r].mean(), 600, higher_is_better=True)
    assert found.lower > 0
    assert found.worse == 0
    mirrored = paired_bootstrap(lambda r: a[r].mean(), lambda r: b[r].mean(), 600, higher_is_better=False)
    assert mirrored.worse == 1
    same = paired_bootstrap(lambda r: a[r].mean(), lambda r: a[r].mean(), 600, higher_is_better=True)
    assert (same.difference, same.worse) == (0, 0)


def test_undefined_metric_is_refused():
    with pytest.raises(InputError, match="undefined"):
        bootstrap(lambda rows: float("nan"), 5)
    with pytest.raises(InputError, match="no rows"):
        bootstrap(lambda rows: 0.0, 0)


def test_groups_are_drawn_whole():
    groups = np.array(["b", "a", "c", "a", "b", "b"])
    seen = []
    bootstrap(lambda rows: seen.append(rows) or 0.0, 6, resamples=50, seed=3, groups=groups)
    for rows in seen[1:]:
        names, count = np.unique(groups[rows], return_counts=True)
        size = {"a": 2, "b": 3, "c": 1}
        times = {name: number // size[name] for name, number in zip(names.tolist(), count.tolist(), strict=True)}
        assert all(number % size[name] == 0 for name, number in zip(names.tolist(), count.tolist(), strict=True))
        assert sum(times.values()) == 3
        for name, number in times.items():
            assert (np.bincount(rows, minlength=6)[groups == name] == number).all()
