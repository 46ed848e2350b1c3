"""A room imports only from the floors below it; `include/stellar` never imports Airflow."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# Floor of each room. Engine and ledger carry everything above them; rooms of one floor do not import one another, save
# those named in NEIGHBOURS, and the narrow joints named there.
FLOORS = {
    "errors": 0,
    "settings": 0,
    "store": 0,
    "secret_files": 0,
    "json_files": 0,
    "checked_yaml": 0,
    "kernels": 0,
    "expressions": 0,
    "profile": 0,
    "pages": 0,
    "licences": 0,
    "notify": 1,
    "sky": 1,
    "models": 1,
    "evaluation": 1,
    "photometry": 1,
    "ledger": 2,
    "lake": 3,
    "surveys": 3,
    "quality": 3,
    "registry": 3,
    "engine": 4,
    "catalog": 5,
    "features": 5,
    "training": 5,
    "scoring": 5,
    "flow": 6,
    "platform": 7,
    "serving": 7,
    "cli": 8,
    "__main__": 9,
}
NEIGHBOURS = {
    ("models", "evaluation"),
    ("evaluation", "models"),
    ("quality", "lake"),
    ("scoring", "training"),
    ("training", "features"),
    ("settings", "errors"),
    ("settings", "store"),
    ("store", "errors"),
    ("checked_yaml", "errors"),
    ("expressions", "errors"),
}
FLOOR_ZERO_APART = {"archive"}  # a process of its own: imports only floors 0 and 1, imported by its command alone


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    package = root / "include" / "stellar"
    for file in sorted(package.rglob("*.py")):
        room = file.relative_to(package).parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, file


def imported_rooms(file: Path, package: Path) -> set[str]:
    """Rooms of `stellar` that a file imports, anywhere in it, relative imports included."""
    rooms = set()
    here = file.relative_to(package).parts
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = ["stellar", *here[: len(here) - node.level]]
                names = [".".join([*base, node.module or ""]).rstrip(".")]
            else:
                names = [node.module or ""]
                if node.module == "stellar":
                    names = [f"stellar.{alias.name}" for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("stellar.")}
    return rooms - {"__version__"}


def test_every_room_has_a_floor(root: Path) -> None:
    unknown = {room for room, _ in modules(root)} - FLOORS.keys() - FLOOR_ZERO_APART
    assert not unknown, f"give {sorted(unknown)} a floor in {__file__}"


def test_imports_go_downwards(root: Path) -> None:
    wrong = []
    for room, file in modules(root):
        for other in imported_rooms(file, root / "include" / "stellar") - {room}:
            if room == "archive":
                allowed = FLOORS.get(other, 9) <= 1
            elif other == "archive":
                allowed = file.name == "archive.py" and room == "cli"
            else:
                below = FLOORS[other] < FLOORS[room] or FLOORS[other] == FLOORS[room] == 0
                allowed = below or (room, other) in NEIGHBOURS
            if not allowed:
                wrong.append(f"{file.relative_to(root)}: {room} imports {other}")
    assert not wrong, "\n".join(wrong)


def test_package_never_imports_airflow(root: Path) -> None:
    found = []
    for _, file in modules(root):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names.append(node.module or "")
            found += [str(file) for name in names if name.split(".")[0] == "airflow"]
    assert not found


@pytest.mark.parametrize("folder", ["include/stellar", "dags", "ops"])
def test_files_can_be_read_in_one_sitting(root: Path, folder: str) -> None:
    lengths = {
        str(file.relative_to(root)): len(file.read_text().splitlines()) for file in (root / folder).rglob("*.py")
    }
    assert not {file: length for file, length in lengths.items() if length > 400}
