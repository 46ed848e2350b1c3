"""Readers of spectra and light curves on the real files, and on files that are something else."""

import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from stellar.errors import InputError
from stellar.surveys.readers import lightcurves, spectra
from stellar.surveys.readers.members import Member, members


def only(path: Path) -> Member:
    (member,) = members(path)
    return member


def test_an_sdss_spectrum(real_data: Path) -> None:
    path = real_data / "sdss_spectra" / "spec-0618-52049-0372.fits"
    (row,) = spectra.read_sdss_spectrum(only(path), {}).to_pylist()
    assert (row["plate"], row["mjd"], row["fiberid"]) == (618, 52049, 372)
    assert row["class"] == "STAR" and row["subclass"].startswith("M")
    assert row["ra"] == pytest.approx(236.97794) and row["dec"] == pytest.approx(52.815963)
    assert len(row["flux"]) == len(row["loglam"]) == len(row["ivar"]) == len(row["and_mask"]) == 3834
    assert np.diff(row["loglam"]) == pytest.approx(1e-4, rel=0.02)
    with fits.open(path) as hdus:
        assert np.array_equal(np.float32(row["flux"]), hdus["COADD"].data["flux"].astype("f4"))


def test_every_sdss_spectrum_says_what_its_name_says(real_data: Path) -> None:
    for path in sorted((real_data / "sdss_spectra").glob("*.fits")):
        (row,) = spectra.read_sdss_spectrum(only(path), {}).select(["plate", "mjd", "fiberid"]).to_pylist()
        assert path.name == f"spec-{row['plate']:04d}-{row['mjd']}-{row['fiberid']:04d}.fits"


def test_a_lamost_spectrum_has_its_wavelengths_from_the_header(real_data: Path) -> None:
    path = real_data / "lamost_spectra" / "spec-55862-B6212_sp06-003.fits"
    (row,) = spectra.read_lamost_spectrum(only(path), {}).to_pylist()
    assert row["spec_name"] == "55862-B6212_sp06-003" and row["designation"] == "J063715.90+271356.5"
    assert row["subclass"] == "F9"
    assert row["loglam"][0] == pytest.approx(3.5682) and row["loglam"][-1] == pytest.approx(3.5682 + 3903e-4)
    with fits.open(path) as hdus:
        image = hdus[0].data
        assert np.array_equal(np.float32(row["flux"]), image[0].astype("f4"), equal_nan=True)
        assert np.array_equal(np.float32(row["ivar"]), image[1].astype("f4"), equal_nan=True)


def test_the_templates_of_the_sdss_pipeline(real_data: Path) -> None:
    path = real_data / "sdss_eigen" / "spEigenStar-55734.fits"
    table = spectra.read_sdss_eigen(only(path), {})
    assert table.num_rows == 123
    first = table.slice(1, 1).to_pylist()[0]
    assert (first["template_name"], first["type_name"], first["star"]) == ("A0IVn (25642)", "A0IVn", "25642")
    assert len(first["flux"]) == len(first["loglam"]) == 5933
    assert first["loglam"][0] == pytest.approx(3.4842) and first["loglam"][-1] == pytest.approx(3.4842 + 0.5932)
    with fits.open(path) as hdus:
        image = hdus[0].data.astype("f4")
    flux = np.array(table["flux"].to_pylist(), dtype="f4")
    assert np.array_equal(np.nan_to_num(flux), image), "a pixel without flux is NaN, the others are as published"
    assert len(set(table["template_name"].to_pylist())) == 123


def test_templates_without_a_name_are_told() -> None:
    hdu = fits.PrimaryHDU(np.ones((3, 9), "f4"))
    hdu.header.update({"COEFF0": 3.5, "COEFF1": 1e-4, "NAME0": "A0 (1)", "NAME2": "F0 (2)"})
    out = io.BytesIO()
    fits.HDUList([hdu]).writeto(out)
    with pytest.raises(InputError, match="3 templates, but no card NAME1"):
        spectra.read_sdss_eigen(Member("t.fits", out.getvalue()), {})


@pytest.mark.parametrize(
    ("name", "lc", "cadence"),
    [
        ("kplr010002792-2009259160929_llc.fits", "kic-10002792-q2", 1765.5),
        ("kplr010666592-2009131110544_slc.fits", "kic-10666592-q0", 58.8),
        ("ktwo211117077-c04_llc.fits", "epic-211117077-c4", 1765.3),
        ("tess2018206045859-s0001-0000000358108509-0120-s_lc.fits", "tic-358108509-s1", 120.0),
    ],
)
def test_space_light_curves(real_data: Path, name: str, lc: str, cadence: float) -> None:
    (row,) = lightcurves.read_space_lightcurve(only(real_data / "space_lightcurves" / name), {}).to_pylist()
    assert row["lc_name"] == lc and row["cadence_s"] == pytest.approx(cadence, abs=0.25)
    lengths = {len(row[c]) for c in ("time", "flux", "flux_err", "quality")}
    assert len(lengths) == 1 and lengths.pop() > 3000, "all cadences stay, gaps too"
    assert np.isnan(row["flux"]).any(), "gaps are NaN"
    time = np.array(row["time"])
    assert (np.diff(time[np.isfinite(time)]) > 0).all()


def test_kepler_and_tess_count_their_days_alike_and_motions_are_mas(real_data: Path) -> None:
    folder = real_data / "space_lightcurves"
    k2 = lightcurves.read_space_lightcurve(only(folder / "ktwo211117077-c04_llc.fits"), {}).to_pylist()[0]
    # campaign 4 was in 2015, before TESS's day 0 of December 2014 plus 45 days
    assert 40 < np.nanmin(k2["time"]) < 80
    assert k2["pmra"] == pytest.approx(22.4) and k2["pmdec"] == pytest.approx(-43.4)


@pytest.mark.parametrize(
    ("columns", "flux", "error"),
    [
        (("SAP_FLUX", "KSPSAP_FLUX", "KSPSAP_FLUX_ERR"), "SAP_FLUX", "KSPSAP_FLUX_ERR"),  # up to sector 55
        (("SAP_FLUX", "DET_FLUX", "DET_FLUX_ERR", "SYS_RM_FLUX"), "SYS_RM_FLUX", "DET_FLUX_ERR"),
        (("SAP_FLUX", "SAP_FLUX_ERR", "PDCSAP_FLUX", "PDCSAP_FLUX_ERR"), "PDCSAP_FLUX", "PDCSAP_FLUX_ERR"),  # SPOC
    ],
)
def test_fluxes_of_the_tess_pipelines(columns: tuple[str, ...], flux: str, error: str) -> None:
    values = {name: np.full(5, number + 1.0) for number, name in enumerate(columns)}
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("TIME", "D", array=np.arange(5.0)),
            *(fits.Column(name, "E", array=value) for name, value in values.items()),
            fits.Column("QUALITY", "J", array=np.zeros(5, np.int32)),
        ]
    )
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "TESS", "TICID": 7, "SECTOR": 60, "RA_OBJ": 1.0, "DEC_OBJ": 2.0})
    written = io.BytesIO()
    fits.HDUList([primary, table]).writeto(written)
    (row,) = lightcurves.read_space_lightcurve(Member("hlsp_qlp.fits", written.getvalue()), {}).to_pylist()
    assert (row["flux_column"], row["lc_name"]) == (flux, "tic-7-s60")
    assert row["flux"] == values[flux].tolist()
    assert row["flux_err"] == values[error].tolist()


def test_other_files_are_refused_by_name(real_data: Path) -> None:
    lamost = only(next((real_data / "lamost_spectra").glob("*.fits")))
    sdss = only(next((real_data / "sdss_spectra").glob("*.fits")))
    with pytest.raises(InputError, match=f"{lamost.name}.*not an SDSS spectrum"):
        spectra.read_sdss_spectrum(lamost, {})
    with pytest.raises(InputError, match="not a LAMOST spectrum"):
        spectra.read_lamost_spectrum(sdss, {})
    with pytest.raises(InputError, match="not a file of SDSS star templates"):
        spectra.read_sdss_eigen(lamost, {})
    with pytest.raises(InputError, match="not a Kepler, K2 or TESS light curve"):
        lightcurves.read_space_lightcurve(sdss, {})
    with pytest.raises(InputError, match="not a healthy FITS file"):
        spectra.read_sdss_spectrum(Member("cut.fits", sdss.data[: len(sdss.data) // 3]), {})


def test_checksums_are_held_against_the_file_when_asked() -> None:
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(np.zeros((4, 9), "f4"))]).writeto(out, checksum=True)
    data = bytearray(out.getvalue())
    data[-2880] ^= 0x3F
    with pytest.raises(InputError, match="not a healthy FITS file"):
        spectra.read_lamost_spectrum(Member("x.fits", bytes(data)), {"checksum": True})


def test_text_curves() -> None:
    options = {"names": ["ra", "time", "mag"], "constant": ["ra"], "missing": [-99.99]}
    (row,) = lightcurves.read_curve(Member("a/17.dat", b"# x\n10.5 1.0 12.0\n10.5 2.0 -99.99\n"), options).to_pylist()
    assert row["curve_id"] == "17" and row["ra"] == 10.5 and row["time"] == [1.0, 2.0]
    assert row["mag"][0] == 12.0 and np.isnan(row["mag"][1])


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"1 2 3\n4 5\n", "row 2: 2 fields instead of 3"), (b"1 2 x\n", "row 1: .*'x'"), (b"# none\n", "no measurement")],
)
def test_a_broken_curve_names_file_and_row(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=f"^17.dat: .*{message}"):
        lightcurves.read_curve(Member("17.dat", data), {"names": ["ra", "time", "mag"]})
