"""Gaia by `astroquery.gaia`: units are HEALPix pixels of the source_id, counted and signed by one query.

A source_id holds the level-12 nested HEALPix pixel of the position that the source had when the id was made, times
34359738368 (2**35). Proper motion since then carries stars over pixel edges, so a unit is a range of source_ids while
the region is cut by position.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import requests
from astropy.table import Table
from pydantic import Field

from stellar.errors import InputError
from stellar.settings import Settings
from stellar.surveys.base import Fetched, Region, Scope, WorkUnit, digest, missing
from stellar.surveys.http import checks
from stellar.surveys.http.cache import ResponseCache
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
from stellar.surveys.http.transport import UnitSession

LEVEL, FACTOR = 12, 34359738368
RELEASES = ("gaiadr3",)
JOB_RETRIES = 4  # a job that ended in ERROR, beside the retries of each request
_PHASES = {"PENDING", "QUEUED", "EXECUTING", "HELD", "SUSPENDED", "UNKNOWN", "COMPLETED", "ERROR", "ABORTED"}
_importing = threading.Lock()


class GaiaConfig(SyncConfig):
    """`sync:` of `config/surveys/gaia.yaml`."""

    job_deadline_s: float = Field(gt=0)
    unit_order: int = Field(ge=0, le=LEVEL)
    columns: dict[str, str]
    signed: dict[str, float]


def open_survey(settings: Settings, profile: Mapping[str, Any] | None = None) -> GaiaSurvey:
    """Gaia at the service of the settings."""
    return GaiaSurvey(settings, load_config("gaia", GaiaConfig))


class GaiaSurvey:
    """Dataset `gaia`: one row per source of `<release>.gaia_source`, in its published columns."""

    name = "gaia"
    datasets = ("gaia",)
    id_columns: Mapping[str, str] = {"gaia": "source_id"}

    def __init__(self, settings: Settings, config: GaiaConfig) -> None:
        self.config = config
        self.endpoint = Endpoint.of(settings, settings.gaia_service)
        self.transport = open_transport(settings, self.name, self.endpoint, config)
        self.schema = schema_of(config.columns)

    def plan(self, scope: Scope, done: Mapping[tuple[str, str], str]) -> list[WorkUnit]:
        """Pixels of the scope whose row count or checksum differs from what was done."""
        release = scope.release or self.config.release
        if release not in RELEASES:
            raise InputError(f"gaia: release {release!r} is not known; known: {', '.join(RELEASES)}")
        where = _where(circles(scope, self.endpoint, self.name), scope)
        query = self._count_query(release, where)
        session = self.transport.session("plan", "", _check)
        table, _ = session.attempt(lambda: self._job(session, query), JOB_RETRIES)
        tag, order = tag_of(scope), self.config.unit_order
        units = [self._unit(release, scope, where, order, tag, row) for row in _sorted(table)]
        units += [
            self._unit(release, scope, where, order, tag, {"pixel": int(name.partition("@")[0].rpartition("-")[2])})
            for name in vanished(units, done, "gaia", tag)
        ]
        return missing(capped(units, scope.row_cap), done)

    def fetch(self, unit: WorkUnit) -> Fetched:
        """One pixel's sources, counted against the plan."""
        query, session = self._query(unit), self.transport.session(unit.unit, unit.sign, _check)
        table, digest_of = session.attempt(lambda: self._counted(session, query, unit), JOB_RETRIES)
        if self.transport.cache:
            self.transport.cache.prune()
        rows = in_scope(table, Scope.from_dict(unit.params["scope"]))
        return Fetched(rows, self.endpoint.url, query, unit.params, digest_of)

    def _unit(
        self, release: str, scope: Scope, where: list[str], order: int, tag: str, row: Mapping[str, Any]
    ) -> WorkUnit:
        pixel, count = int(row["pixel"]), int(row.get("n", 0))
        sums = [row.get(f"sum_{name}") for name in self.config.signed]
        sign = f"{count}-{digest(release, sums, sorted(self.config.columns))}" if count else "0"
        span = FACTOR * 4 ** (LEVEL - order)
        params = {
            "low": pixel * span,
            "high": (pixel + 1) * span - 1,
            "where": where,
            "count": count,
            "scope": scope_params(scope),
        }
        expected = None if scope.cells else count
        return WorkUnit("gaia", "gaia", release, f"hpx{order}-{pixel}{tag}", sign, params, expected)

    def _count_query(self, release: str, where: list[str]) -> str:
        """Row count and checksums by pixel. Rounded values add up to the same sum in whatever order."""
        sums = ", ".join(
            f"SUM(ROUND({name} * {factor!r})) AS sum_{name}" for name, factor in self.config.signed.items()
        )
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        return (
            f"SELECT GAIA_HEALPIX_INDEX({self.config.unit_order}, source_id) AS pixel, COUNT(*) AS n, {sums}"  # noqa: S608
            f" FROM {release}.gaia_source{condition} GROUP BY pixel"
        )

    def _query(self, unit: WorkUnit) -> str:
        top = f"TOP {int(unit.params['top'])} " if "top" in unit.params else ""
        bounds = f"source_id BETWEEN {int(unit.params['low'])} AND {int(unit.params['high'])}"
        return (
            f"SELECT {top}{', '.join(self.schema.names)} FROM {unit.release}.gaia_source"  # noqa: S608
            f" WHERE {' AND '.join([bounds, *unit.params['where']])} ORDER BY source_id"
        )

    def _counted(self, session: UnitSession, query: str, unit: WorkUnit) -> tuple[pa.Table, str]:
        """The unit's rows and the SHA-256 of the answer; from the cache if it was had under this sign before."""
        cache, key = self.transport.cache, ResponseCache.key(self.endpoint.url, query, unit.sign)
        cached = cache.get(key) if cache else None
        if cached:
            body = cached[1]
            table = Table.read(io.BytesIO(checks.unpacked(body)), format="votable", use_names_over_ids=True)
        else:
            table, body = self._job(session, query)
        if len(table) != unit.params["count"]:
            raise AnswerError(f"{len(table)} rows came where {unit.params['count']} were counted")
        rows = to_arrow(table, self.schema)
        if cache and not cached:
            cache.put(key, body, status=200, type="application/x-votable+xml")
        return rows, hashlib.sha256(body).hexdigest()

    def _job(self, session: UnitSession, query: str) -> tuple[Table, bytes]:
        """Run an asynchronous job with our own patience; its parsed table and the bytes that it came from."""
        connection = _Connection(session, self.endpoint.url)
        job = _client(connection, self.endpoint.url).launch_job_async(query, background=True)
        self._await(job, session)
        return job.get_results(), connection.body

    def _await(self, job: Any, session: UnitSession) -> None:
        until, pause = time.monotonic() + self.config.job_deadline_s, 0.02
        while (phase := job.get_phase(update=True).strip()) not in ("COMPLETED", "ERROR", "ABORTED"):
            if time.monotonic() > until:
                raise AnswerError(f"job {job.jobid} is {phase} after {self.config.job_deadline_s:.0f} s")
            time.sleep(min(pause, session.remaining_s()))
            pause = min(pause * 1.5, 5.0)
        if phase != "COMPLETED":
            raise AnswerError(f"job {job.jobid} ended in {phase}: {job.get_error()}")


def _where(regions: list[Region], scope: Scope) -> list[str]:
    """Conditions of a scope in ADQL."""
    cones = [
        f"1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {r.ra!r}, {r.dec!r}, {r.radius_deg!r}))" for r in regions
    ]
    where = [cones[0] if len(cones) == 1 else f"({' OR '.join(cones)})"] if cones else []
    if scope.magnitude_limit is not None:
        where.append(f"phot_g_mean_mag <= {float(scope.magnitude_limit)!r}")
    return where


def _sorted(table: Table) -> list[dict[str, Any]]:
    rows = [dict(zip(table.colnames, row, strict=True)) for row in table.as_array().tolist()]
    return sorted(rows, key=lambda row: row["pixel"])


def _check(response: requests.Response) -> None:
    """Phases and results of jobs; everything else of the protocol is a redirect."""
    checks.not_html(response)
    path = urlsplit(response.url).path
    if path.endswith("/results/result"):
        checks.votable(response.content)
    elif path.endswith("/phase"):
        if response.content.decode("utf-8", "replace").strip() not in _PHASES:
            raise AnswerError(f"not a job's phase: {checks.message(response.content)}")
    elif path.endswith("/async"):
        raise AnswerError("the service made no job")


def _client(connection: _Connection, url: str) -> Any:
    """Astroquery's client on our connection."""
    from astroquery.utils.tap.conn.tapconn import ConnectionHandler, TapConn

    with _importing:
        # The module makes a client that calls ESA when it is imported; it takes OSError for «no messages today».
        original = ConnectionHandler.get_connection
        ConnectionHandler.get_connection = _no_connection
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                from astroquery.gaia import GaiaClass
        finally:
            ConnectionHandler.get_connection = original
    parts = urlsplit(url)
    tap = TapConn(
        parts.scheme == "https",
        parts.hostname,
        port=parts.port or 80,
        sslport=parts.port or 443,
        server_context=f"{parts.path}/tap-server".lstrip("/"),
        tap_context="tap",
        connhandler=_Handler(connection),
    )
    return GaiaClass(
        tap_plus_conn_handler=tap, gaia_tap_server=url + "/", gaia_data_server=url + "/", show_server_messages=False
    )


def _no_connection(*_: Any, **__: Any) -> Any:
    raise OSError("no messages are fetched at import")


class _Handler:
    """Hands our connection to astroquery's `TapConn`."""

    def __init__(self, connection: _Connection) -> None:
        self.connection = connection

    def get_connection(self, **_: Any) -> _Connection:
        return self.connection

    def get_connection_secure(self, *_: Any) -> _Connection:
        return self.connection


class _Connection:
    """As much of `http.client.HTTPConnection` as `TapConn` uses, over the unit's session."""

    def __init__(self, session: UnitSession, url: str) -> None:
        parts = urlsplit(url)
        self.session, self.base = session, f"{parts.scheme}://{parts.netloc}"
        self.host, self.port = parts.hostname, parts.port
        self.body = b""
        self._answer: requests.Response | None = None

    def request(self, method: str, context: str, data: Any, headers: Mapping[str, str]) -> None:
        url = context if context.startswith("http") else self.base + context
        self._answer = self.session.request(method, url, data=data, headers=dict(headers), allow_redirects=False)

    def getresponse(self) -> _Answer:
        assert self._answer is not None
        self.body = self._answer.content
        return _Answer(self._answer)


class _Answer(io.BytesIO):
    """As much of `http.client.HTTPResponse` as astroquery uses."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(response.content)
        self.status, self.reason = response.status_code, response.reason
        self._headers = list(response.headers.items())

    def getheaders(self) -> list[tuple[str, str]]:
        return self._headers
