"""TAP services (https://www.ivoa.net/documents/TAP/20190927/): Gaia's TAP+ with its dialect, and SIMBAD's."""

from __future__ import annotations

from xml.sax.saxutils import escape

import pyarrow as pa
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from stellar.archive.service import votable
from stellar.archive.service.adql.lexer import QueryError
from stellar.archive.service.catalogue import Catalogue
from stellar.archive.service.faults import Faults
from stellar.archive.service.uws import Job, Jobs

DEFAULT_MAXREC = 3_000_000  # rows, of an asynchronous job (Gaia's own limit)
SYNC_MAXREC = 200_000
_TYPES = {pa.bool_(): "BOOLEAN", pa.int16(): "SMALLINT", pa.int32(): "INTEGER", pa.int64(): "BIGINT",
          pa.float32(): "REAL", pa.float64(): "DOUBLE"}  # fmt: skip


def tap_router(catalogue: Catalogue, service: str, prefix: str, faults: Faults) -> APIRouter:
    """All endpoints of one TAP service under `prefix`."""
    router, jobs = APIRouter(prefix=prefix), Jobs()

    def answer(params: dict[str, str], limit: int) -> tuple[bytes, str]:
        """Run the query of the parameters: body and content type."""
        if params.get("LANG", "ADQL").upper().split("-")[0] != "ADQL":
            raise QueryError(f"LANG {params['LANG']!r}: this service speaks ADQL")
        if "UPLOAD" in params:
            raise QueryError("UPLOAD is not supported here")
        query = params.get("QUERY", "").strip()
        if not query:
            raise QueryError("parameter QUERY is missing")
        maxrec = params.get("MAXREC", "")
        if maxrec and not maxrec.isdigit():
            raise QueryError(f"MAXREC {maxrec!r} is not a whole number")
        result = catalogue.query(service, query, min(int(maxrec), limit) if maxrec else limit)
        kind = params.get("FORMAT", params.get("RESPONSEFORMAT", "votable")).lower()
        if kind in ("csv", "text/csv"):
            return votable.csv_document(result), "text/csv;charset=UTF-8"
        if kind.startswith(("votable", votable.CONTENT_TYPE, "text/xml", "application/xml")):
            return votable.document(result, query), votable.CONTENT_TYPE
        raise QueryError(f"FORMAT {kind!r}: votable and csv are served")

    def find(job_id: str) -> Job | Response:
        try:
            return jobs.get(job_id)
        except KeyError:
            return _refusal(f"no job {job_id}", 404)

    def start(job: Job) -> None:
        def work() -> tuple[bytes, str]:
            if faults.job_fails(job.params.get("QUERY", "")):
                raise RuntimeError("the job was killed by the scheduler of the database (simulated fault)")
            return answer(job.params, DEFAULT_MAXREC)

        jobs.run(job, work)

    @router.api_route("/sync", methods=["GET", "POST"])
    async def sync(request: Request) -> Response:
        params = await _params(request)
        try:
            body, media_type = await run_in_threadpool(answer, params, SYNC_MAXREC)
        except QueryError as error:
            return _refusal(str(error), 400)
        return Response(body, media_type=media_type)

    @router.post("/async")
    async def create(request: Request) -> Response:
        params = await _params(request)
        job = jobs.create(params)
        if params.get("PHASE", "").upper() == "RUN":
            start(job)
        return RedirectResponse(_base(request, prefix) + f"/{job.job_id}", 303)

    @router.get("/async/{job_id}")
    async def show(job_id: str, request: Request) -> Response:
        job = find(job_id)
        return job if isinstance(job, Response) else _xml(job.document(_base(request, prefix)))

    @router.delete("/async/{job_id}")
    async def delete(job_id: str, request: Request) -> Response:
        job = find(job_id)
        if isinstance(job, Response):
            return job
        jobs.delete(job_id)
        return RedirectResponse(_base(request, prefix), 303)

    @router.post("/async/{job_id}")
    async def change(job_id: str, request: Request) -> Response:
        job = find(job_id)
        if isinstance(job, Response):
            return job
        params = await _params(request)
        if params.pop("ACTION", "").upper() == "DELETE":
            jobs.delete(job_id)
            return RedirectResponse(_base(request, prefix), 303)
        if job.phase == "PENDING":
            job.params.update(params)
        return _xml(job.document(_base(request, prefix)))

    @router.get("/async/{job_id}/phase")
    async def phase(job_id: str) -> Response:
        job = find(job_id)
        return job if isinstance(job, Response) else PlainTextResponse(job.phase)

    @router.post("/async/{job_id}/phase")
    async def set_phase(job_id: str, request: Request) -> Response:
        job = find(job_id)
        if isinstance(job, Response):
            return job
        wanted = (await _params(request)).get("PHASE", "").upper()
        if wanted == "RUN":
            start(job)
        elif wanted == "ABORT":
            jobs.abort(job)
        else:
            return PlainTextResponse(f"PHASE {wanted!r}: RUN or ABORT", 400)
        return RedirectResponse(_base(request, prefix) + f"/{job_id}", 303) if wanted == "RUN" else Response(job.phase)

    @router.get("/async/{job_id}/results/result")
    async def result(job_id: str) -> Response:
        job = find(job_id)
        if isinstance(job, Response):
            return job
        if job.result is None:
            return _refusal(job.error or f"job is {job.phase}", 404)
        return Response(job.result[0], media_type=job.result[1])

    @router.get("/async/{job_id}/error")
    async def error(job_id: str) -> Response:
        job = find(job_id)
        return job if isinstance(job, Response) else _refusal(job.error, 200)

    @router.get("/tables")
    async def tables() -> Response:
        return _xml(_tables_document(catalogue, service))

    @router.get("/capabilities")
    async def capabilities(request: Request) -> Response:
        return _xml(_capabilities(_base(request, prefix).removesuffix("/async")))

    @router.get("/availability")
    async def availability() -> Response:
        return Response(
            '<?xml version="1.0"?><vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/v1.0">'
            "<vosi:available>true</vosi:available></vosi:availability>",
            media_type="text/xml",
        )

    return router


async def _params(request: Request) -> dict[str, str]:
    """Query and form parameters; TAP's names do not mind case."""
    params = dict(request.query_params)
    if request.method == "POST":
        form = await request.form()
        params |= {key: value for key, value in form.items() if isinstance(value, str)}
    return {key.upper(): value for key, value in params.items()}


def _xml(document: str) -> Response:
    return Response(document, media_type="text/xml")


def _refusal(message: str, status: int) -> Response:
    return Response(votable.error_document(message), status, media_type=votable.CONTENT_TYPE)


def _base(request: Request, prefix: str) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{prefix}/async"


def _tables_document(catalogue: Catalogue, service: str) -> str:
    """VOSI tables, with the TAP+ attributes that Gaia's client reads."""
    schemas: dict[str, list[str]] = {}
    for public, (_, names) in catalogue.tables(service).items():
        schema = public.rpartition(".")[0] or "public"
        columns = ""
        for lower in names:
            column = catalogue.describe(service, (public, names[lower]), names[lower], pa.null())
            found = catalogue.query(service, f'SELECT TOP 0 "{lower}" FROM {public}').columns[0]  # noqa: S608
            columns += (
                f'<column esatapplus:flags="0"><name>{column.name}</name>'
                f"<description>{escape(column.description)}</description>"
                f"<unit>{escape(column.unit)}</unit><ucd>{escape(column.ucd)}</ucd>"
                f'<dataType xsi:type="vod:TAPType">{_TYPES.get(found.type, "VARCHAR")}</dataType></column>'
            )
        schemas.setdefault(schema, []).append(
            f'<table type="table" esatapplus:flags="0"><name>{public}</name><description/>{columns}</table>'
        )
    body = "".join(f"<schema><name>{name}</name>{''.join(found)}</schema>" for name, found in schemas.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?><vod:tableset xmlns:vod="http://www.ivoa.net/xml/VODataService/v1.1" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xmlns:esatapplus="http://esa.int/xml/EsaTapPlus">{body}</vod:tableset>'
    )


def _capabilities(url: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0" '
        'xmlns:tr="http://www.ivoa.net/xml/TAPRegExt/v1.0" xmlns:vr="http://www.ivoa.net/xml/VOResource/v1.0" '
        'xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        '<capability standardID="ivo://ivoa.net/std/TAP" xsi:type="tr:TableAccess">'
        f'<interface xsi:type="vs:ParamHTTP" role="std" version="1.1"><accessURL use="base">{escape(url)}</accessURL>'
        "</interface><language><name>ADQL</name><version>2.0</version></language>"
        f"<outputFormat><mime>{votable.CONTENT_TYPE}</mime><alias>votable</alias></outputFormat>"
        "<outputFormat><mime>text/csv</mime><alias>csv</alias></outputFormat>"
        f'<outputLimit><default unit="row">{SYNC_MAXREC}</default><hard unit="row">{DEFAULT_MAXREC}</hard>'
        "</outputLimit></capability></vosi:capabilities>"
    )
