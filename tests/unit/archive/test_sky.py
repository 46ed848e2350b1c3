"""The simulated sky is a sky: geometry, populations, dust, and what Gaia and SDSS measure of it."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from stellar.archive import stars
from stellar.archive.fields import FIELDS, galactic, scatter, visual_extinction
from stellar.archive.gaia import SOURCE_ID_STEP, astrometric_error, source_ids
from stellar.archive.sdss_photo import mjd_to_year, object_ids
from stellar.sky.healpix import spatial_index
from stellar.sky.motion import propagate
from stellar.sky.separation import separation_arcsec

ra_deg = st.floats(0.0, 359.999999)
dec_deg = st.floats(-89.9, 89.9)


@given(ra_deg, dec_deg)
def test_galactic_as_astropy(ra: float, dec: float) -> None:
    l, b = galactic(np.array([ra]), np.array([dec]))  # noqa: E741
    theirs = SkyCoord(ra * u.deg, dec * u.deg).galactic
    assert SkyCoord(l * u.deg, b * u.deg, frame="galactic").separation(theirs).arcsec[0] < 0.1


@pytest.mark.parametrize("field", FIELDS, ids=lambda f: f.name)
def test_scatter_fills_the_field_evenly(field) -> None:
    ra, dec = scatter(field, 20_000, np.random.default_rng(0))
    away = separation_arcsec(ra, dec, field.ra, field.dec) / 3600.0
    assert away.max() <= field.radius_deg
    assert np.mean(away < field.radius_deg / np.sqrt(2)) == pytest.approx(0.5, abs=0.02)


@settings(deadline=None)
@given(st.sampled_from(FIELDS), st.floats(10.0, 2e4), st.floats(1.0, 3.0))
def test_dust_grows_with_distance(field, distance: float, factor: float) -> None:
    near, far = (
        visual_extinction(field, np.array(field.ra), np.array(field.dec), np.array(d))
        for d in (distance, distance * factor)
    )
    assert 0.0 <= near <= far


def test_main_sequence_is_monotone() -> None:
    mass = np.geomspace(0.09, 25.0, 300)
    teff, abs_g, _ = stars.dwarf_from_mass(mass, np.zeros(300))
    assert (np.diff(teff) > 0).all() and (np.diff(abs_g) < 0).all()
    colour = stars.colours(teff, np.full(300, 4.5), np.zeros(300), np.full(300, "MS"))
    assert (np.diff(colour["bp_rp"]) < 0).all()
    sun = stars.colours(np.array([5772.0]), np.array([4.44]), np.zeros(1), np.array(["MS"]))
    assert sun["bp_rp"][0] == pytest.approx(0.82, abs=0.05)
    assert stars.spectral_subclass(np.array([5772.0, 9700.0, 3400.0])).tolist() == ["G2", "A0", "M2"]


def test_source_ids_carry_the_pixel_of_where_the_star_was() -> None:
    rng = np.random.default_rng(3)
    ra, dec = scatter(FIELDS[0], 3000, rng)
    pmra = np.where(np.arange(3000) < 100, 9000.0, 0.0)  # as fast as Barnard's star
    ids = source_ids(ra, dec, pmra, np.zeros(3000), rng)
    assert len(np.unique(ids)) == 3000
    assert (ids % SOURCE_ID_STEP > 0).all()
    then = propagate(ra, dec, pmra, np.zeros(3000), 2016.0, 2014.6)
    same_then = spatial_index(*then) >> 34 == ids // SOURCE_ID_STEP
    same_now = spatial_index(ra, dec) >> 34 == ids // SOURCE_ID_STEP
    assert same_then.mean() > 0.98
    assert same_now[:100].mean() < 0.9 < same_now[100:].mean()


def test_gaia_table_crosses_ra_0_and_some_ids_lie_in_another_pixel(table) -> None:
    gaia = table("gaia_source")
    halo = gaia["dec"] < 25.0
    assert (gaia["ra"][halo] < 1.2).any() and (gaia["ra"][halo] > 358.8).any()
    assert ((gaia["ra"] >= 0) & (gaia["ra"] < 360)).all()
    elsewhere = spatial_index(gaia["ra"], gaia["dec"]) >> 34 != gaia["source_id"] // SOURCE_ID_STEP
    assert 0 < elsewhere.sum() < 0.03 * len(elsewhere)
    assert (np.diff(gaia["source_id"]) > 0).all()


def test_gaia_faults(table) -> None:
    gaia = table("gaia_source")
    parallax = gaia["parallax"]
    faint = gaia["phot_g_mean_mag"] > 18.5
    assert (parallax[faint] < 0).mean() > 3 * (parallax[~faint] < 0).mean()
    no_parallax = np.isnan(parallax)
    assert 0.002 < no_parallax.mean() < 0.1
    assert (gaia["astrometric_params_solved"][no_parallax] == 3).all() and np.isnan(gaia["pmra"][no_parallax]).all()
    five, six = (gaia["astrometric_params_solved"] == one for one in (31, 95))
    assert np.array_equal(np.isfinite(gaia["nu_eff_used_in_astrometry"]), five)
    assert np.array_equal(np.isfinite(gaia["pseudocolour"]), six)
    assert 0 < np.isnan(gaia["phot_bp_mean_mag"]).mean() < 0.1
    assert (gaia["pm"][~np.isnan(gaia["pm"])] > 500).sum() >= 2
    assert gaia["duplicated_source"].sum() >= 4
    blended = gaia["ipd_frac_multi_peak"] >= 8
    assert gaia["ruwe"][blended & ~no_parallax].min() > 1.25
    excess = gaia["phot_bp_rp_excess_factor"]
    assert np.nanmedian(excess[blended]) > np.nanmedian(excess[~blended])


def test_gaia_parallaxes_scatter_as_their_errors_say(table) -> None:
    gaia, truth = table("gaia_source"), table("truth")
    order = np.argsort(truth["source_id"])
    star = order[np.searchsorted(truth["source_id"], gaia["source_id"], sorter=order).clip(max=len(order) - 1)]
    found = truth["source_id"][star] == gaia["source_id"]
    with np.errstate(divide="ignore"):
        true = 1000.0 / truth["distance_pc"][star]
    pull = (gaia["parallax"] + 0.030 - true) / gaia["parallax_error"]  # less the zero point
    well = found & (gaia["ruwe"] < 1.2)
    assert np.nanstd(pull[well]) == pytest.approx(1.0, abs=0.1)
    assert (np.diff(astrometric_error(np.linspace(13.1, 21.0, 50))) > 0).all()


def test_hot_stars_are_blue(table) -> None:
    truth = table("truth")
    star = ~np.isin(truth["kind"], ("QSO", "GALAXY", "WD", "CARBON"))
    colour = truth["bp_mag"] - truth["rp_mag"] - 0.43 * truth["a_v_mag"]
    teff = truth["teff_k"]
    means = [
        colour[star & (teff >= a) & (teff < b)].mean()
        for a, b in ((2500, 3500), (3500, 4500), (4500, 5500), (5500, 6500), (6500, 9000), (9000, 50000))
    ]
    assert (np.diff(means) < -0.1).all()


def test_plane_is_dustier_and_the_halo_field_older(table) -> None:
    truth = table("truth")
    far = (truth["distance_pc"] > 1500) & (truth["component"] != "extragalactic")
    halo, disc = far & (truth["field"] == "halo"), far & (truth["field"] == "disc")
    assert np.median(truth["a_v_mag"][disc]) > 5 * np.median(truth["a_v_mag"][halo])
    assert np.mean(truth["component"][halo] == "thin") < np.mean(truth["component"][disc] == "thin")
    assert np.median(truth["feh_dex"][halo]) < np.median(truth["feh_dex"][disc]) - 0.3


def test_objids_unpack() -> None:
    # The documentation's example: run 3704, camcol 3, field 91, obj 177 of sky version 2... and a real one:
    # objID 1237662336255656081 is run 3926, camcol 3, field 102, id 145 (spec-4961-55719-0378).
    assert object_ids(np.array([3926]), np.array([3]), np.array([102]), np.array([145]))[0] == 1237662336255656081


def test_photoobj_is_at_the_epoch_of_the_image(table) -> None:
    photo, truth = table("sdss_photoobj"), table("truth")
    order = np.argsort(photo["objID"])
    star = np.flatnonzero((truth["objid"] > 0) & (np.hypot(truth["pmra"], truth["pmdec"]) > 200))
    assert len(star) >= 3
    row = order[np.searchsorted(photo["objID"], truth["objid"][star], sorter=order)]
    position = truth["ra"][star], truth["dec"][star]
    moved = propagate(*position, truth["pmra"][star], truth["pmdec"][star], 2016.0, mjd_to_year(photo["mjd"][row]))
    measured = photo["ra"][row], photo["dec"][row]
    assert separation_arcsec(*moved, *measured).max() < 0.6
    assert separation_arcsec(*position, *measured).min() > 1.0


def test_photoobj_faults(table) -> None:
    photo = table("sdss_photoobj")
    missing = photo["psfMag_u"] == -9999
    assert 0 < missing.mean() < 0.1 and (photo["psfMagErr_u"][missing] == -9999).all()
    assert set(photo["mode"]) == {1, 2} and set(photo["type"]) == {3, 6}
    again = np.flatnonzero(photo["mode"] == 2)
    nearest = [
        separation_arcsec(photo["ra"][i], photo["dec"][i], photo["ra"], photo["dec"])[photo["mode"] == 1].min()
        for i in again
    ]
    # The primary of nearly all is there, a fraction of an arcsecond away.
    assert np.mean(np.array(nearest) < 1.0) > 0.9
