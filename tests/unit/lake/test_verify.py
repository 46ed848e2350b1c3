"""Every kind of damage is found, and only damage."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from made_catalog import stars, store
from stellar.lake.hats import finish_catalog, finish_plain, margin_file
from stellar.lake.read import Catalog
from stellar.lake.verify import Expected, ExpectedFile, verify_snapshot
from stellar.lake.write import canonical, write_partition
from stellar.sky.healpix import Cell


@pytest.fixture
def stored(tmp_path):
    files = store(tmp_path, stars(600))
    expected = {
        str(cell): ExpectedFile(f"dataset/{cell.path()}", file.rows, file.bytes, file.sha256)
        for cell, file in files.items()
    }
    return tmp_path, Expected(expected, "star_id")


def said(root, expected) -> str:
    return "\n".join(map(str, verify_snapshot(root, expected)))


def committed_as(root, expected, name, path) -> Expected:
    """What would be expected had this very file been committed, so that only its rows can be at fault."""
    made = ExpectedFile(
        path.relative_to(root).as_posix(), pq.read_metadata(path).num_rows, path.stat().st_size, _sha256(path)
    )
    return Expected({**expected.partitions, name: made}, expected.id_column)


def _sha256(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_nothing_is_wrong(stored):
    assert verify_snapshot(*stored) == []


def test_a_flipped_byte_a_cut_and_a_loss(stored):
    root, expected = stored
    paths = [root / facts.file for facts in expected.partitions.values()][:3]
    content = bytearray(paths[0].read_bytes())
    content[40] ^= 1
    paths[0].write_bytes(content)
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    paths[2].unlink()
    found = verify_snapshot(root, expected)
    told = {(fault.file, fault.what.split(" ")[0]) for fault in found}
    names = [path.relative_to(root).as_posix() for path in paths]
    assert (names[0], "its") in told and (names[1], "has") in told and (names[2], "the") in told
    assert {fault.file for fault in found} == set(names)


def test_strays_and_lies_beside_the_partitions(stored):
    root, expected = stored
    (root / "dataset" / "Norder=0").mkdir(exist_ok=True)
    (root / "dataset" / "Norder=0" / "x.tmp").write_text("left over")
    text = (root / "hats.properties").read_text()
    (root / "hats.properties").write_text(text.replace("hats_nrows=600", "hats_nrows=601"))
    info = (root / "partition_info.csv").read_text().splitlines()
    (root / "partition_info.csv").write_text("\n".join(info[:-1]) + "\n")
    told = said(root, expected)
    for part in (
        "x.tmp: is not part",
        "hats_nrows is 601, not 600",
        "partition_info.csv: its cells",
    ):
        assert part in told


def test_rows_outside_their_cell_unsorted_or_with_a_false_index(stored):
    root, expected = stored
    (name, facts), (_, other) = list(expected.partitions.items())[:2]
    path = root / facts.file
    table, stranger = (pq.ParquetFile(root / f.file).read() for f in (facts, other))
    pq.write_table(pa.concat_tables([table, stranger.slice(0, 1)]).cast(table.schema), path)
    told = said(root, committed_as(root, expected, name, path))
    assert f"1 rows lie outside {name}" in told and "partition_info.csv" in told
    pq.write_table(table.take(pa.array(range(table.num_rows - 1, -1, -1))), path)
    assert "not sorted by _healpix_29, star_id" in said(root, committed_as(root, expected, name, path))
    moved = table.set_column(
        table.schema.get_field_index("dec"), table.schema.field("dec"), pa.array([0.5] * len(table))
    )
    pq.write_table(moved, path)
    assert "is not that of their ra and dec" in said(root, committed_as(root, expected, name, path))
    pq.write_table(table.drop_columns(["name"]), path)
    assert "columns are not those" in said(root, committed_as(root, expected, name, path))


@pytest.fixture
def with_margins(tmp_path):
    files = store(tmp_path, stars(900), margin_arcsec=1800.0)
    parts = {
        str(cell): ExpectedFile(f"catalog/dataset/{cell.path()}", file.rows, file.bytes, file.sha256)
        for cell, file in files.items()
    }
    catalog = Catalog(tmp_path)
    margins = {}
    for cell in catalog.margin_cells:
        path = catalog.margin_file(cell)
        margins[str(cell)] = ExpectedFile(
            margin_file(cell), pq.read_metadata(path).num_rows, path.stat().st_size, _sha256(path)
        )
    return tmp_path, Expected(parts, ["star_id"], margins, 1800.0)


def test_margins_that_are_whole(with_margins):
    root, expected = with_margins
    assert verify_snapshot(root, expected) == [] and len(expected.margins) > 5


def test_margins_that_are_lost_cut_or_not_listed(with_margins):
    root, expected = with_margins
    first, second, third = sorted(expected.margins)[:3]
    (root / expected.margins[first].file).unlink()
    path = root / expected.margins[second].file
    path.write_bytes(path.read_bytes()[:-1])
    (root / "collection.properties").unlink()
    left = Expected(expected.partitions, "star_id", {k: v for k, v in expected.margins.items() if k != third}, 1800.0)
    told = said(root, left)
    for part in (
        f"{expected.margins[first].file}: the file is missing",
        f"{expected.margins[second].file}: has",
        f"{expected.margins[third].file}: is not part",
        "collection.properties: the file is missing",
        "margin/partition_info.csv: its cells",
        "margin/hats.properties: hats_nrows",
    ):
        assert part in told
    assert "is missing: " in told  # of the third, made again from the partitions


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda table: table.slice(1), "lacks 1 of the"),
        (lambda table: pa.concat_tables([table, _strange(table)]), "holds 1 rows that are none"),
        (lambda table: table.take(pa.array(range(table.num_rows)[::-1])), "or in their order"),
        (
            lambda table: table.set_column(4, table.schema.field(4), pa.array([1.5] * table.num_rows, pa.float32())),
            "rows differ",
        ),
    ],
)
def test_margins_whose_rows_are_not_those_of_the_partitions(with_margins, change, fault):
    root, expected = with_margins
    name = max(expected.margins, key=lambda one: expected.margins[one].rows)
    path = root / expected.margins[name].file
    table = pq.ParquetFile(path).read()
    pq.write_table(change(table), path)
    made = ExpectedFile(
        expected.margins[name].file, pq.read_metadata(path).num_rows, path.stat().st_size, _sha256(path)
    )
    wrong = Expected(expected.partitions, "star_id", {**expected.margins, name: made}, 1800.0)
    told = said(root, wrong)
    assert f"{made.file}: " in told and fault in told
    assert fault not in "".join(map(str, verify_snapshot(root, wrong, rows=False)))


def _strange(table: pa.Table) -> pa.Table:
    return table.slice(0, 1).set_column(1, table.schema.field(1), pa.array([10**9], pa.int64()))


def test_positions_by_other_names(tmp_path):
    table = stars(50).rename_columns(["star_id", "ra_left", "dec_left", "g_mag", "name", "flux"])
    cell, position = Cell(0, 0), ("ra_left", "dec_left")
    table = canonical(table, id_column="star_id", position=position)
    table = table.filter(pa.array(cell.contains(table["_healpix_29"].to_numpy())))
    last = table.select([*table.column_names[1:], "_healpix_29"])
    options = {"id_column": "star_id", "position": position, "keep_index": True}
    made = write_partition(last, tmp_path / "dataset" / cell.path(), **options)
    finish_catalog(tmp_path, "own.x", {cell: made.rows}, last.schema, position=position)
    facts = {str(cell): ExpectedFile(f"dataset/{cell.path()}", made.rows, made.bytes, made.sha256)}
    assert made.rows and verify_snapshot(tmp_path, Expected(facts, "star_id")) == []
    told = said(tmp_path, Expected(facts, "star_id", position=("ra", "dec_left")))
    assert "has no column ra" in told


def test_plain_datasets(tmp_path):
    part = pa.table({"id": ["b", "a"], "x": [1.0, 2.0]})
    made = write_partition(part, tmp_path / "dataset" / "bucket=000.parquet", id_column="id")
    finish_plain(tmp_path, part.schema)
    facts = ExpectedFile("dataset/bucket=000.parquet", made.rows, made.bytes, made.sha256)
    assert verify_snapshot(tmp_path, Expected({"bucket=000": facts}, "id")) == []
    assert "is missing" in said(tmp_path / "nowhere", Expected({"bucket=000": facts}, "id"))
    made.path.write_bytes(b"")
    assert "has 0 bytes" in said(tmp_path, Expected({"bucket=000": facts}, "id"))
