"""The archive's application: every service of one folder, its health, and its faults."""

from __future__ import annotations

import hmac
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from stellar.archive.service.catalogue import Catalogue
from stellar.archive.service.faults import FaultMiddleware, Faults
from stellar.archive.service.mast import mast_router
from stellar.archive.service.skyserver import sdss_router
from stellar.archive.service.tap import tap_router

GAIA_TAP, SIMBAD_TAP = "/tap-server/tap", "/simbad/sim-tap"


def create_app(folder: Path | str, faults: Faults | None = None, token: str | None = None) -> FastAPI:
    """The application that serves the archive in `folder`.

    Parameters
    ----------
    folder
        As `stellar.archive.build.build_archive` made it.
    faults
        Misbehaviour from the start; none without.
    token
        Bearer token of `/_faults`, which does not exist without one.
    """
    app = FastAPI(title="Stellar embedded archive", docs_url=None, redoc_url=None, openapi_url=None)
    catalogue, faults = Catalogue(Path(folder)), faults or Faults()
    app.include_router(tap_router(catalogue, "gaia", GAIA_TAP, faults))
    app.include_router(tap_router(catalogue, "simbad", SIMBAD_TAP, faults))
    app.include_router(sdss_router(catalogue))
    app.include_router(mast_router(catalogue))
    app.add_middleware(FaultMiddleware, faults=faults)

    @app.get("/_health")
    def health() -> dict[str, str]:
        return {"status": "ok", "folder": str(folder)}

    @app.api_route("/_faults", methods=["GET", "POST"])
    async def change_faults(request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token or not hmac.compare_digest(given.encode(), token.encode()):
            return JSONResponse({"detail": "a bearer token is needed; see the service's token file"}, 403)
        if request.method == "POST":
            try:
                faults.change(await request.json())
            except (ValueError, TypeError) as error:
                return JSONResponse({"detail": str(error)}, 400)
        return JSONResponse(faults.to_dict())

    return app
