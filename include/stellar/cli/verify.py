"""`stellar verify`: do the stored files still hold what the ledger says?"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from stellar.cli import EXIT_FAILED
from stellar.errors import InputError

if TYPE_CHECKING:
    from stellar.engine.verify import Verified

app = typer.Typer()


@app.command()
def command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Datasets (NAME means own.NAME); all current ones when none is given"),
    ] = None,
    rows: Annotated[
        bool, typer.Option("--rows/--quick", help="Read every row, or compare sizes, hashes, footers and columns only")
    ] = True,
    repair: Annotated[
        bool, typer.Option("--repair", help="Move damaged snapshots aside, so that the next run makes them again")
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Build the partitions of one dataset from scratch: do they come out the same?"),
    ] = False,
    cell: Annotated[
        list[str] | None,
        typer.Option(metavar="ORDER/PIXEL", help="With --rebuild: only partitions there; may be given several times"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the faults as JSON")] = False,
) -> None:
    """Compare current snapshots with the ledger: sizes, hashes, footers, columns, partitions, manifests.

    And read every row: inside its cell, indexed by its position, sorted, and in the margins of all cells that it is
    near to. Ends with exit code 1 when something is damaged, and names the file. What to do then: `--repair` and
    `stellar run` (or the same import or cross-match), which makes the same snapshot again from its inputs; or `stellar
    datasets rollback` to the snapshot before. Raw data can only be put back from a copy.

    With --rebuild nothing that is stored is looked at for damage: the step runs again on the inputs that the snapshot
    was made from, and what comes out has to have the same hash.
    """
    if rebuild:
        _rebuild(names or [], cell or [], as_json)
        return
    if cell:
        raise InputError("--cell goes with --rebuild")
    from stellar.engine.maintain import set_aside
    from stellar.engine.publish import behind
    from stellar.engine.verify import verify_datasets
    from stellar.flow.context import open_context
    from stellar.lake.names import full_name

    def progress(dataset: str, done: int, total: int) -> None:
        if not as_json and sys.stderr.isatty():
            typer.echo(f"\r\033[K{done}/{total} {dataset}", nl=done == total, err=True)

    wanted = [full_name(name) for name in names or []]
    with open_context() as ctx:
        found = verify_datasets(ctx, wanted or None, rows=rows, progress=progress)
        lake = ctx.settings.lake
        faults = [
            {
                "dataset": one.dataset,
                "snapshot": one.snapshot,
                "file": fault.file,
                "what": fault.what,
                "path": str(lake / one.dataset.replace(".", "/", 1) / one.snapshot[:16] / fault.file),
            }
            for one in found
            for fault in one.faults
        ]
        moved = set_aside(ctx, faults) if repair else {}
        late = [one for one in behind(ctx.engine) if not wanted or one["dataset"] in wanted]
    if as_json:
        typer.echo(json.dumps(faults, indent=1))
    else:
        _table(found)
        for fault in faults:
            typer.echo(f"{fault['dataset']} {fault['snapshot'][:16]}  {fault['file']}: {fault['what']}")
        typer.echo(f"{len(faults)} faults" if faults else "all files are as they were committed")
    for one in late:
        why = f" ({one['fault']})" if one["fault"] else ""
        typer.echo(f"{one['dataset']}: Postgres is behind{why}; `stellar datasets publish` copies it", err=True)
    for dataset, folder in moved.items():
        by = "the same import or cross-match" if dataset.startswith("own.") else "`stellar run`"
        typer.echo(f"{dataset}: moved to {folder}; {by} makes it again", err=True)
    if faults:
        raise typer.Exit(EXIT_FAILED)


def _rebuild(names: list[str], cells: list[str], as_json: bool) -> None:
    """Build partitions again; exit code 1 when one does not come out as it is stored."""
    from stellar import flow
    from stellar.lake.names import full_name

    if len(names) != 1:
        raise InputError("--rebuild takes one dataset: stellar verify DATASET --rebuild [--cell ORDER/PIXEL]")

    def progress(name: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r\033[K{done}/{total} {name}", nl=done == total, err=True)

    with flow.open_context() as ctx:
        found = flow.rebuild(ctx, names[0], cells, progress=progress)
    typer.echo(json.dumps(found, indent=1) if as_json else flow.rebuild_text(found, full_name(names[0])))
    if not all(one["same"] for one in found):
        raise typer.Exit(EXIT_FAILED)


def _table(found: list[Verified]) -> None:
    if not found:
        return
    width = max(len(one.dataset) for one in found)
    typer.echo(
        f"{'DATASET':{width}}  {'SNAPSHOT':16}  {'FILES':>7}  {'ROWS':>13}  {'BYTES':>16}  {'MARGIN':>7}  FAULTS"
    )
    for one in found:
        margin = f'{one.margin_arcsec:g}"' if one.margin_arcsec else "-"
        typer.echo(
            f"{one.dataset:{width}}  {one.snapshot[:16]}  {one.files:>7,}  {one.rows:>13,}  {one.bytes:>16,}  "
            f"{margin:>7}  {len(one.faults) or 'none'}"
        )
