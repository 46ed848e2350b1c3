import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellar.errors import InputError, IntegrityError
from stellar.pages import Page, render
from stellar.registry.store import ArtifactStore, address_of


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "made"
    (made / "model").mkdir(parents=True)
    (made / "model" / "weights.ubj").write_bytes(b"weights")
    (made / "card.md").write_text("# card\n")
    return made


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def test_what_was_put_comes_back(store, folder):
    address = store.put(folder)
    assert store.put(folder) == address
    assert (store.get(address) / "model" / "weights.ubj").read_bytes() == b"weights"
    assert [path.name for path in store.root.iterdir()] == [address]


def _append(path):
    path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize(
    "tamper",
    [
        lambda root: _append(root / "model" / "weights.ubj"),
        lambda root: (root / "card.md").unlink(),
        lambda root: (root / "new.json").write_text("{}"),
        lambda root: (root / "card.md").rename(root / "other.md"),
        lambda root: (root / "evil.pkl").write_bytes(b"x"),
        lambda root: (root / "link.txt").symlink_to("/etc/passwd"),
    ],
    ids=["changed", "removed", "added", "renamed", "pickle", "link"],
)
def test_a_tampered_artifact_is_never_opened(store, folder, tamper):
    address = store.put(folder)
    tamper(store.path(address))
    with pytest.raises(IntegrityError):
        store.get(address)


def test_an_absent_artifact_says_what_to_do(store):
    with pytest.raises(IntegrityError, match="train again"):
        store.get("0" * 64)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_refused_whatever_its_name(store, folder, protocol):
    (folder / "weights.h5").write_bytes(pickle.dumps({"a": 1}, protocol=protocol))
    with pytest.raises(InputError, match="pickle"):
        store.put(folder)


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.py", "weights"])
def test_other_kinds_of_files_are_refused(store, folder, name):
    (folder / name).write_text("x")
    with pytest.raises(InputError, match="accepted"):
        store.put(folder)


def test_an_empty_folder_is_refused(store, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="at least one file"):
        store.put(tmp_path / "empty")


listings = st.lists(st.tuples(st.text("0123456789abcdef", min_size=64, max_size=64), st.text("ab/.", min_size=1),
                              st.integers(0, 9)).map(lambda t: (t[1], t[0], t[2])), min_size=1, max_size=3)  # fmt: skip


@given(listings, listings)
def test_different_listings_have_different_addresses(one, other):
    assert (address_of(one) == address_of(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("a.npz", lambda path: np.savez(path, good=np.ones(3), bad=np.array([{}], dtype=object)), "no plain"),
        ("a.npy", lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True), "no plain"),
        ("b.npz", lambda path: path.write_bytes(b"PK nothing"), "no plain NumPy arrays"),
    ],
)
def test_arrays_of_objects_are_refused(store, folder, name, write, said):
    write(folder / name)
    with pytest.raises(InputError, match=said):
        store.put(folder)


def test_arrays_of_numbers_and_texts_are_kept(store, folder):
    np.savez(folder / "a.npz", numbers=np.ones(3), texts=np.array(["G2", "M0"]))
    assert (store.get(store.put(folder)) / "a.npz").exists()


def test_a_page_is_stored_only_when_it_is_one_of_ours(store, folder):
    (folder / "report.html").write_text(render(Page("test-teff", "A model")), encoding="utf-8")
    assert (store.get(store.put(folder)) / "report.html").is_file()
    (folder / "report.html").write_text("<!DOCTYPE html><script>alert(1)</script>")
    with pytest.raises(InputError, match="no page of this platform"):
        store.put(folder)
