"""A folder is what its manifest says, or nothing of it is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.errors import InputError, IntegrityError
from stellar.registry import manifest
from stellar.registry.manifest import holds, read_json, read_manifest, take, write_manifest


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "bundle" / "model").mkdir(parents=True)
    (made / "README.md").write_text("# card\n")
    (made / "bundle" / "model" / "head0.ubj").write_bytes(bytes(range(256)) * 100)
    write_manifest(made, {"kind": "k", "version": "v"})
    return made


def test_what_was_written_is_read_and_taken(folder, tmp_path):
    found = read_manifest(folder, "k")
    assert set(found["files"]) == {"README.md", "bundle/model/head0.ubj"} and found["version"] == "v"
    take(folder, found, tmp_path / "copy")
    assert (tmp_path / "copy" / "bundle/model/head0.ubj").read_bytes() == bytes(range(256)) * 100
    assert holds(folder, "k") and not holds(folder, "other") and not holds(tmp_path, "k")


@given(st.text(max_size=30), st.booleans())
def test_a_name_is_a_plain_path_below_the_folder_or_refused(tmp_path_factory, name, climbs):
    name = f"../{name}" if climbs else name
    where = tmp_path_factory.mktemp("f") / "x" / "y"
    where.mkdir(parents=True)
    entry = {"bytes": 0, "sha256": "0" * 64}
    (where / "MANIFEST.json").write_text(json.dumps({"format": 1, "kind": "k", "files": {name: entry}}))
    with pytest.raises(IntegrityError) as told:  # no such file is there, whatever it is called
        read_manifest(where, "k")
    inside = where.joinpath(name) if "\0" not in name else where
    if climbs or not inside.resolve().is_relative_to(where):
        assert "no plain path" in str(told.value)


def test_a_file_that_grows_or_becomes_a_link_after_the_look_is_not_taken(folder, tmp_path):
    found = read_manifest(folder, "k")
    (folder / "README.md").write_text("# card\nand more")
    with pytest.raises(IntegrityError, match="is not what"):
        take(folder, found, tmp_path / "a")
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("/etc/passwd")
    with pytest.raises(OSError):
        take(folder, found, tmp_path / "b")


def test_limits_of_size_and_number(folder, monkeypatch):
    monkeypatch.setattr(manifest, "LARGEST_FOLDER", 1000)
    with pytest.raises(IntegrityError, match="bytes in all"):
        read_manifest(folder, "k")
    monkeypatch.setattr(manifest, "MOST_FILES", 1)
    with pytest.raises(IntegrityError, match="`files` is no list of 1 to 1"):
        read_manifest(folder, "k")
    with pytest.raises(IntegrityError, match="more than the"):
        monkeypatch.setattr(manifest, "LARGEST_JSON", 10)
        read_json(folder / "MANIFEST.json")


def test_many_files_that_no_manifest_lists_are_not_counted_to_the_end(folder, monkeypatch):
    monkeypatch.setattr(manifest, "MOST_FILES", 5)
    for k in range(20):
        (folder / f"f{k}").touch()
    with pytest.raises(IntegrityError, match="more than 5 files"):
        read_manifest(folder, "k")


def test_no_manifest_or_a_linked_one(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "MANIFEST.json").symlink_to(folder / "MANIFEST.json")
    with pytest.raises(InputError, match="it has no MANIFEST"):
        read_manifest(other, "k")
    (folder / "MANIFEST.json").write_text("[" * 100_000)
    with pytest.raises(IntegrityError, match="not readable as JSON"):
        read_manifest(folder, "k")
    (folder / "MANIFEST.json").write_text("[]")
    with pytest.raises(IntegrityError, match="no object"):
        read_manifest(folder, "k")
