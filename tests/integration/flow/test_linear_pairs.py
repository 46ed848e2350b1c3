"""LINEAR's true pairs through import and cross-match (real data)."""

from benchmarks.quality import linear, measure_quality
from stellar.engine.context import Context


def test_every_true_pair_within_the_radius_is_found_and_every_match_is_one(settings, ledger, real_data):
    tables = linear(real_data / "linear_targets.dat.gz")
    narrow, wide = measure_quality(Context(settings, ledger), *tables, radii_arcsec=[0.3, 2.0])
    assert wide.within > 3_000
    assert narrow.matches == narrow.true == narrow.within < wide.within
    assert wide.matches == wide.true == wide.within
