"""`stellar predict`: one row per object of a user's own files, or of a dataset."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from stellar.cli.progress import percentage
from stellar.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from stellar.registry.feature_tables import Predictions

app = typer.Typer()

SHOWN = 20


@app.command()
def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL[@ALIAS|@NUMBER|@KEY]|DIR", help="DIR: what `stellar models export` wrote")
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT…",
            help="Spectra or light curves (FITS, text), folders, tar and zip archives of them; tables of features "
            "(Parquet, CSV); a dataset's name",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Parquet file to write")],
) -> None:
    """Predict for each object of the inputs, in their order; `id` comes first, model version and file last.

    The id of a file of one object is its name without the extension. Files that cannot be used are listed with the
    reason, and the rest is done. With an exported DIR no home and no database is needed; its inputs are tables.
    """
    _check(out, inputs)
    with Written(out) as written:
        made = _predict(model, inputs, out, written.add)
    for name, why in made.refused[:SHOWN]:
        typer.echo(f"not used: {name}: {why}", err=True)
    if len(made.refused) > SHOWN:
        typer.echo(f"not used: {len(made.refused) - SHOWN} more", err=True)
    left = f"; {len(made.refused)} files could not be used" if made.refused else ""
    typer.echo(f"{made.rows} rows by {made.version} in {out}{left}")


class Written:
    """A Parquet file that is there when all of its rows are."""

    def __init__(self, out: Path) -> None:
        self.out, self.fresh = out, out.with_name(f".{out.name}.{uuid.uuid4().hex}")
        self.writer: Any = None

    def add(self, rows: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.writer is None:
            # a number of its own in each row takes no dictionary; its bytes by place are smaller and quicker to pack
            words = [one.name for one in rows.schema if pa.types.is_string(one.type)]
            split = [one.name for one in rows.schema if pa.types.is_floating(one.type)]
            self.writer = pq.ParquetWriter(
                self.fresh, rows.schema, compression="zstd", use_dictionary=words, use_byte_stream_split=split
            )
        self.writer.write_table(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if self.writer:
                self.writer.close()
            if kind is None:
                self.fresh.replace(self.out)
        finally:
            self.fresh.unlink(missing_ok=True)


def _predict(model: str, inputs: list[str], out: Path, keep: Callable[[pa.Table], None]) -> Predictions:
    from stellar.registry import standalone

    if standalone.is_export(model):
        return standalone.predict(Path(model), inputs, percentage(), keep=keep)
    from stellar import flow

    with flow.open_context() as ctx:
        made = flow.predict(ctx, model, inputs, percentage(), out=out, keep=keep)
    if made.warning:
        typer.echo(f"warning: {made.warning}", err=True)
    return made


def _check(out: Path, inputs: list[str]) -> None:
    """Refuse, before any work, an output that cannot be written or would replace an input; its folder is made."""
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name a file in it")
    if out.exists() and any(Path(given).exists() and out.samefile(given) for given in inputs):
        raise InputError(f"--out {out} is one of the inputs; name another file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise InputError(f"--out {out}: {out.parent} cannot be made a folder: {fault.strerror}") from None
