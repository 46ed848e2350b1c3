"""Whether an answer is what was asked for. The surveys' clients take nearly anything; these checks do not."""

from __future__ import annotations

import gzip
import json
import re

import requests

FITS_BLOCK = 2880  # bytes; every FITS file is a whole number of them
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_STATUS = re.compile(rb'<INFO\b[^>]*\bname="QUERY_STATUS"[^>]*?(?:/>|>(.*?)</INFO>)', re.DOTALL)
_VALUE = re.compile(rb'\bvalue="([^"]*)"')


class AnswerError(Exception):
    """An answer that another attempt may better; `retry_after_s` is what the service asked for."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class RefusedError(Exception):
    """An answer that stays the same however often it is asked for."""


def status(response: requests.Response) -> None:
    """Raise for every status but 2xx and 3xx, with the service's own words."""
    if response.status_code < 400:
        return
    reason = f"HTTP {response.status_code}: {message(response.content)}"
    if response.status_code in _TRY_AGAIN:
        raise AnswerError(reason, retry_after(response))
    raise RefusedError(reason)


def retry_after(response: requests.Response) -> float | None:
    """Seconds of the Retry-After header, which may be a number or a date (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def message(body: bytes) -> str:
    """The reason in an error's body: a VOTable's QUERY_STATUS, JSON's message, or its first words without tags."""
    found = _STATUS.search(body)
    if found and found[1]:
        return found[1].decode("utf-8", "replace").strip()
    try:
        values = json.loads(body)
        for key in ("error_message", "msg", "message", "detail"):
            if isinstance(values, dict) and values.get(key):
                return str(values[key])[:500]
    except ValueError:
        pass
    return " ".join(re.sub(rb"<[^>]*>", b" ", body[:4000]).decode("utf-8", "replace").split())[:300] or "no text"


def not_html(response: requests.Response) -> None:
    """A page for people, sent with status 200 where data was asked for."""
    start = response.content[:512].lstrip().lower()
    if "text/html" in response.headers.get("Content-Type", "").lower() or start.startswith(
        (b"<!doctype html", b"<html")
    ):
        raise AnswerError(f"an HTML page instead of data: {message(response.content)}")


def votable(body: bytes) -> bytes:
    """The VOTable, unpacked: whole, with status OK and no OVERFLOW."""
    body = unpacked(body)
    if b"<VOTABLE" not in body[:2000]:
        raise AnswerError(f"not a VOTable: {message(body)}")
    if not body.rstrip().endswith(b"</VOTABLE>"):
        raise AnswerError(f"the VOTable is cut off after {len(body)} bytes")
    for found in _STATUS.finditer(body):
        value = _VALUE.search(found[0])
        if value and value[1] == b"ERROR":
            raise RefusedError(f"query refused: {message(body)}")
        if value and value[1] == b"OVERFLOW":
            raise RefusedError(
                "more rows than the service gives at once (OVERFLOW): ask for smaller units or a fainter limit"
            )
    return body


def unpacked(body: bytes) -> bytes:
    """The body without gzip; a cut one is a `AnswerError`."""
    if body[:2] != b"\x1f\x8b":
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError) as error:
        raise AnswerError(f"broken gzip: {error}") from error


def json_object(body: bytes) -> dict:
    """The JSON object of the body."""
    try:
        values = json.loads(body)
    except ValueError as error:
        raise AnswerError(f"not JSON ({error}): {message(body)}") from error
    if not isinstance(values, dict):
        raise AnswerError("not a JSON object")
    return values


def csv_lines(body: bytes) -> None:
    """A CSV that ends with a whole line."""
    if not body.endswith((b"\n", b"\r")):
        raise AnswerError(f"the CSV is cut off after {len(body)} bytes")


def fits(body: bytes) -> None:
    """A FITS file of whole blocks that starts as one."""
    if not body.startswith(b"SIMPLE  ="):
        raise AnswerError(f"not a FITS file: {message(body)}")
    if len(body) % FITS_BLOCK:
        raise AnswerError(f"the FITS file is cut off after {len(body)} bytes")
