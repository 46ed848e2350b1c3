"""Tables and images of spectra that are known by their columns: each gives the star that was written into it."""

import gzip
import io
import tracemalloc

import numpy as np
import pytest
from astropy import units
from astropy.io import fits
from astropy.table import QTable, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from made_spectra import (
    BOSS_GRID,
    ERROR,
    FLUX,
    IVAR,
    SIGMA,
    WAVE,
    arrays,
    is_star,
    mwm,
    read,
    seen,
    star,
    table,
    written,
)
from stellar.errors import InputError
from stellar.flow.user_files import dialects, features_of
from stellar.photometry.refraction import vacuum_to_air
from stellar.surveys.readers.layouts import read_spectra_file
from stellar.surveys.readers.layouts_tables import _keywords
from stellar.surveys.readers.members import Member
from stellar.surveys.readers.parse import TOLD
from stellar.surveys.readers.spectrum_columns import base_and_unit
from stellar.surveys.readers.spectrum_rows import BAD, Spectrum, estimated_ivar, told_apart
from stellar.surveys.readers.tables import read_votable


def text(header, *columns, mark=","):
    rows = zip(*columns, strict=True)
    return "\n".join([*([header] if header else []), *(mark.join(f"{value:.8g}" for value in row) for row in rows)])


@pytest.mark.parametrize(
    ("data", "noise", "medium"),
    [
        (text("wavelength,flux,error", WAVE, FLUX, ERROR), "given", "vacuum (not said)"),
        (text("Wavelength (nm),Flux,e_flux", WAVE / 10, FLUX, ERROR), "given", "vacuum (not said)"),
        (text("wave_um;flux;ivar", WAVE / 1e4, FLUX, IVAR, mark=";"), "given", "vacuum (not said)"),
        (text("loglam,flux,ivar", np.log10(WAVE), FLUX, IVAR), "given", "vacuum (not said)"),
        (text("wavelength_air [Angstrom]\tflux\terror", vacuum_to_air(WAVE), FLUX, ERROR, mark="\t"), "given", "air"),
        (text("# medium: air\n# lambda flux sigma", vacuum_to_air(WAVE), FLUX, ERROR, mark=" "), "given", "air"),
        (text("# medium = vacuum\nlambda flux variance", WAVE, FLUX, ERROR**2, mark=" "), "given", "vacuum"),
        (text("", WAVE, FLUX, ERROR, mark="  "), "given", "vacuum (not said)"),
        (text("", WAVE[::-1], FLUX[::-1], mark=" "), "estimated", "vacuum (not said)"),
        (text("frequency [THz],flux,err", 2.99792458e6 / WAVE, FLUX, ERROR), "given", "vacuum (not said)"),
    ],
)
def test_columns_of_text(data, noise, medium):
    (row,) = read(data, "my star.csv")
    assert (row["spec_name"], row["noise"], row["medium"]) == ("my star", noise, medium)
    wave, flux, ivar, _ = arrays(row)
    assert wave == pytest.approx(WAVE, rel=1e-6)
    scale = float(np.median(flux / FLUX[np.argsort(WAVE)]))
    is_star(row, scale=scale, sigmas=8.0)
    assert np.median(ivar) * scale**2 == pytest.approx(SIGMA**-2, rel=0.15)


def test_a_physical_unit_is_kept_and_frequencies_flux_is_turned_into_wavelength_s():
    per_wave = FLUX * 1e-15 * units.Unit("erg / (s cm2 Angstrom)")
    per_frequency = per_wave.to(units.Jy, equivalencies=units.spectral_density(WAVE * units.AA))
    error = (ERROR * 1e-15 * per_wave.unit).to(units.Jy, equivalencies=units.spectral_density(WAVE * units.AA))
    out = io.StringIO()
    QTable({"wave": (WAVE / 10) * units.nm, "fnu": per_frequency, "err": error}).write(out, format="ascii.ecsv")
    (row,) = read(out.getvalue(), "x.ecsv")
    assert np.median(arrays(row)[1] / FLUX) == pytest.approx(100, rel=1e-5)  # in 1e-17
    is_star(row, scale=100)


@pytest.mark.parametrize("kind", ["ascii.ecsv", "votable", "fits"])
def test_tables_that_say_their_units(kind):
    made = Table({"wave": WAVE / 10, "flux": FLUX, "ivar": IVAR, "quality": (np.arange(len(WAVE)) == 5).astype("i4")})
    made["wave"].unit = "nm"
    out = io.StringIO() if kind == "ascii.ecsv" else io.BytesIO()
    if kind == "fits":
        hdu = fits.table_to_hdu(made)
        primary = fits.PrimaryHDU()
        primary.header.update({"AIRORVAC": "vac", "OBJECT": "HD 1", "RA": 10.5, "DEC": -3.25})
        fits.HDUList([primary, hdu]).writeto(out)
    else:
        made.write(out, format=kind)
    (row,) = read(out.getvalue(), f"hd1.{kind}")
    wave, _, _, mask = arrays(row)
    assert wave == pytest.approx(WAVE, rel=1e-6) and np.flatnonzero(mask).tolist() == [5]
    is_star(row, scale=float(np.median(arrays(row)[1] / FLUX)))
    if kind == "fits":
        assert (row["object_name"], row["ra"], row["dec"], row["medium"]) == ("HD 1", 10.5, -3.25, "vacuum")


def test_a_fits_table_with_a_spectrum_in_each_row():
    """As ESO's phase 3 and many collections write them: https://www.eso.org/sci/observing/phase3/p3sdpstd.pdf."""
    rows = np.array([seen(WAVE, depth)[0] for depth in (0.6, 0.2)])
    hdu = table("SPECTRUM", NAME=np.array(["one", "two"]), WAVE=np.tile(vacuum_to_air(WAVE), (2, 1)), FLUX=rows)
    hdu.header["TUNIT2"], hdu.header["TUCD2"] = "angstrom", "em.wl;obs.atmos"
    one, two = read(written([fits.PrimaryHDU(), hdu]))
    assert (one["spec_name"], two["spec_name"], one["medium"], one["noise"]) == ("one", "two", "air", "estimated")
    assert arrays(one)[0] == pytest.approx(WAVE, rel=1e-9)
    assert np.min(arrays(two)[1] / np.median(arrays(two)[1])) > np.min(arrays(one)[1] / np.median(arrays(one)[1]))


def test_a_long_table_of_several_stars():
    made = [
        (name, *values)
        for name, depth in (("b", 0.6), ("a", 0.1))
        for values in zip(WAVE, star(WAVE, depth), strict=True)
    ]
    rows = read("id,wavelength,flux\n" + "\n".join(f"{n},{w:.6f},{f:.6f}" for n, w, f in made), "many.csv")
    assert [row["spec_name"] for row in rows] == ["b", "a"] and {len(row["flux"]) for row in rows} == {len(WAVE)}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("wavelength,flux\n380,1\n381,1\n382,1", r"column wavelength \(380 to 382\) has no unit; write it behind"),
        ("wavelength [parsnip],flux\n4000,1\n4001,1", "'parsnip' is no unit"),
        ("wavelength [kg],flux\n4000,1\n4001,1", "kg is no unit of a wavelength"),
        ("wavelength,flux\n4000,1\n4001\n", "row 3: 1 fields instead of 2"),
        ("wavelength,flux\n4000,1\n4001,bright\n", "row 3: flux: 'bright' is no number"),
        ("wavelength,flux\n4000,1\n4000,1\n4001,1\n", "4000 Angstrom stands twice"),
        ("wavelength,flux,flux\n4000,1,2\n", "column flux stands twice"),
        ("wavelength,flux\n", "no line of numbers"),
        ("", "no line of numbers"),
        ("wavelength,flux,error\n4000,1,large\n4001,1,1\n", "row 2: error: 'large' is no number"),
        ("wavelength,flux\n4000,1\n4001," + "1" * 140_000 + "\n", "row 3: field larger than field limit"),
        ("wavenumber,flux\n25000,1\n24000,1\n", "column wavenumber has no unit; write it behind the name"),
        ("frequency,flux\n5000,1\n6000,1\n", "column frequency has no unit"),
        ("log_wave,flux\n2.6,1\n2.9,1\n", r"column log_wave .* has no unit"),
        ("time,mag,err\n1,2,3\n", "no columns of wavelength and flux; it begins with 'time mag err'"),
        ("1 2 3 4 5\n", "no columns of wavelength and flux"),
        ("<VOTABLE><RESOURCE/>", "not a readable VOTable"),
        ("# %ECSV 1.0\n# ---\n# datatype: 3\n", "not a readable ECSV table"),
        (b"\x93NUMPY\x01\x00v\x00", "neither FITS nor text"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(data, why):
    with pytest.raises(InputError, match=rf"^bad\.csv: .*{why}"):
        read(data, "bad.csv")


GAIA = (5853498713190525696, 5853498713190525697)  # one number as float64


def of_two(kind, ids, **more):
    """A table of two spectra, a row each."""
    made = Table({"source_id": np.array(ids), "wave": np.tile(WAVE, (2, 1)), "flux": np.tile(FLUX, (2, 1)), **more})
    made["wave"].unit = "Angstrom"
    out = io.StringIO() if kind == "ascii.ecsv" else io.BytesIO()
    made.write(out, format=kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["fits", "votable", "ascii.ecsv"])
def test_ids_that_are_numbers_stay_exact(kind):
    assert [row["spec_name"] for row in read(of_two(kind, GAIA), "two")] == [str(one) for one in GAIA]
    one, other = read(of_two(kind, [1.0, 2.5]), "two")
    assert (one["spec_name"], other["spec_name"]) == ("1", "2.5")


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4, unique=True))
@settings(deadline=None, max_examples=30)
def test_pixels_belong_to_the_id_as_it_is_written(ids):
    rows = [f"{one},{4000 + pixel},{pixel}" for pixel in range(3) for one in ids]
    found = read("\n".join(["source_id,wavelength,flux", *rows]), "many.csv")
    assert [row["spec_name"] for row in found] == [str(one) for one in ids]
    assert {len(row["flux"]) for row in found} == {3}


@pytest.mark.parametrize("kind", ["fits", "votable"])
def test_names_that_stand_twice_are_numbered_and_told(kind):
    member = Member("two.fits", of_two(kind, ["a", "a"]))
    made = read_spectra_file(member, {})
    assert made["spec_name"].to_pylist() == ["a", "a-2"]
    assert b"called a: those after the first are numbered, as in a-2" in made.schema.metadata[TOLD]
    said = []
    features = features_of(member, "spectra", "features.spectra", dialects("spectra", "features.spectra"), said.append)
    assert features["id"].to_pylist() == ["a", "a-2"] and [one for one in said if "are numbered" in one]


@given(st.lists(st.sampled_from(["a", "a-2", "a-2-2", "b"]), max_size=8))
def test_spectra_told_apart_have_names_of_their_own(names):
    nothing = np.empty(0)
    made, twice = told_apart([Spectrum(nothing, nothing, nothing, nothing, {"spec_name": one}) for one in names])
    own = [one.about["spec_name"] for one in made]
    assert len(set(own)) == len(own) == len(names) and set(names) <= set(own)
    assert sorted(twice) == sorted({one for one in names if names.count(one) > 1})


def test_two_visits_of_one_night_are_two():
    with fits.open(io.BytesIO(mwm(visits=3))) as hdus:
        hdus[1].data["mjd"][1] = 59000
        hdus[1].data["spectrum_pk"] = [7, 8, 9]
        rows = read(written(list(hdus)))
    assert [row["spec_name"] for row in rows] == [f"54392544-boss-apo-{one}" for one in ("59000-7", "59000-8", "59002")]


@pytest.mark.parametrize("cards", [{"CTYPE1": "AWAV"}, {"AIRORVAC": "air"}, {"VACUUM": False}])
def test_an_image_in_air_is_brought_to_vacuum(cards):
    pytest.importorskip("specutils")
    air = 4000 + 0.5 * np.arange(2000)
    (row,) = read(an_image(air, star(air), cards), "image.fits")
    assert row["medium"] == "air"
    assert vacuum_to_air(arrays(row)[0]) == pytest.approx(air, rel=1e-8)


def test_an_image_s_flux_is_taken_in_its_unit():
    pytest.importorskip("specutils")
    wave = 4000 + 0.5 * np.arange(2000)
    per_frequency = (star(wave) * 1e-15 * units.Unit("erg / (s cm2 Angstrom)")).to_value(
        units.Jy, equivalencies=units.spectral_density(wave * units.AA)
    )
    (row,) = read(an_image(wave, per_frequency, {"BUNIT": "Jy"}), "image.fits")
    assert arrays(row)[1] == pytest.approx(100 * star(wave), rel=1e-5)


def an_image(wave, flux, cards):
    image = fits.PrimaryHDU(flux.astype("f8"))
    image.header.update({"CTYPE1": "WAVE", "CRVAL1": wave[0], "CDELT1": wave[1] - wave[0], "CRPIX1": 1.0})
    image.header.update({"CUNIT1": "Angstrom", **cards})
    return written([image])


@pytest.mark.parametrize(
    ("said", "medium"),
    [("# vacuum: false", "air"), ("# air: no", "vacuum"), ("# vacuum = T", "vacuum"), ("# air: yes", "air")],
)
def test_a_yes_or_no_says_the_medium(said, medium):
    wave = vacuum_to_air(WAVE) if medium == "air" else WAVE
    (row,) = read(text(f"{said}\nwavelength,flux", wave, FLUX), "x.csv")
    assert row["medium"] == medium and arrays(row)[0] == pytest.approx(WAVE, rel=1e-6)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x", "file:///etc/hostname"])
@pytest.mark.parametrize("of", [read_spectra_file, read_votable])
def test_a_votable_whose_data_are_elsewhere_is_not_followed(address, of):
    document = (
        '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
        '<FIELD name="wavelength" datatype="double" unit="Angstrom"/><FIELD name="flux" datatype="double"/>'
        f'<DATA><BINARY><STREAM href="{address}"/></BINARY></DATA></TABLE></RESOURCE></VOTABLE>'
    ).encode()
    with pytest.raises(InputError, match=rf"^a\.vot: its data are elsewhere \({address}\); import a file that holds"):
        of(Member("a.vot", document), {})
    with pytest.raises(InputError, match=r"not a readable VOTable|neither FITS nor text"):
        of(Member("a.vot", gzip.compress(document)), {})
    for encoding in ("Shift_JIS", "no-such-one"):
        with pytest.raises(InputError, match=r"^a\.vot: not a readable VOTable"):
            of(Member("a.vot", f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + document), {})


def in_heap(waves, fluxes):
    columns = [fits.Column("WAVE", "PD()", unit="Angstrom", array=np.array([*waves, None], object)[:-1])]
    columns += [fits.Column("FLUX", "PD()", array=np.array([*fluxes, None], object)[:-1])]
    return fits.BinTableHDU.from_columns(columns)


def test_rows_of_different_lengths_keep_their_own():
    hdu = in_heap([WAVE[:5], WAVE[:2000]], [FLUX[:5], FLUX[:2000]])
    one, two = read(written([fits.PrimaryHDU(), hdu]))
    assert (len(one["flux"]), len(two["flux"])) == (5, 2000)
    assert arrays(two)[0] == pytest.approx(WAVE[:2000])


def test_rows_that_all_point_to_the_same_bytes_are_bounded(monkeypatch):
    hdu = in_heap([WAVE[:500]] * 40, [FLUX[:500]] * 40)
    data = bytearray(written([fits.PrimaryHDU(), hdu]))
    with fits.open(io.BytesIO(data)) as hdus:
        start, width = hdus[1].fileinfo()["datLoc"], hdus[1].header["NAXIS1"]
        hdus[1].header["PCOUNT"] = 2 * 500 * 8
    for row in range(40):
        data[start + row * width : start + (row + 1) * width] = np.array([500, 0, 500, 4000], ">i4").tobytes()
    rows = read(bytes(data))
    assert len(rows) == 40 and len({tuple(row["flux"][:3]) for row in rows}) == 1, "few that share are read"
    monkeypatch.setattr("stellar.surveys.readers.layouts_tables.MOST_SHARED", 1000)
    for row in range(40):  # each row is all of the heap
        data[start + row * width : start + (row + 1) * width] = np.array([40_000, 0, 40_000, 0], ">i4").tobytes()
    with pytest.raises(InputError, match=r"column WAVE: its rows have 1600000 values, the table has \d+ bytes"):
        read(bytes(data))


def test_flux_per_frequency_without_a_unit_is_a_shape_per_wavelength():
    (row,) = read(text("wavelength,fnu", WAVE, FLUX * WAVE**2 / 1e7), "x.csv")
    ratio = arrays(row)[1] / FLUX
    assert ratio == pytest.approx(np.median(ratio), rel=1e-4)


def test_the_logarithm_of_a_wavelength_has_a_unit():
    (row,) = read(text("log_wave (nm),flux", np.log10(WAVE / 10), FLUX), "x.csv")
    assert arrays(row)[0] == pytest.approx(WAVE, rel=1e-6)
    hdu = table("T", LOGLAM=np.log10(WAVE), FLUX=FLUX)
    hdu.header["TUNIT1"] = "log10(Angstrom)"
    (row,) = read(written([fits.PrimaryHDU(), hdu]))
    assert arrays(row)[0] == pytest.approx(WAVE, rel=1e-9)


def test_wavenumbers_with_a_unit_are_read():
    (row,) = read(text("wavenumber [1/cm],flux", 1e8 / WAVE, FLUX), "x.csv")
    assert arrays(row)[0] == pytest.approx(WAVE, rel=1e-6)


def test_marks_in_words_spoil_nothing():
    lines = [
        f"{w:.8g},{f:.8g},ok,{'True' if n == 5 else 'False'}" for n, (w, f) in enumerate(zip(WAVE, FLUX, strict=True))
    ]
    (row,) = read("\n".join(["wavelength,flux,flag,note", *lines]), "x.csv")
    assert not any(row["and_mask"]), "`ok` is no bad pixel"
    (row,) = read("\n".join(["wavelength,flux,note,mask", *lines]), "x.csv")
    assert np.flatnonzero(row["and_mask"]).tolist() == [5]


@pytest.mark.parametrize("kind", ["fits", "votable", "ascii.ecsv"])
def test_a_column_of_another_kind_spoils_nothing(kind):
    one, two = read(of_two(kind, ["a", "b"], quality=np.array([0, 4])), "two")
    assert not any(one["and_mask"]) and set(two["and_mask"]) == {BAD}, "one number holds for the row's pixels"
    one, _ = read(of_two(kind, ["a", "b"], flag=np.array(["ok", "ok"])), "two")
    assert not any(one["and_mask"])
    with pytest.raises(InputError, match=r"^two: column error holds no numbers"):
        read(of_two(kind, ["a", "b"], error=np.array(["x", "y"])), "two")


def test_several_marks_a_pixel_are_bad_where_any_is_set():
    flags = np.zeros((len(WAVE), 3), bool)
    flags[5, 1] = True
    (row,) = read(written([fits.PrimaryHDU(), table("T", WAVE=WAVE, FLUX=FLUX, FLAGS=flags)]))
    assert np.flatnonzero(row["and_mask"]).tolist() == [5]
    with pytest.raises(InputError, match="column ERROR has several numbers a row, FLUX has one"):
        read(written([fits.PrimaryHDU(), table("T", WAVE=WAVE, FLUX=FLUX, ERROR=np.ones((len(WAVE), 2)))]))


def test_one_long_id_among_many_pixels_takes_its_own_memory_only():
    rows = [f"{'x' * 100_000 if pixel == 0 else 'a'},{4000 + pixel},1" for pixel in range(20_000)]
    tracemalloc.start()
    found = read("\n".join(["id,wavelength,flux", *rows]), "many.csv")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [len(row["flux"]) for row in found] == [1, 19_999] and most < 200 << 20


def test_noise_does_not_depend_on_the_order_of_pixels():
    order = np.random.default_rng(0).permutation(len(WAVE))
    (sorted_,), (mixed,) = (read(text("wavelength,flux", WAVE[at], FLUX[at]), "x.csv") for at in (slice(None), order))
    assert mixed == sorted_


def test_keywords_are_found_at_once_however_long_a_comment_is():
    assert _keywords(["medium : air", "unit = nm: x", "no keyword", "3x: y", "empty:", "a b: c"]) == [
        ("medium", "air"), ("unit", "nm: x"), ("a b", "c")
    ]  # fmt: skip
    assert _keywords(["A" + " " * 1_000_000 + "x", "A" + " " * 1_000_000 + "!:x"]) == []


@given(st.floats(1e-20, 1e20), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_estimated_noise_is_the_noise_at_any_scale(scale, seed):
    flux = star(BOSS_GRID[:2000]) + np.random.default_rng(seed).normal(0, SIGMA, 2000)
    flux[100] = np.nan
    ivar = estimated_ivar(flux * scale)
    assert ivar[100] == 0
    assert np.median(ivar[ivar > 0]) ** -0.5 == pytest.approx(SIGMA * scale, rel=0.12)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Wavelength (nm)", ("wavelength", "nm")),
        ("wave_angstrom", ("wave", "Angstrom")),
        ("FLUX [1e-17 erg/s/cm2/A]", ("flux", "1e-17 erg/s/cm2/A")),
        ("flux_a", ("flux_a", "")),
        ("λ", ("", "")),
    ],
)
def test_names_and_units(name, wanted):
    assert base_and_unit(name) == wanted
