"""Parquet and Arrow files: bounded chunks whatever the row groups, ordinary types, what the footer says of columns."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from stellar.errors import InputError
from stellar.surveys.readers.chunks import count_rows, find_sources, iter_chunks, read_schema

N = 10_000


def table() -> pa.Table:
    return pa.table({"id": np.arange(N), "mag": np.linspace(0, 1, N), "name": [f"star {i}" for i in range(N)]})


def chunks(path: Path, **options: object) -> list[pa.Table]:
    return list(iter_chunks(find_sources([path])[0], **options))


@pytest.mark.parametrize("group", [100, 3000, N])
@pytest.mark.parametrize("size", [4_000, 30_000, 1 << 20])
def test_chunks_hold_row_groups_together_and_cut_large_ones(tmp_path: Path, group: int, size: int) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path, row_group_size=group)
    got = chunks(path, chunk_bytes=size)
    assert pa.concat_tables(got).equals(table())
    assert max(chunk.nbytes for chunk in got) <= 2 * size
    assert len(got) <= 4 * table().nbytes / size + 1
    assert [len(chunk) for chunk in chunks(path, chunk_rows=777)] and max(map(len, chunks(path, chunk_rows=777))) <= 777
    assert count_rows(find_sources([path])[0]) == N


def test_texts_of_which_a_dictionary_hides_the_size(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    long = pa.table({"id": np.arange(20_000), "text": pa.array(["x" * 5000] * 20_000)})
    pq.write_table(long, path, write_statistics=False)
    assert path.stat().st_size < 1 << 20
    sizes = [chunk.nbytes for chunk in chunks(path, chunk_bytes=8 << 20)]
    assert max(sizes) < 32 << 20 and sum(sizes) > 90 << 20


def test_types_become_ordinary_ones(tmp_path: Path) -> None:
    odd = pa.table(
        {
            "label": pa.array(["a", None, "a"]).dictionary_encode(),
            "large": pa.array(["x", "y", None], pa.large_string()),
            "view": pa.array(["x", "y", None], pa.string_view()),
            "half": pa.array(np.array([0.5, 1, 2], np.float16)),
            "flux": pa.array([[1.0], [], None], pa.large_list(pa.field("item", pa.float32()))),
            "pair": pa.array([[1, 2], [3, 4], None], pa.list_(pa.int16(), 2)),
            "raw": pa.array([b"ab", b"cd", None], pa.binary(2)),
            "when": pa.array([0, 1, None], pa.timestamp("us")),
        }
    )
    pq.write_table(odd, tmp_path / "a.parquet")
    with pa.ipc.new_file(tmp_path / "a.arrow", odd.schema) as out:
        out.write_table(odd)
    for name in ("a.parquet", "a.arrow"):
        (got,) = chunks(tmp_path / name)
        assert [str(type_) for type_ in got.schema.types] == [
            "string", "string", "string", "float", "list<element: float>", "fixed_size_list<element: int16>[2]",
            "binary", "timestamp[us]",
        ]  # fmt: skip
        assert got.to_pydict() == odd.to_pydict()


def test_names_with_dots_and_nested_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    nested = pa.array([{"x": 1, "y": [2.0]}] * 5000)
    pq.write_table(pa.table({"phot.g": np.arange(5000.0), "phot": nested, "id": np.arange(5000)}), path)
    got = chunks(path, columns=["phot.g", "id"], chunk_bytes=20_000)
    assert len(got) > 2 and pa.concat_tables(got)["phot.g"].to_pylist() == list(range(5000))
    assert chunks(path, columns=["phot"])[0]["phot"][0].as_py() == {"x": 1, "y": [2.0]}


def test_what_the_footer_says_of_columns(tmp_path: Path) -> None:
    plain = Table({"ra": [1.0], "id": [1]})
    plain["ra"].unit, plain["ra"].description = "deg", "Right ascension"
    plain.write(tmp_path / "astropy.parquet", format="parquet")
    meta = {"unit": {"ra": "deg"}, "ucd": {"ra": "pos.eq.ra"}, "description": {"ra": "Right ascension"}}
    meta |= {"datatype": {}, "utype": {}, "xtype": {}}
    given = {name: {key: values.get(name, "") for key, values in meta.items()} for name in plain.colnames}
    Table({"ra": [1.0], "id": [1]}).write(tmp_path / "vo.parquet", format="parquet.votable", metadata=given)
    about = {b"unit": b"deg", b"description": b"Right ascension"}
    for name, more in (("astropy.parquet", {}), ("vo.parquet", {b"ucd": b"pos.eq.ra"})):
        (source,) = find_sources([tmp_path / name])
        assert read_schema(source).field("ra").metadata == about | more
        assert read_schema(source).metadata is None
        assert read_schema(source).field("id").metadata is None
    footer = {b"IVOA.VOTable-Parquet.content": b"<VOTABLE><oops>", b"table_meta_yaml": b"- ["}
    pq.write_table(pa.table({"ra": [1.0]}).replace_schema_metadata(footer), tmp_path / "broken.parquet")
    assert chunks(tmp_path / "broken.parquet")[0].to_pydict() == {"ra": [1.0]}, "broken words do not stop the numbers"


def test_faults_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path, row_group_size=1000, write_page_checksum=True)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 400] = bytes(400)
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"a\.parquet: damaged after row \d+: "):
        chunks(path, chunk_rows=1000)
    path.write_bytes(raw[:-100])
    with pytest.raises(InputError, match=r"a\.parquet: not a readable Parquet file"):
        chunks(path)
    with pa.OSFile(str(path), "wb") as out:
        pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), out)
    with pytest.raises(InputError, match="column 'a' stands twice"):
        chunks(path)
    with pa.ipc.new_file(tmp_path / "a.arrow", table().schema) as out:
        out.write_table(table())
    (tmp_path / "a.arrow").write_bytes((tmp_path / "a.arrow").read_bytes()[:-50])
    with pytest.raises(InputError, match=r"a\.arrow: not a readable Arrow file"):
        chunks(tmp_path / "a.arrow")
