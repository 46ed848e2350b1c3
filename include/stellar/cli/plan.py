"""`stellar plan`: what would be rebuilt, and why, before it is."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

app = typer.Typer()

#: Partitions that are named of each dataset; --json has all.
SHOWN = 20


@app.command()
def command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|STAGE]", help="A dataset (NAME means own.NAME) or a stage; all when not given"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON, every partition with why")] = False,
) -> None:
    """What would be rebuilt on the inputs that are current now, partition by partition, and why; nothing is begun.

    For a dataset, also what it is made from and has to be made first. A partition is rebuilt when an input's partition
    or margin that it reads changed, when its cell is new (rows came, a cell was split or merged), or when a parameter,
    a model, the step, the writer or the layout changed; all others are carried over.
    """
    from stellar import flow
    from stellar.flow.plans import dry_plan

    with flow.open_context() as ctx:
        items = dry_plan(ctx, name)
    if as_json:
        typer.echo(json.dumps(items, indent=1))
        return
    for item in items:
        for line in told(item):
            typer.echo(line)
    if not items:
        typer.echo("nothing to plan: no survey has been synced yet")


def told(item: dict[str, Any]) -> list[str]:
    """The lines on one dataset."""
    head = f"{item['stage']:10} {item['dataset']:32} "
    if "error" in item:
        return [f"{head}cannot be planned yet: {item['error']}"]
    if item["found"]:
        state = "up to date" if item["key"] == item["current"] else f"made already ({item['state']})"
        lines = [f"{head}{state}: {item['partitions']} partitions"]
    else:
        lines = [f"{head}{item['build']} of {item['partitions']} partitions to build, {item['carried']} carried over"]
    lines += [f"  every partition: {one['what']}" for one in item["every"]]
    lines += _partitions(item)
    if item["removed"]:
        lines.append(f"  {len(item['removed'])} partitions go: {_some(item['removed'], 4)}")
    if item["follows"]:
        after = sorted({dataset for one in item["follows"] for dataset in one["after"]})
        lines.append(f"  {len(item['follows'])} more may be rebuilt once {', '.join(after)} is")
    return [*lines, *(f"  {note}" for note in item["notes"])]


def _partitions(item: dict[str, Any]) -> list[str]:
    from stellar.flow.plans import summary

    # what holds for every partition is said above
    rebuilt = [one for one in item["rebuilt"] if one["why"] and one["why"] != item["every"]]
    lines = [f"  {one['partition']}: {_some([why['what'] for why in one['why']], 4, '; ')}" for one in rebuilt[:SHOWN]]
    if len(rebuilt) > SHOWN:
        lines.append(f"  and {len(rebuilt) - SHOWN} more; --json names them. In all:")
        lines += [f"    {count} partitions: {what}" for what, count in summary(item)]
    return lines


def _some(names: list[str], count: int, between: str = ", ") -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return between.join(names[:count]) + more
