"""Parameters of requests: names in any case, values checked, uploads kept as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from stellar.errors import InputError

from . import formats
from .queries import Query
from .remote import fetch
from .uploads import parse_parameter

if TYPE_CHECKING:
    from starlette.datastructures import UploadFile

    from stellar.settings import Settings

Parameters = dict[str, list[str]]
LANGUAGES = ("ADQL", "ADQL-2.0", "ADQL-2.1")
#: Largest form beside its uploads, bytes.
MOST_FIELD_BYTES = 4 << 20
#: Memory that the rows of uploads may take, by the largest upload: a cell without text is five bytes of XML and eight
#: or more as a number, and text takes what it did.
_ROWS_PER_UPLOAD = 8
#: What asks for a query, and is kept with a job.
_OF_QUERY = ("REQUEST", "LANG", "QUERY", "RESPONSEFORMAT", "FORMAT", "MAXREC", "VERSION", "UPLOAD")


async def read_request(request: Request, largest_mb: int) -> tuple[Parameters, dict[str, UploadFile]]:
    """Parameters of the address and the form (names in capitals), and the form's files.

    Raises
    ------
    InputError
        When the request is larger than it may be, or its form is none.
    """
    found: Parameters = {}
    files: dict[str, UploadFile] = {}
    for name, value in request.query_params.multi_items():
        found.setdefault(name.upper(), []).append(value)
    if request.method == "POST":
        request = Request(request.scope, _bounded(request.receive, (largest_mb << 20) + MOST_FIELD_BYTES))
        try:
            form = await request.form(max_part_size=MOST_FIELD_BYTES, max_files=8, max_fields=200)
        except HTTPException as error:
            raise InputError(f"the form cannot be read: {error.detail}") from None
        for name, part in form.multi_items():
            if isinstance(part, str):
                found.setdefault(name.upper(), []).append(part)
            else:
                files[name] = part
    return found, files


def _bounded(receive: Receive, most: int) -> Receive:
    """A request's body up to so many bytes; some clients do not say beforehand how many they send."""
    seen = 0

    async def receive_some() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise InputError(f"the request is larger than {most >> 20} MB; upload a smaller table")
        return message

    return receive_some


async def keep_uploads(
    found: Parameters, files: Mapping[str, UploadFile], folder: Path, largest_mb: int
) -> dict[str, str]:
    """Write a request's uploaded tables to a folder: name of the table -> name of the file.

    Raises
    ------
    InputError
        When UPLOAD names a part that the request has not, or an address that cannot be read.
    """
    kept = {}
    named = {key.lower(): value for key, value in files.items()}
    for name, where in parse_parameter(found.get("UPLOAD", [])).items():
        # by the table, whose name is letters and digits: a later request may bring others
        file = f"upload-{name.lower()}.vot"
        if not where.startswith("param:"):
            await run_in_threadpool(fetch, where, folder / f"{file}.new", largest_mb << 20)
        elif (part := where.removeprefix("param:")).lower() not in named:
            raise InputError(f"UPLOAD names the part {part!r}, which is no file of the request")
        else:
            with (folder / f"{file}.new").open("wb") as copy:
                while piece := await named[part.lower()].read(1 << 20):
                    copy.write(piece)
        kept[name] = file
    for file in kept.values():  # all or none take the place of earlier ones
        (folder / f"{file}.new").replace(folder / file)
    return kept


def one(found: Mapping[str, Sequence[str]], name: str) -> str | None:
    """A parameter's value; None when it is not given or empty.

    Raises
    ------
    InputError
        When it is given twice.
    """
    values = [value for value in found.get(name, []) if value.strip()]
    if len(set(values)) > 1:
        raise InputError(f"{name} is given {len(values)} times")
    return values[0] if values else None


def of_query(found: Parameters) -> dict[str, str]:
    """The parameters that ask for a query, as a job keeps them; several UPLOADs become one."""
    kept = {name: value for name in _OF_QUERY if name != "UPLOAD" and (value := one(found, name)) is not None}
    if any(found.get("UPLOAD", [])):
        kept["UPLOAD"] = ";".join(found["UPLOAD"])
    return kept


def query_of(settings: Settings, found: Mapping[str, Sequence[str]], uploads: Mapping[str, Path]) -> Query:
    """The query that parameters ask.

    Raises
    ------
    InputError
        When one is missing, or cannot be what it says.
    """
    asked = one(found, "REQUEST")
    if asked is not None and asked != "doQuery":
        raise InputError(f"REQUEST={asked}: this service has doQuery")
    language = one(found, "LANG")
    if language is None:
        raise InputError("LANG is missing; give LANG=ADQL")
    if language not in LANGUAGES:
        raise InputError(f"LANG={language}: this service speaks {', '.join(LANGUAGES)}")
    text = one(found, "QUERY")
    if text is None:
        raise InputError("QUERY is missing; give one SELECT in ADQL")
    format_ = formats.chosen(one(found, "RESPONSEFORMAT") or one(found, "FORMAT"))
    most, room = _most(settings, one(found, "MAXREC")), _ROWS_PER_UPLOAD * settings.tap_upload_mb << 20
    return Query(text, format_, most, uploads, room, settings.tap_rows_hard)


def _most(settings: Settings, said: str | None) -> int:
    if said is None:
        return min(settings.tap_rows, settings.tap_rows_hard)
    if not said.strip().isdigit():
        raise InputError(f"MAXREC={said}: give a whole number of rows, 0 for the columns alone")
    return min(int(said), settings.tap_rows_hard)


def seconds(said: str, most: float) -> float:
    """EXECUTIONDURATION; 0 asks for as long as may be.

    Raises
    ------
    InputError
        When it is no number of seconds.
    """
    try:
        value = float(said)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise InputError(f"EXECUTIONDURATION={said}: give seconds, 0 for the longest ({most:g})")
    return min(value, most) if value else most


def moment(said: str, name: str) -> datetime:
    """A time in UTC, as DALI writes it.

    Raises
    ------
    InputError
        When it is none.
    """
    try:
        found = datetime.fromisoformat(said.strip())
    except ValueError:
        raise InputError(f"{name}={said}: give a time such as 2030-01-31T12:00:00Z") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
