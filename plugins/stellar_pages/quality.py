"""Data of the page Quality."""

from typing import Any

from fastapi import APIRouter

from stellar_pages import home

router = APIRouter()


@router.get("/gates")
def gates(limit: int = 200) -> list[dict[str, Any]]:
    """The newest gate reports."""
    from stellar.serving import quality

    return quality.gates(home.engine(), min(limit, 2000))
