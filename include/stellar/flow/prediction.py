"""Predictions for a user's own files: spectra and light curves of any known dialect, tables of features, datasets.

A file goes the way that the lake's rows go, reader, curation, features, so that a model sees of it what it saw of its
training examples. One that cannot be used is told with the reason, and the others are done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from stellar.catalog.curate import curate, curate_each
from stellar.engine.context import Context
from stellar.errors import InputError
from stellar.lake.sql import connect
from stellar.profile import CATALOG, Curated, load_curated
from stellar.registry.bundle import Bundle
from stellar.registry.feature_tables import (
    FAULT,
    REFUSED,
    Predictions,
    predictions,
    tables_of_features,
    text_of,
    with_id,
)
from stellar.registry.store import ArtifactStore
from stellar.registry.versions import Resolved, resolve
from stellar.surveys.files import FILES, FileSource, load_source, read_member
from stellar.surveys.readers.chunks_sources import kind_by_name
from stellar.surveys.readers.members import Member, members
from stellar.surveys.readers.parse import TOLD

if TYPE_CHECKING:
    pass

# bytes of one file of spectra or of a light curve; what is larger is something else: DESI's have 500 spectra each, and
# matrices of resolution that are most of a file
LARGEST = 1 << 30
# Endings that a name loses to be an id: those that begin with a letter, not the fraction of a coordinate
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,8}$")
#: Lists of a curated dataset that the features of a family of models are made of; one of the sets is enough.
LISTS = {
    "spectra": ({"loglam", "flux", "ivar", "and_mask"},),
    "lightcurves": ({"time_btjd", "flux", "flux_err", "quality"}, {"time_d", "mag", "mag_err"}),
}
TABLE_READERS = ("csv", "ascii", "parquet", "fits", "votable", "ecsv")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Dialect:
    """A kind of file whose rows can be predicted: how it is read, and how its rows are curated."""

    source: FileSource
    curated: Curated


def predict(
    ctx: Context,
    model: str,
    inputs: Sequence[str],
    progress: Progress | None = None,
    *,
    out: Path | None = None,
    keep: Callable[[pa.Table], None] | None = None,
) -> Predictions:
    """Predict for every object of some inputs.

    Parameters
    ----------
    model : str
        ``MODEL``, ``MODEL@ALIAS``, ``MODEL@NUMBER`` or ``MODEL@KEY``.
    inputs : sequence of str
        Files, folders of files, tar or zip archives of them, tables of features, datasets' names.
    progress : callable, optional
        Called as (what, inputs done, inputs).
    out : Path, optional
        A file that is no input, though a folder of the inputs may hold it: where the predictions go.
    keep : callable, optional
        Called with each batch of predictions, which the result's table then does not hold.

    Returns
    -------
    Predictions
        Its table begins with `id`: the id column of a table or dataset; the name without ending of a file of one
        spectrum or curve, the survey's own id where a file holds several. It ends with `file`: where the row's object
        was found.

    Raises
    ------
    InputError
        When the model is not there, or nothing of the inputs can be used; with the reasons.
    """
    found: Resolved = resolve(ctx.engine, model)
    version = found.version
    bundle = Bundle.load(ArtifactStore(ctx.settings.artifacts).get(version.artifact_sha256))
    made = Predictions(version, found.warning)
    family, features = version.config["family"], version.config["features"]
    reader = _Reader(bundle, family, dialects(family, features), made.refused)
    sources = [one for given in inputs for one in _listed(ctx, given, bundle, out)]
    rows = reader.rows(sources, progress or (lambda what, done, total: None))
    for part in predictions(bundle, rows, version.key, lambda where, why: made.refused.append((where, why))):
        made.add(part, keep)
    made.check()
    return made


def dialects(family: str, features: str) -> list[Dialect]:
    """Kinds of files that give the features of a family of models, by name.

    A model of a curated dataset's own columns reads that dataset's kind of file, or a table with its columns.
    """
    sources = [load_source(path.stem) for path in sorted(FILES.glob("*.yaml"))]
    room, _, name = features.partition(".")
    if room == "curated":
        config = load_curated(name)
        return [Dialect(source, config) for source in sources if source.dataset == config.source]
    wanted = LISTS.get(family, ())
    curated = {}
    for path in sorted(CATALOG.glob("*.yaml")):
        config = load_curated(path.stem)
        if any(all(config.has(name) for name in names) for names in wanted):
            curated[config.source] = config
    return [Dialect(source, curated[source.dataset]) for source in sources if source.dataset in curated]


def features_of(
    member: Member, family: str, features: str, known: Sequence[Dialect], tell: Callable[[str], None] | None = None
) -> pa.Table:
    """Rows of the dataset `features` of one file, with `id`, by the first dialect that it is of.

    Of a curated dataset each row of the file is one, in its order, with why it must not be predicted in `refused` and
    what is wrong with it in `row_fault`; both are null for a sound row. For other features `tell` is called with what
    of the file was left out, and why, where the rest is used.

    Raises
    ------
    InputError
        When it is of none, or its rows cannot be used; with the reason.
    """
    faults = []
    for dialect in known:
        try:
            raw = read_member(member, _as_written(member, dialect.source))
        except InputError as fault:
            faults.append(f"{dialect.source.reader}: {str(fault).removeprefix(f'{member.name}: ')}")
            continue
        if features == f"curated.{dialect.curated.dataset}":
            return _each_row(raw, dialect.curated)
        tell = tell or (lambda why: None)
        curated = _curated(raw, dialect.curated, tell)
        return _features(curated, member, family, dialect.curated, is_one=len(raw) == 1, tell=tell)
    raise InputError(f"of no kind that gives {family} ({'; '.join(dict.fromkeys(faults))})")


def _as_written(member: Member, source: FileSource) -> FileSource:
    """The source, with the reader that a table's ending asks for."""
    kind = kind_by_name(Path(member.name))
    if not {source.reader, kind} <= {*TABLE_READERS} or kind == source.reader:
        return source
    is_comma = kind != "csv" or member.name.lower().removesuffix(".gz").endswith(".csv")
    return source.model_copy(update={"reader": kind, "options": {} if is_comma else {"delimiter": "\t"}})


def _each_row(raw: pa.Table, config: Curated) -> pa.Table:
    """Curated columns of every row of a file, whatever is wrong with it; a row without an id has its number."""
    if not len(raw):
        raise InputError("it has no rows")
    rows, refused, fault = curate_each(raw, config)
    numbers = pa.array([f"row {number + 1}" for number in range(len(rows))])
    rows = rows.add_column(0, "id", pc.coalesce(rows[config.id].cast(pa.string()), numbers))
    refused = [why and f"not predicted: {why}" for why in refused]
    for name, why in ((REFUSED, refused), (FAULT, fault)):
        rows = rows.append_column(name, pa.array(why, pa.string()))
    return rows


def _curated(raw: pa.Table, config: Curated, tell: Callable[[str], None]) -> pa.Table:
    """Curated rows of one file; what is predicted need have no position."""
    if told := (raw.schema.metadata or {}).get(TOLD):
        tell(told.decode())
    made = curate(raw, raw.slice(0, 0), config.model_copy(update={"layout": "plain"}))
    reasons = [str(why) for why in made.quarantine["reason"].to_pylist()] if made.quarantine else []
    rules = list(made.accounting.filtered)
    if not made.table.num_rows:
        raise InputError(", ".join(dict.fromkeys(reasons or rules)) or "it has no rows")
    lost = len(reasons) + sum(made.accounting.filtered.values())
    if lost:
        tell(f"{lost} of its {len(raw)} rows are not used: {', '.join(dict.fromkeys([*reasons, *rules]))}")
    if merged := made.accounting.merged:
        tell(f"{merged} of its {len(raw)} rows are not used: other rows have the same {config.id}")
    return made.table


def _features(curated: pa.Table, member: Member, family: str, config: Curated, *, is_one: bool,
              tell: Callable[[str], None]) -> pa.Table:  # fmt: skip
    """Featured rows of one file, `is_one` where it holds one object."""
    ids = curated[config.id].cast(pa.string())
    if family == "spectra":
        from stellar.features.spectra import spectra_features

        table, filtered, reasons = spectra_features(curated, ids)
        rules = list(dict.fromkeys(_too_few_pixels(curated["loglam"][int(row)]) for row in filtered.nonzero()[0]))
        key = "spec_id"
    else:
        from stellar.features.lightcurves import MAGNITUDES, lightcurve_features

        table, rules_of, reasons = lightcurve_features(curated, ids, MAGNITUDES if config.has("mag") else None)
        rules, key = [rule.replace("_", " ") for rule in rules_of], "lc_id"
    whys = list(dict.fromkeys([*(reason for reason in reasons if reason), *rules]))
    if not table.num_rows:
        raise InputError(", ".join(whys))
    if lost := len(curated) - len(table):
        tell(f"{lost} of its {len(curated)} objects are not used: {', '.join(whys)}")
    # a file of one object is named by the user; the ids within it are the survey's
    own = pa.array([_ENDING.sub("", text_of(member.name))])
    return table.add_column(0, "id", own if is_one else table[key].cast(pa.string()))


def _too_few_pixels(loglam: pa.ListScalar) -> str:
    """Why a spectrum has too little on the grid of the features: where it lies, or what its pixels are."""
    from stellar.features.spectra import DEFAULTS

    first, last = (round(10 ** loglam.values[at].as_py()) for at in (0, -1))
    low, high = (DEFAULTS["grid"][f"{end}_angstrom"] for end in ("first", "last"))
    if min(last, high) - max(first, low) < DEFAULTS["min_good_fraction"] * (high - low):
        return f"it has {first} to {last} Angstrom, of which too little lies in {low:.0f} to {high:.0f}"
    return "too few good pixels"


@dataclass(frozen=True)
class _Reader:
    """Feature rows of files; what cannot be used goes to `refused`, with the reason."""

    bundle: Bundle
    family: str
    known: Sequence[Dialect]
    refused: list[tuple[str, str]]

    def rows(self, sources: Sequence[Path | pa.Table], tell: Progress) -> Iterator[pa.Table]:
        """Rows of each source in turn, with `id` and `file`."""
        for done, source in enumerate(sources):
            tell("predict", done, len(sources))
            if isinstance(source, pa.Table):
                yield source
                continue
            try:
                yield from self._of(source)
            except Exception as fault:  # of a damaged or hostile file anything may come, and the others are done
                self._refuse(text_of(source), fault)
        tell("predict", len(sources), len(sources))

    def _of(self, path: Path) -> Iterator[pa.Table]:
        is_of_curated = self.bundle.meaning.features.startswith("curated.")
        tables = tables_of_features(path, self.bundle, is_of_curated=is_of_curated)
        if tables is not None:
            yield from tables
        elif not self.known:
            read = ", ".join(sorted(self.bundle.reads))
            raise InputError(f"it is no table (.parquet, .csv) that has the columns which the model reads: {read}")
        else:
            yield from self._members(path)

    def _members(self, path: Path) -> Iterator[pa.Table]:
        if path.stat().st_size > LARGEST and path.suffix.lower() not in (".tar", ".zip", ".gz", ".tgz"):
            raise InputError(f"it has more than {LARGEST >> 20} MiB; files of spectra and light curves have not")
        count = 0
        told = len(self.refused)

        def unread(inside: str, why: str) -> None:
            self.refused.append((f"{text_of(path)}: {text_of(inside)}", why))

        for member in members(path, limit=LARGEST, refuse=unread):
            count += 1
            where = f"{text_of(path)}: {text_of(member.inside)}" if member.inside else text_of(path)
            try:
                made = features_of(
                    member,
                    self.family,
                    self.bundle.meaning.features,
                    self.known,
                    lambda why, where=where: self.refused.append((where, why)),
                )
                rows = _as_trained(made, self.bundle)
                yield rows.append_column("file", pa.array([where] * len(rows), pa.string()))
            except Exception as fault:  # as above
                self._refuse(where, fault)
        if not count and told == len(self.refused):
            raise InputError("there is no file in it")

    def _refuse(self, where: str, fault: Exception) -> None:
        text = str(fault) if isinstance(fault, InputError) else f"cannot be read: {type(fault).__name__}: {fault}"
        self.refused.append((where, text.removeprefix(f"{where}: ")))


def _as_trained(rows: pa.Table, bundle: Bundle) -> pa.Table:
    """Rows that have what the model was trained with: fluxes and magnitudes do not give all the same features."""
    lacking = sorted({*bundle.reads} - {*rows.column_names})
    if lacking:
        raise InputError(f"its features have no {', '.join(lacking)}, which the model was trained with")
    return rows


def _listed(ctx: Context, given: str, bundle: Bundle, out: Path | None) -> list[Path | pa.Table]:
    """The files of an input, or a dataset's rows."""
    path = Path(given)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as fault:
        raise InputError(f"{given[:80]}: {fault.strerror}") from None
    if is_folder:
        files = sorted(
            one for one in path.rglob("*") if one.is_file() and not (out and out.exists() and one.samefile(out))
        )
        if not files:
            raise InputError(f"{given}: there is no file in this folder")
        return [*files]
    if is_file:
        return [path]
    with connect(ctx.settings, ctx.engine) as lake:
        if given in lake.catalogs:
            needed = {"id", bundle.meaning.example, *bundle.reads}
            return [with_id(lake.catalogs[given].read_all(sorted(needed)), given, bundle)]
        datasets = ", ".join(name for name in lake.catalogs if name.startswith("features."))
    raise InputError(f"{given}: neither a file, a folder nor a dataset; feature datasets: {datasets or 'none yet'}")
