"""How good is it, and how sure: metrics, calibration, conformal sets, splits, bootstrap, slices, plots."""
