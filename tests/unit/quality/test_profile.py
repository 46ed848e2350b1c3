import numpy as np
import pyarrow as pa
import pytest

from own_tables import store_own
from page_checks import read_page
from stellar.lake.hats import finish_plain
from stellar.lake.write import write_partition
from stellar.quality import profile as module
from stellar.quality.profile import LEVELS, NEAR_ORDER, SKY_ORDER, is_band, profile
from stellar.quality.profile_page import page
from stellar.sky.healpix import cells_at, spatial_index

SNAPSHOT = {"key": "ab" * 32, "step": "import", "partitions": 3, "bytes": 4096, "content_hash": "cd" * 32}


def column(name, unit="", ucd="", description=""):
    return pa.field(name, pa.float64(), metadata={"unit": unit, "ucd": ucd, "description": description})


def stars(n=3000, seed=4):
    rng = np.random.default_rng(seed)
    g = rng.uniform(10, 19.99, n)
    schema = pa.schema(
        [
            pa.field("id", pa.int64()),
            column("ra", "deg", "pos.eq.ra"),
            column("dec", "deg", "pos.eq.dec"),
            column("g_mag", "mag", "phot.mag;em.opt", "Mean <b>G</b>"),
            column("u_mag", "mag"),
            column("g_mag_err", "mag"),
            column("parallax_mas", "mas"),
            pa.field("survey", pa.string()),
            pa.field("note", pa.string()),
            pa.field("is_blend", pa.bool_()),
            pa.field("seen", pa.timestamp("us", "UTC")),
            pa.field("flux", pa.list_(pa.float32())),
            pa.field("nothing", pa.float64()),
        ]
    )
    survey = np.where(np.arange(n) % 3 == 0, "sdss", "<script>x</script>")
    parallax = rng.exponential(2, n)
    parallax[0], parallax[1] = np.nan, np.inf
    return pa.table(
        [
            np.arange(n),
            rng.uniform(355, 365, n) % 360,
            rng.uniform(-5, 5, n),
            g,
            pa.array(g + 1, mask=(g > 15) | (survey != "sdss")),
            rng.gamma(2, 0.01, n),
            parallax,
            survey,
            pa.array([f"n{k}" for k in range(n)]),
            pa.array(rng.random(n) < 0.25),
            pa.array(np.arange(n) * 1_000_000, pa.timestamp("us", "UTC")),
            pa.array([[1.0]] * n),
            pa.nulls(n, pa.float64()),
        ],
        schema=schema,
    )


@pytest.fixture(scope="module")
def table():
    return stars()


@pytest.fixture(scope="module")
def root(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("snapshot")
    store_own(folder, table, position=("ra", "dec"), id_column="id")
    return folder


@pytest.fixture(scope="module")
def found(root, tmp_path_factory):
    return profile(root, id_column="id", spill=tmp_path_factory.mktemp("spill"), threads=1)


def test_figures_are_those_of_numpy(found, table):
    assert (found.rows, found.sample_rows, found.sample_every) == (3000, 3000, 1)
    by_name = {one.name: one for one in found.columns}
    g = table["g_mag"].to_numpy()
    assert (by_name["g_mag"].low, by_name["g_mag"].high, by_name["g_mag"].missing) == (g.min(), g.max(), 0)
    np.testing.assert_allclose(by_name["g_mag"].quantiles, np.quantile(g, LEVELS))
    assert by_name["parallax_mas"].missing == pytest.approx(2 / 3000), "NaN and infinity are no values"
    assert np.isfinite(by_name["parallax_mas"].high)
    assert (by_name["nothing"].missing, by_name["nothing"].histogram) == (1, None)
    assert by_name["u_mag"].missing == pytest.approx(table["u_mag"].null_count / 3000)
    assert by_name["survey"].frequent == (("<script>x</script>", 2000), ("sdss", 1000))
    assert by_name["note"].frequent == (), "every row has another"
    assert dict(by_name["is_blend"].frequent)["true"] == table["is_blend"].to_pylist().count(True)
    assert by_name["seen"].low.startswith("1970-01-01 00:00:00")
    assert by_name["flux"].missing == 0 and by_name["flux"].low is None


def test_coverage_is_by_survey_and_by_magnitude(found):
    assert found.bands == ("g_mag", "u_mag")
    surveys, steps = found.coverage
    assert dict(zip(surveys.groups, surveys.rows, strict=True)) == {"<script>x</script>": 2000, "sdss": 1000}
    assert surveys.values[1, 0] == 0 and 0.4 < surveys.values[1, 1] < 0.6
    assert steps.along == "g_mag" and sum(steps.rows) == 3000
    assert steps.groups[0] == "< 12" and steps.groups[-1] == "≥ 18"
    np.testing.assert_allclose(steps.values[0], 1)
    assert steps.values[1, 0] > 0.2 and steps.values[1, -1] == 0


def test_the_sky_counts_every_row(found, table):
    index = spatial_index(table["ra"].to_numpy(), table["dec"].to_numpy())
    for order in (SKY_ORDER, NEAR_ORDER):
        pixels, counts = found.sky[order]
        expected = np.unique(cells_at(index, order), return_counts=True)
        np.testing.assert_array_equal(pixels, expected[0])
        np.testing.assert_array_equal(counts, expected[1])


def test_the_page_is_whole_and_has_the_same_bytes_twice(found, root, tmp_path):
    html = page(found, "own.made", "Made & <up>.", SNAPSHOT)
    read = read_page(html)
    assert read.headings == ["sky", "magnitudes", "columns", "distributions", "values"]
    for said in ("Made & <up>.", "Mean <b>G</b>", "pos.eq.ra", "<script>x</script>", "of all 3,000 rows",
                 "On the sky, nearer", "Rows with each magnitude by survey", "cd" * 32):  # fmt: skip
        assert said in read.text, said
    again = profile(root, id_column="id", spill=tmp_path, threads=2)
    assert page(again, "own.made", "Made & <up>.", SNAPSHOT) == html


def test_a_sample_is_chosen_by_the_ids_and_said(root, table, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAMPLE_ROWS", 500)
    once, again = (profile(root, id_column="id", spill=tmp_path, threads=threads) for threads in (1, 2))
    assert once.sample_every == 6 and 350 < once.sample_rows < 650
    by_name = {one.name: one for one in once.columns}
    assert by_name["g_mag"].quantiles == {one.name: one for one in again.columns}["g_mag"].quantiles
    assert by_name["g_mag"].low == table["g_mag"].to_numpy().min(), "ends are of all rows"
    read = read_page(page(once, "own.made", "", SNAPSHOT))
    assert f"a sample of {once.sample_rows}: one row in 6" in read.text


def test_a_table_without_positions_and_one_without_rows(tmp_path, table):
    plain = table.select(["id", "g_mag", "note"])
    for name, rows in (("full", plain), ("empty", plain.slice(0, 0))):
        folder = tmp_path / name
        written = write_partition(rows, folder / "dataset" / "part0.parquet", id_column="id")
        assert written.rows == len(rows)
        finish_plain(folder, plain.schema)
        found = profile(folder, id_column="id", spill=tmp_path, threads=1)
        assert found.sky == {} and found.rows == len(rows)
        read = read_page(page(found, f"own.{name}", "", {"key": "ab" * 32}))
        assert "sky" not in read.headings and "columns" in read.headings


@pytest.mark.parametrize(
    ("about", "is_one"),
    [
        ({"name": "g_mag", "unit": "mag", "ucd": "phot.mag;em.opt"}, True),
        ({"name": "phot_g_mean_mag", "unit": "mag"}, True),
        ({"name": "psfmag_u", "unit": "mag"}, True),
        ({"name": "umag", "unit": ""}, True),
        ({"name": "g_mag_err", "unit": "mag", "ucd": "stat.error;phot.mag"}, False),
        ({"name": "g_abs_mag", "unit": "mag"}, False),
        ({"name": "bp_rp", "unit": "mag", "ucd": "phot.color"}, False),
        ({"name": "magnitude_percentage_ratio_40_5", "unit": ""}, False),
        ({"name": "ebv", "unit": "mag"}, False),
        ({"name": "image_mag", "unit": "arcsec"}, False),
    ],
)
def test_apparent_magnitudes_are_known_by_unit_and_name(about, is_one):
    assert is_band(about) is is_one
