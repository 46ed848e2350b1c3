"""Light curves: the period and depth that went in come out, and lightkurve reads the files."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.timeseries import LombScargle

from stellar.archive import tess
from stellar.archive.tess_fits import lightcurve_fits
from stellar.archive.variables import relative_flux


@pytest.fixture(scope="module")
def curves(archive: Path, table) -> dict:
    """Light curves with the truth of their stars."""
    rows, truth = table("tess_lightcurves"), table("truth")
    star = {t: i for i, t in enumerate(truth["ticid"]) if t > 0}
    index = np.array([star[t] for t in rows["ticid"]])
    columns = {k: truth[k][index] for k in ("var_class", "period_d", "amplitude_frac", "tess_mag")}
    arrays = {n: np.load(archive / f"tess_{n}.npy", mmap_mode="r") for n in ("sap", "pdcsap", "quality")}
    return rows | columns | arrays


def test_period_of_rr_lyrae_is_found(curves: dict) -> None:
    rows = np.flatnonzero(np.isin(curves["var_class"], ("RRab", "RRc")))
    for row in rows:
        time, flux = tess.cadence_times(int(curves["sector"][row])), curves["pdcsap"][row]
        good = np.isfinite(flux)
        frequency = np.linspace(1.0, 5.0, 4000)
        power = LombScargle(time[good], flux[good]).power(frequency)
        assert frequency[power.argmax()] == pytest.approx(1.0 / curves["period_d"][row], rel=0.02)


def test_fundamental_mode_rises_faster_than_it_falls() -> None:
    star = {
        "ra": np.array([0.3]),
        "dec": np.array([20.1]),
        "period_d": np.array([0.55]),
        "amplitude_frac": np.array([0.7]),
    }
    time = np.arange(0.0, 0.55, 0.001)
    flux = relative_flux("RRab", star, time, np.random.default_rng(0))[0]
    rising = np.mean(np.diff(np.r_[flux, flux[0]]) > 0)
    assert rising < 0.45
    assert flux.max() / flux.min() == pytest.approx(10 ** (0.4 * 0.7 * 1.0857), rel=0.15)


def test_noise_grows_with_magnitude_and_is_what_the_error_says(curves: dict) -> None:
    rows = np.flatnonzero(curves["var_class"] == "CONST")
    for row in rows:
        flux = np.asarray(curves["pdcsap"][row], dtype=float)
        step = np.diff(flux[np.isfinite(flux)])
        scatter = 1.4826 * np.median(np.abs(step)) / np.sqrt(2)
        assert scatter == pytest.approx(curves["flux_err"][row], rel=0.1)
    assert (np.diff(tess.hourly_noise(np.linspace(8, 16, 20))) > 0).all()


def test_faults(curves: dict) -> None:
    quality, sap, pdcsap = (np.asarray(curves[n]) for n in ("quality", "sap", "pdcsap"))
    gap = (quality & tess.EARTH_POINT) > 0
    assert np.isnan(sap[gap]).all() and 0.03 < gap.mean() < 0.06
    lost = np.isnan(sap) & ~gap
    assert 0.0005 < lost.mean() < 0.01
    assert np.isnan(pdcsap).mean() > np.isnan(sap).mean()
    for bit in (tess.MOMENTUM_DUMP, tess.OUTLIER, tess.COSMIC_RAY, tess.SCATTERED, tess.ARGABRIGHTENING):
        assert ((quality & bit) > 0).any()
    # SAP carries the drifts that PDCSAP is corrected for.
    drift = [np.nanstd(x[:, ::50] / np.nanmedian(x, axis=1)[:, None], axis=1) for x in (sap, pdcsap)]
    constant = curves["var_class"] == "CONST"
    assert np.median(drift[0][constant]) > 1.5 * np.median(drift[1][constant])


def test_lightkurve_reads_the_file(archive: Path, table, tmp_path: Path) -> None:
    lightkurve = pytest.importorskip("lightkurve")
    row = table("tess_lightcurves")
    observed = table("tess_observations")
    path = tmp_path / observed["productFilename"][0]
    path.write_bytes(lightcurve_fits(archive, observed["dataURL"][0]))
    curve = lightkurve.read(str(path), quality_bitmask="none")
    assert curve.meta["TICID"] == row["ticid"][0] and curve.meta["SECTOR"] == row["sector"][0]
    assert np.median(np.diff(curve.time.value)) == pytest.approx(600.0 / 86400.0, rel=1e-3)
    cadence = np.asarray(curve["cadenceno"]) - tess.SECTORS[int(row["sector"][0])].first_cadence
    stored = np.load(archive / "tess_pdcsap.npy", mmap_mode="r")[0][cadence]
    np.testing.assert_array_equal(np.ma.filled(curve.flux.value, np.nan), stored)


def test_files_verify_and_have_the_announced_size(archive: Path, table) -> None:
    observed = table("tess_observations")
    for row in range(0, len(observed["obsid"]), 9):
        raw = lightcurve_fits(archive, observed["dataURL"][row])
        assert len(raw) == observed["size"][row]
        assert raw == lightcurve_fits(archive, observed["productFilename"][row])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with fits.open(io.BytesIO(raw), checksum=True) as hdus:
                hdus.verify("exception")
                assert hdus[0].header["OBJECT"] == f"TIC {observed['target_name'][row]}"
                assert hdus[0].header["RA_OBJ"] == pytest.approx(observed["s_ra"][row])
    with pytest.raises(KeyError):
        lightcurve_fits(archive, "mast:HLSP/tess-spoc/none.fits")


def test_columns_are_those_of_a_real_file(archive: Path, table, real_data: Path) -> None:
    raw = lightcurve_fits(archive, table("tess_observations")["dataURL"][0])
    path = next((real_data / "space_lightcurves").glob("tess*_lc.fits"))
    with fits.open(path) as real, fits.open(io.BytesIO(raw)) as ours:
        assert [h.name for h in ours] == [h.name for h in real]
        formats = {c.name: (c.format, c.unit or "") for c in real[1].columns}
        for column in ours[1].columns:
            assert (column.format, column.unit or "") == formats[column.name]
        assert set(real[0].header) - set(ours[0].header) <= {"CRMITEN", "CRBLKSZ", "CRSPOC", "PXTABLE"}


def test_barycentric_correction_is_within_the_earths_orbit() -> None:
    days = np.linspace(2400.0, 2765.0, 200)
    correction = tess.barycentric_correction_d(np.array([0.0]), np.array([20.0]), days)[0] * 86400.0
    assert 400 < correction.max() < 500 and correction.min() == pytest.approx(-correction.max(), rel=0.02)
