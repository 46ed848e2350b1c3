"""SDSS: SkyServer's SQL search and the Science Archive Server's spectra."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from stellar.archive.sdss_fits import spectrum_fits
from stellar.archive.service import votable
from stellar.archive.service.adql.lexer import QueryError
from stellar.archive.service.catalogue import Catalogue

MAX_ROWS = 500_000  # SkyServer's own limit of a search; it cuts without a word
_FILE = re.compile(r"spec-(\d{4,5})-(\d{5})-(\d{4})\.fits")
_RELEASES = {"dr16", "dr17"}


def sdss_router(catalogue: Catalogue) -> APIRouter:
    """SkyServer under `/dr17/en/tools/search/`, spectra under `/sas/dr17/sdss/spectro/redux/`."""
    router = APIRouter()

    async def search(release: str, request: Request) -> Response:
        if release not in _RELEASES:
            return _refusal(404, f"release {release!r} is not served; {', '.join(sorted(_RELEASES))} are")
        params: dict[str, Any] = dict(request.query_params)
        if request.method == "POST":
            params |= dict(await request.form())
        if str(params.get("searchtool", "SQL")).upper() != "SQL":
            return _refusal(400, f"searchtool {params['searchtool']!r}: SQL is served")
        if str(params.get("format", "csv")).lower() != "csv":
            return _refusal(400, f"format {params['format']!r}: csv is served")
        try:
            result = await run_in_threadpool(catalogue.query, "sdss", str(params.get("cmd", "")), MAX_ROWS)
        except QueryError as error:
            return _refusal(400, str(error))
        return Response(votable.csv_document(result, "#Table1\n"), media_type="text/plain; charset=utf-8")

    router.add_api_route("/{release}/en/tools/search/x_results.aspx", search, methods=["GET", "POST"])
    router.add_api_route("/{release}/en/tools/search/X_Results.aspx", search, methods=["GET", "POST"])

    @router.api_route("/sas/{release}/sdss/spectro/redux/{run2d}/spectra/{path:path}", methods=["GET", "HEAD"])
    def spectrum(release: str, run2d: str, path: str) -> Response:
        *kind, plate, name = ("/" + path).split("/")[1:] if "/" in path else ("", path)
        match = _FILE.fullmatch(name)
        # the spectra of SDSS-I/II and SEGUE have no folder `full` or `lite`
        if release not in _RELEASES or kind not in ([], ["full"], ["lite"]) or not match or match[1] != plate:
            return Response("not found", 404)
        numbers = tuple(int(part) for part in match.groups())
        found = catalogue.rows(
            "SELECT 1 FROM sdss_specobj WHERE plate = ? AND mjd = ? AND fiberID = ? AND run2d = ?", (*numbers, run2d)
        )
        if not found.num_rows:
            return Response("not found", 404)
        return Response(spectrum_fits(catalogue.folder, *numbers), media_type="application/fits")

    return router


def _refusal(status: int, message: str) -> JSONResponse:
    return JSONResponse({"Error Code": status, "error_message": message}, status)
