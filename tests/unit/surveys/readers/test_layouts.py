"""Files of spectra in all layouts: each gives the star that was written into it."""

import gzip
import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from made_spectra import (
    BOSS_GRID,
    FLUX,
    SIGMA,
    apstar,
    arrays,
    boss_spec,
    desi_coadd,
    is_star,
    mwm,
    read,
    star,
    table,
    written,
)
from stellar.errors import InputError
from stellar.surveys.readers.layouts_desi import joined
from stellar.surveys.readers.members import Member
from stellar.surveys.readers.spectra import read_sdss_spectrum
from stellar.surveys.readers.spectrum_rows import BAD


def test_a_boss_spectrum_of_sdss_v():
    mask = np.zeros(len(BOSS_GRID), "i4")
    mask[7] = 1 << 24
    (row,) = read(boss_spec(and_mask=mask))
    assert (row["layout"], row["spec_name"]) == ("SDSS-V BOSS spec", "015143-59205-27021598150201532")
    assert (row["object_name"], row["ra"], row["dec"]) == ("sdss_id-54392544", 219.2003, 38.4001)
    assert (row["class"], row["subclass"], row["mjd"]) == ("STAR", "A0", 59205)
    assert np.flatnonzero(row["and_mask"]).tolist() == [7], "bits of all exposures, not of any"
    is_star(row)
    with pytest.raises(InputError, match="no PLATE and FIBERID"):
        read_sdss_spectrum(Member("spec.fits", boss_spec()), {})


def test_mwm_star_and_its_instruments():
    boss, apogee = read(mwm(apogee=True))
    assert (boss["spec_name"], apogee["spec_name"]) == ("54392544-boss-apo", "54392544-apogee-apo")
    assert boss["layout"] == "SDSS-V mwmStar" and boss["mjd"] == 59010 and boss["z"] is None
    assert not any(boss["and_mask"]), "flags of single exposures do not spoil a pixel that has weight"
    is_star(boss)
    assert arrays(apogee)[0][0] == pytest.approx(10**4.179)


def test_mwm_visits_are_a_spectrum_each():
    rows = read(mwm(visits=3))
    assert [row["spec_name"] for row in rows] == [f"54392544-boss-apo-{mjd}" for mjd in (59000, 59001, 59002)]
    assert {row["layout"] for row in rows} == {"SDSS-V mwmVisit"}
    for row in rows:
        is_star(row)


def test_apstar_gives_the_combined_spectrum():
    (row,) = read(apstar())
    wave, _, ivar, mask = arrays(row)
    assert (row["layout"], row["spec_name"]) == ("APOGEE apStar", "2M05560393-0133549")
    assert (ivar[:10] == 0).all() and ivar[10] == pytest.approx(1e4)
    assert np.flatnonzero(mask).tolist() == [20]
    assert wave[-1] == pytest.approx(10 ** (4.179 + 6e-6 * 8574))


@pytest.mark.parametrize("unit", ["Angstrom", "nm"])
def test_desi_targets_and_their_arms(unit):
    rows = read(desi_coadd((0.6, 0.1, 0.3), units=unit))
    assert [row["spec_name"] for row in rows] == [str(39627652591521181 + number) for number in range(4)]
    assert [row["fibertype"] for row in rows] == ["TGT", "TGT", "TGT", "SKY"]
    assert (rows[0]["layout"], rows[0]["epoch"], rows[0]["object_name"]) == (
        "DESI coadd", 2015.5, "desi-39627652591521181",
    )  # fmt: skip
    for row, depth in zip(rows, (0.6, 0.1, 0.3), strict=False):
        is_star(row, depth)
        wave, flux, ivar, mask = arrays(row)
        assert len(wave) == 7781 and wave[0] == pytest.approx(3600) and wave[-1] == pytest.approx(9824)
        both = (wave > 5761) & (wave < 5799) | (wave > 7521) & (wave < 7619)
        assert (ivar[both & (mask == 0)] == pytest.approx(2 * SIGMA**-2)) or np.median(ivar[both]) > 1.9 * SIGMA**-2
        assert (ivar[~both & (mask == 0)] < 1.1 * SIGMA**-2).mean() > 0.97
        # two of the three rays lie where one arm alone sees; in the third's place the other arm's pixel is used
        assert 2 <= (mask == BAD).sum() <= 3
        assert flux[mask == 0].max() < 10


def test_desi_exposures_have_ids_of_their_own_and_redshifts_are_taken_along():
    assert read(desi_coadd((0.6,), sky=False, exposures=True))[0]["spec_name"] == "39627652591521181-70000-100"
    with fits.open(io.BytesIO(desi_coadd((0.6,), sky=False))) as hdus:
        redshifts = table(
            "REDSHIFTS",
            TARGETID=np.array([39627652591521181], "i8"),
            Z=np.array([1e-4]),
            ZERR=np.array([1e-5]),
            ZWARN=np.array([0], "i8"),
            SPECTYPE="STAR",
        )
        (row,) = read(written([*hdus, redshifts]))
    assert (row["z"], row["zerr"], row["class"]) == (1e-4, 1e-5, "STAR")


def test_a_desi_file_whose_parts_do_not_fit_is_told():
    with fits.open(io.BytesIO(desi_coadd((0.6,), sky=False))) as hdus:
        hdus["R_IVAR"].data = hdus["R_IVAR"].data[:, :-1]
        with pytest.raises(InputError, match=r"R_IVAR is \(1, 2325\) instead of \(1, 2326\)"):
            read(written(list(hdus)))


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 30), st.integers(3, 30), st.floats(0.3, 3.0), st.floats(-20.0, 20.0), st.integers(0, 2**32 - 1))
def test_joined_arms_keep_weights_and_means(first, second, step, shift, seed):
    """The weights add up, the weighted sum of the flux is kept, and the order of the arms does not matter."""
    random = np.random.default_rng(seed)
    arms = []
    for n, start in ((first, 5000.0), (second, 5000.0 + shift)):
        wave = start + step * np.arange(n)
        flux, ivar = random.normal(1, 0.1, (2, n)), random.uniform(0.5, 2, (2, n)) * (random.random((2, n)) > 0.2)
        arms.append((wave, flux, ivar, random.random((2, n)) > 0.9))
    wave, flux, ivar, bad = joined(arms)
    assert (np.diff(wave) > 0).all() and max(first, second) <= len(wave) <= first + second
    good = [np.where(part_bad, 0, part_ivar) for _, _, part_ivar, part_bad in arms]
    assert ivar.sum(axis=1) == pytest.approx(sum(one.sum(axis=1) for one in good))
    total = sum((one * part_flux).sum(axis=1) for one, (_, part_flux, _, _) in zip(good, arms, strict=True))
    assert (flux * ivar).sum(axis=1) == pytest.approx(total)
    assert (bad == (ivar == 0)).all()
    again = joined(arms[::-1])
    for one, other in zip((wave, ivar, bad), (again[0], again[2], again[3]), strict=True):
        assert np.allclose(one, other)


def test_a_layout_that_is_not_known_is_described():
    frame = written([fits.PrimaryHDU(np.zeros((30, 40), "f4")), table("CATALOG", RA=np.zeros(3), DEC=np.zeros(3))])
    with pytest.raises(InputError) as told:
        read(frame, "frame.fits")
    said = str(told.value)
    assert (
        "frame.fits: of no layout of spectra that is known: PRIMARY (image 30 x 40), CATALOG (table of RA, DEC)" in said
    )
    assert "SDSS-V BOSS spec" in said and "DESI coadd" in said


def test_damaged_files_are_told_by_layout():
    whole = boss_spec()
    with pytest.raises(InputError, match="not a healthy FITS file"):
        read(whole[: len(whole) // 2])
    with fits.open(io.BytesIO(whole)) as hdus:
        columns = [column for column in hdus["COADD"].columns if column.name != "IVAR"]
        lacking = fits.BinTableHDU.from_columns(columns, name="COADD")
        with pytest.raises(InputError, match=r"damaged SDSS-V BOSS spec file.*IVAR"):
            read(written([hdus[0], lacking, hdus["SPALL"]]))
    assert len(read(gzip.decompress(gzip.compress(whole)))) == 1


def test_what_specutils_reads():
    pytest.importorskip("specutils")
    image = fits.PrimaryHDU(FLUX.astype("f4"))
    linear = 4000 + 0.5 * np.arange(len(FLUX))
    image.data = star(linear).astype("f4")
    image.header.update({"CTYPE1": "WAVE", "CRVAL1": 4000.0, "CDELT1": 0.5, "CRPIX1": 1.0, "CUNIT1": "Angstrom"})
    image.header["BUNIT"] = "erg / (s cm2 Angstrom)"
    (row,) = read(written([image]), "image.fits")
    assert row["layout"] == "wcs1d-fits" and row["noise"] == "estimated"
    wave, flux, _, _ = arrays(row)
    assert wave == pytest.approx(linear)
    assert flux / np.median(flux) == pytest.approx(star(linear) / np.median(star(linear)), rel=1e-5)
