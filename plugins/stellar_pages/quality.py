"""Data of the page Quality."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from stellar_pages import home
from stellar_pages.access import Actor
from stellar_pages.framed import framed

router = APIRouter()
Text = Annotated[str | None, Query(max_length=500)]
Limit = Annotated[int, Query(ge=1, le=2000)]


class Decision(BaseModel):
    """Rows by their ids, or all of a reason."""

    dataset: str
    decision: Literal["release", "discard", "reopen"]
    why: str = Field(max_length=2000)
    rows: list[str] | None = Field(None, max_length=10_000)
    reason: str | None = None
    batch: str | None = None


@router.get("/gates")
def gates(limit: Limit = 200, dataset: Text = None) -> list[dict[str, Any]]:
    """The newest gate reports."""
    from stellar.serving import quality

    return quality.gates(home.engine(), limit, dataset)


@router.get("/gate")
def gate(gate: Annotated[str, Query(max_length=64)]) -> dict[str, Any]:
    """One gate's report."""
    from stellar.serving import quality

    return quality.gate(home.engine(), gate)


@router.get("/observed")
def observed(dataset: str, expectation: str, column: Text = None, note: Text = None) -> list[dict[str, Any]]:
    """One expectation over time."""
    from stellar.serving import quality

    return quality.observed(home.engine(), dataset, expectation, column, note)


@router.get("/freshness")
def freshness() -> list[dict[str, Any]]:
    """How fresh each survey and the scores are."""
    from stellar.serving.freshness import freshness

    return freshness(home.settings(), home.engine())


@router.get("/accounting")
def accounting(run: Text = None, dataset: Text = None, every: bool = False, limit: Limit = 200) -> dict[str, Any]:
    """Where rows went, and the runs to choose from."""
    from stellar.serving import quality

    rows = quality.accounting(home.engine(), run=run, dataset=dataset, every=every, limit=limit)
    return {"rows": rows, "runs": quality.runs(home.engine())}


@router.get("/docs/{name:path}")
def docs(name: str) -> HTMLResponse:
    """A page of the Data Docs, of which nothing runs."""
    from stellar.serving import quality

    return framed(quality.data_docs(home.settings(), name))


@router.get("/quarantine")
def quarantine() -> list[dict[str, Any]]:
    """Refused rows by dataset, reason, survey and batch."""
    from stellar.serving import quarantine

    return quarantine.overview(home.settings(), home.engine())


@router.get("/quarantine/rows")
def rows(
    dataset: str, reason: Text = None, batch: Text = None, state: Text = None, limit: Limit = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:  # fmt: skip
    """Refused rows themselves."""
    from stellar.serving import quarantine

    return quarantine.rows_of(
        home.settings(), home.engine(), dataset, reason=reason, batch=batch, state=state, limit=limit, offset=offset
    )


@router.get("/quarantine/decisions")
def decisions(dataset: Text = None) -> list[dict[str, Any]]:
    """Decisions that count."""
    from stellar.serving import quarantine

    return quarantine.decided(home.engine(), dataset)


@router.post("/quarantine/decide")
def decide(asked: Decision, user: Actor) -> dict[str, Any]:
    """Release, discard or reopen rows."""
    from stellar.serving import quarantine

    return quarantine.decide(
        home.settings(), home.engine("pipeline"), asked.dataset, asked.decision, who=user.get_name(), why=asked.why,
        rows=asked.rows, reason=asked.reason, batch=asked.batch,
    )  # fmt: skip
