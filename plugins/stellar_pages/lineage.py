"""Data of the page Lineage."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from stellar_pages import home

router = APIRouter()
Limit = Annotated[int, Query(ge=1, le=500)]


@router.get("/graph")
def graph(
    ref: str | None = None,
    star: str | None = None,
    run: str | None = None,
    direction: Literal["up", "down", "both"] = "both",
    training: bool = True,
) -> dict[str, Any]:
    """Nodes and edges around a dataset, model, key, star or run."""
    from stellar.serving import lineage

    return lineage.graph(
        home.engine(), home.settings(), ref=ref, star=star, run=run, direction=direction, training=training
    )


@router.get("/names")
def names() -> dict[str, Any]:
    """What a graph may begin at by name."""
    from stellar.serving import lineage

    return lineage.names(home.engine())


@router.get("/search")
def search(q: str, limit: Limit = 60) -> list[dict[str, Any]]:
    """Nodes by name, key or text of the query."""
    from stellar.serving import lineage

    return lineage.search(home.engine(), q, limit)


@router.get("/node")
def node(kind: str, id: str) -> dict[str, Any]:
    """All that the ledger knows of one node."""
    from stellar.serving import lineage

    return lineage.node(home.engine(), kind, id)


@router.get("/rebuilt")
def rebuilt(kind: str, id: str) -> dict[str, Any]:
    """What would be made anew if a node changed."""
    from stellar.serving import lineage_impact

    return lineage_impact.rebuilt(home.engine(), home.settings(), kind, id)


@router.get("/tainted")
def tainted(batch: str) -> dict[str, Any]:
    """Whose scores a batch has a part in."""
    from stellar.serving import lineage_impact

    return lineage_impact.tainted(home.engine(), home.settings(), batch)


@router.get("/events")
def events(run: str | None = None, snapshot: str | None = None, limit: Limit = 100) -> list[dict[str, Any]]:
    """OpenLineage events of a run or of a snapshot."""
    from stellar.serving import lineage

    return lineage.events(home.engine(), run, snapshot, limit)
