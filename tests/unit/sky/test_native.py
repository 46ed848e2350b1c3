"""Where compiled code is kept: found again, made again when stale or damaged, and no need to write anywhere."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stellar.sky import native

MODULE = """
from numba import float64
from stellar.sky.compiled import compiled

@compiled(float64(float64))
def twice(x):
    return x + x
"""
# what the function gives, whether its code was found, where that is, and whether numba was imported
REPORT = """
import sys
from pathlib import Path
from stellar.sky import native

def make():
    from stellar.sky import compiled
    compiled.MODULES = ("small",)
    return compiled.object_code()

code = native.found_or_made(Path.cwd(), ["small"], make)
native.load = lambda: code
print(native.call("twice", 21.0), code.found, code.path, "numba" in sys.modules)
"""
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


def start(folder, **environment):
    env = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-B", "-c", REPORT], cwd=folder, env=env, preexec_fn=obey_permissions, **pipes
    )


def report(process):
    """(whether the code was found, its folder), after a look at the result."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    value, found, path, by_numba = out.split()
    assert value == "42.0"
    assert (found == "True") != (by_numba == "True")
    return found == "True", None if path == "None" else Path(path).parent


def test_code_is_kept_beside_the_module_and_found_again(folder):
    assert report(start(folder)) == (False, folder / "__pycache__")
    assert report(start(folder)) == (True, folder / "__pycache__")
    (folder / "small.py").write_text(MODULE + "# changed\n")
    assert report(start(folder)) == (False, folder / "__pycache__")


def test_a_chosen_folder_comes_first(folder, tmp_path):
    for found in (False, True):
        assert report(start(folder, NUMBA_CACHE_DIR=str(tmp_path / "chosen"))) == (found, tmp_path / "chosen")
    assert not (folder / "__pycache__").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda code: code[:40],
        lambda code: code[:-1] + b"?",
        lambda code: code.replace(b'"symbol": "_', b'"symbol": "-'),
        lambda code: b"[]\n",
        lambda code: b"",
    ],
)
def test_damaged_files_are_made_again(folder, damage):
    report(start(folder))
    (damaged,) = (folder / "__pycache__").glob("*.native")
    damaged.write_bytes(damage(damaged.read_bytes()))
    assert not report(start(folder))[0]
    assert report(start(folder))[0]


def test_a_package_that_cannot_be_written(folder, tmp_path):
    """Its code is used when it is there and fresh; else the user's cache folder serves, and what nobody can write."""
    report(start(folder))
    (folder / "__pycache__").chmod(0o555)
    assert report(start(folder)) == (True, folder / "__pycache__")
    (folder / "small.py").write_text(MODULE + "# changed\n")
    cache = tmp_path / "cache"
    for found in (False, True):
        assert report(start(folder, XDG_CACHE_HOME=str(cache))) == (found, cache / "stellar")
    (cache / "stellar").chmod(0o555)
    cache.chmod(0o555)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    shut = {"XDG_CACHE_HOME": str(cache / "none"), "TMPDIR": str(temporary)}
    for found in (False, True):
        own = report(start(folder, **shut))
        assert own[0] == found and own[1].parent == temporary
    assert own[1].stat().st_mode & 0o777 == 0o700
    own[1].chmod(0o777)  # anyone's code could be there now
    assert report(start(folder, **shut)) == (False, None)


def test_processes_that_compile_at_once(folder):
    several = [start(folder) for _ in range(4)]
    assert {report(process)[1] for process in several} == {folder / "__pycache__"}
    assert report(start(folder))[0]
    assert len(list((folder / "__pycache__").iterdir())) == 1


def test_every_source_of_compiled_code_decides_what_is_found():
    """A module whose functions are compiled, or whose names those take in, is among the sources."""
    package = Path(native.__file__).parent
    compiled = {path.stem for path in package.glob("*.py") if "@compiled(" in path.read_text()}
    taken = {
        line.split()[1].lstrip(".")
        for name in compiled
        for line in (package / f"{name}.py").read_text().splitlines()
        if line.startswith("from .") and not line.startswith("from . ")
    }
    assert compiled == {"bins", "dense", "search"}
    assert compiled | taken | {"compiled", "separation"} == set(native.SOURCES)


def test_arguments_of_other_types_are_refused():
    fine = np.zeros(3), np.zeros(3), np.zeros(360, np.int8)
    assert native.call("survey", *fine)[0] == 3
    wrong = [
        (np.zeros(3, np.float32), *fine[1:]),
        (np.zeros(6)[::2], *fine[1:]),
        (*fine[:2], np.zeros((2, 180), np.int8)),
        (*fine[:2], 1),
        (*fine[:2], np.float32(1)),
        (*fine[:2], "1"),
        fine[:2],
    ]
    shut = np.zeros(360, np.int8)
    shut.flags.writeable = False
    wrong.append((*fine[:2], shut))
    for arguments in wrong:
        with pytest.raises(TypeError, match=r"survey takes const float64\[1\], const float64\[1\], int8\[1\]; not"):
            native.call("survey", *arguments)
    read_only = np.zeros(3)
    read_only.flags.writeable = False
    assert native.call("survey", read_only, read_only, np.zeros(360, np.int8))[0] == 3
