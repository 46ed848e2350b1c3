"""Completion at the prompt of `stellar sql`: what fits at the cursor, by the words around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit.completion import Completer, Completion

if TYPE_CHECKING:
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from stellar.lake.sql import LakeConnection

KEYWORDS = tuple(
    "SELECT FROM WHERE GROUP BY ORDER LIMIT JOIN LEFT USING ON AND OR NOT IN IS NULL AS WITH HAVING DISTINCT QUALIFY"  # noqa: SIM905
    " UNION ALL CASE WHEN THEN ELSE END BETWEEN LIKE DESCRIBE SUMMARIZE SHOW TABLES EXPLAIN".split()
)
FUNCTIONS = ("count(", "avg(", "median(", "min(", "max(", "sum(", "round(")
MACROS = ("cone('", "box('", "polygon('", "as_of('", "snapshot('", "changes('")
COMMANDS = ("\\d", "\\examples", "\\plot", "\\snapshots", "\\help", "\\q")
_WORD = re.compile(r"[\\\w.]*$")
_TABLE = re.compile(r'\b(\w+)"?\."?(\w+)"?(?:\s+(?:AS\s+)?(?!(?:ON|USING|WHERE|JOIN|LEFT|GROUP|ORDER)\b)(\w+))?', re.I)
_IN_MACRO = re.compile(r"\b(cone|box|polygon|as_of|snapshot|changes)\('([\w.]*)$", re.IGNORECASE)
_MACRO_TABLE = re.compile(r"\b(?:cone|box|polygon|as_of|snapshot|changes)\('([\w.]+)'", re.IGNORECASE)


class SqlCompleter(Completer):
    """Datasets after FROM and JOIN, columns of the tables that a statement names, macros, keywords, commands.

    Parameters
    ----------
    columns : mapping
        Table's name, as statements have it -> its columns.
    examples : sequence of str
        Names of questions.
    """

    def __init__(self, columns: Mapping[str, Sequence[str]], examples: Sequence[str] = ()) -> None:
        self.columns, self.examples = dict(columns), list(examples)
        #: Columns of the newest result, for `\\plot`.
        self.result: list[str] = []

    @classmethod
    def of(cls, connection: LakeConnection, questions: Path) -> SqlCompleter:
        """A completer for a connection, and the questions of a folder."""
        columns = {**connection.columns(), **connection.ledger_columns()}
        return cls(columns, sorted(file.stem for file in questions.glob("*.sql")))

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        before, whole = document.text_before_cursor, document.text
        word = _WORD.search(before)[0]  # type: ignore[index] - it matches nothing too
        for found in self.candidates(before, whole, word):
            yield Completion(found, start_position=-len(word))

    def candidates(self, before: str, whole: str, word: str) -> list[str]:
        """What a word may become, best first."""
        if before.lstrip().startswith("\\"):
            return _beginning(word, self._of_command(before.lstrip()))
        if inside := _IN_MACRO.search(before):
            return _beginning(inside[2], (name for name in self.columns if not name.startswith("ledger.")))
        previous = re.findall(r"[\w(,]+", before[: len(before) - len(word)].upper())[-1:]
        if previous and previous[0] in ("FROM", "JOIN", "DESCRIBE", "SUMMARIZE"):
            return _beginning(word, [*self.columns, *MACROS])
        tables = self._named(whole)
        if "." in word:
            alias, _, rest = word.rpartition(".")
            if alias.lower() in tables:
                return [f"{alias}.{name}" for name in _beginning(rest, self.columns[tables[alias.lower()]])]
        own = list(dict.fromkeys(name for table in tables.values() for name in self.columns[table]))
        if not word:
            return [*own, *KEYWORDS]
        return _beginning(word, [*own, *FUNCTIONS, *KEYWORDS, *MACROS, *self.columns])

    def _of_command(self, line: str) -> Iterable[str]:
        command, _, rest = line.partition(" ")
        if not _ and not rest:
            return COMMANDS
        return {"\\d": list(self.columns), "\\examples": self.examples, "\\plot": ["hr", "sky", *self.result]}.get(
            command, []
        )

    def _named(self, text: str) -> dict[str, str]:
        """Tables that a statement names, by name and by alias."""
        found = {}
        for schema, table, alias in _TABLE.findall(text):
            name = f"{schema}.{table}".lower()
            if name in self.columns:
                found[name] = name
                if alias:
                    found[alias.lower()] = name
        for name in _MACRO_TABLE.findall(text):
            if name in self.columns:
                found[name] = name
        return found


def _beginning(word: str, names: Iterable[str]) -> list[str]:
    """Names that begin so, in any case; of keywords those as they are written here."""
    return [name for name in dict.fromkeys(names) if name.lower().startswith(word.lower())]
