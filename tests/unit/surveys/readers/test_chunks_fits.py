"""FITS tables: every kind of column that the standard knows, as astropy writes them."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from stellar.errors import InputError
from stellar.surveys.readers.chunks import count_rows, find_sources, iter_chunks, read_schema

BIG = 2**63 - 25


def read(path: Path, **options: object) -> pa.Table:
    (source,) = find_sources([path])
    schema = read_schema(source)
    got = list(iter_chunks(source, **options))
    return pa.concat_tables(got) if got else schema.empty_table()


def write(path: Path, *columns: fits.Column, **cards: object) -> Path:
    table = fits.BinTableHDU.from_columns(columns)
    for key, value in cards.items():
        table.header[key] = value
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    return path


def column(path: Path, form: str, array: object, **more: object) -> pa.ChunkedArray:
    return read(write(path, fits.Column("v", form, array=array, **more)))["v"]


def test_numbers_of_every_width(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    for form, values, type_ in (
        ("B", [0, 255], pa.uint8()),
        ("I", [-(2**15), 2**15 - 1], pa.int16()),
        ("J", [-(2**31), 2**31 - 1], pa.int32()),
        ("K", [-(2**63), BIG], pa.int64()),
        ("E", [1.5, -2.25], pa.float32()),
        ("D", [1e300, -0.1], pa.float64()),
    ):
        got = column(path, form, np.array(values))
        assert got.type == type_ and got.to_pylist() == values


def test_unsigned_and_scaled_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    for form, values, type_, zero in (
        ("B", np.array([-128, 127], np.int8), pa.int8(), -128),
        ("I", np.array([0, 2**16 - 1], np.uint16), pa.uint16(), 2**15),
        ("J", np.array([0, 2**32 - 1], np.uint32), pa.uint32(), 2**31),
        ("K", np.array([0, 2**63 + 1, 2**64 - 1], np.uint64), pa.uint64(), 2**63),
    ):
        got = column(path, form, values, bzero=zero)
        assert got.type == type_ and got.to_pylist() == values.tolist()
    write(path, fits.Column("v", "I", array=np.array([1, 2, -99], np.int16)), TSCAL1=0.5, TZERO1=10.0, TNULL1=-99)
    assert read(path)["v"].to_pylist() == [10.5, 11.0, None], "TNULL is of the stored number"
    write(path, fits.Column("v", "I", array=np.array([1, 2], np.int16)), TZERO1=100000)
    got = read(path)["v"]
    assert got.type == pa.int64() and got.to_pylist() == [100001, 100002]


def test_missing_values(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    got = column(path, "K", np.array([BIG, -9, BIG - 1]), null=-9)
    assert got.type == pa.int64() and got.to_pylist() == [BIG, None, BIG - 1]
    raw = write(path, fits.Column("v", "L", array=np.array([True, False, True]))).read_bytes()
    at = raw.index(b"TFT")
    path.write_bytes(raw[:at] + b"TF\0" + raw[at + 3 :])
    assert read(path)["v"].to_pylist() == [True, False, None]
    assert np.isnan(column(path, "E", np.array([1.0, np.nan]))[1].as_py())


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    got = column(path, "8A", np.array([b"  M 31  ", b"", b"a\0bcd", b"\xe9t\xe9", "été".encode()]))
    assert got.type == pa.string()
    assert got.to_pylist() == ["M 31", None, "a", "été", "été"]
    names = fits.Column("v", "12A", dim="(4,3)", array=np.array([["a", "bb", ""], ["x", "yyyy", "z"]]))
    got = read(write(path, names))["v"]
    assert got.type == pa.list_(pa.string(), 3)
    assert got.to_pylist() == [["a", "bb", None], ["x", "yyyy", "z"]]


def test_vectors_bits_and_complex_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    got = column(path, "3E", np.arange(6, dtype=np.float32).reshape(2, 3))
    assert got.type == pa.list_(pa.float32(), 3) and got.to_pylist() == [[0, 1, 2], [3, 4, 5]]
    got = column(path, "6J", np.arange(12, dtype=np.int32).reshape(2, 2, 3), dim="(3,2)", null=7)
    assert got.to_pylist() == [[0, 1, 2, 3, 4, 5], [6, None, 8, 9, 10, 11]], "flattened, and null within"
    got = column(path, "11X", np.arange(22).reshape(2, 11) % 3 == 0)
    assert got.type == pa.list_(pa.bool_(), 11)
    assert got.to_pylist() == (np.arange(22).reshape(2, 11) % 3 == 0).tolist()
    assert column(path, "2L", np.array([[True, False], [False, True]])).to_pylist() == [[True, False], [False, True]]
    got = column(path, "C", np.array([1 + 2j, 3 - 4j], np.complex64))
    assert got.type == pa.list_(pa.float32(), 2) and got.to_pylist() == [[1, 2], [3, -4]]
    none, one = fits.Column("none", "0D", array=np.zeros((2, 0))), fits.Column("one", "I", array=np.array([1, 2]))
    assert read(write(path, one, none)).to_pydict() == {"one": [1, 2], "none": [[], []]}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["P", "Q"])
def test_columns_of_varying_length(tmp_path: Path, form: str, packed: bool) -> None:
    path, rng = tmp_path / "a.fits", np.random.default_rng(1)
    spectra = [rng.normal(size=n).astype(np.float32) for n in rng.integers(0, 40, 300)]
    ragged = np.empty(300, object)
    ragged[:] = spectra
    words = np.array(["x" * int(n) for n in rng.integers(0, 9, 300)], object)
    write(
        path,
        fits.Column("id", "K", array=BIG - np.arange(300)),
        fits.Column("flux", f"{form}E()", array=ragged),
        fits.Column("word", f"{form}A()", array=words),
    )
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    got = read(path, chunk_rows=70)
    assert got["id"].to_pylist() == [BIG - i for i in range(300)]
    assert got["flux"].type == pa.list_(pa.float32())
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(got["flux"].to_pylist(), spectra, strict=True))
    assert [word or "" for word in got["word"].to_pylist()] == words.tolist()
    assert read(path, columns=["id"])["id"].to_pylist() == [BIG - i for i in range(300)]


def test_cells_that_share_a_large_piece_of_the_heap_stay_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    ragged = np.empty(64, object)
    ragged[:] = [np.arange(1000.0)] + [np.zeros(1)] * 63
    write(path, fits.Column("v", "PD()", array=ragged))
    raw = bytearray(path.read_bytes())
    start = raw.index((1000).to_bytes(4, "big") + (0).to_bytes(4, "big"))
    for row in range(64):
        raw[start + 8 * row : start + 8 * row + 8] = (1000).to_bytes(4, "big") + (0).to_bytes(4, "big")
    path.write_bytes(raw)
    (source,) = find_sources([path])
    got = list(iter_chunks(source, chunk_bytes=16_000))
    assert sum(map(len, got)) == 64 and max(chunk.nbytes for chunk in got) < 80_000


def test_units_ucds_and_descriptions(tmp_path: Path) -> None:
    mag = fits.Column("mag", "E", unit="mag", array=np.zeros(1, np.float32))
    write(tmp_path / "a.fits", mag, TUCD1="phot.mag", TCOMM1="Magnitude  in V")
    (source,) = find_sources([tmp_path / "a.fits"])
    about = {b"unit": b"mag", b"ucd": b"phot.mag", b"description": b"Magnitude in V"}
    assert read_schema(source).field("mag").metadata == about


def test_the_table_is_the_first_or_the_one_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "many.fits"
    tables = [
        fits.BinTableHDU.from_columns([fits.Column("v", "J", array=np.array([i] * i))], name=f"T{i}") for i in (1, 2)
    ]
    image = fits.ImageHDU(np.zeros((50, 70), np.int16), name="PIC")
    fits.HDUList([fits.PrimaryHDU(np.zeros((9, 9))), image, *tables]).writeto(path)
    assert read(path)["v"].to_pylist() == [1]
    for part in ("3", "T2", "t2"):
        assert read(path.with_name(f"many.fits#{part}"))["v"].to_pylist() == [2, 2]
    assert len(find_sources([path, path.with_name("many.fits#T2")])) == 2
    with pytest.raises(
        InputError, match="no extension 'T3'; it has 0 IMAGE; 1 PIC IMAGE; 2 T1 BINTABLE; 3 T2 BINTABLE"
    ):
        read(path.with_name("many.fits#T3"))
    with pytest.raises(InputError, match="extension 1 is IMAGE and no table"):
        read(path.with_name("many.fits#PIC"))
    fits.PrimaryHDU(np.zeros((9, 9))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="no table extension; it has 0 IMAGE"):
        read(tmp_path / "image.fits")


def test_ascii_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    table = fits.TableHDU.from_columns(
        [
            fits.Column("id", "I19", array=np.array([BIG, 2]), ascii=True),
            fits.Column("name", "A6", array=np.array(["M 31", ""]), ascii=True),
            fits.Column("mag", "F8.3", array=np.array([1.5, -2.25]), ascii=True),
            fits.Column("flux", "D15.7", array=np.array([1.5e30, -2.0e-30]), ascii=True),
        ]
    )
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    assert read(path).to_pydict() == {
        "id": [BIG, 2],
        "name": ["M 31", None],
        "mag": [1.5, -2.25],
        "flux": [1.5e30, -2.0e-30],
    }
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"  -2.250", b"  -2.2x0"))
    with pytest.raises(InputError, match=r"a\.fits: row 2, column mag: '-2.2x0' is not double"):
        read(path)


def test_faults_say_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    ids = fits.Column("id", "J", array=np.arange(5000))
    raw = write(path, ids).read_bytes()
    path.write_bytes(raw[: len(raw) - 12000])
    with pytest.raises(InputError, match=r"a\.fits: ends after row 2\d\d\d of 5000: the file is cut"):
        read(path)
    path.write_bytes(raw[:4000])
    with pytest.raises(InputError, match="a header has no END card"):
        read(path)
    for old, new, what in (
        (b"TFORM1  = 'J       '", b"TFORM1  = 'W       '", "column id: TFORM1 'W' is none that FITS knows"),
        (b"TFORM1  = 'J       '", b"TFORM1  = 'K       '", "its columns take 8 bytes a row, NAXIS1 says 4"),
        (b"NAXIS1  =                    4", b"NAXIS1  =                   -4", "a header cannot be read: NAXIS1 is -4"),
        (b"NAXIS2  =                 5000", b"NAXIS2  =                 fish", "a header cannot be read"),
    ):
        assert old in raw
        path.write_bytes(raw.replace(old, new))
        with pytest.raises(InputError, match=what):
            read(path)
    raw = write(path, ids, fits.Column("x", "J", array=np.arange(5000))).read_bytes()
    path.write_bytes(raw.replace(b"TTYPE2  = 'x       '", b"TTYPE2  = 'id      '"))
    with pytest.raises(InputError, match="column id stands twice"):
        read(path)
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros(3), np.zeros(4)]
    raw = write(path, fits.Column("v", "PD()", array=ragged)).read_bytes()
    path.write_bytes(raw.replace((4).to_bytes(4, "big") + (24).to_bytes(4, "big"), b"\0\xff\0\0\0\0\0\x18"))
    with pytest.raises(InputError, match=r"row 2, column v: points out of the file's heap"):
        read(path)


@given(st.data())
def test_tables_come_back_as_astropy_has_them(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 30))
    columns = []
    forms = data.draw(st.lists(st.sampled_from("LBIJKEDA"), min_size=1, max_size=6))
    for number, form in enumerate(forms):
        width = data.draw(st.integers(1, 4))
        shape = (rows,) if width == 1 else (rows, width)
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        if form == "A":
            values = rng.choice(np.array(["", "a", "xy z"]), rows).astype("S4")
            columns.append(fits.Column(f"c{number}", "4A", array=values))
            continue
        bits = rng.integers(-(2**63), 2**63 - 1, shape)
        kind = {"L": bool, "B": "u1", "I": "i2", "J": "i4", "K": "i8", "E": "f4", "D": "f8"}[form]
        values = bits % 2 == 0 if form == "L" else (bits / 3).astype(kind) if form in "ED" else bits.astype(kind)
        columns.append(fits.Column(f"c{number}", f"{width}{form}", array=values))
    path = write(tmp_path_factory.mktemp("fits") / "a.fits", *columns)
    got = read(path, chunk_rows=data.draw(st.integers(1, 31)))
    assert count_rows(find_sources([path])[0]) == rows == len(got)
    with fits.open(path) as hdus:
        for name in hdus[1].columns.names:
            theirs = hdus[1].data[name]
            ours = got[name].to_pylist()
            if theirs.dtype.kind in "SU":
                assert [text or "" for text in ours] == theirs.tolist()
            else:
                assert np.array_equal(np.array(ours, theirs.dtype.newbyteorder("=")).reshape(theirs.shape), theirs)
