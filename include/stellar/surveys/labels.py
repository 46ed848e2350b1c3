"""Labels from SIMBAD by `pyvo`: squares of the sky; object types, spectral types, variability and Gaia identifiers."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import requests
from astropy.table import Table
from pydantic import Field

from stellar.errors import InputError, ServiceError
from stellar.settings import Settings
from stellar.surveys.base import Fetched, Scope, WorkUnit, digest, missing
from stellar.surveys.http import checks
from stellar.surveys.http.checks import AnswerError
from stellar.surveys.http.columns import schema_of, to_arrow
from stellar.surveys.http.survey import (
    Endpoint,
    SyncConfig,
    capped,
    circles,
    in_scope,
    load_config,
    open_transport,
    scope_params,
    tag_of,
    vanished,
)
from stellar.surveys.http.transport import UnitSession, combined_sha256

DATASET = "labels"
MAXREC = 200_000  # rows per answer; a unit with more is an OVERFLOW and an error
_GAIA = re.compile(r"Gaia DR3\s+(\d+)")
_EXTRA = [pa.field("gaia_source_id", pa.int64()), pa.field("tic_id", pa.int64()), pa.field("vartyp", pa.string())]
_IDENT = schema_of({"oidref": "int64", "id": "string"})
_VARTYPE = schema_of({"oidref": "int64", "vartyp": "string"})


class LabelsConfig(SyncConfig):
    """`sync:` of `config/surveys/labels.yaml`."""

    cell_deg: float = Field(gt=0, le=10)
    columns: dict[str, str]


def open_survey(settings: Settings, profile: Mapping[str, Any] | None = None) -> LabelsSurvey:
    """SIMBAD at the service of the settings."""
    return LabelsSurvey(settings, load_config("labels", LabelsConfig))


class LabelsSurvey:
    """Dataset `labels`: one row per object of SIMBAD's `basic`, with `mesVar`'s type and its Gaia DR3 and TIC ids."""

    name = "labels"
    datasets = (DATASET,)
    id_columns: Mapping[str, str] = {DATASET: "main_id"}

    def __init__(self, settings: Settings, config: LabelsConfig) -> None:
        self.config = config
        self.endpoint = Endpoint.of(settings, settings.simbad_service, "/simbad/sim-tap")
        self.transport = open_transport(settings, self.name, self.endpoint, config)
        self.basic = schema_of(config.columns)
        self.schema = pa.schema([*self.basic, *_EXTRA])

    def plan(self, scope: Scope, done: Mapping[tuple[str, str], str]) -> list[WorkUnit]:
        """Squares of the scope whose number of objects, ids or dates of change differ from what was done."""
        if scope.release not in (None, self.config.release):
            raise InputError(f"labels: release {scope.release!r} is not known; known: {self.config.release}")
        side, session = self.config.cell_deg, self.transport.session("plan", "", _check)
        where = self._where(scope)
        query = (
            "SELECT cx, cy, COUNT(*) AS n, SUM(MOD(oid, 1000003)) AS oids, MAX(update_date) AS changed,"  # noqa: S608
            " SUM(nbref) AS refs, COUNT(otype) AS otypes, COUNT(sp_type) AS sptypes FROM"
            f" (SELECT FLOOR(ra / {side!r}) AS cx, FLOOR((dec + 90) / {side!r}) AS cy, oid, update_date, nbref, otype,"
            f" sp_type FROM basic{_condition(where)}) AS squares GROUP BY cx, cy"
        )
        table, _ = session.attempt(lambda: self._search(session, query))
        rows = [dict(zip(table.colnames, row, strict=True)) for row in table.as_array().tolist()]
        units = sorted((self._unit(scope, row) for row in rows), key=lambda unit: unit.unit)
        for name in vanished(units, done, DATASET, tag_of(scope)):
            _, x, y = name.partition("@")[0].split("-")
            units.append(self._unit(scope, {"cx": x, "cy": y}))
        return missing(capped(units, scope.row_cap), done)

    def fetch(self, unit: WorkUnit) -> Fetched:
        """One square's objects, with the identifiers and measurements that SIMBAD keeps in tables of their own."""
        session = self.transport.session(unit.unit, unit.sign, _check, _cacheable)
        top = f"TOP {int(unit.params['top'])} " if "top" in unit.params else ""
        condition = _condition([_square(unit), *self._where(Scope.from_dict(unit.params["scope"]))])
        names = ", ".join(self.basic.names)
        query = f"SELECT {top}{names} FROM basic{condition} ORDER BY oid"  # noqa: S608
        joined = "JOIN basic ON oidref = oid"
        idents = f"SELECT oidref, id FROM ident {joined}{condition} AND (id LIKE 'Gaia DR3 %' OR id LIKE 'TIC %')"  # noqa: S608
        types = f"SELECT oidref, vartyp FROM mesVar {joined}{condition}"  # noqa: S608

        def basic() -> tuple[pa.Table, str]:
            table, digest_of = self._search(session, query)
            if len(table) != unit.params["count"]:
                session.forget(session.last)  # or else every later attempt would be given the same rows
                raise AnswerError(f"{len(table)} rows came where {unit.params['count']} were counted")
            return to_arrow(table, self.basic), digest_of

        def other(text: str, schema: pa.Schema) -> tuple[pa.Table, str]:
            table, digest_of = self._search(session, text)
            return to_arrow(table, schema), digest_of

        rows, first = session.attempt(basic)
        ids, second = session.attempt(lambda: other(idents, _IDENT))
        vartypes, third = session.attempt(lambda: other(types, _VARTYPE))
        table = in_scope(_joined(rows, ids, vartypes, self.schema), Scope.from_dict(unit.params["scope"]))
        text = "; ".join((query, idents, types))
        return Fetched(table, self.endpoint.url, text, unit.params, combined_sha256([first, second, third]))

    def _unit(self, scope: Scope, row: Mapping[str, Any]) -> WorkUnit:
        side, count = self.config.cell_deg, int(row.get("n", 0))
        x, y = int(row["cx"]), int(row["cy"])
        signed = sorted((key, str(value)) for key, value in row.items())
        sign = f"{count}-{digest(self.config.release, signed, self.schema.names)}" if count else "0"
        bounds = [x * side, (x + 1) * side, y * side - 90, (y + 1) * side - 90]
        params = {"bounds": bounds, "count": count, "scope": scope_params(scope)}
        name = f"sky{side:g}-{x}-{y}{tag_of(scope)}"
        return WorkUnit("labels", DATASET, self.config.release, name, sign, params, None if scope.cells else count)

    def _where(self, scope: Scope) -> list[str]:
        cones = [
            f"1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {r.ra!r}, {r.dec!r}, {r.radius_deg!r}))"
            for r in circles(scope, self.endpoint, self.name)
        ]
        return ["ra IS NOT NULL", *([f"({' OR '.join(cones)})"] if cones else [])]

    def _search(self, session: UnitSession, query: str) -> tuple[Table, str]:
        """Rows of a query and the SHA-256 of the answer; an OVERFLOW was refused by the check."""
        from pyvo.dal import DALAccessError, TAPService

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # units like mas.yr-1 are SIMBAD's own
            try:
                table = TAPService(self.endpoint.url, session=session).run_sync(query, maxrec=MAXREC).to_table()
            except DALAccessError as error:  # which hides what our session raised
                if isinstance(cause := getattr(error, "cause", None), ServiceError):
                    raise cause from None
                raise AnswerError(str(error)) from error
        assert session.last is not None
        return table, hashlib.sha256(session.last.content).hexdigest()


def _joined(rows: pa.Table, ids: pa.Table, vartypes: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows of `basic` with one Gaia id, TIC id and variability type each: the smallest where there are several."""
    gaia: dict[int, int] = {}
    tic: dict[int, int] = {}
    for oid, text in zip(ids["oidref"].to_pylist(), ids["id"].to_pylist(), strict=True):
        match, of = _GAIA.fullmatch(text), gaia
        if not match:
            match, of = re.fullmatch(r"TIC\s+(\d+)", text), tic
        if match:
            of[oid] = min(int(match[1]), of.get(oid, 2**63 - 1))
    types: dict[int, str] = {}
    for oid, text in zip(vartypes["oidref"].to_pylist(), vartypes["vartyp"].to_pylist(), strict=True):
        if text:
            types[oid] = min(text, types.get(oid, text))
    oids = rows["oid"].to_pylist()
    found: list[Mapping[int, int | str]] = [gaia, tic, types]
    extra = [pa.array([of.get(oid) for oid in oids], field.type) for of, field in zip(found, _EXTRA, strict=True)]
    return pa.Table.from_arrays([*rows.columns, *extra], schema=schema)


def _square(unit: WorkUnit) -> str:
    west, east, south, north = (float(bound) for bound in unit.params["bounds"])
    return f"ra >= {west!r} AND ra < {east!r} AND dec >= {south!r} AND dec < {north!r}"


def _check(response: requests.Response) -> None:
    checks.not_html(response)
    checks.votable(response.content)


def _cacheable(method: str, url: str) -> bool:
    return url.endswith("/sync")


def _condition(where: list[str]) -> str:
    return f" WHERE {' AND '.join(where)}" if where else ""
