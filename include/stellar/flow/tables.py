"""Users' own tables: files on disk to a dataset of the lake, in stages that any process may do again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from stellar.catalog.tables import import_step, schema_text
from stellar.engine import engine
from stellar.engine.context import Context
from stellar.engine.executors import map_unordered
from stellar.engine.run import build_all
from stellar.engine.staging import Staged, find_staged, stage
from stellar.engine.step import Step
from stellar.errors import GateFailed, InputError
from stellar.flow.choices import write_choices
from stellar.lake.names import own_name
from stellar.lake.read import HIVE_COLUMNS as TAKEN
from stellar.ledger import batches, snapshots
from stellar.settings import Settings
from stellar.sky.healpix import INDEX_COLUMN

if TYPE_CHECKING:
    from stellar.surveys.readers.chunks_sources import SourceFile

DEFAULT_MARGIN_ARCSEC = 10.0
# Fewer rows without a place than this are quarantined, however many the table has.
_FEW_ROWS = 1000

Progress = Callable[[str, int, int], None]


@dataclass
class Clock:
    """Seconds that each phase took, by its name."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = round(self.seconds.get(phase, 0.0) + time.perf_counter() - began, 4)


def import_table(
    ctx: Context,
    files: Sequence[str | Path],
    name: str,
    *,
    id_column: str,
    ra: str = "ra",
    dec: str = "dec",
    margin_arcsec: float = DEFAULT_MARGIN_ARCSEC,
    promote: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make a dataset of tables on disk: rows in cells of the sky, with margins.

    Called again with other files it makes the dataset anew of those; what has not changed is not read again.

    Parameters
    ----------
    ctx : Context
    files : sequence of path
        Parquet, CSV, FITS, VOTable, ECSV files or folders of them, HATS catalogues included.
    name : str
        The dataset; without a layer it is ``own.<name>``.
    id_column, ra, dec : str
        Columns of the tables: what identifies a row, and its position in degrees.
    margin_arcsec : float
        Width of the margins that are kept: the largest radius at which the dataset can be matched.
    promote : bool
        Whether the snapshot becomes current once it has passed its gate.
    progress : callable, optional
        Called as (phase, done, of how many).

    Returns
    -------
    dict
        ``dataset, snapshot, rows, quarantined, partitions, built, carried, found, changed`` and ``seconds`` by phase.

    Raises
    ------
    InputError
        When a file cannot be read or lacks a column; nothing has changed then.
    GateFailed
        When the snapshot did not pass its gate; it is kept as rejected.
    """
    clock = Clock()
    with clock("stage"):
        step = stage_table(
            ctx,
            files,
            name,
            id_column=id_column,
            ra=ra,
            dec=dec,
            margin_arcsec=margin_arcsec,
            progress=progress,
        )
    return make(ctx, step, promote=promote, clock=clock, progress=progress)


def stage_table(
    ctx: Context,
    files: Sequence[str | Path],
    name: str,
    *,
    id_column: str,
    ra: str = "ra",
    dec: str = "dec",
    margin_arcsec: float = DEFAULT_MARGIN_ARCSEC,
    progress: Progress | None = None,
) -> Step:
    """Stage the files and return the step that makes the dataset of them; arguments as for `import_table`."""
    dataset = own_name(name)
    if not 0 <= margin_arcsec < math.inf:
        raise InputError(f"the margin is {margin_arcsec} arcsec; it cannot be negative, nor without end")
    check_maker(ctx, dataset, "import")
    options = {"id": id_column, "ra": ra, "dec": dec}
    staged, schema = stage_files(ctx.settings, files, dataset, options, progress)
    _check_places(staged, options)
    _record(ctx, dataset, staged)
    ids = sorted({batch.batch_id for batch in staged})
    return import_step(dataset, ids, schema_text(schema), id_column, ra, dec, margin_arcsec)


def stage_files(
    settings: Settings,
    files: Sequence[str | Path],
    dataset: str,
    options: dict[str, str],
    progress: Progress | None = None,
) -> tuple[list[Staged], pa.Schema]:
    """Stage the tables of some files and folders for a dataset, or find them staged; asks no ledger.

    Parameters
    ----------
    settings : Settings
    files, progress
        As for `import_table`.
    dataset : str
        With its layer.
    options : dict
        ``id``, ``ra`` and ``dec``: names of columns.

    Returns
    -------
    list of Staged, pyarrow.Schema
        The batches, and the columns that the tables have together.

    Raises
    ------
    InputError
        When a file cannot be read or lacks a column.
    """
    sources, schema = sources_of(files, options)
    tell = partial(progress, "stage") if progress else None
    # those that are there are found here: to hand each to a thread takes longer
    found = [find_staged(settings.workspace, dataset, source, schema, options) for source in sources]
    lacking = [source for source, batch in zip(sources, found, strict=True) if batch is None]
    work = partial(stage_source, settings.without_secrets(), dataset, schema, options)
    fresh = map_unordered(settings, work, lacking, threads=True, progress=tell) if lacking else []
    return [*(batch for batch in found if batch is not None), *fresh], schema


def check_maker(ctx: Context, dataset: str, step: str) -> None:
    """Refuse to make a dataset in another way than its current snapshot was.

    Raises
    ------
    InputError
        When it was; names the dataset.
    """
    found = snapshots.current(ctx.engine, dataset)
    if found is not None and found.step != step:
        raise InputError(f"{dataset} is the outcome of another command ({found.step}); choose another --name")


def _check_places(staged: Sequence[Staged], options: dict[str, str]) -> None:
    """Most rows without a place mean that the columns are the wrong ones: nothing is made of them then."""
    rows, lost = (sum(getattr(one, what) for one in staged) for what in ("rows", "unplaced"))
    if lost > max(_FEW_ROWS, rows // 2):
        worst = max(staged, key=lambda one: one.unplaced)
        raise InputError(
            f"{lost:,} of {rows:,} rows have no {options['id']}, or no place on the sky by {options['ra']} and"
            f" {options['dec']}, {worst.unplaced:,} of them in {worst.source}; name the right columns with --id, --ra"
            " and --dec (degrees)"
        )


def sources_of(files: Sequence[str | Path], options: dict[str, str]) -> tuple[list[SourceFile], pa.Schema]:
    """The tables of some files and folders, and the columns that they have together; `options` names id, ra and dec."""
    from stellar.surveys.readers.chunks import common_schema, find_sources

    sources = find_sources([Path(file) for file in files])
    schema = common_schema(sources, required=[*options.values()], numbers=[options["ra"], options["dec"]])
    _check_columns(schema, options)
    return sources, schema


def stage_source(
    settings: Settings, dataset: str, schema: pa.Schema, options: dict[str, str], source: SourceFile
) -> Staged:
    """Stage one table, or find it staged."""
    return stage(settings.workspace, dataset, source, schema, options)


def _check_columns(schema: pa.Schema, wanted: dict[str, str]) -> None:
    for role, column in wanted.items():
        if column not in schema.names:
            raise InputError(
                f"there is no column {column!r}; the tables have {', '.join(schema.names)}; name the {role} column"
                f" with --{role}"
            )
    for role in ("ra", "dec"):
        type_ = schema.field(wanted[role]).type
        if not (pa.types.is_floating(type_) or pa.types.is_integer(type_) or pa.types.is_decimal(type_)):
            raise InputError(f"column {wanted[role]!r} is {type_}, not a number of degrees; name another with --{role}")
    if wanted["ra"] == wanted["dec"]:
        raise InputError(f"--ra and --dec name the same column {wanted['ra']!r}")
    if taken := sorted(TAKEN & {*schema.names}) + [INDEX_COLUMN] * (wanted["id"] == INDEX_COLUMN):
        raise InputError(
            f"column {taken[0]!r} is one that HATS catalogues keep for themselves; rename it, or name another --id"
        )
    type_ = schema.field(wanted["id"]).type
    if pa.types.is_floating(type_) or pa.types.is_nested(type_) or pa.types.is_binary(type_):
        raise InputError(
            f"column {wanted['id']!r} is {type_}; an id is a whole number or text, since a float cannot hold 64-bit"
            " ids; name another with --id"
        )


def _record(ctx: Context, dataset: str, staged: Iterable[Staged]) -> None:
    """Note in the ledger which files the dataset was read from."""
    with ctx.engine.begin() as connection:
        snapshots.lock_datasets(connection, [dataset])  # two imports of one name take turns
        snapshots.declare_dataset(connection, dataset, None)
        batches.record_staged(
            connection,
            dataset,
            [
                {
                    "batch_id": batch.batch_id,
                    "unit": batch.source,
                    "response_sha256": batch.source_sha256,
                    "row_count": batch.rows,
                    "quarantined": batch.unplaced,
                    "path": batch.parts[0],
                    "bytes": batch.bytes,
                }
                for batch in staged
            ],
            run_id=ctx.run_id,
        )


def make(
    ctx: Context,
    step: Step,
    *,
    on: Mapping[str, str] | None = None,
    promote: bool = True,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Plan, build, commit, gate and promote the step of one of the users' own datasets.

    It reads the snapshots `on` (dataset -> key), or the current ones.

    Returns
    -------
    dict
        As `import_table` says.
    """
    clock = clock or Clock()
    with clock("plan"):
        planned = engine.plan(ctx, step, on)
    if not planned.found:
        with clock("build"):
            build_all(ctx, step, planned, progress)
        with clock("commit"):
            engine.commit(ctx, step, planned)
    with clock("gate"):
        result = engine.gate(ctx, [planned.key])[0]
    if not result.passed:
        raise GateFailed(
            f"{step.dataset}, snapshot {planned.key[:16]}, did not pass its gate and is kept as rejected: "
            + "; ".join(result.reasons())
        )
    changed = False
    if promote:
        with clock("promote"):
            who, reason = "stellar", f"{step.name} {ctx.run_id or 'by command'}"
            changed = engine.promote(ctx, [planned.key], who=who, reason=reason)[step.dataset]
            write_choices(ctx)
    row = snapshots.get(ctx.engine, planned.key)
    accounting = snapshots.accounting_of(ctx.engine, planned.key) or {}
    carried = sum(one.carried for one in planned.partitions)
    return {
        "dataset": step.dataset,
        "snapshot": planned.key,
        "content_hash": row.content_hash,
        "path": str(ctx.settings.lake / str(row.path)),
        "rows": row.rows or 0,
        "quarantined": int(accounting.get("quarantined", 0)),
        "filtered": int(accounting.get("filtered", 0)),
        "partitions": row.partitions or 0,
        "built": 0 if planned.found else len(planned.partitions) - carried,
        "carried": carried,
        "found": planned.found,
        "changed": changed,
        "margin_arcsec": row.margin_arcsec,
        "seconds": clock.seconds,
    }


__all__ = ["Clock", "import_table", "make", "stage_files", "stage_table"]
