"""Pieces of SQL text over a lake: names, literals, and the files of a snapshot."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .read import Catalog


def named_in(statement: str, schema: str) -> set[str]:
    """Names, in lower case, that a statement has behind `schema.`, quoted or not.

    What strings and comments say, and a dot within a quoted name, does not count.
    """
    found, before = set(), ["", ""]
    for word in words_of(statement):
        plain = word[1:-1].replace('""', '"') if word[0] == '"' else word
        if before == [schema, "."]:
            found.add(plain.lower())
        before = [before[1], plain.lower()]
    return found


def words_of(statement: str) -> list[str]:
    """A statement's words and signs in order, without comments and strings."""
    import duckdb  # not above: most of those who quote a name here need nothing of it, and it is slow to import

    source = statement.encode()
    tokens = duckdb.tokenize(statement)
    ends = [start for start, _ in tokens[1:]] + [len(source)]
    hidden = (duckdb.token_type.comment, duckdb.token_type.string_const)
    words = (source[start:end] for (start, kind), end in zip(tokens, ends, strict=True) if kind not in hidden)
    return [text for word in words if (text := word.decode(errors="replace").strip())]


def columns_file(catalog: Catalog) -> Path:
    """A file that tells a snapshot's columns, without rows if there is such a one."""
    common = catalog.common_metadata
    return common if common.exists() else catalog.files[0]


def scan(catalog: Catalog, *, rows: bool = True) -> str:
    """A table function over a snapshot's files (never its margins'). The file of its columns comes first.

    Without `rows`, over that file alone. Of files in an object store copies are made.
    """
    files = [columns_file(catalog), *(catalog.files if rows else ())]
    files = list(dict.fromkeys(files))
    # Raw batches of one dataset may lack columns; on the sky all files have the same, and need not all be opened.
    by_name = "" if catalog.is_hats else ", union_by_name = true"
    return f"read_parquet({listed(files)}, hive_partitioning = false{by_name})"


def listed(files: Iterable[Path]) -> str:
    """A list of files, here or copied here."""
    return f"[{', '.join(literal(os.fspath(path)) for path in files)}]"


def dotted(name: str) -> str:
    """A name of several parts, each quoted."""
    return ".".join(quoted(part) for part in name.split("."))


def quoted(name: str) -> str:
    """A name in quotation marks."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"
