"""Every example of docs/tap.md does what it says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from astropy.table import Table

PAGE = Path(__file__).resolve().parents[4] / "docs" / "tap.md"
EXAMPLES = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)


def example(word: str) -> str:
    (found,) = [text for _, text in EXAMPLES if word in text]
    return found


def shell(text: str, service: str, folder: Path) -> None:
    environment = {**os.environ, "TAP_URL": service}
    done = subprocess.run(["bash", "-euc", text], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stderr, [file.read_text(errors="replace") for file in folder.iterdir()])


def test_there_is_a_test_for_each():
    assert len(EXAMPLES) == 4


def test_stilts(service, tmp_path):
    if shutil.which("stilts") is None:
        pytest.skip("stilts is not installed")
    shell(example("stilts tapquery"), service, tmp_path)
    table = Table.read(tmp_path / "objects.fits")
    assert len(table) == 10 and str(table["ra"].unit) == "deg"


def test_curl(service, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    shell(example("curl"), service, tmp_path)
    assert (tmp_path / "count.csv").read_text() == "n\n3000\n"


def test_pyvo(service):
    names: dict[str, object] = {"TAP_URL": service}
    exec(example("import pyvo"), names)
    near = names["near"]
    assert isinstance(near, Table) and len(near) > 5 and set(near["name"]) == {"here"}


def test_astroquery(service):
    names: dict[str, object] = {"TAP_URL": service}
    exec(example("astroquery"), names)
    hottest = names["hottest"]
    assert isinstance(hottest, Table) and len(hottest) == 5
    assert list(hottest["teff_k"]) == sorted(hottest["teff_k"], reverse=True)
