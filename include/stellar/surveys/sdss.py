"""SDSS by `astroquery.sdss`: photometry by squares of the sky, spectra by plate and night with their FITS files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import requests
from astropy.io import fits
from astropy.table import Table
from pydantic import Field

from stellar.errors import InputError
from stellar.settings import Settings
from stellar.surveys.base import Fetched, Scope, WorkUnit, digest, missing
from stellar.surveys.http import checks
from stellar.surveys.http.checks import AnswerError
from stellar.surveys.http.columns import schema_of, to_arrow
from stellar.surveys.http.fits import native, open_fits
from stellar.surveys.http.survey import (
    Endpoint,
    SyncConfig,
    capped,
    circles,
    in_scope,
    load_config,
    open_transport,
    pooled,
    scope_params,
    tag_of,
    vanished,
    within,
)
from stellar.surveys.http.transport import UnitSession, combined_sha256

RELEASES = ("dr16", "dr17")
PHOTO, SPECTRA = "sdss_photo", "sdss_spectra"
_SIGNED_PHOTO = {"ra": 1e6, "dec": 1e6} | {f"psfMag_{band}": 1e3 for band in "ugriz"}
_SIGNED_SPECTRA = {"ra": 1e6, "dec": 1e6, "z": 1e6, "snMedian": 1e3}
_SPECTRUM = pa.schema(
    [
        pa.field("spec_id", pa.string()),
        pa.field("loglam", pa.list_(pa.float32()), metadata={"unit": "log(Angstrom)"}),
        pa.field("flux", pa.list_(pa.float32()), metadata={"unit": "1e-17 erg/s/cm2/Angstrom"}),
        pa.field("ivar", pa.list_(pa.float32())),
        pa.field("and_mask", pa.list_(pa.int32())),
        pa.field("or_mask", pa.list_(pa.int32())),
    ]
)


class SdssConfig(SyncConfig):
    """`sync:` of `config/surveys/sdss.yaml`."""

    cell_deg: float = Field(gt=0, le=10)
    photo_columns: dict[str, str]
    spectro_columns: dict[str, str]
    sspp_columns: dict[str, str]


def open_survey(settings: Settings, profile: Mapping[str, Any] | None = None) -> SdssSurvey:
    """SDSS at the services of the settings."""
    return SdssSurvey(settings, load_config("sdss", SdssConfig))


class SdssSurvey:
    """Datasets `sdss_photo` (PhotoObj) and `sdss_spectra` (SpecObjAll, sppParams and the spectrum's own arrays)."""

    name = "sdss"
    datasets = (PHOTO, SPECTRA)
    id_columns: Mapping[str, str] = {PHOTO: "objid", SPECTRA: "spec_id"}

    def __init__(self, settings: Settings, config: SdssConfig) -> None:
        self.config = config
        self.threads = settings.http_concurrency
        self.endpoint = Endpoint.of(settings, settings.sdss_service)
        self.sas = Endpoint.of(settings, settings.sdss_sas_service)
        self.transport = open_transport(settings, self.name, self.endpoint, config)
        self.photo = schema_of(config.photo_columns)
        self.spectro = schema_of({**config.spectro_columns, **config.sspp_columns})

    def plan(self, scope: Scope, done: Mapping[tuple[str, str], str]) -> list[WorkUnit]:
        """Squares and plates of the scope whose count or checksum differs from what was done."""
        release = scope.release or self.config.release
        if release not in RELEASES:
            raise InputError(f"sdss: release {release!r} is not known; known: {', '.join(RELEASES)}")
        photo = capped(self._plan_photo(scope, release, done), scope.row_cap)
        spectra = capped(self._plan_spectra(scope, release, done), scope.row_cap)
        return missing([*photo, *spectra], done)

    def fetch(self, unit: WorkUnit) -> Fetched:
        """One square's photometry, or one plate's spectra."""
        session = self.transport.session(unit.unit, unit.sign, _check, _cacheable)
        query = self._photo_query(unit) if unit.dataset == PHOTO else self._spectra_query(unit)
        table, digest_of = session.attempt(lambda: self._counted(session, unit, query))
        schema = self.photo if unit.dataset == PHOTO else self.spectro
        rows, digests = to_arrow(table, schema) if len(table) else schema.empty_table(), [digest_of]
        if unit.dataset == SPECTRA:
            rows, digests = self._with_spectra(session, unit, rows, digests)
        if self.transport.cache:
            self.transport.cache.prune()
        scope = Scope.from_dict(unit.params["scope"])
        return Fetched(in_scope(rows, scope), self.endpoint.url, query, unit.params, combined_sha256(digests))

    # -- photometry ---------------------------------------------------------------------------------------------
    def _plan_photo(self, scope: Scope, release: str, done: Mapping[tuple[str, str], str]) -> list[WorkUnit]:
        side = self.config.cell_deg
        where = self._where(scope)
        cell = f"FLOOR(ra / {side!r})", f"FLOOR((dec + 90) / {side!r})"
        query = (
            f"SELECT {cell[0]} AS cx, {cell[1]} AS cy, COUNT_BIG(*) AS n, MAX(mjd) AS mjd,"  # noqa: S608
            f" SUM(CAST(objID % 1000003 AS BIGINT)) AS ids, {_sums(_SIGNED_PHOTO)}"
            f" FROM PhotoObj{_condition(where)} GROUP BY {cell[0]}, {cell[1]}"
        )

        def unit(row: Mapping[str, Any]) -> WorkUnit:
            x, y = int(row["cx"]), int(row["cy"])
            bounds = [x * side, (x + 1) * side, y * side - 90, (y + 1) * side - 90]
            return self._unit(PHOTO, release, f"sky{side:g}-{x}-{y}", row, scope, {"bounds": bounds})

        return self._units(PHOTO, query, unit, scope, done, lambda name: dict(zip(("cx", "cy"), name[1:], strict=True)))

    def _photo_query(self, unit: WorkUnit) -> str:
        west, east, south, north = (float(bound) for bound in unit.params["bounds"])
        square = f"ra >= {west!r} AND ra < {east!r} AND dec >= {south!r} AND dec < {north!r}"
        return (
            f"SELECT {_top(unit)}{', '.join(self.photo.names)} FROM PhotoObj"  # noqa: S608
            f"{_condition([square, *self._where(Scope.from_dict(unit.params['scope']))])} ORDER BY objid"
        )

    # -- spectra ------------------------------------------------------------------------------------------------
    def _plan_spectra(self, scope: Scope, release: str, done: Mapping[tuple[str, str], str]) -> list[WorkUnit]:
        where = self._cones(scope)
        query = (
            "SELECT plate, mjd, run2d, COUNT_BIG(*) AS n, SUM(CAST(fiberID AS BIGINT)) AS fibres,"  # noqa: S608
            f" SUM(CAST(zWarning AS BIGINT)) AS warnings, {_sums(_SIGNED_SPECTRA)}"
            f" FROM SpecObjAll{_condition(where)} GROUP BY plate, mjd, run2d"
        )

        def unit(row: Mapping[str, Any]) -> WorkUnit:
            plate, mjd, run2d = int(row["plate"]), int(row["mjd"]), str(row["run2d"])
            params = {"plate": plate, "mjd": mjd, "run2d": run2d}
            return self._unit(SPECTRA, release, f"plate-{plate:04d}-{mjd}-{run2d}", row, scope, params)

        names = ("plate", "mjd", "run2d")
        return self._units(SPECTRA, query, unit, scope, done, lambda name: dict(zip(names, name[1:], strict=True)))

    def _spectra_query(self, unit: WorkUnit) -> str:
        plate, mjd, run2d = int(unit.params["plate"]), int(unit.params["mjd"]), str(unit.params["run2d"])
        columns = [f"s.{name}" for name in self.config.spectro_columns]
        columns += [f"p.{name}" for name in self.config.sspp_columns]
        one = f"s.plate = {plate} AND s.mjd = {mjd} AND s.run2d = {_literal(run2d)}"
        where = self._cones(Scope.from_dict(unit.params["scope"]), "s.")
        return (
            f"SELECT {_top(unit)}{', '.join(columns)} FROM SpecObjAll AS s"  # noqa: S608
            f" LEFT JOIN sppParams AS p ON p.specObjID = s.specObjID{_condition([one, *where])} ORDER BY s.fiberid"
        )

    def _with_spectra(
        self, session: UnitSession, unit: WorkUnit, rows: pa.Table, digests: list[str]
    ) -> tuple[pa.Table, list[str]]:
        """The rows with each spectrum's arrays; files come in parallel."""
        matches = Table({name: rows[name].to_numpy(zero_copy_only=False) for name in ("run2d", "plate", "mjd")})
        matches["fiberID"] = rows["fiberid"].to_numpy()
        urls = self._urls(matches, unit.release) if len(matches) else []
        spectra = pooled(lambda url: _spectrum(session, url), urls, self.threads)
        arrays = [pa.array([s[field.name] for s, _ in spectra], field.type) for field in _SPECTRUM]
        table = pa.Table.from_arrays([*rows.columns, *arrays], schema=pa.schema([*rows.schema, *_SPECTRUM]))
        return table, [*digests, *(digest_of for _, digest_of in spectra)]

    def _urls(self, matches: Table, release: str) -> list[str]:
        """Where astroquery says that the spectra are; it would fetch them without retries or checks."""
        from astroquery.sdss import SDSSClass, conf

        with conf.set_temp("sas_baseurl", f"{self.sas.url}/sas"):
            found = SDSSClass().get_spectra_async(matches=matches, data_release=int(release[2:]), cache=False)
        return [container._target for container in found]

    # -- common -------------------------------------------------------------------------------------------------
    def _where(self, scope: Scope) -> list[str]:
        """Conditions of a scope on PhotoObj; the sentinels of unmeasured magnitudes are below every limit."""
        limit = scope.magnitude_limit
        return self._cones(scope) + ([] if limit is None else [f"psfMag_r BETWEEN -100 AND {float(limit)!r}"])

    def _cones(self, scope: Scope, table: str = "") -> list[str]:
        regions = circles(scope, self.endpoint, self.name)
        cones = [within(region, f"{table}ra", f"{table}dec") for region in regions]
        return [f"({' OR '.join(cones)})"] if cones else []

    def _unit(
        self, dataset: str, release: str, name: str, row: Mapping[str, Any], scope: Scope, params: dict[str, Any]
    ) -> WorkUnit:
        count = int(row.get("n", 0))
        schema = self.photo if dataset == PHOTO else self.spectro
        signed = sorted((key, str(value)) for key, value in row.items())
        sign = f"{count}-{digest(release, signed, schema.names)}" if count else "0"
        params |= {"count": count, "scope": scope_params(scope)}
        return WorkUnit("sdss", dataset, release, name + tag_of(scope), sign, params, None if scope.cells else count)

    def _units(
        self,
        dataset: str,
        query: str,
        unit: Callable[[Mapping[str, Any]], WorkUnit],
        scope: Scope,
        done: Mapping[tuple[str, str], str],
        parse: Callable[[list[str]], Mapping[str, Any]],
    ) -> list[WorkUnit]:
        """Units of a counting query, and those that it no longer counts."""
        session = self.transport.session(f"plan of {dataset}", "", _check)
        table, _ = session.attempt(lambda: self._search(session, query, scope.release or self.config.release))
        units = sorted((unit(row) for row in _rows(table)), key=lambda found: found.unit)
        gone = vanished(units, done, dataset, tag_of(scope))
        return units + [unit(parse(name.partition("@")[0].split("-"))) for name in gone]

    def _counted(self, session: UnitSession, unit: WorkUnit, query: str) -> tuple[Table, str]:
        table, digest_of = self._search(session, query, unit.release)
        if len(table) != unit.params["count"]:
            session.forget(session.last)  # or else every later attempt would be given the same rows
            raise AnswerError(f"{len(table)} rows came where {unit.params['count']} were counted")
        return table, digest_of

    def _search(self, session: UnitSession, query: str, release: str) -> tuple[Table, str]:
        """Rows of a query on SkyServer and the SHA-256 of the answer."""
        from astroquery.sdss import SDSSClass, conf

        client = SDSSClass()
        client._session = session
        with conf.set_temp("skyserver_baseurl", self.endpoint.url):
            response = client.query_sql_async(query, data_release=int(release[2:]), cache=False)
        table = client._parse_result(response)
        return (Table() if table is None else table), hashlib.sha256(response.content).hexdigest()


def _spectrum(session: UnitSession, url: str) -> tuple[dict[str, Any], str]:
    """Arrays of one file's co-added spectrum, and the file's SHA-256."""
    response = session.request("GET", url)
    with session.verified(response) as hdus:
        data = hdus[1].data
        values: dict[str, Any] = {name: native(data[name], np.float32) for name in ("loglam", "flux", "ivar")}
        values |= {name: native(data[name], np.int32) for name in ("and_mask", "or_mask")}
    values["spec_id"] = url.rpartition("/")[2].removeprefix("spec-").removesuffix(".fits")
    return values, hashlib.sha256(response.content).hexdigest()


def _sums(factors: Mapping[str, float]) -> str:
    """Checksums of columns: rounded values add up to the same sum in whatever order."""
    return ", ".join(f"SUM(ROUND({name} * {factor!r}, 0)) AS sum_{name}" for name, factor in factors.items())


def _check(response: requests.Response) -> fits.HDUList | None:
    """Tables of SkyServer and files of the SAS."""
    checks.not_html(response)
    if urlsplit(response.url).path.endswith(".fits"):
        return open_fits(response.content)
    if b"error_message" in response.content[:2000]:
        raise AnswerError(checks.message(response.content))
    if not response.content.startswith(b"#Table"):
        raise AnswerError(f"not a table: {checks.message(response.content)}")
    checks.csv_lines(response.content)
    return None


def _cacheable(method: str, url: str) -> bool:
    return method == "GET"


def _rows(table: Table) -> Iterable[dict[str, Any]]:
    return [dict(zip(table.colnames, row, strict=True)) for row in table.as_array().tolist()] if len(table) else []


def _condition(where: list[str]) -> str:
    return f" WHERE {' AND '.join(where)}" if where else ""


def _top(unit: WorkUnit) -> str:
    return f"TOP {int(unit.params['top'])} " if "top" in unit.params else ""


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
