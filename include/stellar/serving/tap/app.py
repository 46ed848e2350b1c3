"""The TAP service as an ASGI application, below `/tap`."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from stellar.errors import InputError, StellarError
from stellar.serving import votable

from . import requests, vosi
from .adql.names import find_table
from .adql.translate import translate
from .async_ import XML, AsyncRoutes, address
from .jobs import Jobs, now, written
from .lake import Releases
from .queries import run

if TYPE_CHECKING:
    from stellar.settings import Settings

PREFIX = "/tap"
#: Synchronous queries that may wait for one another; further ones are told to come again.
MOST_WAITING = 64
CLEAR_EVERY_S = 60.0
#: What the parser's tables are filled with at the start: the first query of a kind takes a second otherwise.
_WARM = (
    "SELECT TOP 5 a.object_id AS x, a.ra, COUNT(*), AVG(a.dec) FROM curated.objects AS a JOIN tap_schema.columns b "
    "ON a.object_id = b.column_name WHERE 1 = CONTAINS(POINT('ICRS', a.ra, a.dec), CIRCLE('ICRS', 1.5, -2, 0.5)) "
    "AND (a.ra BETWEEN 1 AND 2.5 OR NOT a.dec IS NULL) AND b.unit LIKE 'd%' GROUP BY a.object_id, a.ra "
    "HAVING COUNT(*) > 1 ORDER BY x DESC, a.ra OFFSET 3",
    "SELECT * FROM tap_schema.columns WHERE table_name IN ('x', 'y') AND column_index < -1 * (2 + 3) ORDER BY 1",
    "SELECT LOWER(unit), SQRT(column_index + 1) FROM tap_schema.columns WHERE (column_index > 1 AND unit = 'x')",
)


class Service:
    """What the routes share, from the application's start to its end.

    Parameters
    ----------
    settings : Settings
    engine : sqlalchemy.Engine
        On the ledger; the role `reader` is enough.
    """

    def __init__(self, settings: Settings, engine: sa.Engine) -> None:
        self.settings = settings
        self.since = written(now())
        self.releases = Releases(settings, engine)
        self.jobs = Jobs(settings, self.releases)
        self._pool = ThreadPoolExecutor(settings.tap_at_once, "tap-sync")
        self._waiting = 0
        self._scratch = settings.cache / "tap"
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Warm up beside the first requests, clear away old jobs, and end with what runs stopped."""
        threading.Thread(target=self._warm_up, name="tap-warm-up", daemon=True).start()
        clearing = asyncio.create_task(self._clear())
        try:
            yield
        finally:
            clearing.cancel()
            await run_in_threadpool(self._end)

    def _end(self) -> None:
        self.jobs.close()
        self._pool.shutdown(cancel_futures=True)
        self.releases.close()

    async def _clear(self) -> None:
        while True:
            await run_in_threadpool(self.jobs.clear)
            await asyncio.sleep(CLEAR_EVERY_S)

    def _warm_up(self) -> None:
        try:
            with self.releases.current() as release:
                for text in _WARM:
                    translate(text, release.tables)
        except (StellarError, sa.exc.SQLAlchemyError):
            return  # a home without objects, or a ledger that is not up yet: the first query will tell

    async def sync(self, request: Request) -> Response:
        """A query, answered at once."""
        found, files = await requests.read_request(request, self.settings.tap_upload_mb)
        if self._waiting >= MOST_WAITING:
            raise HTTPException(503, "too many queries wait already; try again in a minute", {"Retry-After": "60"})
        self._waiting += 1
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            kept = await requests.keep_uploads(found, files, folder, self.settings.tap_upload_mb)
            uploads = {name: folder / file for name, file in kept.items()}
            query = requests.query_of(self.settings, found, uploads)
            path = folder / "result"
            work = partial(run, self.releases, query, path, self.settings.tap_seconds)
            await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self._waiting -= 1
        away = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        return FileResponse(path, media_type=query.format.mime, background=away)

    async def capabilities(self, request: Request) -> Response:
        """VOSI capabilities."""
        return Response(vosi.capabilities(self.settings, address(request)), media_type=XML)

    async def availability(self, request: Request) -> Response:
        """VOSI availability: whether the ledger and the lake answer."""
        problem = await run_in_threadpool(self._problem)
        return Response(vosi.availability(self.since, problem), media_type=XML)

    def _problem(self) -> str:
        try:
            with self.releases.current() as release:
                release.connection.duckdb.cursor().execute("SELECT count(*) FROM tap_schema.tables").fetchone()
        except Exception as error:
            return f"the lake cannot be read: {type(error).__name__}"
        return ""

    async def tables(self, request: Request) -> Response:
        """VOSI tables; `detail=min` leaves the columns out."""
        brief = request.query_params.get("detail", "").lower() == "min"
        return Response(await run_in_threadpool(self._tables, None, not brief), media_type=XML)

    async def table(self, request: Request) -> Response:
        """VOSI tables, one."""
        return Response(await run_in_threadpool(self._tables, request.path_params["table"], True), media_type=XML)

    def _tables(self, name: str | None, columns: bool) -> str:
        with self.releases.current() as release:
            tables = list(release.tables.values())
            if name is None:
                return vosi.tableset(tables, columns=columns)
            try:
                return vosi.one_table(find_table(release.tables, name.replace('"', "")), tables)
            except InputError as error:
                raise HTTPException(404, str(error)) from None

    async def examples(self, request: Request) -> Response:
        """DALI examples: the questions of `sql/adql` whose tables are here."""
        return Response(await run_in_threadpool(self._examples), media_type="application/xhtml+xml")

    def _examples(self) -> str:
        found = []
        with self.releases.current() as release:
            for file in sorted((self.settings.root / "sql" / "adql").glob("*.adql")):
                text = file.read_text(encoding="utf-8")
                try:
                    translate(text, release.tables)
                except InputError:
                    continue  # of a table that this home has not
                lines = text.splitlines()
                comments = [line.removeprefix("--").strip() for line in lines if line.startswith("--")]
                body = "\n".join(line for line in lines if not line.startswith("--")).strip()
                found.append((file.stem, " ".join(comments) or file.stem, body))
        return vosi.examples(found)

    async def welcome(self, request: Request) -> Response:
        """For people who open the address in a browser."""
        parts = ("capabilities", "tables", "availability", "examples", "sync", "async")
        lines = "\n".join(address(request, part) for part in parts)
        return PlainTextResponse(
            f"TAP service of the Stellar Platform; give this address to TOPCAT or pyvo\n\n{lines}\n"
        )


def create_app(settings: Settings, engine: sa.Engine) -> Starlette:
    """The application.

    Parameters
    ----------
    settings : Settings
    engine : sqlalchemy.Engine
        On the ledger; the role `reader` is enough.
    """
    service = Service(settings, engine)
    routes = [
        Route("/", service.welcome),
        Route("/sync", service.sync, methods=["GET", "POST"]),
        Route("/capabilities", service.capabilities),
        Route("/availability", service.availability),
        Route("/tables", service.tables),
        Route("/tables/{table}", service.table),
        Route("/examples", service.examples),
        *AsyncRoutes(settings, service.jobs).routes(),
    ]
    app = Starlette(
        routes=[Mount(PREFIX, routes=routes)],
        lifespan=service.lifespan,
        exception_handlers={  # type: ignore[dict-item]
            InputError: _refused,
            StellarError: _failed,
            sa.exc.SQLAlchemyError: _failed,
            HTTPException: _http,
            Exception: _failed,
        },
    )
    app.state.service = service
    return app


async def _refused(request: Request, error: Exception) -> Response:
    return Response(votable.error_document(str(error)), status_code=400, media_type=votable.MIME)


async def _failed(request: Request, error: Exception) -> Response:
    said = str(error) if isinstance(error, StellarError) else f"{type(error).__name__}; see the service's log"
    return Response(votable.error_document(said), status_code=500, media_type=votable.MIME)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if request.url.path.endswith("/sync"):
        document = votable.error_document(error.detail)
        return Response(document, error.status_code, error.headers, votable.MIME)  # type: ignore[arg-type]
    return PlainTextResponse(error.detail, error.status_code, error.headers)  # type: ignore[arg-type]
