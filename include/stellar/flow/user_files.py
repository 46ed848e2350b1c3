"""A user's own files as rows of features: each by the first dialect that it is of, as the lake's rows are made.

A file is read, its rows are curated, and features are made of them, for light curves of several files at once: their
transforms go in blocks (`features.nufft`), and one curve alone costs as much as a block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.catalog.curate import curate, curate_each
from stellar.errors import InputError
from stellar.profile import CATALOG, Curated, load_curated
from stellar.registry.feature_tables import FAULT, REFUSED, text_of
from stellar.surveys.files import FILES, FileSource, load_source, read_member
from stellar.surveys.readers.chunks_sources import kind_by_name
from stellar.surveys.readers.members import Member
from stellar.surveys.readers.parse import TOLD

# Endings that a name loses to be an id: those that begin with a letter, not the fraction of a coordinate
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,8}$")
#: Lists of a curated dataset that the features of a family of models are made of; one of the sets is enough.
LISTS = {
    "spectra": ({"loglam", "flux", "ivar", "and_mask"},),
    "lightcurves": ({"time_btjd", "flux", "flux_err", "quality"}, {"time_d", "mag", "mag_err"}),
}
TABLE_READERS = ("csv", "ascii", "parquet", "fits", "votable", "ecsv")


@dataclass(frozen=True)
class Dialect:
    """A kind of file whose rows can be predicted: how it is read, and how its rows are curated."""

    source: FileSource
    curated: Curated


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


@dataclass(frozen=True)
class CuratedFile:
    """Curated rows of one file.

    Parameters
    ----------
    name : str
        The file's name.
    table : pa.Table
        Its curated rows; where these are the features themselves, each row of the file, with `refused` and `row_fault`.
    config : Curated
        How they were curated.
    is_one : bool
        Whether the file has one object.
    is_asked_for : bool
        Whether the model reads the curated columns themselves.
    """

    name: str
    table: pa.Table
    config: Curated
    is_one: bool
    is_asked_for: bool


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
    tell = tell or (lambda why: None)
    return features_of_rows(curated_file(member, family, features, known, tell), family, tell)


def curated_file(
    member: Member, family: str, features: str, known: Sequence[Dialect], tell: Callable[[str], None]
) -> CuratedFile:
    """Curated rows of one file; parameters and errors as of `features_of`."""
    raw, dialect = _read(member, family, known)
    config = dialect.curated
    is_asked_for = features == f"curated.{config.dataset}"
    table = _each_row(raw, config) if is_asked_for else _curated(raw, config, tell)
    return CuratedFile(member.name, table, config, is_one=len(raw) == 1, is_asked_for=is_asked_for)


def _read(member: Member, family: str, known: Sequence[Dialect]) -> tuple[pa.Table, Dialect]:
    """Raw rows of a file, and the first dialect that it is of."""
    faults = []
    for dialect in known:
        try:
            return read_member(member, _as_written(member, dialect.source)), dialect
        except InputError as fault:
            faults.append(f"{dialect.source.reader}: {str(fault).removeprefix(f'{member.name}: ')}")
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


def features_of_rows(file: CuratedFile, family: str, tell: Callable[[str], None]) -> pa.Table:
    """Rows of features of a file's curated rows, with `id`; errors as of `features_of`."""
    if file.is_asked_for:
        return file.table
    curated = file.table
    ids = curated[file.config.id].cast(pa.string())
    if family == "spectra":
        from stellar.features.spectra import spectra_features

        table, filtered, reasons = spectra_features(curated, ids)
        rules = list(dict.fromkeys(_too_few_pixels(curated["loglam"][int(row)]) for row in filtered.nonzero()[0]))
        key = "spec_id"
    else:
        table, rules_of, reasons = _of_curves(curated, ids, file.config)
        rules, key = [rule.replace("_", " ") for rule in rules_of], "lc_id"
    whys = list(dict.fromkeys([*(reason for reason in reasons if reason), *rules]))
    if not table.num_rows:
        raise InputError(", ".join(whys))
    if lost := len(curated) - len(table):
        tell(f"{lost} of its {len(curated)} objects are not used: {', '.join(whys)}")
    return _with_id(table, key, file)


def curves_together(files: Sequence[CuratedFile]) -> list[pa.Table | None]:
    """As `features_of_rows` of each file of light curves whose rows can all be used; None of another.

    Parameters
    ----------
    files : sequence of CuratedFile
        Of one dialect.
    """
    config = files[0].config
    curated = pa.concat_tables([one.table for one in files])
    numbers = pa.chunked_array([pa.array(range(len(curated))).cast(pa.string())])
    table, _, _ = _of_curves(curated, numbers, config)
    place = table.schema.get_field_index("object_id")
    rows = table["object_id"].cast(pa.int64()).to_numpy()
    ids = curated[config.id].cast(pa.string()).take(pa.array(rows))
    table = table.set_column(place, table.schema.field(place), ids)
    ends = np.cumsum([0, *(len(one.table) for one in files)])
    made: list[pa.Table | None] = []
    for one, begin, end in zip(files, ends[:-1], ends[1:], strict=True):
        first, last = np.searchsorted(rows, (begin, end))
        is_whole = last - first == end - begin
        made.append(_with_id(table.slice(first, last - first), "lc_id", one) if is_whole else None)
    return made


def _of_curves(
    curated: pa.Table, objects: pa.ChunkedArray, config: Curated
) -> tuple[pa.Table, dict[str, int], list[str | None]]:
    """`lightcurve_features` of curves as they were curated."""
    from stellar.features.lightcurves import MAGNITUDES, lightcurve_features

    return lightcurve_features(curated, objects, MAGNITUDES if config.has("mag") else None)


def _with_id(table: pa.Table, key: str, file: CuratedFile) -> pa.Table:
    """A file of one object is named by the user; the ids within it are the survey's."""
    own = pa.array([_ENDING.sub("", text_of(file.name))])
    return table.add_column(0, "id", own if file.is_one else table[key].cast(pa.string()))


def _too_few_pixels(loglam: pa.ListScalar) -> str:
    """Why a spectrum has too little on the grid of the features: where it lies, or what its pixels are."""
    from stellar.features.spectra import DEFAULTS

    first, last = (round(10 ** loglam.values[at].as_py()) for at in (0, -1))
    low, high = (DEFAULTS["grid"][f"{end}_angstrom"] for end in ("first", "last"))
    if min(last, high) - max(first, low) < DEFAULTS["min_good_fraction"] * (high - low):
        return f"it has {first} to {last} Angstrom, of which too little lies in {low:.0f} to {high:.0f}"
    return "too few good pixels"
