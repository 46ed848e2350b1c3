"""Predictions for a user's own files: spectra and light curves of any known dialect, tables of features, datasets.

A file goes the way that the lake's rows go, reader, curation, features, so that a model sees of it what it saw of its
training examples. One that cannot be used is told with the reason, and the others are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from stellar.catalog.curate import curate
from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.lake.sql import connect
from stellar.profile import CATALOG, Curated, load_curated
from stellar.registry.bundle import Bundle
from stellar.registry.store import ArtifactStore
from stellar.registry.versions import Resolved, resolve
from stellar.surveys.files import FILES, FileSource, load_source, read_member
from stellar.surveys.readers.members import Member, members

if TYPE_CHECKING:
    from stellar.registry.versions import Version

BATCH = 256  # feature rows that are predicted at once
#: Lists of a curated dataset that the features of a family of models are made of; one of the sets is enough.
LISTS = {
    "spectra": ({"loglam", "flux", "ivar", "and_mask"},),
    "lightcurves": ({"time_btjd", "flux", "flux_err", "quality"}, {"time_d", "mag", "mag_err"}),
}
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Dialect:
    """A kind of file whose rows can be predicted: how it is read, and how its rows are curated."""

    source: FileSource
    curated: Curated


@dataclass
class Predictions:
    """What `predict` gives: a row per object, the version that did it, and the files that could not be used."""

    table: pa.Table
    version: Version
    warning: str | None
    refused: list[tuple[str, str]] = field(default_factory=list)


def predict(ctx: Context, model: str, inputs: Sequence[str], progress: Progress | None = None) -> Predictions:
    """Predict for every object of some inputs.

    Parameters
    ----------
    model : str
        ``MODEL``, ``MODEL@ALIAS``, ``MODEL@NUMBER`` or ``MODEL@KEY``.
    inputs : sequence of str
        Files, folders of files, tar or zip archives of them, tables of features, datasets' names.
    progress : callable, optional
        Called as (what, inputs done, inputs).

    Returns
    -------
    Predictions
        Its table begins with `id`: the id column of a table or dataset; the name without extension of a file of one
        object, the survey's own id where a file holds several.

    Raises
    ------
    InputError
        When the model is not there, or nothing of the inputs can be used; with the reasons.
    """
    found: Resolved = resolve(ctx.engine, model)
    bundle = Bundle.load(ArtifactStore(ctx.settings.artifacts).get(found.version.artifact_sha256))
    refused: list[tuple[str, str]] = []
    parts: list[pa.Table] = []
    for rows in _batches(_rows(ctx, found.version, bundle, inputs, refused, progress)):
        parts.append(_predicted(bundle, rows, found.version.key))
    if not parts:
        reasons = "; ".join(f"{name}: {why}" for name, why in refused[:5])
        more = f"; and {len(refused) - 5} more" if len(refused) > 5 else ""
        raise InputError(f"nothing to predict for: {reasons or 'the inputs have no rows'}{more}")
    return Predictions(pa.concat_tables(parts), found.version, found.warning, refused)


def dialects(family: str) -> list[Dialect]:
    """Kinds of files that give the features of a family of models, by name."""
    wanted = LISTS.get(family, ())
    curated = {}
    for path in sorted(CATALOG.glob("*.yaml")):
        config = load_curated(path.stem)
        if any(all(config.has(name) for name in names) for names in wanted):
            curated[config.source] = config
    sources = [load_source(path.stem) for path in sorted(FILES.glob("*.yaml"))]
    return [Dialect(source, curated[source.dataset]) for source in sources if source.dataset in curated]


def features_of(member: Member, family: str, known: Sequence[Dialect]) -> pa.Table:
    """Feature rows of one file, with `id`, by the first dialect that it is of.

    Raises
    ------
    InputError
        When it is of none, or its rows cannot be used; with the reason.
    """
    faults = []
    for dialect in known:
        try:
            raw = read_member(member, dialect.source)
        except InputError as fault:
            faults.append(f"{dialect.source.reader}: {str(fault).removeprefix(f'{member.name}: ')}")
            continue
        return _features(raw, member, family, dialect.curated)
    raise InputError(f"of no kind that gives {family} ({'; '.join(dict.fromkeys(faults))})")


def _features(raw: pa.Table, member: Member, family: str, config: Curated) -> pa.Table:
    """Curated and featured rows of one file; what is predicted need have no position."""
    made = curate(raw, raw.slice(0, 0), config.model_copy(update={"layout": "plain"}))
    if not made.table.num_rows:
        why = made.quarantine["reason"].to_pylist() if made.quarantine else list(made.accounting.filtered)
        raise InputError(", ".join(dict.fromkeys(map(str, why))) or "it has no rows")
    ids = made.table[config.id].cast(pa.string())
    if family == "spectra":
        from stellar.features.spectra import spectra_features

        table, filtered, reasons = spectra_features(made.table, ids)
        rules = ["too few good pixels"] if filtered.any() else []
        key = "spec_id"
    else:
        from stellar.features.lightcurves import MAGNITUDES, lightcurve_features

        table, rules_of, reasons = lightcurve_features(made.table, ids, MAGNITUDES if config.has("mag") else None)
        rules, key = [rule.replace("_", " ") for rule in rules_of], "lc_id"
    if not table.num_rows:
        raise InputError(", ".join([*(reason for reason in reasons if reason), *rules]))
    # a file of one object is named by the user; the ids within it are the survey's
    one = len(raw) == 1
    names = pa.array([PurePosixPath(member.name).stem]) if one else table[key].cast(pa.string())
    return table.add_column(0, "id", names)


def _rows(
    ctx: Context,
    version: Version,
    bundle: Bundle,
    inputs: Sequence[str],
    refused: list[tuple[str, str]],
    progress: Progress | None,
) -> Iterator[pa.Table]:
    """Feature rows of each input in turn, with `id`."""
    tell = progress or (lambda what, done, total: None)
    family = version.config["family"]
    known = dialects(family)
    sources = [one for given in inputs for one in _listed(ctx, given, bundle)]
    for done, source in enumerate(sources):
        tell("predict", done, len(sources))
        if isinstance(source, pa.Table):
            yield source
        elif (table := _table_of_features(source, bundle)) is not None:
            yield table
        else:
            yield from _files(source, bundle, family, known, refused)
    tell("predict", len(sources), len(sources))


def _files(
    path: Path, bundle: Bundle, family: str, known: Sequence[Dialect], refused: list[tuple[str, str]]
) -> Iterator[pa.Table]:
    """Feature rows of each file in `path`, an archive or one file; what cannot be used goes to `refused`."""
    if not known:
        refused.append((str(path), f"a model of {family} reads tables of features (.parquet, .csv) and datasets"))
        return
    try:
        for member in members(path):
            try:
                yield _as_trained(features_of(member, family, known), bundle)
            except InputError as fault:
                where = str(path) if path.name.startswith(member.name) else f"{path}: {member.name}"
                refused.append((where, str(fault)))
    except InputError as fault:
        refused.append((str(path), str(fault).removeprefix(f"{path}: ")))


def _as_trained(rows: pa.Table, bundle: Bundle) -> pa.Table:
    """Rows that have what the model was trained with: fluxes and magnitudes do not give all the same features."""
    lacking = sorted({*bundle.meaning.columns, *bundle.ranges.missing} - {*rows.column_names})
    if lacking:
        raise InputError(f"its features have no {', '.join(lacking)}, which the model was trained with")
    return rows


def _listed(ctx: Context, given: str, bundle: Bundle) -> list[Path | pa.Table]:
    """The files of an input, or a dataset's rows."""
    path = Path(given)
    if path.is_dir():
        files: list[Path | pa.Table] = [*sorted(one for one in path.rglob("*") if one.is_file())]
        if not files:
            raise InputError(f"{given}: there is no file in this folder")
        return files
    if path.is_file():
        return [path]
    with connect(ctx.settings, ctx.engine) as lake:
        if given in lake.catalogs:
            return [_with_id(lake.catalogs[given].read_all(), given, bundle)]
        datasets = ", ".join(name for name in lake.catalogs if name.startswith("features."))
    raise InputError(f"{given}: neither a file, a folder nor a dataset; feature datasets: {datasets or 'none yet'}")


def _table_of_features(path: Path, bundle: Bundle) -> pa.Table | None:
    """A table on disk that has the model's columns; None for a file of another kind."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq

        return _with_id(pq.read_table(path), str(path), bundle)
    if not name.endswith((".csv", ".csv.gz")):
        return None
    from pyarrow import csv

    try:
        table = csv.read_csv(path)
    except pa.ArrowInvalid as fault:
        if bundle.model.kind == "tabular":
            raise InputError(f"{path}: not a table with commas: {fault}") from None
        return None
    has_any = any(column in table.column_names for column in bundle.meaning.columns)
    return _with_id(table, str(path), bundle) if has_any else None


def _with_id(rows: pa.Table, source: str, bundle: Bundle) -> pa.Table:
    """Rows with the model's columns, and `id`: the example's, a column `id`, or the row's number, as text."""
    missing = [name for name in bundle.meaning.columns if name not in rows.column_names]
    if missing:
        raise InputError(
            f"{source}: it lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which the model reads; its "
            f"columns are {', '.join(rows.column_names)}"
        )
    for name in (bundle.meaning.example, "id"):
        if name in rows.column_names:
            ids: Any = rows[name].cast(pa.string())
            break
    else:
        ids = pa.array([str(number) for number in range(len(rows))], pa.string())
    return rows.drop_columns([one for one in ("id",) if one in rows.column_names]).add_column(0, "id", ids)


def _batches(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Tables of one schema put together to batches; those of files have a row or a few."""
    held: list[pa.Table] = []
    for table in tables:
        if held and (table.schema != held[0].schema or sum(map(len, held)) >= BATCH):
            yield pa.concat_tables(held)
            held = []
        held.append(table)
    if held:
        yield pa.concat_tables(held)


def _predicted(bundle: Bundle, rows: pa.Table, key: str) -> pa.Table:
    predictions = bundle.predict(rows)
    table = predictions.add_column(0, "id", rows["id"])
    return table.append_column("model_version", pa.array([key[:16]] * len(table), pa.string()))
