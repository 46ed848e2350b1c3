"""Users' own tables: from files of any kind to a current dataset, built anew only where rows changed."""

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import lsdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from astropy.io.fits import BinTableHDU, HDUList, PrimaryHDU
from astropy.table import Table
from hats.io.validation import is_valid_catalog

from stellar.engine import staging
from stellar.engine.context import Context
from stellar.engine.maintain import verify
from stellar.errors import GateFailed, InputError, IntegrityError
from stellar.flow.tables import import_table
from stellar.lake import layout
from stellar.lake.read import Catalog
from stellar.ledger import gates, snapshots
from stellar.ledger.partitions import partitions_of
from stellar.quality import numbers
from stellar.sky.healpix import INDEX_COLUMN, Cell, in_margin


@pytest.fixture
def ctx(settings, ledger, monkeypatch):
    monkeypatch.setattr(layout, "THRESHOLD_BYTES", 10_000)
    return Context(settings, ledger, None)


@pytest.fixture
def other(settings, ledger, tmp_path):
    """A second lake with nothing in it, for full builds; same ledger, so content is compared by hash."""
    return Context(settings.model_copy(update={"home": tmp_path / "other"}), ledger, None)


def stars(n=4_000, seed=0):
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "star": pa.array(np.arange(n) + 10**17, pa.int64()),
            "RAJ2000": random.uniform(0, 360, n),
            "DEJ2000": np.degrees(np.arcsin(random.uniform(-1, 1, n))),
            "mag": random.normal(15, 2, n).astype(np.float32),
        }
    )


def write(folder, table, files=4):
    folder.mkdir(exist_ok=True)
    cuts = np.linspace(0, len(table), files + 1).astype(int)
    for number, (a, b) in enumerate(pairwise(cuts)):
        path = folder / f"{number}.parquet"
        new = table.slice(a, b - a)
        if not path.exists() or not pq.read_table(path).equals(new):
            pq.write_table(new, path)
    return sorted(folder.glob("*.parquet"))


def bring(ctx, files, name="mine", **options):
    return import_table(ctx, files, name, id_column="star", ra="RAJ2000", dec="DEJ2000", **options)


def test_rows_come_in_whole_and_others_can_read_them(ctx, tmp_path):
    table = stars()
    made = bring(ctx, write(tmp_path / "in", table), margin_arcsec=3600.0)
    assert (made["dataset"], made["rows"], made["quarantined"]) == ("own.mine", 4_000, 0)
    assert made["partitions"] > 12
    root = ctx.settings.lake / made["path"]
    catalog = Catalog(root)
    assert (catalog.ra_column, catalog.dec_column) == ("RAJ2000", "DEJ2000")
    found = catalog.read_all().drop_columns([INDEX_COLUMN]).sort_by("star")
    assert found.to_pylist() == table.to_pylist()
    assert verify(ctx, ["own.mine"], rows=True) == []
    assert is_valid_catalog(catalog.table, strict=True)
    theirs = lsdb.open_catalog(root)
    assert len(theirs.compute()) == 4_000
    assert theirs.margin is not None
    index = catalog.read_all([INDEX_COLUMN])[INDEX_COLUMN].to_numpy()
    for cell in catalog.cells:
        near = index[in_margin(index, cell, 3600.0) & ~cell.contains(index)]
        assert sorted(catalog.read_margin(cell, [INDEX_COLUMN])[INDEX_COLUMN].to_pylist()) == sorted(near.tolist())


@pytest.mark.parametrize("kind", ["csv", "fits", "votable", "ecsv", "hats"])
def test_every_kind_of_file_gives_the_same_rows(ctx, tmp_path, kind):
    table = stars(300)
    made = bring(ctx, write(tmp_path / "in", table, 1), "first")
    path = tmp_path / f"t.{kind}"
    plain = Table({name: table[name].to_numpy() for name in table.column_names})
    if kind == "csv":
        pyarrow.csv.write_csv(table, path)
    elif kind == "hats":
        path = made["path"]
    else:
        plain.write(path, format={"ecsv": "ascii.ecsv"}.get(kind, kind))
    again = bring(ctx, [path], "second")
    rows = [
        Catalog(ctx.settings.lake / one["path"]).read_all(["star", "RAJ2000", "DEJ2000"]).sort_by("star")
        for one in (made, again)
    ]
    assert rows[0].to_pylist() == rows[1].to_pylist()


def test_only_cells_whose_rows_changed_are_built_and_the_end_is_that_of_a_full_build(ctx, other, tmp_path):
    table = stars().sort_by("DEJ2000")
    first = bring(ctx, write(tmp_path / "in", table))
    again = bring(ctx, write(tmp_path / "in", table))
    assert (again["found"], again["snapshot"], again["changed"]) == (True, first["snapshot"], False)
    # one row changes, one goes, one comes
    ra, mag = table["RAJ2000"].to_numpy().copy(), table["mag"].to_numpy().copy()
    mag[100] += 1
    ra[200] = (ra[200] + 1e-5) % 360
    changed = table.set_column(3, "mag", pa.array(mag)).set_column(1, "RAJ2000", pa.array(ra))
    changed = pa.concat_tables([changed.slice(0, 300), changed.slice(301)])
    files = write(tmp_path / "in", changed)
    second = bring(ctx, files)
    assert second["rows"] == 3_999
    assert 1 <= second["built"] <= 3
    assert second["carried"] == second["partitions"] - second["built"]
    assert verify(ctx, ["own.mine"], rows=True) == []
    full = bring(other, files, "elsewhere")
    assert full["carried"] == 0
    assert full["content_hash"] == second["content_hash"]
    ours, theirs = (
        {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.parquet")}
        for root in (ctx.settings.lake / second["path"], other.settings.lake / full["path"])
    )
    assert ours == theirs  # margins too


def test_a_growing_cell_splits_without_touching_the_others(ctx, tmp_path):
    table = stars(2_000)
    first = bring(ctx, write(tmp_path / "in", table))
    random = np.random.default_rng(5)
    more = pa.table(
        {
            "star": pa.array(np.arange(2_000), pa.int64()),
            "RAJ2000": random.uniform(45, 46, 2_000),
            "DEJ2000": random.uniform(1, 2, 2_000),
            "mag": random.normal(15, 2, 2_000).astype(np.float32),
        }
    )
    pq.write_table(more, tmp_path / "more.parquet")
    second = bring(ctx, [*sorted((tmp_path / "in").glob("*.parquet")), tmp_path / "more.parquet"])
    before, after = (
        {one["name"]: one["key"] for one in partitions_of(ctx.engine, each["snapshot"])} for each in (first, second)
    )
    new = set(after) - set(before)
    assert new
    for name in set(before) & set(after):
        assert before[name] == after[name] or Cell.parse(name).contains(Cell(29, 0).pixel)
    assert second["built"] == len([name for name in after if before.get(name) != after[name]])
    assert second["carried"] >= first["partitions"] - 1


def test_rows_without_a_place_are_quarantined_with_the_reason(ctx, tmp_path):
    table = stars(20)
    dec = table["DEJ2000"].to_pylist()
    dec[3], dec[4] = None, 95.0
    pq.write_table(table.set_column(2, "DEJ2000", pa.array(dec)), tmp_path / "t.parquet")
    made = bring(ctx, [tmp_path / "t.parquet"])
    assert (made["rows"], made["quarantined"]) == (18, 2)
    key = snapshots.current(ctx.engine, "quarantine.own_mine")
    kept = Catalog(ctx.settings.lake / key.path).read_all()
    said = dict(zip(kept["star"].to_pylist(), kept["reason"].to_pylist(), strict=True))
    assert "missing" in said[10**17 + 3]
    assert "not on the sky" in said[10**17 + 4]


def test_repeated_ids_do_not_become_current(ctx, tmp_path):
    table = stars(20)
    bring(ctx, write(tmp_path / "in", table, 1))
    pq.write_table(pa.concat_tables([table, table.slice(7, 2)]), tmp_path / "twice.parquet")
    with pytest.raises(GateFailed, match=r"repeated_ids.*100000000000000007"):
        bring(ctx, [tmp_path / "twice.parquet"])
    assert snapshots.current(ctx.engine, "own.mine").rows == 20


def test_an_id_of_a_carried_partition_is_not_given_again(ctx, tmp_path):
    table = stars(2_000).sort_by("DEJ2000")
    bring(ctx, write(tmp_path / "in", table))
    ids = table["star"].to_numpy().copy()
    ids[10] = ids[1_900]  # the other end of the sky, whose partition does not change
    with pytest.raises(GateFailed, match=rf"repeated_ids.*{ids[10]}"):
        bring(ctx, write(tmp_path / "in", table.set_column(0, "star", pa.array(ids))))
    ids[10] = 7
    later = bring(ctx, write(tmp_path / "in", table.set_column(0, "star", pa.array(ids))))
    assert later["carried"] > 0
    assert later["changed"]


def test_other_types_and_units_are_other_rows(ctx, other, tmp_path):
    table = stars(500)
    flags = table.append_column("flag", pa.array(np.zeros(500, np.int64)))
    bring(ctx, write(tmp_path / "in", flags))
    floats = table.append_column("flag", pa.array(np.zeros(500)))
    files = write(tmp_path / "in", floats)
    again = bring(ctx, files)
    assert Catalog(again["path"]).read_all().schema.field("flag").type == pa.float64()
    with_unit = floats.set_column(4, pa.field("flag", pa.float64(), metadata={"unit": "mag"}), floats["flag"])
    files = write(tmp_path / "in2", with_unit)
    later = bring(ctx, files)
    assert later["content_hash"] == bring(other, files, "elsewhere")["content_hash"] != again["content_hash"]
    assert Catalog(later["path"]).schema.field("flag").metadata[b"unit"] == b"mag"


def test_a_file_written_while_it_is_read_is_not_taken(ctx, tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    pq.write_table(stars(100), path)
    real = staging.file_sha256

    def meanwhile(of):
        pq.write_table(stars(100, seed=1), path)
        return real(of)

    monkeypatch.setattr(staging, "file_sha256", meanwhile)
    with pytest.raises(IntegrityError, match=r"t\.parquet: was written while it was read"):
        bring(ctx, [path])
    monkeypatch.setattr(staging, "file_sha256", real)
    made = bring(ctx, [path])
    found = Catalog(made["path"]).read_all(["star", "RAJ2000"]).sort_by("star")
    assert found["RAJ2000"].to_pylist() == stars(100, seed=1)["RAJ2000"].to_pylist()


def test_quarantine_of_an_increment_is_that_of_a_full_build(ctx, other, tmp_path):
    table = stars(300)
    ra = table["RAJ2000"].to_pylist()
    ra[0] = None
    bring(ctx, write(tmp_path / "in", table.set_column(1, "RAJ2000", pa.array(ra)), 1))
    ra[5] = 1.0
    files = write(tmp_path / "in", table.set_column(1, "RAJ2000", pa.array(ra)), 1)
    bring(ctx, files)
    grown = snapshots.current(ctx.engine, "quarantine.own_mine")
    shutil.rmtree(ctx.settings.lake / "own")
    shutil.rmtree(ctx.settings.lake / "quarantine")
    bring(ctx, files)
    assert snapshots.current(ctx.engine, "quarantine.own_mine").content_hash == grown.content_hash


def test_the_id_is_that_of_the_current_snapshot(ctx, tmp_path):
    table = stars(60)
    table = table.append_column("other", pa.array(np.arange(60))).append_column("same", pa.array(np.zeros(60, int)))
    files = write(tmp_path / "in", table, 1)
    for column in ("star", "other", "star"):
        import_table(ctx, files, "mine", id_column=column, ra="RAJ2000", dec="DEJ2000")
        with ctx.engine.connect() as connection:
            assert snapshots.about(connection, "own.mine")["id_column"] == column
    with pytest.raises(GateFailed):
        import_table(ctx, files, "mine", id_column="same", ra="RAJ2000", dec="DEJ2000")
    with ctx.engine.connect() as connection:
        assert snapshots.about(connection, "own.mine")["id_column"] == "star"


def test_rows_of_a_quarantined_table_keep_columns_of_our_names(ctx, tmp_path):
    table = stars(10).append_column("reason", pa.array([f"because {i}" for i in range(10)]))
    dec = table["DEJ2000"].to_pylist()
    dec[3] = None
    pq.write_table(table.set_column(2, "DEJ2000", pa.array(dec)), tmp_path / "t.parquet")
    bring(ctx, [tmp_path / "t.parquet"])
    kept = Catalog(ctx.settings.lake / snapshots.current(ctx.engine, "quarantine.own_mine").path).read_all()
    assert kept["reason_of_table"].to_pylist() == ["because 3"]


def test_wrong_columns_are_refused_before_anything_is_made(ctx, tmp_path):
    table = stars(4_000)
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"rows have no star.*--ra"):
        import_table(ctx, [tmp_path / "t.parquet"], "mine", id_column="star", ra="DEJ2000", dec="RAJ2000")
    with pytest.raises(InputError, match="without a layer"):
        bring(ctx, [tmp_path / "t.parquet"], "curated.objects")
    pq.write_table(table.rename_columns(["star", "RAJ2000", "DEJ2000", "Npix"]), tmp_path / "u.parquet")
    with pytest.raises(InputError, match=r"'Npix'.*rename"):
        bring(ctx, [tmp_path / "u.parquet"])


def test_two_tables_of_one_file_are_both_imported(ctx, tmp_path):
    first, second = stars(30), stars(20, seed=1)
    path = tmp_path / "two.fits"
    tables = [Table({name: one[name].to_numpy() for name in one.column_names}) for one in (first, second)]
    tables[1]["star"] += 1000
    HDUList([PrimaryHDU(), *(BinTableHDU(one) for one in tables)]).writeto(path)
    made = bring(ctx, [f"{path}#1", f"{path}#2"])
    assert made["rows"] == 50


def test_what_cannot_be_imported_is_named(ctx, tmp_path):
    pq.write_table(stars(5), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"no column ra, dec; it has star, RAJ2000"):
        import_table(ctx, [tmp_path / "t.parquet"], "mine", id_column="star")
    with pytest.raises(InputError, match=r"'mag' is float.*--id"):
        import_table(ctx, [tmp_path / "t.parquet"], "mine", id_column="mag", ra="RAJ2000", dec="DEJ2000")
    with pytest.raises(InputError, match=r"gone\.parquet"):
        bring(ctx, [tmp_path / "gone.parquet"])
    with pytest.raises(InputError, match="no name of a dataset"):
        bring(ctx, [tmp_path / "t.parquet"], "Bad-Name")


#: `stellar`, which says how many files are staged in a home as it begins to wait for the ledger.
LOOKING = """
import sys
from pathlib import Path
from stellar import cli
from stellar.cli import timing
home, wait = Path(sys.argv.pop(1)), timing._Start.wait
def looked(self):
    print("staged", len([*home.glob("lake/staged/own/*/*.arrow")]), file=sys.stderr)
    return wait(self)
timing._Start.wait = looked
sys.exit(cli.run())
"""


def test_the_first_import_of_a_home_is_staged_while_the_ledger_is_made(bare_home, tmp_path):
    files = write(tmp_path / "in", stars(400))
    environment = {name: value for name, value in os.environ.items() if name != "STELLAR_POSTGRES_URL"}

    def stellar(name, id_column):
        command = ["import", *files, "--name", name, "--id", id_column, "--ra", "RAJ2000", "--dec", "DEJ2000", "--json"]
        return subprocess.run(
            [sys.executable, "-c", LOOKING, bare_home, *command],
            env=environment | {"STELLAR_HOME": str(bare_home)},
            capture_output=True,
            text=True,
        )

    first = stellar("mine", "star")
    assert first.stderr.split("\n")[0] == "staged 4", first.stderr
    assert json.loads(first.stdout)["rows"] == 400
    assert stellar("other", "star").stderr.split("\n")[0] == "staged 4"  # a ledger that is there is asked first


def test_what_is_wrong_with_the_first_import_of_a_home_is_told(bare_home, tmp_path):
    (file,) = write(tmp_path / "in", stars(40), 1)
    done = subprocess.run(
        [Path(sys.executable).with_name("stellar"), "import", file, "--name", "mine", "--id", "nothing"],
        env={name: value for name, value in os.environ.items() if name != "STELLAR_POSTGRES_URL"}
        | {"STELLAR_HOME": str(bare_home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode
    assert "0.parquet: there is no column nothing, ra, dec; it has star, RAJ2000" in " ".join(done.stderr.split())


def test_no_promotion_leaves_what_is_current(ctx, tmp_path):
    bring(ctx, write(tmp_path / "in", stars(50), 1))
    later = bring(ctx, write(tmp_path / "in", stars(60), 1), promote=False)
    assert later["changed"] is False
    assert snapshots.current(ctx.engine, "own.mine").rows == 50
    assert snapshots.get(ctx.engine, later["snapshot"]).state == "candidate"


def test_partitions_of_a_snapshot_that_failed_its_gate_are_looked_at_again(ctx, tmp_path, monkeypatch):
    table = stars()
    bring(ctx, write(tmp_path / "in", table))
    seen = []
    run = numbers.run_number_gate
    monkeypatch.setattr(numbers, "run_number_gate", lambda *given, **named: seen.append(named) or run(*given, **named))
    bring(ctx, write(tmp_path / "in", table.slice(0, 3_990)))
    assert seen[-1]["checked"]
    now = snapshots.current(ctx.engine, "own.mine").key
    with ctx.engine.begin() as connection:
        passed = gates.latest(connection, now)
        about = {"suite_hash": passed.suite_hash, "rows_checked": 1, "data_docs": None, "expectations": []}
        gates.record(connection, now, passed=False, **about)
    bring(ctx, write(tmp_path / "in", table.slice(0, 3_980)))
    assert not seen[-1]["checked"]
