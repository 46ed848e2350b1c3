"""Walks over the lineage: from a score to the queries that brought its stars, and the other way round."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from stellar.errors import InputError, LedgerError

Node = dict[str, Any]
MERGED = "scores.catalog"  # every model's scores once more, side by side
_WITH_OBJECT_ID = """SELECT table_schema || '.' || table_name AS name FROM information_schema.columns
    WHERE column_name = 'object_id'"""
_HEX = re.compile(r"[0-9a-f]{8,64}")

_NODES = {
    "snapshot": (
        "SELECT key AS id, dataset, step, step_version, state, rows, committed_at FROM lake.snapshot"
        " WHERE key = ANY(:ids)"
    ),
    "version": (
        "SELECT key AS id, model, number, state, architecture, code_version, seed, created_at FROM registry.version"
        " WHERE key = ANY(:ids)"
    ),
    "batch": (
        "SELECT batch_id AS id, survey, dataset, release, unit, service, query, fetched_at, response_sha256,"
        " row_count AS rows, superseded_by FROM ingest.batch WHERE batch_id = ANY(:ids)"
    ),
}
_FIND = sa.text("""
    SELECT 'snapshot' AS kind, key AS id FROM lake.snapshot WHERE key LIKE :prefix
    UNION ALL SELECT 'version', key FROM registry.version WHERE key LIKE :prefix
    UNION ALL SELECT 'batch', batch_id FROM ingest.batch WHERE batch_id LIKE :prefix LIMIT 5""")
_DATASET = sa.text("""
    SELECT key FROM lake.snapshot WHERE dataset = :name AND state <> 'building'
     ORDER BY state = 'current' DESC, committed_at DESC LIMIT 1""")
_SOURCES = sa.text("""
    SELECT survey, release, dataset, count(*) AS batches, sum(row_count)::bigint AS rows,
           bool_or(service LIKE 'http://127.%' OR service LIKE 'http://localhost%') AS simulated
      FROM ingest.batch
     WHERE batch_id IN (SELECT parent FROM lineage.walk_up(:key) WHERE parent_kind = 'batch')
     GROUP BY survey, release, dataset ORDER BY survey, release, dataset""")
_MODEL = sa.text("""
    SELECT v.key, v.state FROM registry.version v WHERE v.model = :name
     ORDER BY v.state = 'current' DESC, v.created_at DESC LIMIT 1""")


def resolve(engine: sa.Engine, ref: str) -> tuple[str, str]:
    """Kind and id of what a reference names.

    Parameters
    ----------
    ref : str
        A dataset (its current snapshot), a model (its current version, or where none was promoted its newest, with a
        warning), or at least eight digits of the key of a snapshot, model version or batch.

    Raises
    ------
    InputError
        When it names nothing, or several things.
    """
    with engine.connect() as connection:
        if "." in ref and (key := connection.scalar(_DATASET, {"name": ref})):
            return "snapshot", key
        if (row := connection.execute(_MODEL, {"name": ref}).first()) is not None:
            if row.state != "current":
                warnings.warn(f"no version of {ref} was promoted; this is its newest, {row.key[:16]}", stacklevel=2)
            return "version", row.key
        if _HEX.fullmatch(ref):
            found = connection.execute(_FIND, {"prefix": f"{ref}%"}).all()
            if len(found) == 1:
                return found[0].kind, found[0].id
            if found:
                raise InputError(f"{ref} is short for several: {', '.join(row.id for row in found)}; give more digits")
    raise InputError(
        f"{ref!r} is no dataset, model, snapshot, model version or batch in the ledger; `stellar datasets` and "
        "`stellar models list` show what there is"
    )


def upstream(engine: sa.Engine, ref: str) -> Node:
    """What a snapshot or model version was made from, down to the batches with their queries.

    Returns
    -------
    dict
        ``kind`` (snapshot, version, batch), ``id``, what the ledger knows of it, ``role`` in its child, and
        ``parents``. A node that was shown before has ``repeated`` True and no parents.
    """
    return _tree(engine, ref, "up")


def downstream(engine: sa.Engine, ref: str) -> Node:
    """What was made from a snapshot, model version or batch; as `upstream`, with ``children``."""
    return _tree(engine, ref, "down")


def _tree(engine: sa.Engine, ref: str, direction: str) -> Node:
    kind, root = resolve(engine, ref)
    near, far = ("child", "parent") if direction == "up" else ("parent", "child")
    walk = sa.text(f"SELECT child, child_kind, parent, parent_kind, role FROM lineage.walk_{direction}(:root)")  # noqa: S608
    links: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    kinds = {root: kind}
    with engine.connect() as connection:
        for row in connection.execute(walk, {"root": root}).mappings():
            links[row[near]].append((row[far], row[f"{far}_kind"], row["role"]))
            kinds[row[far]] = row[f"{far}_kind"]
        facts = _facts(connection, kinds)
    below = "parents" if direction == "up" else "children"
    return _grow(root, kind, "", links, facts, below, set())


def _facts(connection: sa.Connection, kinds: dict[str, str]) -> dict[str, dict[str, Any]]:
    facts: dict[str, dict[str, Any]] = {}
    for kind, sql in _NODES.items():
        ids = [one for one, its in kinds.items() if its == kind]
        if ids:
            facts |= {row["id"]: dict(row) for row in connection.execute(sa.text(sql), {"ids": ids}).mappings()}
    return facts


def _grow(
    node: str,
    kind: str,
    role: str,
    links: dict[str, list[tuple[str, str, str]]],
    facts: dict[str, dict[str, Any]],
    below: str,
    seen: set[str],
) -> Node:
    known = {name: _plain(value) for name, value in facts.get(node, {"id": node}).items()}
    tree: Node = {"kind": kind, **known, **({"role": role} if role else {})}
    if node in seen and links.get(node):
        return {**tree, "repeated": True}
    seen.add(node)
    following = sorted(links.get(node, []), key=lambda link: (link[1], link[2], link[0]))
    if following or kind != "batch":
        tree[below] = [_grow(far, its, name, links, facts, below, seen) for far, its, name in following]
    return tree


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def batches(engine: sa.Engine, ids: list[str]) -> dict[str, Node]:
    """What the ledger knows of some batches: service, query, when each was fetched."""
    with engine.connect() as connection:
        facts = _facts(connection, dict.fromkeys(ids, "batch"))
    return {one: {name: _plain(value) for name, value in known.items()} for one, known in facts.items()}


def batches_of(tree: Node) -> list[Node]:
    """The batches of a tree that `upstream` gave, each once."""
    found = {tree["id"]: tree} if tree["kind"] == "batch" else {}
    for parent in tree.get("parents", []):
        found |= {one["id"]: one for one in batches_of(parent)}
    return list(found.values())


def sources_of(engine: sa.Engine, key: str) -> list[dict[str, Any]]:
    """What the surveys brought of a snapshot or a model version, for licences and attributions.

    Returns
    -------
    list of dict
        ``survey, release, dataset, batches, rows, simulated``; the last says that the embedded archive answered.
    """
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(_SOURCES, {"key": key}).mappings()]


def object_lineage(engine: sa.Engine, connection: Any, object_id: str) -> Node:
    """Where one object's rows came from: its surveys' rows and their batches, its scores and their models.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        On the ledger.
    connection : duckdb connection
        On the lake, from `stellar.lake.sql.connect`; views are named as the datasets.
    object_id : str
        As in `curated.objects`, or the id of a scored row (`spec_id`, `lc_id`).

    Returns
    -------
    dict
        ``sources``: one per survey row, with its batch and query; ``scores``: one per scored row, with the tree of
        its snapshot, in which batches that did not bring this object are left out.

    Raises
    ------
    InputError
        When no object has the id.
    """
    current, ids = _current(engine)
    if "curated.associations" not in current:
        raise LedgerError("curated.associations has no current snapshot; run build_catalog first")
    columns = ["object_id", "survey", "survey_id", "separation_arcsec"]
    found = _ask(
        connection,
        f"SELECT {', '.join(columns)} FROM curated.associations WHERE object_id = ? OR survey_id = ? ORDER BY 2, 3",  # noqa: S608
        [object_id, object_id],
    )
    found = found or _without_position(connection, current, ids, object_id)
    if not found:
        raise InputError(
            f"{object_id!r} is no object_id in curated.objects, no survey's id in curated.associations, and no id in a "
            "curated dataset without positions"
        )
    owner = found[0]["object_id"]
    if owner != object_id:
        found = _ask(
            connection,
            f"SELECT {', '.join(columns)} FROM curated.associations WHERE object_id = ? ORDER BY 2, 3",  # noqa: S608
            [owner],
        )
    sources = [_source(engine, connection, current, ids, one) for one in found]
    brought = {one["batch"]["id"] for one in sources if one.get("batch")}
    of_objects = {row["name"] for row in _ask(connection, _WITH_OBJECT_ID, [])}
    scores = []
    for dataset, key in sorted(current.items()):
        if dataset.startswith("scores.") and dataset != MERGED:
            # rows of a curated dataset's own model are under the survey's id
            column = "object_id" if dataset in of_objects else str(ids[dataset])
            own = [str(one["survey_id"]) for one in found if ids.get(f"curated.{one['survey']}") == column]
            wanted = [owner] if dataset in of_objects else own
            scores += _scores(engine, connection, (dataset, key), (column, wanted), brought) if wanted else []
    return {"kind": "object", "id": owner, "sources": sources, "scores": scores}


def _without_position(
    connection: Any, current: dict[str, str], ids: dict[str, str | None], object_id: str
) -> list[dict[str, Any]]:
    """Rows of curated datasets that are not on the sky: each is an object of its own, under its own id."""
    names = [name for name in sorted(current) if name.startswith("curated.") and ids.get(name)]
    on_sky = {
        row["table_schema"] + "." + row["table_name"]
        for row in _ask(
            connection,
            "SELECT table_schema, table_name FROM information_schema.columns WHERE column_name = '_healpix_29'",
            [],
        )
    }
    return [
        {"object_id": object_id, "survey": name.partition(".")[2], "survey_id": object_id, "separation_arcsec": None}
        for name in names
        if name not in on_sky
        and _ask(connection, f'SELECT 1 FROM {name} WHERE CAST("{ids[name]}" AS VARCHAR) = ? LIMIT 1', [object_id])  # noqa: S608
    ]


def _current(engine: sa.Engine) -> tuple[dict[str, str], dict[str, str | None]]:
    sql = "SELECT c.dataset, c.snapshot, d.id_column FROM lake.current c JOIN lake.dataset d ON d.name = c.dataset"
    with engine.connect() as connection:
        rows = connection.execute(sa.text(sql)).all()
    return {row.dataset: row.snapshot for row in rows}, {row.dataset: row.id_column for row in rows}


def _ask(connection: Any, sql: str, values: list[Any]) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _source(
    engine: sa.Engine, connection: Any, current: dict[str, str], ids: dict[str, str | None], one: dict[str, Any]
) -> Node:
    dataset = f"curated.{one['survey']}"
    about: Node = {
        "survey": one["survey"],
        "survey_id": one["survey_id"],
        "separation_arcsec": one["separation_arcsec"],
        "dataset": dataset,
        "snapshot": current.get(dataset),
    }
    if dataset not in current or not ids.get(dataset):
        return about
    rows = _ask(
        connection,
        # names are the ledger's own; the id is a parameter
        f'SELECT DISTINCT batch_id FROM {dataset} WHERE CAST("{ids[dataset]}" AS VARCHAR) = ?',  # noqa: S608
        [one["survey_id"]],
    )
    found = [row["batch_id"] for row in rows if row["batch_id"]]
    if found:
        with engine.connect() as ledger:
            facts = _facts(ledger, {found[0]: "batch"}).get(found[0], {"id": found[0]})
        about["batch"] = {"kind": "batch", **{name: _plain(value) for name, value in facts.items()}}
    return about


def _scores(
    engine: sa.Engine, connection: Any, snapshot: tuple[str, str], of: tuple[str, list[str]], brought: set[str]
) -> list[Node]:
    """Scored rows in a snapshot (dataset, key) that are of an object (column of the id, ids)."""
    (dataset, key), (column, wanted) = snapshot, of
    marks = ", ".join("?" * len(wanted))
    rows = _ask(connection, f'SELECT * FROM {dataset} WHERE CAST("{column}" AS VARCHAR) IN ({marks})', wanted)  # noqa: S608
    if not rows:
        return []
    tree = _narrow(upstream(engine, key), brought)
    hidden = {"_healpix_29"}
    return [
        {
            "dataset": dataset,
            "row": {name: _plain(value) for name, value in row.items() if name not in hidden},
            "lineage": tree,
        }
        for row in rows
    ]


def _narrow(tree: Node, brought: set[str]) -> Node:
    """The tree without batches other than some."""
    parents = [
        _narrow(one, brought) for one in tree.get("parents", []) if one["kind"] != "batch" or one["id"] in brought
    ]
    left_out = sum(one["kind"] == "batch" for one in tree.get("parents", [])) - sum(
        one["kind"] == "batch" for one in parents
    )
    return {
        **tree,
        **({"parents": parents} if "parents" in tree else {}),
        **({"other_batches": left_out} if left_out else {}),
    }
