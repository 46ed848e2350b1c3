"""Numbers, units and orders as the pages show them."""

import pytest


@pytest.fixture
def call(page):
    """A function: what a page's script gives for values, `call("models-figures.js", "unitOf", "mae", "teff_k")`."""
    how = "async ([file, name, values]) => (await import(`/${file}`))[name](...values)"
    return lambda file, name, *values: page.evaluate(how, [file, name, list(values)])


@pytest.mark.parametrize(
    ("figure", "target", "unit"),
    [
        ("mae", "teff_k", "K"),
        ("rmse", "teff_k, logg_dex, feh_dex", "K"),
        ("feh_dex_mae", "teff_k, logg_dex, feh_dex", "dex"),
        ("interval_median_width", "teff_k", "K"),
        ("interval_coverage", "teff_k", ""),
        ("r2", "teff_k", ""),
        ("accuracy", "variability_class", ""),
        ("mae", "redshift", ""),
        ("subtype_mae", "spectral_type", "subtypes"),
    ],
)
def test_figures_have_the_unit_of_their_target(call, figure, target, unit):
    assert call("models-figures.js", "unitOf", figure, target) == unit


def test_slices_are_in_the_order_of_their_ranges(call):
    slices = ["tmag=[12, 14)", "tmag=[-inf, 10)", "tmag=[14, inf)", "tmag=[10, 12)"]
    begins = {one: call("models-figures.js", "from", one) for one in slices}
    assert sorted(slices, key=begins.get) == ["tmag=[-inf, 10)", "tmag=[10, 12)", "tmag=[12, 14)", "tmag=[14, inf)"]
    assert call("models-figures.js", "from", "variability_class=RRab") == 0


def test_numbers_have_the_digits_that_they_are_read_for(call):
    assert call("catalogue-results.js", "text", 3.0888853073120117, "number", 7) == "3.088885"
    assert call("catalogue-results.js", "text", 305.52637100001, "number", 12) == "305.526371"
    assert call("catalogue-results.js", "text", 1.23456789e-9, "number", 7) == "1.234568e-9"
    assert call("catalogue-results.js", "text", "2846308843200184449", "integer") == "2846308843200184449"


def test_the_columns_that_a_reason_names_come_after_the_ids(call):
    rows = [{"reason": "ra, dec: position is missing"}, {"reason": "ruwe: outside 0.. ('-1')"}]
    columns = ["dec", "parallax", "ra", "ruwe", "solution_id", "source_id"]
    found = call("quality-quarantine.js", "blamedFirst", columns, rows)
    assert found == ["source_id", "dec", "ra", "ruwe", "parallax", "solution_id"]
