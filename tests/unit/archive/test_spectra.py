"""Spectra: the lines follow the star, the tables follow SDSS, the files open and their checksums hold."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from stellar.archive.sdss_fits import spectrum_fits
from stellar.archive.sdss_pipeline import spec_obj_id
from stellar.archive.spectra_model import WAVELENGTH, stellar_spectrum


def spectra(teff, *, logg=4.5, feh=0.0, kind="MS", redshift=0.0) -> np.ndarray:
    n = len(teff)
    return stellar_spectrum(
        {
            "teff_k": np.asarray(teff, dtype=float),
            "logg_dex": np.broadcast_to(np.asarray(logg, dtype=float), n),
            "feh_dex": np.broadcast_to(np.asarray(feh, dtype=float), n),
            "kind": np.full(n, kind),
            "redshift": np.broadcast_to(np.asarray(redshift, dtype=float), n),
            "activity": np.zeros(n),
        }
    )


def depth(flux: np.ndarray, line: float, half_width: float = 6.0, away: float = 60.0) -> np.ndarray:
    """1 - mean flux in the line over the mean of both sides."""
    inside = np.abs(WAVELENGTH - line) < half_width
    beside = np.abs(np.abs(WAVELENGTH - line) - away) < 10.0
    return 1.0 - flux[:, inside].mean(axis=1) / flux[:, beside].mean(axis=1)


def test_balmer_lines_peak_in_a_stars() -> None:
    teff = np.array([5000.0, 6500.0, 8000.0, 9500.0, 13000.0, 20000.0, 32000.0])
    beta = depth(spectra(teff), 4862.7)
    assert beta.argmax() == 3
    assert (np.diff(beta[:4]) > 0).all() and (np.diff(beta[3:]) < 0).all()


def test_metal_lines_grow_to_cool_stars_and_with_metallicity() -> None:
    teff = np.array([9500.0, 7500.0, 6500.0, 5500.0, 4800.0])
    for line in (3934.8, 5175.0, 5894.5):
        assert (np.diff(depth(spectra(teff), line)) > 0).all()
    poor_to_rich = depth(spectra([5600.0] * 4, feh=[-2.0, -1.0, 0.0, 0.4]), 5175.0)
    assert (np.diff(poor_to_rich) > 0).all()


def test_gravity_shows_in_mg_b_and_in_the_wings_of_a_stars() -> None:
    dwarf, giant = spectra([4700.0, 4700.0], logg=[4.6, 2.2])
    assert depth(dwarf[None], 5175.0) > depth(giant[None], 5175.0)
    wide = depth(spectra([9000.0, 9000.0], logg=[4.3, 3.0]), 4341.7, half_width=20.0, away=90.0)
    assert wide[0] > wide[1]
    white = depth(spectra([14000.0], logg=8.0, kind="WD"), 4341.7, half_width=30.0, away=110.0)
    assert white > depth(spectra([14000.0]), 4341.7, half_width=30.0, away=110.0)


def test_bands_of_m_and_carbon_stars_and_helium_of_hot_ones() -> None:
    titanium = [1 - f[np.abs(WAVELENGTH - 7080) < 15].mean() / f[np.abs(WAVELENGTH - 7035) < 10].mean() for f in
                spectra([4500.0, 3800.0, 3400.0, 3000.0])]  # fmt: skip
    assert abs(titanium[0]) < 0.05 and (np.diff(titanium) > 0.1).all()
    carbon = spectra([4300.0], logg=2.0, kind="CARBON")[0]
    assert carbon[np.abs(WAVELENGTH - 5130) < 20].mean() < 0.6 * carbon[np.abs(WAVELENGTH - 5200) < 15].mean()
    helium = depth(spectra([9000.0, 20000.0, 40000.0]), 4687.0, half_width=4.0)
    assert abs(helium[0]) < 0.05 and helium[2] > helium[1] + 0.05


def test_lines_are_shifted_by_the_velocity() -> None:
    window = np.abs(WAVELENGTH - 4862.7) < 25
    still, moving = (WAVELENGTH[window][f[window].argmin()] for f in spectra([9500.0, 9500.0], redshift=[0.0, 0.001]))
    assert moving / still - 1.0 == pytest.approx(0.001, abs=1.2e-4)


def test_spec_obj_id_of_a_real_spectrum() -> None:
    # spec-4961-55719-0378.fits of DR9 says so of itself.
    packed = spec_obj_id(np.array([4961]), np.array([378]), np.array([55719]), ["v5_7_0"])
    assert packed.tolist() == ["5585693437644697600"]


def test_specobj_and_sspp(table) -> None:
    spec = table("sdss_specobj")
    none = spec["TEFFADOP"] == -9999
    assert 0.1 < none.mean() < 0.9 and (spec["TEFFADOPUNC"][none] == -9999).all()
    assert not (spec["TEFFADOP"][spec["class"] != "STAR"] > 0).any()
    truth = table("truth")
    teff = dict(zip(truth["specobjid"], truth["teff_k"], strict=True))
    pulls = [
        (a - teff[i]) / e
        for i, a, e in zip(spec["specObjID"], spec["TEFFADOP"], spec["TEFFADOPUNC"], strict=True)
        if a > 0 and i in teff
    ]
    assert 0.7 < np.std(pulls) < 1.5
    assert 0 < (spec["zWarning"] > 0).mean() < 0.3


def test_noise_is_what_ivar_says(archive: Path) -> None:
    flux, ivar, model, mask = (np.load(archive / f"sdss_{n}.npy") for n in ("flux", "ivar", "model", "mask"))
    assert flux.dtype == ivar.dtype == np.float32 and flux.shape[1] == 3840
    pull = (flux - model)[mask == 0] * np.sqrt(ivar[mask == 0])
    assert np.percentile(np.abs(pull), 68.3) == pytest.approx(1.0, abs=0.05)
    bad = ivar == 0
    assert 0.0002 < bad.mean() < 0.02 and (mask[bad] > 0).all()
    assert np.isfinite(flux).all()


@pytest.fixture(scope="module")
def a_file(archive: Path) -> bytes:
    spec = pq.ParquetFile(archive / "sdss_specobj.parquet").read(columns=["plate", "mjd", "fiberID"]).to_pydict()
    return spectrum_fits(archive, spec["plate"][0], spec["mjd"][0], spec["fiberID"][0])


def test_fits_has_the_layout_of_the_real_ones(a_file: bytes, real_data: Path) -> None:
    with (
        fits.open(real_data / "sdss_spectra" / "spec-4961-55719-0378.fits") as real,
        fits.open(io.BytesIO(a_file)) as ours,
    ):
        assert [h.name for h in ours] == [h.name for h in real[:4]]
        for index in (1, 3):
            assert ours[index].columns.names == real[index].columns.names
            assert ours[index].columns.formats == real[index].columns.formats
        missing = set(ours[2].columns.names) - set(real[2].columns.names)
        assert not missing
        for key in ("PLATEID", "MJD", "FIBERID", "RA", "DEC", "PLUG_RA", "PLUG_DEC"):
            assert isinstance(ours[0].header[key], type(real[0].header[key]))


def test_every_fits_file_verifies(archive: Path, table) -> None:
    spec = table("sdss_specobj")
    for row in range(0, len(spec["plate"]), 7):
        plate, mjd, fibre = (int(spec[k][row]) for k in ("plate", "mjd", "fiberID"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            raw = spectrum_fits(archive, plate, mjd, fibre)
            with fits.open(io.BytesIO(raw), checksum=True) as hdus:
                hdus.verify("exception")
                assert all("CHECKSUM" in h.header and "DATASUM" in h.header for h in hdus)
                assert (hdus[0].header["PLATEID"], hdus[0].header["MJD"], hdus[0].header["FIBERID"]) == (
                    plate,
                    mjd,
                    fibre,
                )
                assert hdus[2].data["SUBCLASS"][0] == spec["subClass"][row][:21]
                assert np.diff(hdus[1].data["loglam"]) == pytest.approx(1e-4, abs=2e-6)
                assert ((hdus[1].data["and_mask"] & ~hdus[1].data["or_mask"]) == 0).all()
        assert raw == spectrum_fits(archive, plate, mjd, fibre)


def test_unknown_spectrum(archive: Path) -> None:
    with pytest.raises(KeyError):
        spectrum_fits(archive, 1, 2, 3)
