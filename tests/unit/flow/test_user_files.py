"""A survey's own table, row for row: what is doubled, damaged or no star keeps its place, and says why."""

import csv
import io

import numpy as np
import pyarrow as pa
import pytest

from stellar.errors import InputError
from stellar.flow.user_files import dialects, features_of
from stellar.models import create
from stellar.registry.bundle import Bundle, InputRanges, Meaning
from stellar.registry.feature_tables import _predicted, with_id
from stellar.surveys.readers.members import Member

DATASET = "curated.lamost_parameters"
MAGS = tuple(f"mag{number}" for number in range(1, 8))
HEADER = ("obsid", "lmjd", "ra", "dec", "magtype", "fibertype", *MAGS, "teff")
COLUMNS = ("g_r", "r_i", "j_h")


def star(obsid, colour, **changes):
    mags = dict(zip(MAGS, (18 + colour, 16 + colour, 16.0, 16 - colour / 3, 15.5, 14.5, 14.1), strict=True))
    row = {
        "obsid": obsid,
        "lmjd": 55860,
        "ra": 60.0,
        "dec": 30.0,
        "magtype": "ugrizjh",
        "fibertype": "Obj",
        **mags,
        "teff": 5000,
    }
    return row | changes


def file_of(rows, columns=HEADER):
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return Member("held_back.csv", text.getvalue().encode())


def features(member):
    return features_of(member, "photometry", DATASET, dialects("photometry", DATASET))


@pytest.fixture(scope="module")
def bundle():
    rng = np.random.default_rng(4)
    colour = rng.uniform(0.2, 1.2, 200)
    table = pa.table({"g_r": colour, "r_i": colour / 3 + rng.normal(0, 0.01, 200), "j_h": rng.normal(0.4, 0.05, 200)})
    model = create(
        "gp_regression", features=COLUMNS, targets=["teff_k"], views=[["g_r", "r_i"], ["g_r"]], iterations=15
    )
    model.fit(table, 7000 - 2000 * colour + rng.normal(0, 30, 200))
    meaning = Meaning("m", DATASET, "obsid", "teff_k", "quantity", COLUMNS, 0.1, needs=("g_r", "r_i"))
    return Bundle(meaning, model, InputRanges.of(table, COLUMNS))


def predicted(bundle, rows, **how):
    made = features(file_of(rows, **how))
    return _predicted(bundle, made.append_column("file", pa.array(["held_back.csv"] * len(made))), "k" * 64)


NONE = dict.fromkeys(MAGS, 99)
ROWS = [
    star(7, 0.5),
    star(3, 0.9, teff="what"),
    star(7, 0.5),
    star(4, 0.9, **NONE),
    star(5, 0.9, fibertype="Sky"),
    star("", 0.7),
    star(6, 0.7, ra=""),
    star(8, 0.7, mag4="bad"),
]


def test_each_row_of_the_file_is_one_of_the_answer_in_its_order(bundle):
    found = predicted(bundle, ROWS)
    assert found["id"].to_pylist() == ["7", "3", "7", "4", "5", "row 6", "6", "8"]
    teff, flags = found["teff_k"].to_pylist(), found["flags"].to_pylist()
    assert [value is None for value in teff] == [False, False, False, True, True, False, False, False]
    assert teff[0] == teff[2] == pytest.approx(6000, abs=60)
    assert teff[1] == pytest.approx(5200, abs=60)
    assert flags[0] == flags[2] == ""
    assert "teff: 'what' is not float64" in flags[1]
    assert flags[3] == "not predicted: none of g_r, r_i is there"
    assert flags[4].startswith("not predicted: sky_fibre")
    assert "obsid: is missing" in flags[5]
    assert "position is missing" in flags[6]
    assert "missing:r_i" in flags[7]
    assert "mag4: 'bad'" in flags[7]
    assert teff[7] == pytest.approx(5600, abs=90)
    ends = [found[name].to_pylist() for name in ("teff_k_lower", "teff_k_upper")]
    assert all((low is None) == (value is None) for low, value in zip(ends[0], teff, strict=True))
    assert all(low <= value <= high for low, value, high in zip(ends[0], teff, ends[1], strict=True) if value)
    assert found["is_out_of_range"].to_pylist()[3:5] == [True, True]


def test_company_and_order_do_not_change_a_row(bundle):
    order = np.random.default_rng(2).permutation(len(ROWS))
    whole = predicted(bundle, ROWS)
    shuffled = predicted(bundle, [ROWS[k] for k in order])
    for name in ("teff_k", "teff_k_lower", "teff_k_upper"):
        assert shuffled[name].to_pylist() == pytest.approx([whole[name].to_pylist()[k] for k in order])
    for k, row in enumerate(ROWS[:5]):
        assert predicted(bundle, [row])["teff_k"].to_pylist() == pytest.approx([whole["teff_k"].to_pylist()[k]])


def test_a_file_of_rows_that_cannot_be_predicted_has_as_many_nulls(bundle):
    found = predicted(bundle, [ROWS[3], ROWS[4], ROWS[3]])
    assert found["teff_k"].to_pylist() == [None] * 3
    assert found.schema.field("teff_k").type == pa.float64()


def test_columns_of_the_platforms_own_names_and_columns_twice(bundle):
    read = list(bundle.reads)
    values = {name: np.full(2, 0.5) for name in read}
    plain = with_id(pa.table(values | {"refused": ["no", "no"], "row_fault": ["a", "b"]}), "mine.csv", bundle)
    assert not {"refused", "row_fault"} & {*plain.column_names}
    twice = pa.table([*values.values(), values[read[0]]], names=[*values, read[0]])
    with pytest.raises(InputError, match=rf"mine\.csv: it has the column {read[0]} twice"):
        with_id(twice, "mine.csv", bundle)


def test_what_is_to_be_predicted_need_not_be_in_the_file(bundle):
    found = predicted(bundle, ROWS[:2], columns=[name for name in HEADER if name not in ("teff", "fibertype")])
    assert found["teff_k"].null_count == 0


def test_bands_are_read_by_their_names_in_magtype():
    rows = [star(1, 0.5, magtype="ugriz", mag6=99, mag7=99), star(2, 0.5, magtype="ugrijhk"), star(3, 0.5, magtype="?")]
    found = features(file_of(rows))
    assert found["zmag"].to_pylist() == [15.5, None, None]
    assert found["jmag"].to_pylist() == [None, 15.5, None]
    assert found["hmag"].to_pylist() == [None, 14.5, None]
    assert found["gmag"].to_pylist() == [16.5, 16.5, None]


def test_galactic_coordinates_are_those_of_the_features():
    from stellar.features.sed import galactic

    rng = np.random.default_rng(6)
    ra, dec = rng.uniform(0, 360, 50), rng.uniform(-90, 90, 50)
    found = features(file_of([star(k + 1, 0.5, ra=ra[k], dec=dec[k]) for k in range(50)]))
    lon, lat = galactic(ra, dec)
    np.testing.assert_allclose(found["galactic_lon_deg"].to_numpy(), lon, atol=1e-8)
    np.testing.assert_allclose(found["galactic_lat_deg"].to_numpy(), lat, atol=1e-8)


def test_an_empty_table_is_refused():
    with pytest.raises(InputError, match="no rows"):
        features(file_of([]))
