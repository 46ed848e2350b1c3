"""Whole HTML pages that the platform keeps (reports, Data Docs), served so that nothing in them runs or loads."""

from pathlib import Path

from fastapi.responses import HTMLResponse

#: `sandbox` gives the page an origin of its own: no script, form or link of it acts with the user's login.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)


def framed(path: Path) -> HTMLResponse:
    """The page at `path`, under a policy of its own."""
    return HTMLResponse(path.read_text(encoding="utf-8"), headers={"Content-Security-Policy": POLICY})
