"""The archive's tables in DuckDB, under the public names of each service, and queries over them."""

# ruff: noqa: S608 - every name that is put into SQL here is one of the constants below, never a client's text

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from stellar.archive.columns import TABLES, Column
from stellar.archive.service.adql.lexer import QueryError
from stellar.archive.service.adql.parser import Tables, translate

# `truth` and the indices into the bulky arrays are not served.
_LOADED = ("gaia_source", "sdss_photoobj", "sdss_specobj", "tic", "tess_observations", "simbad_basic", "simbad_ident",
           "simbad_vartype")  # fmt: skip

_SSPP = ("TEFFADOP", "TEFFADOPUNC", "LOGGADOP", "LOGGADOPUNC", "FEHADOP", "FEHADOPUNC", "RVADOP", "RVADOPUNC",
         "SPECTYPE_SUBCLASS", "SSPP_FLAG")  # fmt: skip
_SPP_KEYS = ("specObjID", "bestObjID", "plate", "mjd", "fiberID", "run2d")
_SHORT = ", ".join(f"modelMag_{band} AS {band}, modelMagErr_{band} AS Err_{band}" for band in "ugriz")

# SkyServer's views (https://skyserver.sdss.org/dr17/MoreTools/browser): relation in DuckDB -> its definition.
_VIEWS = {
    "photoobj": f"SELECT *, {_SHORT} FROM sdss_photoobj",
    "photoprimary": "SELECT * FROM photoobj WHERE mode = 1",
    "star": "SELECT * FROM photoobj WHERE mode = 1 AND type = 6",
    "galaxy": "SELECT * FROM photoobj WHERE mode = 1 AND type = 3",
    "specobjall": f"SELECT * EXCLUDE ({', '.join(_SSPP)}) FROM sdss_specobj",
    "specobj": "SELECT * FROM specobjall WHERE sciencePrimary = 1",
    "sppparams": f"SELECT {', '.join((*_SPP_KEYS, *_SSPP))} FROM sdss_specobj"
    " WHERE TEFFADOP > -9999 OR coalesce(SSPP_FLAG, '') <> ''",
}  # fmt: skip

# service -> public name -> relation in DuckDB
_PUBLIC: dict[str, dict[str, str]] = {
    "gaia": {"gaiadr3.gaia_source": "gaia_source"},
    "simbad": {"basic": "simbad_basic", "ident": "simbad_ident", "mesvar": "simbad_vartype"},
    "sdss": {
        name: relation
        for relation, names in {
            "photoobj": ("photoobj", "photoobjall", "phototag"),
            "photoprimary": ("photoprimary",),
            "star": ("star",),
            "galaxy": ("galaxy",),
            "specobjall": ("specobjall",),
            "specobj": ("specobj",),
            "sppparams": ("sppparams",),
        }.items()
        for name in names
    },
}


@dataclass(frozen=True)
class Result:
    """Rows of a query, the published description of each column, and whether MAXREC cut them off."""

    table: pa.Table
    columns: list[Column]
    overflow: bool


class Catalogue:
    """All tables of one archive folder, read-only and safe to use from many threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._database = duckdb.connect(config={"threads": "2"})
        self._database.execute("SET error_on_division_by_zero = false")
        for name in _LOADED:
            path = folder / f"{name}.parquet"
            self._database.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet(?)", [str(path)])
        for name, definition in _VIEWS.items():
            self._database.execute(f"CREATE VIEW {name} AS {definition}")
        # Whatever a query may contrive, it cannot reach a file or the network from here.
        self._database.execute("SET enable_external_access = false")
        self._database.execute("SET lock_configuration = true")
        self._tables = {service: self._describe(names) for service, names in _PUBLIC.items()}
        self._local = threading.local()

    def _describe(self, names: dict[str, str]) -> Tables:
        described = {}
        for public, relation in names.items():
            columns = self._database.sql(f"SELECT * FROM {relation} LIMIT 0").columns
            described[public] = (relation, {column.lower(): column for column in columns})
        return described

    def tables(self, service: str) -> Tables:
        """Public tables of a service with their columns."""
        return self._tables[service]

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The calling thread's own cursor on the database."""
        if not hasattr(self._local, "cursor"):
            self._local.cursor = self._database.cursor()
        return self._local.cursor

    def rows(self, sql: str, params: Iterable[object] = ()) -> pa.Table:
        """Rows of our own SQL (never a client's text)."""
        return self.cursor().sql(sql, params=list(params)).to_arrow_table()

    def query(self, service: str, query: str, maxrec: int | None = None) -> Result:
        """Translate and run a client's query.

        Raises
        ------
        QueryError
            For what the translator refuses, and for what the database finds wrong in it (types, grouping).
        """
        translated = translate(query, self._tables[service])
        sql = translated.sql if maxrec is None else f"SELECT * FROM ({translated.sql}) LIMIT {maxrec + 1}"
        try:
            table = self.cursor().sql(sql, params=translated.params).to_arrow_table()
        except duckdb.Error as error:
            raise QueryError(str(error).splitlines()[0]) from error
        overflow = maxrec is not None and table.num_rows > maxrec
        table = _publishable(table.slice(0, maxrec) if overflow else table)
        columns = [
            self.describe(service, source, name, table.schema.field(name).type)
            for name, source in zip(translated.names, translated.sources, strict=True)
        ]
        return Result(table, columns, overflow)

    def describe(self, service: str, source: tuple[str, str] | None, name: str, kind: pa.DataType) -> Column:
        """The published description of an output column; a computed one has a name and a type only."""
        if source:
            for column in _published(self._tables[service][source[0]][0]):
                if column.name == source[1]:
                    return column._replace(name=name, type=kind)
        return Column(name, kind)


def _published(relation: str) -> tuple[Column, ...]:
    base = {"photoobj": "sdss_photoobj", "photoprimary": "sdss_photoobj", "star": "sdss_photoobj",
            "galaxy": "sdss_photoobj", "specobjall": "sdss_specobj", "specobj": "sdss_specobj",
            "sppparams": "sdss_specobj"}.get(relation, relation)  # fmt: skip
    return TABLES[base]


def _publishable(table: pa.Table) -> pa.Table:
    """Sums of integers come from DuckDB as 128-bit: the protocols know 64."""
    for at, column in enumerate(table.schema):
        if pa.types.is_decimal(column.type) or pa.types.is_uint64(column.type):
            table = table.set_column(at, column.name, table.column(at).cast(pa.int64()))
    return table
