"""Data of the page Star."""

from typing import Any

from fastapi import APIRouter

from stellar_pages import home

router = APIRouter()


@router.get("/star")
def star(id: str) -> dict[str, Any]:
    """What is known of a star."""
    from stellar.serving import stars

    return stars.star(home.settings(), home.engine(), id)


@router.get("/near")
def near(ra: float, dec: float, radius_arcsec: float = 30.0) -> list[dict[str, Any]]:
    """Objects around a position."""
    from stellar.serving import stars

    return stars.near(home.settings(), home.engine(), ra, dec, radius_arcsec)


@router.get("/spectra")
def spectra(id: str) -> list[dict[str, Any]]:
    """Spectra of a star."""
    from stellar.serving import star_curves

    return star_curves.spectra(home.settings(), home.engine(), id)


@router.get("/lightcurves")
def light_curves(id: str) -> list[dict[str, Any]]:
    """Light curves of a star."""
    from stellar.serving import star_curves

    return star_curves.light_curves(home.settings(), home.engine(), id)


@router.get("/lineage")
def lineage(id: str) -> list[dict[str, Any]]:
    """Which queries brought a star's rows."""
    from stellar.serving import stars

    return stars.star_lineage(home.settings(), home.engine(), id)
