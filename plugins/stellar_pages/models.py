"""Data of the page Models."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from stellar_pages import home
from stellar_pages.access import Actor
from stellar_pages.framed import framed

router = APIRouter()
Reference = Annotated[str, Query(min_length=1, max_length=200)]


class Change(BaseModel):
    """Why, and what the person saw as the current version."""

    reason: str = Field(max_length=2000)
    instead_of: str | None = None


class Promote(Change):
    version: str
    over_policy: bool = False


class Rollback(Change):
    model: str
    to: str | None = None


@router.get("/list")
def models() -> list[dict[str, Any]]:
    """Every model."""
    from stellar.serving import models as registry

    return registry.models(home.engine())


@router.get("/model")
def model(name: Reference) -> dict[str, Any]:
    """One model."""
    from stellar.serving import models as registry

    return registry.model(home.engine(), name)


@router.get("/version")
def version(version: Reference) -> dict[str, Any]:
    """One version."""
    from stellar.serving import models as registry

    return registry.version(home.engine(), version)


@router.get("/compare")
def compare(
    version: Annotated[list[str], Query()], seed: Annotated[int, Query(ge=0, lt=2**32)] = 0
) -> list[dict[str, Any]]:
    """Versions side by side on shared test examples."""
    from stellar.serving import models as registry

    return registry.compare(home.settings(), home.engine(), version, seed)


@router.get("/card")
def card(version: Reference) -> dict[str, Any]:
    """A version's model card."""
    from stellar.serving import models as registry

    return registry.card(home.settings(), home.engine(), version)


@router.get("/report")
def report(version: Reference) -> HTMLResponse:
    """A version's report: a page of its own, of which nothing runs."""
    from stellar.serving import models as registry

    return framed(registry.report(home.settings(), home.engine(), version))


@router.post("/promote")
def promote(change: Promote, user: Actor) -> dict[str, Any]:
    """Make a version current."""
    from stellar.serving import model_acts

    return model_acts.promote(
        home.settings(), home.engine("pipeline"), change.version, who=user.get_name(), reason=change.reason,
        over_policy=change.over_policy, instead_of=change.instead_of,
    )  # fmt: skip


@router.post("/rollback")
def rollback(change: Rollback, user: Actor) -> dict[str, Any]:
    """Make an earlier version current again."""
    from stellar.serving import model_acts

    return model_acts.rollback(
        home.settings(), home.engine("pipeline"), change.model, who=user.get_name(), reason=change.reason, to=change.to,
        instead_of=change.instead_of,
    )  # fmt: skip
