"""Data of the page Sky."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from stellar_pages import home

router = APIRouter()


@router.get("/datasets")
def datasets() -> list[dict[str, Any]]:
    """Datasets that lie on the sky."""
    from stellar.serving import sky

    return sky.datasets(home.engine())


@router.get("/history")
def history(dataset: str) -> dict[str, Any]:
    """Snapshots and promotions of a dataset."""
    from stellar.serving import sky

    return sky.history(home.engine(), dataset)


@router.get("/now")
def now(dataset: str) -> dict[str, str | None]:
    """Key of the current snapshot: what a page asks again and again to notice a new one."""
    from stellar.serving import sky

    return {"snapshot": sky.current(home.engine(), dataset)}


@router.get("/coverage")
def coverage(snapshot: str, against: str | None = None) -> dict[str, Any]:
    """Cells of a snapshot, and which of them are new."""
    from stellar.serving import sky

    return sky.coverage(home.engine(), home.settings(), snapshot, against)


@router.get("/columns")
def columns(snapshot: str) -> list[dict[str, str]]:
    """Columns of numbers, whose mean the map can show."""
    from stellar.serving import sky_counts

    return sky_counts.columns(home.engine(), home.settings(), snapshot)


@router.get("/density")
def density(
    snapshot: str,
    order: int | None = None,
    column: str | None = None,
    ra: float | None = None,
    dec: float | None = None,
    radius: float | None = None,
) -> dict[str, Any]:
    """Rows per pixel, or the mean of a column; near a position where one is given."""
    from stellar.serving import sky_counts

    near = None if ra is None or dec is None or radius is None else (ra, dec, radius)
    return sky_counts.density(home.engine(), home.settings(), snapshot, order, column, near)


@router.get("/cell")
def cell(snapshot: str, order: int, pixel: int, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """Rows, files and gates of a cell."""
    from stellar.serving import sky_cells

    return sky_cells.cell(home.engine(), home.settings(), snapshot, order, pixel, limit)


@router.get("/batches")
def batches(snapshot: str, order: int, pixel: int) -> dict[str, Any]:
    """Batches that brought the rows of a cell."""
    from stellar.serving import sky_cells

    return sky_cells.batches(home.engine(), home.settings(), snapshot, order, pixel)
