"""Questions to start from: the files of `sql/queries/`."""

from __future__ import annotations

from stellar.settings import Settings


def examples(settings: Settings) -> list[dict[str, str]]:
    """Questions with their statements.

    Returns
    -------
    list of dict
        `name` (of the file), `question` (its first comment) and `statement` (the whole text).
    """
    found = []
    for path in sorted((settings.root / "sql" / "queries").glob("*.sql")):
        text = path.read_text(encoding="utf-8").strip()
        first = text.splitlines()[0] if text else ""
        question = first.removeprefix("--").strip() if first.startswith("--") else path.stem.replace("_", " ")
        found.append({"name": path.stem, "question": question, "statement": text})
    return found
