"""Catalogues outside the lake are known by the hashes of their files, each read once."""

import os

import pyarrow.parquet as pq
import pytest

from made_catalog import stars, store
from stellar.engine import outside
from stellar.engine.outside import look_outside
from stellar.errors import InputError
from stellar.lake.read import Catalog
from stellar.lake.write import file_sha256
from stellar.settings import load_settings


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path / "home", postgres_url=None)


@pytest.fixture
def folder(tmp_path):
    store(tmp_path / "theirs", stars(900), margin_arcsec=600.0)
    return tmp_path / "theirs"


def test_partitions_and_margins_by_name(settings, folder):
    found, catalog = look_outside(settings, folder), Catalog(folder)
    cells = [name for name in found.hashes if not name.startswith("margin/")]
    assert sorted(cells) == sorted(map(str, catalog.cells))
    margins = sorted(name.removeprefix("margin/") for name in found.hashes if name not in cells)
    assert margins == sorted(str(cell) for cell in catalog.margin_cells) != []
    first = catalog.cells[0]
    assert found.hashes[str(first)] == file_sha256(catalog.file(first))
    assert (found.rows, found.margin_arcsec) == (900, 600.0)


def test_a_file_is_read_once_and_again_when_it_was_touched(settings, folder, monkeypatch):
    read = []
    monkeypatch.setattr(outside, "file_sha256", lambda path: read.append(path) or file_sha256(path))
    first = look_outside(settings, folder)
    assert len(read) == len(set(read)) == len(first.hashes)
    assert look_outside(settings, folder) == first and len(read) == len(first.hashes)
    path = Catalog(folder).files[0]
    about = path.stat()
    pq.write_table(pq.read_table(path, partitioning=None).slice(1), path)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    changed = look_outside(settings, folder)
    assert read[len(first.hashes) :] == [path], "its change time cannot be set back"
    assert changed.content_hash != first.content_hash
    assert [name for name, sha256 in changed.hashes.items() if first.hashes[name] != sha256] == [
        str(Catalog(folder).cells[0])
    ]


def test_where_it_lies_makes_no_difference(settings, folder, tmp_path):
    before = look_outside(settings, folder)
    moved = folder.rename(tmp_path / "elsewhere")
    assert look_outside(settings, moved) == before


def test_what_is_no_catalogue_is_refused(settings, folder, tmp_path):
    (tmp_path / "plain" / "dataset").mkdir(parents=True)
    for wrong in (tmp_path, tmp_path / "plain"):
        with pytest.raises(InputError, match="not a HATS catalogue"):
            look_outside(settings, wrong)
    Catalog(folder).files[0].unlink()
    with pytest.raises(InputError, match="partition is missing"):
        look_outside(settings, folder)
