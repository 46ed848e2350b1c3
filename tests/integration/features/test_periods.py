"""Known periods come back: the measurement of `ops/lightcurves_page.py`, on fewer stars."""

import numpy as np

from benchmarks.period_recovery import (
    ASAS_RANGES,
    LEAST_SIGNAL,
    RR_LYRAE,
    asas_periods,
    recovered,
    simulated,
    stripe82_periods,
)


def test_made_tess_curves():
    made = simulated(12)
    clear = made["signal"] > LEAST_SIGNAL
    found = recovered(made["found_d"], made["period_d"], (0.5, 1.0, 2.0))[clear]
    assert found.mean() >= 0.95
    eclipsing = clear & np.isin(made["var_class"], ["EA", "EB"])
    assert recovered(made["found_d"], made["period_d"])[eclipsing].mean() >= 0.7
    assert recovered(made["peak_d"], made["period_d"])[eclipsing].mean() <= 0.1  # what a sinusoid makes of them


def test_rr_lyrae_of_stripe_82(real_data):
    periods = stripe82_periods(real_data / "s82_rrlyrae" / "table1.tar.gz", every=12)
    together = periods["all"]
    assert np.mean((together > RR_LYRAE[0]) & (together < RR_LYRAE[1])) >= 0.97
    for band in "gri":
        assert recovered(periods[band], together).mean() >= 0.85, band


def test_asas_stars_have_the_periods_of_their_class(real_data):
    stars = asas_periods(real_data / "asas", most=6)
    low, high = np.array([ASAS_RANGES[name] for name in stars["class"]]).T
    either = [(stars["period_d"] * k >= low) & (stars["period_d"] * k <= high) for k in (1, 2)]
    assert np.any(either, axis=0).mean() >= 0.95
