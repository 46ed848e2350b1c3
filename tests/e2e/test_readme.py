"""Every example of the README runs in a home that has data."""

import re
import shlex
import subprocess
import sys

import pytest

COMMAND = ".venv/bin/stellar"


def blocks(root, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (root / "README.md").read_text(), re.MULTILINE | re.DOTALL)


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


def test_the_lake_opens_in_python_as_the_readme_says(root, undisturbed):
    pytest.importorskip("lsdb")
    from stellar.ledger import snapshots
    from stellar.ledger.connect import ledger_session

    with ledger_session(undisturbed.settings, role="reader") as ledger:
        snapshot = snapshots.current(ledger, "curated.objects")
    [example] = blocks(root, "python")
    names: dict = {}
    text = example.replace(".stellar", str(undisturbed.folder)).replace("<snapshot>", snapshot.key[:16])
    exec(compile(text, "README.md", "exec"), names)
    assert len(names["objects"]) == snapshot.rows
