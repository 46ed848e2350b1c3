"""Where compiled code is kept: found again, made again when stale or damaged, and no need to write anywhere."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
from numba import float64
from stellar.sky.compiled import compiled

@compiled(float64(float64))
def twice(x):
    return x + x
"""
# what the function gives, whether its code came from the cache, and where that is
REPORT = "import small; s = small.twice.stats; print(small.twice(21.0), sum(s.cache_hits.values()), s.cache_path)"
_CAP_DAC_OVERRIDE, _PR_CAPBSET_DROP = 1, 24


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "package"
    made.mkdir()
    (made / "small.py").write_text(MODULE)
    yield made
    for path in tmp_path.glob("**/"):
        path.chmod(0o755)


def obey_permissions():
    """Let folders' permissions hold for root too."""
    ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)


def start(folder, code=REPORT, **environment):
    env = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-B", "-c", code], cwd=folder, env=env, preexec_fn=obey_permissions, **pipes
    )


def report(process):
    """(from the cache, folder), after a look at the result."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    value, hits, path = out.split()
    assert value == "42.0"
    return int(hits), None if path == "None" else Path(path)


def test_code_is_kept_beside_the_module_and_found_again(folder):
    assert report(start(folder)) == (0, folder / "__pycache__")
    assert report(start(folder)) == (1, folder / "__pycache__")
    (folder / "small.py").write_text(MODULE + "# changed\n")
    assert report(start(folder)) == (0, folder / "__pycache__")
    # other code that is taken in changed
    other = "from stellar.sky import compiled; compiled._sources = lambda: b''; " + REPORT
    assert report(start(folder, other)) == (0, folder / "__pycache__")


def test_a_chosen_folder_comes_first(folder, tmp_path):
    for hits in (0, 1):
        found = report(start(folder, NUMBA_CACHE_DIR=str(tmp_path / "chosen")))
        assert found[0] == hits and found[1].is_relative_to(tmp_path / "chosen")
    assert not (folder / "__pycache__").exists()


def test_damaged_files_are_made_again(folder):
    report(start(folder))
    for kind in ("nbi", "nbc"):
        (damaged,) = (folder / "__pycache__").glob(f"*.{kind}")
        damaged.write_bytes(damaged.read_bytes()[:40])
        assert report(start(folder))[0] == 0
    assert report(start(folder))[0] == 1


def test_a_package_that_cannot_be_written(folder, tmp_path):
    """Its code is used when it is there and fresh; else the user's cache folder serves, and what nobody can write."""
    report(start(folder))
    (folder / "__pycache__").chmod(0o555)
    assert report(start(folder)) == (1, folder / "__pycache__")
    (folder / "small.py").write_text(MODULE + "# changed\n")
    cache = tmp_path / "cache"
    for hits in (0, 1):
        found = report(start(folder, XDG_CACHE_HOME=str(cache)))
        assert found[0] == hits and found[1].is_relative_to(cache)
    cache.chmod(0o555)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    shut = {"XDG_CACHE_HOME": str(cache / "none"), "TMPDIR": str(temporary)}
    for hits in (0, 1):
        found = report(start(folder, **shut))
        assert found[0] == hits and found[1].is_relative_to(temporary)
    (own,) = temporary.iterdir()
    assert own.stat().st_mode & 0o777 == 0o700
    own.chmod(0o777)  # anyone's code could be there now
    assert report(start(folder, **shut)) == (0, None)


def test_processes_that_compile_at_once(folder):
    several = [start(folder) for _ in range(4)]
    assert {report(process)[1] for process in several} == {folder / "__pycache__"}
    assert report(start(folder))[0] == 1
    assert not list((folder / "__pycache__").glob("*.tmp.*"))
