"""Every example of the README runs in a home that has data."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import lsdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from stellar.sky.separation import separation_arcsec

COMMAND = ".venv/bin/stellar"


@pytest.fixture
def bare_folder():
    """An empty folder that the unprivileged user who runs Postgres under root can pass."""
    path = Path(tempfile.mkdtemp(prefix="stellar-readme-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def blocks(root, language: str = "") -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (root / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [text for of, text in found if of == language]


def pytest_generate_tests(metafunc):
    if "command" in metafunc.fixturenames:
        lines = [line for block in blocks(metafunc.config.rootpath) for line in block.splitlines()]
        metafunc.parametrize("command", [line for line in lines if line.startswith(COMMAND)])


def test_command(undisturbed, command):
    words = shlex.split(command, comments=True)
    done = subprocess.run(
        [sys.executable, "-m", "stellar", *words[1:]],
        env=undisturbed.environment,
        input="select 1 as one;\n",  # for the prompt; the others read nothing
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_own_tables(root, bare_folder):
    """The commands on users' own tables, one after the other in a home with nothing in it, on files of these names."""
    random = np.random.default_rng(1)
    ra, dec = 150.1 + random.uniform(-0.6, 0.6, 500), 2.2 + random.uniform(-0.6, 0.6, 500)
    gaia = pa.table({"source_id": np.arange(500), "ra": ra, "dec": dec})
    pq.write_table(gaia, bare_folder / "gaia.parquet")
    mine = gaia.slice(0, 100).rename_columns(["star", "RAJ2000", "DEJ2000"])
    pyarrow.csv.write_csv(mine, bare_folder / "mine.csv")
    [example] = blocks(root, "sh")
    environment = {**os.environ, "STELLAR_HOME": str(bare_folder / ".stellar")}
    said = {}
    for line in example.splitlines():
        words = shlex.split(line, comments=True)
        done = subprocess.run(
            [sys.executable, "-m", "stellar", *words[1:]],
            env=environment,
            cwd=bare_folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said[words[1]] = done.stdout
    assert "100 rows" in said["crossmatch"]
    assert len(lsdb.open_catalog(bare_folder / "mine_gaia").compute()) == 100
    example = next(block for block in blocks(root, "python") if "stellar.lake" in block)
    names: dict = {}
    exec(compile(example.replace('".stellar"', f'"{bare_folder}/.stellar"'), "README.md", "exec"), names)
    assert len(names["near"]) == sum(separation_arcsec(150.1, 2.2, ra, dec) <= 1800)


def test_the_lake_opens_in_python_as_the_readme_says(root, undisturbed):
    from stellar.ledger import snapshots
    from stellar.ledger.connect import ledger_session

    with ledger_session(undisturbed.settings, role="reader") as ledger:
        snapshot = snapshots.current(ledger, "curated.objects")
    example = next(block for block in blocks(root, "python") if "lsdb" in block)
    names: dict = {}
    text = example.replace(".stellar", str(undisturbed.folder)).replace("<snapshot>", snapshot.key[:16])
    exec(compile(text, "README.md", "exec"), names)
    assert len(names["objects"]) == snapshot.rows
