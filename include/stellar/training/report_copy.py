"""A copy of a version's report with what its registry says of it today, which its artifact cannot hold."""

from __future__ import annotations

import math
from pathlib import Path

import sqlalchemy as sa

from stellar.errors import InputError
from stellar.pages import Part, Section, Table, Text, render_section
from stellar.registry import versions
from stellar.registry.versions import Version, metrics_of
from stellar.training.report import REPORT


def report_in(folder: Path, version: Version) -> Path:
    """Path of the report in a version's artifact.

    Raises
    ------
    InputError
        When the version was trained before reports were written.
    """
    path = folder / REPORT
    if not path.is_file():
        name = f"{version.model}@{version.number}"
        raise InputError(
            f"{name} has no {REPORT}: it was trained before reports were written. `stellar models card {name}` "
            "shows its card; a version that is trained from now on has a report"
        )
    return path


def copy_of(engine: sa.Engine, version: Version, path: Path, out: Path) -> Path:
    """Write the report at `path` to `out`, with a section about the version's state and the current version's figures.

    Raises
    ------
    InputError
        When the folder of `out` is not there, or it is a folder itself.
    """
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"--out {out}: give the name of a file in a folder that is there")
    page = path.read_text(encoding="utf-8")
    out.write_text(render_section(page, _registry(engine, version)), encoding="utf-8")
    return out


def _registry(engine: sa.Engine, version: Version) -> Section:
    parts: list[Part] = [Text(f"{version.model}@{version.number} is {version.state}: {version.state_reason}")]
    current = versions.current(engine, version.model)
    if current is None:
        parts.append(Text("No version of this model is current."))
    elif current.key != version.key:
        own, theirs = (_figures(engine, one) for one in (version, current))
        rows = [(name, own[name], theirs[name]) for name in own if name in theirs]
        header = ("metric", f"this (@{version.number})", f"current (@{current.number})")
        text = "Each on its own test examples; `stellar models compare` compares them on those that both have."
        parts.append(Table(header, rows, f"Beside the current version. {text}"))
    return Section("Registry", parts)


def _figures(engine: sa.Engine, version: Version) -> dict[str, float]:
    rows = (row for row in metrics_of(engine, version.key) if row.slice == "all" and row.split == "test")
    return {row.name: row.value for row in rows if row.name != "examples" and math.isfinite(row.value)}
