"""Routes of asynchronous queries: `/async` and what is below it."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from stellar.errors import InputError
from stellar.serving import votable

from . import requests, uws
from .jobs import ACTIVE, COMPLETED, ERROR, PENDING, PHASES, Job, Jobs, format_of, now, written
from .requests import Parameters, one
from .uploads import joined

if TYPE_CHECKING:
    from stellar.settings import Settings

XML = "text/xml"
#: Longest that WAIT holds an answer back, seconds, and how often it looks meanwhile.
LONGEST_WAIT_S = 120.0
_LOOK_S = 0.1


class AsyncRoutes:
    """Jobs by HTTP.

    Parameters
    ----------
    settings : Settings
    jobs : Jobs
    """

    def __init__(self, settings: Settings, jobs: Jobs) -> None:
        self._settings, self._jobs = settings, jobs

    def routes(self) -> list[Route]:
        """The routes, below the service's own address."""
        named = {
            "phase": self.phase,
            "executionduration": self.duration,
            "destruction": self.destruction,
            "parameters": self.parameters,
        }
        told = {"quote": self.quote, "owner": self.owner, "error": self.error, "results": self.results}
        both = ["GET", "POST"]
        return [
            Route("/async", self.list_or_create, methods=both),
            Route("/async/{job}", self.job, methods=["GET", "POST", "DELETE"]),
            *(Route(f"/async/{{job}}/{name}", method, methods=both) for name, method in named.items()),
            *(Route(f"/async/{{job}}/{name}", method) for name, method in told.items()),
            Route("/async/{job}/results/result", self.result),
        ]

    async def list_or_create(self, request: Request) -> Response:
        """GET: jobs, by PHASE, LAST and AFTER. POST: a new one; with PHASE=RUN it is queued at once."""
        found, files = await requests.read_request(request, self._settings.tap_upload_mb)
        if request.method != "POST":
            return Response(uws.list_document(self._listed(found), address(request, "async")), media_type=XML)
        phase = _phase(found)
        job = self._jobs.create(requests.of_query(found), one(found, "RUNID") or "")
        try:
            uploads = await self._keep(found, files, job)
        except InputError:
            self._jobs.delete(job)
            raise
        self._jobs.change(job, uploads=uploads)
        if phase == "RUN":
            self._jobs.start(job)
        return self._seen(request, job)

    async def job(self, request: Request) -> Response:
        """GET: the document, held back by WAIT. POST: PHASE, DESTRUCTION, EXECUTIONDURATION, ACTION. DELETE."""
        job = self._found(request)
        if request.method == "DELETE":
            self._jobs.delete(job)
            return self._gone(request)
        found, _ = await requests.read_request(request, self._settings.tap_upload_mb)
        if request.method == "POST":
            if (one(found, "ACTION") or "").upper() == "DELETE":
                self._jobs.delete(job)
                return self._gone(request)
            self._set(job, found)
            return self._seen(request, job)
        await self._wait(job, found)
        document = uws.job_document(job, address(request, f"async/{job.job_id}"))
        return Response(document, media_type=XML)

    async def phase(self, request: Request) -> Response:
        """GET or POST PHASE."""
        return await self._field(request, lambda job: job.phase)

    async def duration(self, request: Request) -> Response:
        """GET or POST EXECUTIONDURATION, seconds."""
        return await self._field(request, lambda job: str(int(job.seconds)))

    async def destruction(self, request: Request) -> Response:
        """GET or POST DESTRUCTION, a time."""
        return await self._field(request, lambda job: job.destruction)

    async def parameters(self, request: Request) -> Response:
        """GET the parameters; POST sets some, while the job is pending."""
        job = self._found(request)
        if request.method == "POST":
            found, files = await requests.read_request(request, self._settings.tap_upload_mb)
            if job.phase != PENDING:
                raise InputError(f"the job is {job.phase}; parameters are set while it is {PENDING}")
            told = requests.of_query(found)
            if "UPLOAD" in told:
                told["UPLOAD"] = joined(job.parameters.get("UPLOAD", ""), told["UPLOAD"])
            uploads = await self._keep(found, files, job)
            again = {name.lower() for name in uploads}
            kept = {name: file for name, file in job.uploads.items() if name.lower() not in again}
            self._jobs.change(job, parameters={**job.parameters, **told}, uploads=kept | uploads)
            return self._seen(request, job)
        return Response(uws.parameters_document(job), media_type=XML)

    async def quote(self, request: Request) -> Response:
        """Nobody knows when a job will be done."""
        self._found(request)
        return PlainTextResponse("")

    async def owner(self, request: Request) -> Response:
        """Jobs have no owner."""
        self._found(request)
        return PlainTextResponse("")

    async def error(self, request: Request) -> Response:
        """What went wrong, as a VOTable."""
        job = self._found(request)
        if job.phase != ERROR:
            return PlainTextResponse("", status_code=404)
        return Response(votable.error_document(job.error), media_type=votable.MIME)

    async def results(self, request: Request) -> Response:
        """The list of results: one, or none yet."""
        job = self._found(request)
        return Response(uws.results_document(job, address(request, f"async/{job.job_id}")), media_type=XML)

    async def result(self, request: Request) -> Response:
        """The answer; of a job that failed, what went wrong."""
        job = self._found(request)
        if job.phase == ERROR:
            return Response(votable.error_document(job.error), media_type=votable.MIME, status_code=400)
        if job.phase != COMPLETED or not self._jobs.result(job).is_file():
            return PlainTextResponse(f"the job is {job.phase}: it has no result", status_code=404)
        return FileResponse(self._jobs.result(job), media_type=format_of(job).mime)

    async def _keep(self, found: Parameters, files: Any, job: Job) -> dict[str, str]:
        return await requests.keep_uploads(found, files, self._jobs.folder(job), self._settings.tap_upload_mb)

    async def _field(self, request: Request, show: Any) -> Response:
        job = self._found(request)
        if request.method == "POST":
            found, _ = await requests.read_request(request, self._settings.tap_upload_mb)
            self._set(job, found)
            return self._seen(request, job)
        return PlainTextResponse(show(job))

    def _set(self, job: Job, found: Parameters) -> None:
        if (said := one(found, "EXECUTIONDURATION")) is not None:
            if job.phase != PENDING:
                raise InputError(f"the job is {job.phase}; EXECUTIONDURATION is set while it is {PENDING}")
            self._jobs.change(job, seconds=requests.seconds(said, self._settings.tap_seconds_hard))
        if (said := one(found, "DESTRUCTION")) is not None:
            last = now() + timedelta(days=self._settings.tap_keep_days)
            self._jobs.change(job, destruction=written(min(requests.moment(said, "DESTRUCTION"), last)))
        phase = _phase(found)
        if phase == "RUN":
            self._jobs.start(job)
        elif phase == "ABORT":
            self._jobs.abort(job)

    def _listed(self, found: Parameters) -> list[Job]:
        wanted = [phase.upper() for phase in found.get("PHASE", [])]
        if unknown := set(wanted) - {*PHASES, "HELD", "SUSPENDED", "UNKNOWN", "ARCHIVED"}:
            raise InputError(f"PHASE={', '.join(sorted(unknown))}: no such phase")
        jobs = [job for job in self._jobs.all() if job.phase in wanted or not wanted]
        if (said := one(found, "AFTER")) is not None:
            after = written(requests.moment(said, "AFTER").astimezone(UTC))
            jobs = [job for job in jobs if job.created > after]
        if (said := one(found, "LAST")) is not None:
            if not said.isdigit():
                raise InputError(f"LAST={said}: give a number of jobs")
            jobs = jobs[: int(said)]
        return jobs

    async def _wait(self, job: Job, found: Parameters) -> None:
        said = one(found, "WAIT")
        if said is None:
            return
        try:
            wanted = float(said)
        except ValueError:
            raise InputError(f"WAIT={said}: give seconds, -1 for as long as may be") from None
        phase = job.phase
        if phase not in ACTIVE or (one(found, "PHASE") or phase).upper() != phase:
            return
        longest = LONGEST_WAIT_S if wanted < 0 else min(wanted, LONGEST_WAIT_S)
        give_up = asyncio.get_running_loop().time() + longest
        while job.phase == phase and asyncio.get_running_loop().time() < give_up:
            await asyncio.sleep(_LOOK_S)

    def _found(self, request: Request) -> Job:
        job = self._jobs.get(request.path_params["job"])
        if job is None:
            from starlette.exceptions import HTTPException

            raise HTTPException(404, "no such job; it may have been destroyed")
        return job

    def _seen(self, request: Request, job: Job) -> Response:
        return RedirectResponse(address(request, f"async/{job.job_id}"), status_code=303)

    def _gone(self, request: Request) -> Response:
        return RedirectResponse(address(request, "async"), status_code=303)


def address(request: Request, path: str = "") -> str:
    """Address of a part of the service, as the client reaches it."""
    base = f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"
    return f"{base}/{path}" if path else base


def _phase(found: Parameters) -> str | None:
    said = one(found, "PHASE")
    if said is not None and said.upper() not in ("RUN", "ABORT"):
        raise InputError(f"PHASE={said}: post RUN or ABORT")
    return said.upper() if said else None
