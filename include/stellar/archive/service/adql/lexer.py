"""Tokens of a query. Everything that is no token of the grammar is an error with its place."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_LENGTH = 200_000  # characters; the longest sensible query is a list of some thousand ids

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*)
  | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<string>'(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")+"|\[[A-Za-z_][A-Za-z0-9_]*\])
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<op><>|!=|<=|>=|\|\||[=<>+\-*/%(),.])
    """,
    re.VERBOSE,
)


class QueryError(ValueError):
    """A query that this service does not take; the message says what and where."""


class Token(NamedTuple):
    """One token: `kind` is number, string, quoted, name, op or end; `text` its value; `at` its place in the query."""

    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """The token's text in upper case if it is a bare name or an operator, else empty (never a keyword)."""
        return self.text.upper() if self.kind in ("name", "op") else ""


def tokens(query: str) -> list[Token]:
    """All tokens of a query, closed by one of kind `end`.

    Raises
    ------
    QueryError
        For a character that starts no token, and for a query longer than `MAX_LENGTH`.
    """
    if len(query) > MAX_LENGTH:
        raise QueryError(f"query of {len(query)} characters; at most {MAX_LENGTH} are taken")
    found: list[Token] = []
    at = 0
    while at < len(query):
        match = _TOKEN.match(query, at)
        if not match:
            raise QueryError(f"character {query[at]!r} at position {at} is not part of the language")
        kind = match.lastgroup or ""
        text = match.group()
        if kind == "string":
            text = text[1:-1].replace("''", "'")
        elif kind == "quoted":
            text = text[1:-1].replace('""', '"')
        if kind != "space":
            found.append(Token(kind, text, at))
        at = match.end()
    return [*found, Token("end", "", at)]
