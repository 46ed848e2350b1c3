"""`stellar predict`: one row per object of a file or dataset of features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pyarrow as pa

    from stellar.engine.context import Context

app = typer.Typer()


@app.command()
def command(
    model: Annotated[str, typer.Argument(metavar="MODEL[@ALIAS|@NUMBER|@KEY]")],
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="Parquet or CSV file of features, or a dataset's name")
    ],
    out: Annotated[Path, typer.Option(help="Parquet file to write")],
) -> None:
    """Predict for each row of INPUT, in its order; `id` comes first, the model version last."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from stellar import flow
    from stellar.registry.bundle import Bundle
    from stellar.registry.store import ArtifactStore
    from stellar.registry.versions import resolve

    with flow.open_context() as ctx:
        found = resolve(ctx.engine, model)
        if found.warning:
            typer.echo(f"warning: {found.warning}", err=True)
        version = found.version
        bundle = Bundle.load(ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256))
        rows = _read(ctx, source)
    predictions = bundle.predict(_checked(rows, source, bundle.meaning.columns))
    ids = _ids(rows, bundle.meaning.example)
    table = pa.table({"id": ids, **{name: predictions[name] for name in predictions.column_names}})
    table = table.append_column("model_version", pa.array([version.key[:16]] * len(table), pa.string()))
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, out)
    typer.echo(f"{len(table)} rows by {version} in {out}")


def _read(ctx: Context, source: str) -> pa.Table:
    """Rows of a dataset or a file, in their order."""
    from stellar.errors import InputError
    from stellar.lake.sql import connect

    path = Path(source)
    if path.suffix == ".parquet" and path.is_file():
        import pyarrow.parquet as pq

        return pq.read_table(path)
    if path.suffix in (".csv", ".gz") and path.is_file():
        from pyarrow import csv

        return csv.read_csv(path)
    with connect(ctx.settings, ctx.engine) as lake:
        if source in lake.catalogs:
            return lake.catalogs[source].read_all()
        known = ", ".join(name for name in lake.catalogs if name.startswith("features."))
    raise InputError(
        f"{source}: neither a .parquet or .csv file nor a dataset; feature datasets: {known or 'none yet'}"
    )


def _checked(rows: pa.Table, source: str, columns: tuple[str, ...]) -> pa.Table:
    from stellar.errors import InputError

    missing = [name for name in columns if name not in rows.column_names]
    if missing:
        raise InputError(
            f"{source}: it lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which the model reads; its "
            f"columns are {', '.join(rows.column_names)}"
        )
    return rows


def _ids(rows: pa.Table, example: str) -> pa.ChunkedArray | pa.Array:
    """The example's id, a column `id`, or the row's number, as strings."""
    import pyarrow as pa

    for name in (example, "id"):
        if name in rows.column_names:
            return rows[name].cast(pa.string())
    return pa.array([str(number) for number in range(len(rows))], pa.string())
