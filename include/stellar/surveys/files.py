"""Files on disk as a survey: each file under `STELLAR_DATA` that a source's globs match is one unit of work.

`config/files/<source>.yaml` says which files, in what dialect, and which of their columns become which raw columns. A
unit's sign is the file's size and SHA-256 and a digest of how it is read, so a file that changed, or whose source did,
is read again and its rows supersede the former ones. A file that is gone becomes an empty unit.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from stellar.checked_yaml import Section, load_yaml
from stellar.errors import InputError
from stellar.profile import TYPES
from stellar.settings import CONFIG, Settings
from stellar.surveys.base import Fetched, Scope, WorkUnit, digest, missing
from stellar.surveys.readers import layouts, lightcurves, spectra, tables
from stellar.surveys.readers.members import Member, members
from stellar.surveys.readers.parse import TOLD, to_type

FILES = CONFIG / "files"
FAULT, ROW, FILE = tables.FAULT, tables.ROW, "file_name"
GONE = "0"  # sign of a unit whose file is no longer there
READERS: dict[str, Callable[[Member, Mapping[str, Any]], pa.Table]] = {
    "csv": tables.read_csv,
    "ascii": tables.read_ascii,
    "parquet": tables.read_parquet,
    "fits": tables.read_fits_table,
    "votable": tables.read_votable,
    "ecsv": tables.read_ecsv,
    "sdss_spectrum": spectra.read_sdss_spectrum,
    "lamost_spectrum": spectra.read_lamost_spectrum,
    "sdss_eigen": spectra.read_sdss_eigen,
    "spectra_file": layouts.read_spectra_file,
    "space_lightcurve": lightcurves.read_space_lightcurve,
    "curve": lightcurves.read_curve,
}


class FileColumn(Section):
    """A raw column: its type, and the file's column that it comes from (the same name, in any case, unless given)."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    type: str = Field(description=f"One of {', '.join(TYPES)}")
    source: str | None = Field(None, description="Column of the file; `header.<KEY>` for a card of its FITS header")
    optional: bool = Field(False, description="Whether a file may lack it")

    @property
    def arrow_type(self) -> pa.DataType:
        return TYPES[self.type]


class FileSource(Section):
    """`config/files/<name>.yaml`: files of one dialect, and the raw dataset that they become."""

    dataset: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="`raw.<dataset>`")
    release: str
    description: str = ""
    files: list[str] = Field(description="Globs under STELLAR_DATA")
    members: str = Field("*", description="Glob of the files to read within a tar or zip archive")
    reader: str = Field(description=f"One of {', '.join(READERS)}")
    options: dict[str, Any] = Field({}, description="Of the reader, see its docstring")
    id: str = Field(description="Raw column that identifies a row")
    columns: list[FileColumn]

    def sign(self, scope: Scope) -> str:
        """Digest of everything that decides which rows and values a file gives."""
        return digest(self.model_dump(mode="json", exclude={"description", "files"}), scope.regions, scope.cells)


@cache
def load_source(name: str) -> FileSource:
    """Config of a file source; raises `InputError` with file and line."""
    source = load_yaml(FILES / f"{name}.yaml", FileSource)
    if source.reader not in READERS:
        raise InputError(f"{FILES / name}.yaml: unknown reader {source.reader!r}; known: {', '.join(READERS)}")
    wrong = sorted({c.type for c in source.columns} - set(TYPES))
    if wrong:
        raise InputError(f"{FILES / name}.yaml: unknown type {', '.join(wrong)}; known: {', '.join(TYPES)}")
    return source


def open_survey(settings: Settings, profile: Mapping[str, Any] | None = None) -> FilesSurvey:
    """The file sources that the profile names; all that there are, where it names none."""
    names = list((profile or {}).get("files") or sorted(p.stem for p in FILES.glob("*.yaml")))
    return FilesSurvey(settings.data, {name: load_source(name) for name in names})


class FilesSurvey:
    """Files of a folder, by source."""

    name = "files"

    def __init__(self, folder: Path, sources: Mapping[str, FileSource]) -> None:
        self.folder = folder
        self.sources = dict(sources)
        self.datasets = tuple(dict.fromkeys(source.dataset for source in self.sources.values()))
        self.id_columns: Mapping[str, str] = {source.dataset: source.id for source in self.sources.values()}

    def plan(self, scope: Scope, done: Mapping[tuple[str, str], str]) -> list[WorkUnit]:
        """One unit a file that is new, changed, read in another way or gone; one in several globs counts once.

        Raises
        ------
        InputError
            When the folder is missing, or holds no file of any source.
        """
        if not self.folder.is_dir():
            raise InputError(f"{self.folder}: there is no such folder; set STELLAR_DATA to the folder of survey files")
        found = [(name, source, path) for name, source in self.sources.items() for path in self._paths(source)]
        units = [self._unit(name, source, path, scope) for name, source, path in found]
        if not units:
            wanted = ", ".join(glob for source in self.sources.values() for glob in source.files)
            raise InputError(f"{self.folder}: none of the files {wanted} is there; set STELLAR_DATA to their folder")
        return missing([*units, *self._gone(units, done)], done)

    def fetch(self, unit: WorkUnit) -> Fetched:
        """Read one file.

        Raises
        ------
        InputError
            Naming the file and what is wrong with it. Single rows that cannot be read come with a text in `fault`.
        """
        source, path = self.sources[unit.params["source"]], self.folder / unit.params["path"]
        if unit.sign == GONE:
            if path.exists():
                raise InputError(f"{path}: the file is back since the sync was planned; plan it again")
            query = f"{source.reader} {unit.params['path']}"
            return Fetched(_no_rows(source), path.as_uri(), query, unit.params, hashlib.sha256(b"").hexdigest())
        if not path.is_file():
            raise InputError(f"{path}: the file is gone since it was planned; plan the sync again")
        scope, content = Scope.from_dict(unit.params["scope"]), _sha256(path)
        if unit.sign != _sign(path, content, source, scope):
            raise InputError(f"{path}: the file or its source changed since it was planned; plan the sync again")
        table = _in_scope(read(path, source), scope)
        query = f"{source.reader} {unit.params['path']}"
        return Fetched(table, path.as_uri(), query, {"source": unit.params["source"], **source.options}, content)

    def _paths(self, source: FileSource) -> list[Path]:
        return sorted({p for glob in source.files for p in self.folder.glob(glob) if p.is_file()})

    def _unit(self, name: str, source: FileSource, path: Path, scope: Scope) -> WorkUnit:
        relative = path.relative_to(self.folder).as_posix()
        params = {"source": name, "path": relative, "scope": scope.to_dict()}
        sign = _sign(path, _sha256(path), source, scope)
        return WorkUnit(self.name, source.dataset, source.release, relative, sign, params)

    def _gone(self, units: Sequence[WorkUnit], done: Mapping[tuple[str, str], str]) -> list[WorkUnit]:
        """Empty units of files that were read before and are no longer in the folder."""
        source_of = {source.dataset: name for name, source in reversed(self.sources.items())}
        found = {(unit.dataset, unit.unit) for unit in units}
        return [
            WorkUnit(self.name, dataset, self.sources[name].release, path, GONE, {"source": name, "path": path}, 0)
            for (dataset, path), sign in sorted(done.items())
            if (name := source_of.get(dataset))
            and sign != GONE
            and (dataset, path) not in found
            # one that is there belongs to a source that is not asked for now
            and not (self.folder / path).exists()
        ]


def _sign(path: Path, content: str, source: FileSource, scope: Scope) -> str:
    return f"{path.stat().st_size}-{content}-{source.sign(scope)}"


def _no_rows(source: FileSource) -> pa.Table:
    """No rows of the source's raw columns, in their types."""
    columns = [(column.name, column.arrow_type) for column in source.columns]
    return pa.schema([*columns, (FILE, pa.string()), (ROW, pa.int64()), (FAULT, pa.string())]).empty_table()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _in_scope(table: pa.Table, scope: Scope) -> pa.Table:
    """Rows of the scope; a row without a readable position stays, for its fault to be seen."""
    if scope.everywhere or not {"ra", "dec"} <= set(table.column_names):
        return table
    ra, dec = (np.nan_to_num(table[c].to_numpy(zero_copy_only=False)) for c in ("ra", "dec"))
    nowhere = pc.or_(pc.is_null(table["ra"]), pc.is_null(table["dec"]))
    return table.filter(pc.or_(nowhere, pa.array(scope.contains(ra, dec))))


def read(path: Path, source: FileSource) -> pa.Table:
    """All rows of a file in the source's raw columns, with `file_name`, `file_row` and `fault` (null where none).

    Raises
    ------
    InputError
        When the file is damaged, or lacks a column of the source's map: then it is of another dialect.
    """
    parts = []
    try:
        for member in members(path):
            if member.name != path.name and not fnmatch.fnmatch(member.name, source.members):
                continue
            parts.append(read_member(member, source))
    except InputError as fault:
        raise InputError(f"{path}: {str(fault).removeprefix(f'{path}: ')}") from None
    if not parts:
        raise InputError(f"{path}: no file in it matches {source.members!r}")
    return pa.concat_tables(parts).replace_schema_metadata(None)


def read_member(member: Member, source: FileSource) -> pa.Table:
    """Rows of one unpacked file, as `read` gives them; raises `InputError` when it is of another dialect."""
    return _mapped(READERS[source.reader](member, source.options), member, source)


def _mapped(table: pa.Table, member: Member, source: FileSource) -> pa.Table:
    """The file's columns by the source's map; a cell that cannot be read is null and told in `fault`."""
    given = {name.lower(): name for name in table.column_names}
    columns: dict[str, pa.Array] = {}
    n = len(table)
    fault = to_type(table[FAULT], pa.string())[0] if FAULT in table.column_names else pa.nulls(n, pa.string())
    rows = table[ROW].combine_chunks() if ROW in table.column_names else pa.array(range(1, n + 1), pa.int64())
    wanted = [c.source or c.name for c in source.columns if not c.optional]
    lacking = [name for name in wanted if name.lower() not in given]
    if lacking:
        raise InputError(
            f"{member.name}: there is no column {', '.join(lacking)}; it has {', '.join(table.column_names[:60])}: "
            "the file is of another dialect than its source's column map"
        )
    for column in source.columns:
        name = given.get((column.source or column.name).lower())
        if name is None:
            columns[column.name] = pa.nulls(n, column.arrow_type)
            continue
        values, bad = to_type(table[name], column.arrow_type)
        columns[column.name] = values
        if bad.any():
            texts: list[str | None] = [None] * n
            for i in np.flatnonzero(bad):
                cell = str(table[name][int(i)].as_py())[:40]
                texts[i] = f"{member.name}: row {rows[int(i)].as_py()}: {name}: {cell!r} is not {column.type}"
            fault = pc.coalesce(fault, pa.array(texts, pa.string()))
    columns[FILE] = pa.array([member.name] * n, pa.string())
    told = (table.schema.metadata or {}).get(TOLD)
    made = pa.table({**columns, ROW: rows, FAULT: fault})
    return made if told is None else made.replace_schema_metadata({TOLD: told})
