"""What a run brought, as notes and events tell it: rows, partitions made and carried over, gates, links to pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from stellar.engine.context import Context

PAGES = "stellar/pages"  # below the UI's address, whatever its base path: notes are read there

_PARTS = sa.text("""
    SELECT s.dataset, s.key, s.rows, s.partitions, s.companion_of,
           count(*) FILTER (WHERE p.made_at >= s.committed_at) AS recomputed,
           (SELECT a.quarantined FROM lake.accounting a WHERE a.snapshot = s.key) AS quarantined,
           g.id AS gate, g.passed, (SELECT count(*) FROM quality.expectation e WHERE e.gate = g.id) AS expectations
      FROM lake.snapshot s
      LEFT JOIN lake.snapshot_partition sp ON sp.snapshot = s.key
      LEFT JOIN lake.partition p ON p.key = sp.partition_key
      LEFT JOIN LATERAL (SELECT id, passed FROM quality.gate WHERE snapshot = s.key ORDER BY id DESC LIMIT 1) g ON true
     WHERE s.key = ANY(:keys)
     GROUP BY s.dataset, s.key, s.rows, s.partitions, s.companion_of, g.id, g.passed""")
_FETCHED = sa.text("""
    SELECT dataset, count(*) AS units, sum(row_count) AS rows FROM ingest.batch
     WHERE survey = :survey AND run_id = :run_id GROUP BY dataset ORDER BY dataset""")


def lineage_link(key: str) -> str:
    """Page on where a snapshot or model version came from, below the UI's address."""
    return f"{PAGES}/lineage?ref={quote(key[:16])}"


def gate_link(gate: int) -> str:
    """Page on a gate's verdict."""
    return f"{PAGES}/quality?gate={gate}"


def model_link(version: str) -> str:
    """Page on a model version."""
    return f"{PAGES}/models?version={quote(version[:16])}"


def account(ctx: Context, keys: Sequence[str], changed: Mapping[str, bool]) -> list[dict[str, Any]]:
    """What a run made of each dataset.

    Parameters
    ----------
    keys
        Snapshots that the run committed or found, in its order.
    changed
        Dataset -> whether its content changed, as `promote` says.

    Returns
    -------
    list of dict
        ``dataset, snapshot, rows, partitions, recomputed, reused`` (partitions that this snapshot was the first to
        hold, and those carried over from another), ``quarantined, gate, passed, expectations, changed, links``.
    """
    with ctx.engine.connect() as connection:
        found = {row["key"]: row for row in connection.execute(_PARTS, {"keys": list(keys)}).mappings()}
    made = []
    for key in dict.fromkeys(keys):
        row = found[key]
        links = {"lineage": lineage_link(key)} | ({"gate": gate_link(row["gate"])} if row["gate"] else {})
        made.append(
            {
                "dataset": row["dataset"],
                "snapshot": key,
                "rows": row["rows"],
                "partitions": row["partitions"],
                "recomputed": row["recomputed"],
                "reused": (row["partitions"] or 0) - row["recomputed"],
                "quarantined": row["quarantined"] or 0,
                "gate": row["gate"],
                "passed": row["passed"],
                "expectations": row["expectations"],
                "changed": bool(changed.get(row["dataset"])),
                "links": links,
            }
        )
    return made


def account_text(made: Iterable[Mapping[str, Any]]) -> str:
    """The same for people, as Markdown: a line for each dataset that changed, one for all others."""
    made = list(made)
    lines = []
    for one in (one for one in made if one["changed"]):
        lost = f", {one['quarantined']:,} quarantined" if one["quarantined"] else ""
        gate = f", [gate]({one['links']['gate']})" if one["gate"] else ""
        lines.append(
            f"- [{one['dataset']}]({one['links']['lineage']}): {one['rows']:,} rows{lost}, "
            f"{one['recomputed']}+{one['reused']} partitions{gate}"
        )
    same = sum(not one["changed"] for one in made)
    checked = [one for one in made if one["gate"]]
    passed = sum(bool(one["passed"]) for one in checked)
    head = f"Promoted {len(lines)}, unchanged {same}; gates {passed} of {len(checked)} passed."
    return "\n".join([head, *(["(partitions: recomputed+reused)", *lines] if lines else [])])


def fetched_text(ctx: Context, survey: str) -> str:
    """What a run's sync brought so far: units and rows by dataset."""
    with ctx.engine.connect() as connection:
        rows = connection.execute(_FETCHED, {"survey": survey, "run_id": ctx.run_id}).all()
    told = ", ".join(f"{row.dataset}: {row.units} units, {row.rows:,} rows" for row in rows)
    return f"Fetched {told}." if told else f"{survey}: nothing new was fetched."


def trained_text(result: Mapping[str, Any]) -> str:
    """What came of one model."""
    version = result["version"]
    named = f"[{result['model']}]({model_link(version)})" if version else result["model"]
    reasons = f": {'; '.join(result['reasons'])}" if result["reasons"] else ""
    promoted = ", promoted" if result["promoted"] else "" if result["outcome"] == "not_trainable" else ", not promoted"
    return f"- {named} {result['outcome'].replace('_', ' ')}{promoted}{reasons}"


def maintained_text(report: Mapping[str, Any]) -> str:
    """What the maintenance did, or would do."""
    lines = [
        f"{len(report['faults'])} faults, {len(report['retired'])} snapshots retired, "
        f"{len(report['cleared'])} leftovers cleared, {report['freed_bytes'] / 1e6:,.1f} MB freed."
    ]
    lines += [
        f"- fault: {one['dataset']} {one['snapshot'][:16]} {one['file']}: {one['what']}" for one in report["faults"]
    ]
    lines += [f"- retired: {one['dataset']} {one['key'][:16]}" for one in report["retired"]]
    lines += [f"- cleared: {one}" for one in report["cleared"]]
    lines += [
        f"- checkpoints of an abandoned training: {one['path']}, {one['bytes']:,} bytes"
        for one in report["checkpoints"]
    ]
    return "\n".join(lines)
