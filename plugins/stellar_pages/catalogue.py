"""Data of the page Catalogue: the SQL console."""

import asyncio
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from stellar_pages import home
from stellar_pages.access import Reader

if TYPE_CHECKING:
    from stellar.serving.console import Console

router = APIRouter()
#: How often the server looks whether whoever asked is still there, seconds.
LOOK_S = 0.25
MEDIA = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet", "votable": "application/x-votable+xml"}
ENDINGS = {"csv": "csv", "parquet": "parquet", "votable": "vot"}


class Question(BaseModel):
    """A statement; `token` is the page's own name of it, by which it can be stopped."""

    statement: str = Field(max_length=200_000)
    token: str = Field(min_length=8, max_length=64)
    rows: int | None = None
    time_s: float | None = None


class Download(Question):
    """The whole result as a file."""

    form: Literal["csv", "parquet", "votable"]


class Token(BaseModel):
    """Which question."""

    token: str = Field(min_length=8, max_length=64)


@cache
def console() -> "Console":
    """The processes that questions run in: one set for each process of the API server."""
    from stellar.serving.console import Console

    return Console(home.settings())


@router.get("/names")
def names() -> dict[str, Any]:
    """Names to complete: datasets, columns, the ledger's tables, functions."""
    return _asked(console().names)


@router.get("/examples")
def examples() -> list[dict[str, str]]:
    """Questions to start from."""
    from stellar.serving import examples

    return examples.examples(home.settings())


@router.get("/limits")
def limits() -> dict[str, Any]:
    """What a question may take."""
    told = console().limits
    return {"rows": told.rows, "most_rows": told.most_rows, "time_s": told.time_s, "most_time_s": told.most_time_s,
            "file_rows": told.file_rows}  # fmt: skip


@router.post("/query")
async def query(question: Question, request: Request, user: Reader) -> dict[str, Any]:
    """Answer a question; it stops when whoever asked is gone."""
    asked = console()
    who = user.get_name()
    work = asyncio.ensure_future(
        asyncio.to_thread(
            _asked, asked.run, question.statement, user=who, token=question.token, rows=question.rows,
            time_s=question.time_s,
        )
    )  # fmt: skip
    while not (await asyncio.wait({work}, timeout=LOOK_S))[0]:
        if await request.is_disconnected():
            asked.stop(who, question.token)
    return work.result()


@router.post("/stop")
def stop(which: Token, user: Reader) -> dict[str, bool]:
    """Stop a question of one's own."""
    return {"stopped": console().stop(user.get_name(), which.token)}


@router.post("/download")
def download(question: Download, user: Reader) -> StreamingResponse:
    """The whole result as a file, as it comes."""
    parts = console().download(question.statement, question.form, user=user.get_name(), token=question.token)
    _asked(next, parts)  # what is wrong with the question is told before the file begins
    name = f"answer.{ENDINGS[question.form]}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_kept(parts), media_type=MEDIA[question.form], headers=headers)


@router.get("/outcome")
def outcome(token: str, user: Reader) -> dict[str, Any]:
    """Rows of a download, and whether it was cut."""
    return console().outcome(user.get_name(), token)


def _kept(parts: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from (part for part in parts if part)
    finally:
        parts.close()  # type: ignore[attr-defined]


def _asked(call: Any, *values: Any, **named: Any) -> Any:
    from stellar.serving.console import BusyError

    try:
        return call(*values, **named)
    except BusyError as error:
        raise HTTPException(503, str(error)) from None
