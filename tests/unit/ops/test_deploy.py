"""Image, services and installation, as far as they can be checked without a container."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

BIN = Path(sys.executable).parent
PARTS = {
    "postgres",
    "redis",
    "prepare",
    "archive",
    "api-server",
    "scheduler",
    "dag-processor",
    "triggerer",
    "worker",
    "tap",
}


def run(*command, **kwargs):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **kwargs)


IMAGES = ("Dockerfile", "Dockerfile.predict")


@pytest.fixture(scope="module")
def compose(root):
    return yaml.safe_load((root / "docker-compose.yaml").read_text())


@pytest.mark.parametrize("name", IMAGES)
def test_the_dockerfile_has_no_findings(root, name):
    done = run(BIN / "hadolint", root / name)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", IMAGES)
def test_the_image_runs_as_nobody_in_particular_and_holds_no_secret(root, name):
    lines = (root / name).read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001"]
    assert lines.index("USER 10001") > max(k for k, line in enumerate(lines) if line.startswith(("COPY", "RUN")))
    assert not re.search(r"(?i)password|secret|token|api_key", "\n".join(lines))


def locked(file):
    """Name -> versions, and the hashes of each."""
    found, name = {}, None
    for line in file.read_text().splitlines():
        if entry := re.match(r"([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", line):
            name = entry.groups()
            found[name] = set()
        elif entry := re.search(r"--hash=(\S+)", line):
            found[name].add(entry[1])
    return found


def test_predictions_need_a_few_of_the_platform_s_packages(root):
    """In the same versions: a model says the same wherever it is asked."""
    few, all_ = locked(root / "requirements-predict.txt"), locked(root / "requirements.txt")
    assert {"duckdb", "numba", "numpy", "pyarrow", "scikit-learn", "typer", "xgboost-cpu"} <= {name for name, _ in few}
    assert len(few) < 30 and not {name for name, _ in few} & {"sqlalchemy", "astropy", "apache-airflow", "keras"}
    for package, hashes in few.items():
        assert hashes and hashes == all_[package], package


def test_the_compose_file_is_one(root):
    done = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", root / "docker-compose.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_services_are_the_platform_s_parts(compose):
    assert set(compose["services"]) == PARTS
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} is published beyond loopback"
        for secret in service.get("secrets", []):
            assert secret in compose["secrets"]
        text = yaml.safe_dump(service.get("environment", {})).lower()
        assert "password:" not in text and "secret:" not in text, f"{name} has a secret in its environment"


@pytest.mark.parametrize("image", IMAGES)
def test_what_the_image_copies_is_there_and_not_ignored(root, image):
    allowed = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        part
        for line in (root / image).read_text().splitlines()
        if line.startswith("COPY")
        for part in line.split()[1:-1]
    ]
    assert copied
    for name in copied:
        assert (root / name).exists() and name.removeprefix("./") in allowed, name


@pytest.mark.parametrize("script", ["install.sh", "lock.sh", "entrypoint.sh", "compose-secrets.sh"])
def test_scripts_can_be_run(root, script):
    file = root / "ops" / script
    assert os.access(file, os.X_OK)
    assert run("bash", "-n", file).returncode == 0


def test_compose_secrets_are_made_once_in_a_folder_closed_to_others(root, tmp_path):
    (tmp_path / "ops").mkdir()
    script = shutil.copy(root / "ops" / "compose-secrets.sh", tmp_path / "ops")
    folder = tmp_path / ".secrets"
    folder.mkdir(mode=0o711)
    made = []
    for _ in range(2):
        assert run(script).returncode == 0
        made.append({file.name: file.read_text() for file in folder.iterdir()})
    assert made[0] == made[1]
    assert set(made[0]) == set(yaml.safe_load((root / "docker-compose.yaml").read_text())["secrets"])
    assert all(len(value) >= 43 for value in made[0].values())
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_entrypoint_passes_the_command_on(root):
    done = run(root / "ops" / "entrypoint.sh", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n")


class Checkout:
    """Enough of the project to run `ops/install.sh`, with commands of the test's own before the real ones."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        (folder / "ops").mkdir(parents=True)
        self.bin.mkdir()
        for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
            shutil.copy(root / name, folder)
        shutil.copy(root / "ops" / "install.sh", folder / "ops")

    def fake(self, name: str, body: str) -> None:
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)

    def install(self, **environment: str):
        path = f"{self.bin}:/usr/bin:/bin"
        return run(self.folder / "ops" / "install.sh", env={"PATH": path, "HOME": str(self.folder), **environment})


@pytest.fixture
def checkout(root, tmp_path):
    return Checkout(root, tmp_path / "checkout")


@pytest.mark.parametrize(
    ("system", "machine", "said"),
    [("Darwin", "arm64", "this is Darwin"), ("Linux", "aarch64", "this is aarch64")],
)
def test_another_platform_is_refused_by_name(checkout, system, machine, said):
    checkout.fake("uname", f'case "$1" in -s) echo {system};; -m) echo {machine};; esac')
    done = checkout.install()
    assert done.returncode == 2
    assert said in done.stderr and "Linux x86-64" in done.stderr
    assert not (checkout.folder / ".venv").exists()


def test_another_python_is_refused_by_name(checkout):
    checkout.fake("oldpython", 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    done = checkout.install(PYTHON="oldpython")
    assert done.returncode == 2
    assert "Python 3.9.2" in done.stderr and "3.11, 3.12 or 3.13" in done.stderr
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        checkout.fake(name, 'case "$1" in --version) echo Python 3.14.0;; *) exit 1;; esac')
    done = checkout.install()
    assert done.returncode == 2
    assert "Python 3.14.0" in done.stderr


def test_an_environment_that_is_up_to_date_gets_the_code_compiled_and_nothing_installed(checkout):
    """The sources may be newer than the environment: a first cross-match should not have to compile."""
    binaries = checkout.folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("python", "stellar"):
        (binaries / name).write_text(f'#!/bin/sh\necho "$*" >> {checkout.folder}/asked\n')
        (binaries / name).chmod(0o755)
    locked = b"".join((checkout.folder / name).read_bytes() for name in ("requirements.txt", "pyproject.toml"))
    (binaries.parent / ".stamp-requirements.txt").write_text(hashlib.sha256(locked).hexdigest())
    done = checkout.install()
    assert (done.returncode, done.stdout) == (0, "")
    asked = (checkout.folder / "asked").read_text()
    assert "-m stellar.sky.kernel" in asked and "-m compileall" in asked and "pip" not in asked


def test_make_help_lists_what_there_is(root):
    done = run("make", "help", cwd=root)
    for target in ("install", "run", "up", "test", "bench", "lint", "lock", "clean", "help"):
        assert f"\n{target} " in f"\n{done.stdout}"
