"""Users' own datasets as tasks: requests as JSON, the files to stage, and the batches of partitions to build.

`stellar import` and `stellar crossmatch` do the same in one process (`stellar.flow.tables.make`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stellar.catalog.tables import STAGED, import_step
from stellar.engine import engine
from stellar.engine.context import Context
from stellar.engine.staging import find_staged
from stellar.engine.step import Step
from stellar.flow.matching import renewed, request
from stellar.flow.matching import step_of as crossmatch_step
from stellar.flow.tables import check_maker, sources_of, stage_source, stage_table
from stellar.lake.names import own_name

IMPORT, CROSSMATCH = "import", "crossmatch"
SHOWN = 20  # tables that a text names


def step_of(asked: Mapping[str, Any]) -> Step:
    """The step that a request stands for."""
    given = {name: value for name, value in asked.items() if name != "kind"}
    return import_step(**given) if asked["kind"] == IMPORT else crossmatch_step(given)


def crossmatch_request(ctx: Context, params: Mapping[str, Any]) -> dict[str, Any]:
    """A cross-match as `stellar.flow.matching.request` takes it, checked."""
    return {"kind": CROSSMATCH, **request(ctx, **params)}


def import_groups(ctx: Context, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Deal the tables of an import out to at most two tasks a core, by bytes; `params` as `import_table` takes them."""
    sources, _ = sources_of(params["files"], _options(params))
    sizes = {number: source.path.stat().st_size for number, source in enumerate(sources)}
    count = min(len(sizes), 2 * ctx.settings.workers)
    groups: list[dict[str, Any]] = [{"sources": [], "bytes": 0} for _ in range(count)]
    for number in sorted(sizes, key=lambda number: (-sizes[number], number)):
        least = min(groups, key=lambda group: group["bytes"])
        least["sources"].append(sources[number].to_dict())
        least["bytes"] += sizes[number]
    return groups


def import_stage(ctx: Context, params: Mapping[str, Any], group: Mapping[str, Any]) -> int:
    """Stage the tables of one group, or find them staged; returns how many rows they have."""
    from stellar.surveys.readers.chunks_sources import SourceFile

    dataset, options = own_name(params["name"]), _options(params)
    _, schema = sources_of(params["files"], options)
    sources = [SourceFile.from_dict(one) for one in group["sources"]]
    return sum(stage_source(ctx.settings, dataset, schema, options, source).rows for source in sources)


def import_request(ctx: Context, params: Mapping[str, Any]) -> dict[str, Any]:
    """An import whose tables are staged, as a request; what is not staged yet is staged now."""
    step = stage_table(ctx, **params)
    return {
        "kind": IMPORT,
        "dataset": step.dataset,
        "batches": list(step.inputs[STAGED].batches or ()),
        "schema": step.params["schema"],
        "id_column": step.params["id"],
        "ra": step.params["ra"],
        "dec": step.params["dec"],
        "margin_arcsec": step.margin_arcsec,
    }


def _options(params: Mapping[str, Any]) -> dict[str, str]:
    return {"id": params["id_column"], "ra": params["ra"], "dec": params["dec"]}


def own_plan(ctx: Context, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Plan a request and name the batches of partitions to build, as `stellar.flow.stages.stage_plan` does.

    A cross-match is planned with the margins that the catalogues of now ask for; the items say which.

    Raises
    ------
    InputError
        When a cross-match needs wider margins than a catalogue keeps by now; says what to make again.
    """
    if asked["kind"] == CROSSMATCH:
        asked = renewed(ctx, asked)
    planned = engine.plan(ctx, step_of(asked), asked.get("snapshots"))
    base = {"dataset": planned.dataset, "key": planned.key, "asked": dict(asked)}
    carried = sum(one.carried for one in planned.partitions)
    whole = {"batch": None, "found": planned.found, "partitions": len(planned.partitions), "carried": carried}
    batches = [] if planned.found else planned.batches
    return [base | whole, *(base | {"batch": n, "partitions": len(batch)} for n, batch in enumerate(batches))]


def own_build(ctx: Context, item: Mapping[str, Any]) -> None:
    """Build one batch that `own_plan` named."""
    engine.build(ctx, step_of(item["asked"]), engine.load_plan(ctx, item["key"]), int(item["batch"]))


def own_commit(ctx: Context, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Commit what `own_plan` planned, once its batches are built; returns the snapshot's key, a found one's too."""
    whole = next(item for item in items if item["batch"] is None)
    if not whole["found"]:
        engine.commit(ctx, step_of(whole["asked"]), engine.load_plan(ctx, whole["key"]))
    return [whole["key"]]


def own_text(ctx: Context, asked: Mapping[str, Any]) -> str:
    """What making the dataset of a request would build, for people; nothing is noted."""
    from stellar.flow.plans import own_dry_plan, told

    if asked["kind"] == CROSSMATCH:
        asked = renewed(ctx, asked)
    return "\n".join(told(own_dry_plan(ctx, step_of(asked), asked.get("snapshots"))))


def import_text(ctx: Context, params: Mapping[str, Any]) -> str:
    """What an import would read, for people: tables, rows where a file says how many, columns; nothing is staged."""
    from stellar.surveys.readers.chunks import count_rows

    dataset, options = own_name(params["name"]), _options(params)
    check_maker(ctx, dataset, IMPORT)
    sources, schema = sources_of(params["files"], options)
    counts = [count_rows(source) for source in sources]
    known = sum(count for count in counts if count is not None)
    unknown = sum(count is None for count in counts)
    rows = f"{known:,} rows" + (f" and those of {unknown} tables that do not say" if unknown else "")
    before = [find_staged(ctx.settings.workspace, dataset, source, schema, options) for source in sources]
    size = sum(source.path.stat().st_size for source in sources) / 1e6
    lines = [
        f"{dataset}: {len(sources)} tables, {rows}, {size:,.1f} MB; {sum(map(bool, before))} staged already.",
        f"- columns: {', '.join(schema.names)}",
        *(f"- {source}" for source in sources[:SHOWN]),
    ]
    return "\n".join([*lines, *([f"- and {len(sources) - SHOWN} more"] if len(sources) > SHOWN else [])])
