"""What the home's files say of its ledger: manifests, histories, origins of batches, the registry's files.

A manifest says what a snapshot consists of and came from; `stellar.ledger.history` keeps the rest.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from stellar.engine.keys import content_hash
from stellar.ledger import history
from stellar.settings import Settings

#: Manifests of snapshots whose files were removed to save space, in the dataset's folder.
MANIFESTS = "manifests"
WHO = "stellar ledger rebuild"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SNAPSHOT_FOLDER = re.compile(r"[0-9a-f]{16}")
Row = dict[str, Any]


@dataclass
class Found:
    """Rows for the ledger by table, what could not be used (file and why), and where a choice had to be made."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    skipped: list[dict[str, str]] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)

    def skip(self, file: Path | str, what: str) -> None:
        self.skipped.append({"file": str(file), "what": what})


def read_home(settings: Settings) -> Found:
    """Everything that the home's files say of its ledger; nothing is changed."""
    found = Found()
    for folder in _datasets(settings.lake):
        _read_dataset(settings.lake, folder, found)
    _read_batches(settings.lake, found)
    for path in sorted(history.registry_file(settings.artifacts, "x").parent.glob("*.json")):
        tables = history.read(path)
        if tables is None:
            found.skip(path, "cannot be read; its model has to be trained again")
            continue
        for table, rows in tables.items():
            found.rows[table] += rows
    return found


def _datasets(lake: Path) -> Iterator[Path]:
    for layer in sorted(lake.iterdir()) if lake.is_dir() else []:
        if layer.is_dir() and _NAME.fullmatch(layer.name):
            yield from (one for one in sorted(layer.iterdir()) if one.is_dir() and _NAME.fullmatch(one.name))


# -- snapshots


def _read_dataset(lake: Path, folder: Path, found: Found) -> None:
    dataset = f"{folder.parent.name}.{folder.name}"
    past = history.read(folder / history.HISTORY)
    if past is None and (folder / history.HISTORY).exists():
        found.skip(folder / history.HISTORY, "cannot be read; states are taken from the times of the files")
    manifests = dict(_manifests(lake, dataset, folder, found, past is not None))
    if past is None:
        if not manifests:
            return
        found.assumed.append(dataset)
        past = _assume(dataset, manifests)
    lives = {row["key"]: row for row in past.get("lake.snapshot", [])}
    for key, row in lives.items():
        if key not in manifests:
            path = folder / key[:16] / "manifest.json"
            found.skip(path, f"missing; snapshot {key[:16]} of {dataset} ({row['state']}) is not restored")
    for key, (manifest, row, removed) in manifests.items():
        _add_snapshot(found, dataset, manifest, _alive(row, lives.get(key), removed))
    named = past.get("lake.dataset") or [{"name": dataset}]
    found.rows["lake.dataset"] += [_described(named[0], [one for one, _, _ in manifests.values()])]
    found.rows["quality.gate"] += [
        {**row, "expectations": [one for one in past.get("quality.expectation", []) if one["gate"] == row["id"]]}
        for row in past.get("quality.gate", [])
        if row["snapshot"] in manifests
    ]
    for row in past.get("lake.promotion", []):
        if row["to_snapshot"] in manifests:
            before = row["from_snapshot"] if row["from_snapshot"] in manifests else None
            found.rows["lake.promotion"].append({**row, "from_snapshot": before})
    found.rows["lake.object_alias"] += [
        row for row in past.get("lake.object_alias", []) if row["snapshot"] in manifests
    ]
    found.rows["ingest.batch"] += past.get("ingest.batch", [])
    found.rows["quality.decision"] += past.get("quality.decision", [])


def _manifests(
    lake: Path, dataset: str, folder: Path, found: Found, has_history: bool
) -> Iterator[tuple[str, tuple[Row, Row, bool]]]:
    """Key -> manifest, its snapshot's row as far as it tells, whether the files were removed; good ones only.

    A folder without a manifest is no snapshot: its commit, or its removal from an object store, was cut off. Where it
    should be one, the history says so.
    """
    paths = [one / "manifest.json" for one in sorted(folder.iterdir()) if _SNAPSHOT_FOLDER.fullmatch(one.name)]
    for path in [*paths, *sorted((folder / MANIFESTS).glob("*.json.gz"))]:
        removed = path.parent.name == MANIFESTS
        try:
            data = gzip.decompress(path.read_bytes()) if removed else path.read_bytes()
            manifest = json.loads(data)
            wrong = _contradictions(manifest, dataset, path.name if removed else path.parent.name)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, FileNotFoundError) and has_history:
                continue
            found.skip(path, f"cannot be read: {type(error).__name__}: {error}")
            continue
        if wrong:
            found.skip(path, "; ".join(wrong))
            continue
        if removed and (folder / manifest["key"][:16] / "manifest.json").exists():
            continue  # made again since
        yield manifest["key"], (manifest, _snapshot_row(lake, folder, manifest, path), removed)


def _contradictions(manifest: Row, dataset: str, place: str) -> list[str]:
    parts, counted = manifest["partitions"], manifest["accounting"]
    gone = counted["merged"] + counted["quarantined"] + sum(counted["filtered"].values())
    checks = {
        "its dataset is not that of the folder": manifest["dataset"] == dataset,
        "its key is not that of the folder": place.startswith(manifest["key"][:16]),
        "its partitions do not give its content hash": (
            content_hash((one["name"], one["sha256"]) for one in parts) == manifest["content_hash"]
        ),
        "its rows do not add up": (
            sum(one["rows"] for one in parts) == manifest["rows"] == counted["rows_out"] == counted["rows_in"] - gone
        ),
    }
    return [what for what, holds in checks.items() if not holds]


def _snapshot_row(lake: Path, folder: Path, manifest: Row, path: Path) -> Row:
    parts, then = manifest["partitions"], _time(path)
    return {
        "key": manifest["key"],
        "dataset": manifest["dataset"],
        "step": manifest["step"],
        "step_version": manifest["version"],
        "params": manifest["params"],
        "state": "candidate",
        "state_reason": None,
        "run_id": None,
        "files_removed_at": None,
        "rows": manifest["rows"],
        "bytes": sum(one["bytes"] for one in parts if one["file"]),
        "partitions": len(parts),
        "path": (folder / manifest["key"][:16]).relative_to(lake).as_posix(),
        "content_hash": manifest["content_hash"],
        "companion_of": manifest.get("companion_of"),
        # what was refused lies in no cell, so it has neither margins nor an id, whatever its step says
        "margin_arcsec": 0 if manifest.get("companion_of") else manifest.get("margin_arcsec", 0),
        "planned_at": then,
        "committed_at": then,
        "state_at": then,
    }


def _time(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()


def _alive(row: Row, life: Row | None, removed: bool) -> Row:
    """A snapshot's row with the life that the history tells; what the manifest says of its content stays."""
    made_of = ("rows", "bytes", "partitions", "path", "content_hash")
    alive = {**row, **(life or {}), **{name: row[name] for name in made_of}}
    if removed and not alive.get("files_removed_at"):  # a crash came between the removal and the note of it
        state = alive["state"] if alive["state"] in ("retired", "rejected") else "retired"
        alive |= {"state": state, "files_removed_at": alive["state_at"]}
    return alive


def _described(row: Row, manifests: list[Row]) -> Row:
    """A dataset's row; where no history tells its id and meaning, the manifests may."""
    for manifest in (one for one in manifests if not one.get("companion_of")):
        row = {"id_column": next(iter(manifest.get("id_columns", [])), None), **row}
        row = {**row, "description": row.get("description") or manifest.get("description", "")}
    return row if row.get("description") is not None else {**row, "description": ""}


def _assume(dataset: str, manifests: Mapping[str, tuple[Row, Row, bool]]) -> dict[str, list[Row]]:
    """A history where none was kept: the newest snapshot that has files is current, the others are retired."""
    rows = sorted((row for _, row, _ in manifests.values()), key=lambda row: (row["committed_at"], row["key"]))
    here = [row["key"] for row in rows if not manifests[row["key"]][2]]
    newest = here[-1] if here else None
    lives = [{"key": row["key"], "state": "current" if row["key"] == newest else "retired"} for row in rows]
    if newest is None:
        return {"lake.snapshot": lives}
    then = manifests[newest][1]["committed_at"]
    reason = "no history was kept of this dataset: its newest files are taken for the current ones"
    return {
        "lake.snapshot": lives,
        "quality.gate": [
            {"id": 0, "snapshot": newest, "passed": True, "evidence": {"by": WHO}, "checked_at": then}
        ],
        "lake.promotion": [
            {"dataset": dataset, "from_snapshot": None, "to_snapshot": newest, "who": WHO, "reason": reason,
             "promoted_at": then}
        ],
    }  # fmt: skip


def _add_snapshot(found: Found, dataset: str, manifest: Row, row: Row) -> None:
    key, counted = row["key"], manifest["accounting"]
    found.rows["lake.snapshot"].append(row)
    for one in manifest["partitions"]:
        found.rows["lake.partition"].append(
            {**_file(one), "dataset": dataset, "accounting": one.get("accounting"), "made_at": row["committed_at"]}
        )
        found.rows["lake.snapshot_partition"].append(
            {"snapshot": key, "name": one["name"], "partition_key": one["key"], "file": one["file"]}
        )
    found.rows["lake.margin"] += [
        {**_file(one), "snapshot": key, "name": one["name"], "file": one["file"]} for one in manifest.get("margins", [])
    ]
    found.rows["lake.accounting"].append(
        {
            **{name: counted[name] for name in ("rows_in", "rows_out", "merged", "quarantined")},
            "snapshot": key,
            "step": manifest["step"],
            "filtered": sum(counted["filtered"].values()),
            "filtered_by": counted["filtered"],
        }
    )
    found.rows["lineage.edge"] += [
        {"child": key, "child_kind": "snapshot", "parent": parent, "parent_kind": kind, "role": role}
        for parent, kind, role in parents_of(manifest)
    ]
    found.rows["lineage.column_edge"] += [
        {
            "snapshot": key,
            "column_name": name,
            "input_dataset": one[0],
            "input_column": one[1],
            "transformation": one[2],
        }
        for name, given in manifest.get("columns", {}).items()
        for one in given
    ]


def _file(one: Row) -> Row:
    return {"key": one["key"], "rows": one["rows"], "bytes": one["bytes"], "file_sha256": one["sha256"]}


def parents_of(manifest: Row) -> list[tuple[str, str, str]]:
    """(key, kind, role) of what a snapshot was made from."""
    inputs = manifest["inputs"].items()
    found = [(one["snapshot"], "snapshot", role) for role, one in inputs if one["snapshot"]]
    found += [(version, "version", role) for role, version in manifest["models"].items()]
    if not manifest.get("companion_of"):
        staged = [role for role, one in inputs if one["content_hash"] and not one["snapshot"]]
        found += [(batch, "batch", role) for role in staged for batch in manifest.get("batches", [])]
    if manifest["dataset"].startswith("raw."):
        found += [(one["name"], "batch", "batch") for one in manifest["partitions"]]
    return found


# -- raw batches


def _read_batches(lake: Path, found: Found) -> None:
    """Batches by what lies beside them. Of a unit's batches the one that was recorded last counts today."""
    units: dict[tuple[str, str, str], list[tuple[str, Row]]] = defaultdict(list)
    newest: dict[tuple[str, ...], Row] = {}
    for path in sorted(lake.glob(f"*/*/*/*{history.ORIGIN}")):
        tables = history.read(path)
        if tables is None:
            found.skip(path, "cannot be read; sync again to bring its unit")
            continue
        for batch in tables["ingest.batch"]:
            if not (lake / batch["path"]).is_file():
                found.skip(lake / batch["path"], "missing; sync again to bring its unit")
                continue
            when = max((unit["state_at"] for unit in tables["ingest.work_unit"]), default=batch["fetched_at"])
            units[batch["survey"], batch["dataset"], batch["unit"]].append((when, batch))
            for unit in tables["ingest.work_unit"]:
                key = tuple(unit[name] for name in ("survey", "dataset", "release", "unit"))
                if key not in newest or newest[key]["state_at"] < unit["state_at"]:
                    newest[key] = unit
    for members in units.values():
        members.sort(key=lambda one: (one[1]["superseded_by"] is None, one[0], one[1]["batch_id"]))
        for (_, batch), (when, after) in pairwise(members):
            if batch["superseded_by"] is None or batch["superseded_by"] not in {one["batch_id"] for _, one in members}:
                batch |= {"superseded_by": after["batch_id"], "superseded_at": when}
        members[-1][1].update(superseded_by=None, superseded_at=None)
        found.rows["ingest.batch"] += [batch for _, batch in members]
    found.rows["ingest.work_unit"] += newest.values()
    named = {row["name"] for row in found.rows["lake.dataset"]}
    brought = {row["dataset"] for row in found.rows["ingest.batch"]} - named
    found.rows["lake.dataset"] += [{"name": name} for name in sorted(brought)]
