"""The FastAPI app: pages, what their scripts load, and the data behind them; every route asks who is there."""

from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from stellar.errors import IntegrityError, LedgerError, StellarError
from stellar_pages import catalogue, lineage, models, quality, sky, stars
from stellar_pages.access import Reader, may_act, reader
from stellar_pages.shell import PageOf, document

PREFIX = "stellar"
STATIC = Path(__file__).parent / "static"
TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".txt": "text/plain",
    ".svg": "image/svg+xml",
}
PAGES = (
    PageOf("sky", "Sky", scripts=("vendor/d3.min.js",)),
    PageOf("catalogue", "Catalogue", scripts=("vendor/d3.min.js",)),
    PageOf("star", "Star", in_menu=False, scripts=("vendor/d3.min.js",)),
    PageOf("models", "Models", scripts=("vendor/d3.min.js",)),
    PageOf("lineage", "Lineage", scripts=("vendor/d3.min.js",)),
    PageOf("quality", "Quality", scripts=("vendor/d3.min.js",)),
)
# pages load from this server alone, and only Airflow's own UI may frame them
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)

# No generated documentation: it would be open to anyone. The dependency stands before every route below.
app = FastAPI(title="Stellar Platform", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(reader)])
for name, part in {
    "sky": sky,
    "catalogue": catalogue,
    "stars": stars,
    "models": models,
    "lineage": lineage,
    "quality": quality,
}.items():
    app.include_router(part.router, prefix=f"/api/{name}")


@app.middleware("http")
async def secured(request: Request, call_next) -> Response:  # type: ignore[no-untyped-def]
    """Add the headers that keep pages to themselves; answers about data are never kept by a browser."""
    response: Response = await call_next(request)
    response.headers.setdefault("Content-Security-Policy", POLICY)  # kept pages come with a stricter one
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@app.exception_handler(StellarError)
async def refused(request: Request, error: StellarError) -> JSONResponse:
    """What a person asked wrongly, or what is damaged, in the words that the command line would use."""
    status = 500 if isinstance(error, IntegrityError | LedgerError) else 400
    return JSONResponse({"detail": str(error)}, status_code=status)


@app.exception_handler(Exception)
async def unexpected(request: Request, error: Exception) -> JSONResponse:
    """What is wrong with the question is told; a fault of ours is logged by the server and named in a word."""
    return JSONResponse({"detail": "internal error; see the API server's log"}, status_code=500)


@app.get("/pages/{name}")
def page(name: str, user: Reader) -> HTMLResponse:
    """One page's document."""
    found = next((one for one in PAGES if one.name == name), None)
    if found is None:
        raise HTTPException(404, f"no page {name!r}; there are {', '.join(one.name for one in PAGES)}")
    return HTMLResponse(document(found, PAGES, user.get_name(), may_act(user)))


@app.get("/static/{name:path}")
def static(name: str, user: Annotated[object, Depends(reader)]) -> FileResponse:
    """One file that pages load. A route, not a mount: a mount would not ask who is there."""
    path = (STATIC / name).resolve()
    if not path.is_relative_to(STATIC) or not path.is_file() or path.suffix not in TYPES:
        raise HTTPException(404, f"no file {name!r}")
    return FileResponse(path, media_type=TYPES[path.suffix], headers={"Cache-Control": "private, no-cache"})
