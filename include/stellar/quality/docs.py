"""Great Expectations' page of results, as one file that loads nothing from elsewhere."""

from __future__ import annotations

import re
import uuid
from html import escape
from pathlib import Path
from typing import Any

# The pages are opened from disk or through the platform's own UI, so no script and nothing of another site runs in
# them, whatever the rows that they show contain.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c2430;
  background: #fff }
table { border-collapse: collapse; margin: .5rem 0; width: 100% }
td, th { border: 1px solid #cdd5df; padding: .3rem .6rem; text-align: left; vertical-align: top;
  word-break: break-word }
nav, button, .collapse:not(.show) .modal, .ge-feedback, #gx-cta { display: none }
.badge, .text-danger { color: #b3261e } .text-success { color: #0f7b3f }
.verdict { font-size: 1.2rem; font-weight: 600 } .list-inline-item { display: inline; margin-right: .5rem }
@media (prefers-color-scheme: dark) { body { background: #12171f; color: #dce3ec } td, th { border-color: #3a4656 } }
"""


def write_page(
    path: Path, dataset: str, snapshot: str, passed: bool, rows: list[dict[str, Any]], results: list[Any]
) -> None:
    """Render results (of several validations of one dataset) into one HTML file, complete or not at all.

    Parameters
    ----------
    path : Path
    dataset, snapshot : str
        What was checked.
    passed : bool
    rows : list of dict
        The results as the ledger keeps them.
    results : list of ExpectationValidationResult
        The same, as Great Expectations gave them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        temporary.write_text(_page(dataset, snapshot, passed, rows, results), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _page(dataset: str, snapshot: str, passed: bool, rows: list[dict[str, Any]], results: list[Any]) -> str:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    good = sum(bool(result.success) for result in results)
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": good,
        "unsuccessful_expectations": len(results) - good,
        "success_percent": 100.0 * good / max(len(results), 1),
    }
    outcome = ExpectationSuiteValidationResult(
        success=passed,
        results=results,
        suite_name=dataset,
        statistics=statistics,
        meta={"great_expectations_version": "", "active_batch_definition": {"data_asset_name": dataset}},
    )
    html = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(outcome))
    return _self_contained(html, dataset, snapshot, passed, rows)


def _self_contained(html: str, dataset: str, snapshot: str, passed: bool, rows: list[dict[str, Any]]) -> str:
    html = re.sub(r"<script\b.*?</script\s*>", "", html, flags=re.DOTALL | re.IGNORECASE)
    html = re.sub(r"<(link|img)\b[^>]*>", "", html, flags=re.IGNORECASE)
    html = re.sub(r"<style\b.*?</style\s*>", "", html, flags=re.DOTALL | re.IGNORECASE)
    html = re.sub(r'\s(href|src)="(?!#)[^"]*"', "", html, flags=re.IGNORECASE)
    title = f"{escape(dataset)} {escape(snapshot)}"
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
    )
    html = re.sub(r"<title>.*?</title>", "", html, count=1, flags=re.DOTALL)
    html = html.replace("</head>", head, 1)
    failed = [row for row in rows if not row["passed"]]
    verdict = f"{'Passed' if passed else 'Failed'}: {len(rows)} expectations, {len(failed)} failed"
    body = f'<h1>{title}</h1><p class="verdict">{verdict}</p>' + "".join(_failed(row) for row in failed)
    return re.sub(r"(<body\b[^>]*>)", lambda match: match[1] + body, html, count=1, flags=re.IGNORECASE)


def _failed(row: dict[str, Any]) -> str:
    """A failed expectation with its failing rows."""
    note = row["observed"].get("error") or row["kwargs"].get("note", "")
    lines = [f"<h3>{escape(row['column_name'])}: {escape(row['expectation'])}</h3><p>{escape(str(note))}</p>"]
    if row["failing_rows"]:
        names = list(dict.fromkeys(name for sample in row["failing_rows"] for name in sample))
        cells = "".join(f"<th>{escape(name)}</th>" for name in names)
        lines.append(f"<table><tr>{cells}</tr>")
        for sample in row["failing_rows"]:
            cells = "".join(f"<td>{escape(str(sample.get(name, '')))}</td>" for name in names)
            lines.append(f"<tr>{cells}</tr>")
        lines.append("</table>")
    return "".join(lines)
