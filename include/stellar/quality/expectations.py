"""A suite's lines as Great Expectations' own expectations, and their results as plain rows."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from .suites import Column, Rows, Suite

SHOWN_ROWS = 20


@dataclass(frozen=True)
class Rule:
    """One expectation: its Great Expectations type and arguments, and what people read.

    `value` is what a rule on a single number or type looked at, `failing_rows` what its SQL found, `error` why the
    value could not be computed.
    """

    type: str
    kwargs: Mapping[str, Any]
    column: str
    note: str = ""
    value: Any = None
    failing_rows: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""


@dataclass(frozen=True)
class Outcome:
    """A rule, Great Expectations' result for it, and the first failing rows (None for a rule on a single value)."""

    rule: Rule
    result: Any
    sample: pd.DataFrame | None = None


def column_rules(suite: Suite, ids: list[str], present: set[str]) -> list[Rule]:
    """Expectations on values, for the columns that the dataset has."""
    rules = [Rule("expect_column_values_to_not_be_null", {"column": name}, name) for name in ids if name in present]
    if suite.unique_id and len(ids) == 1 and ids[0] in present:
        rules.append(Rule("expect_column_values_to_be_unique", {"column": ids[0]}, ids[0]))
    if suite.unique_id and len(ids) > 1 and set(ids) <= present:
        rules.append(Rule("expect_compound_columns_to_be_unique", {"column_list": ids}, ", ".join(ids)))
    for name, column in suite.columns.items():
        if name in present:
            rules += [rule for rule in _value_rules(name, column) if rule not in rules]
    return rules


def schema_rules(suite: Suite, ids: list[str], schema: Mapping[str, str]) -> list[Rule]:
    """Expectations on a frame of one row that holds each column's type."""
    from .suites import Column

    wanted = {name: Column() for name in ids} | dict(suite.columns)
    rules = []
    for name, column in wanted.items():
        if name not in schema and column.optional:
            continue
        found = schema.get(name, "missing")
        if column.type and name in schema:
            kwargs: dict[str, Any] = {"column": name, "value_set": [column.type]}
            rules.append(Rule("expect_column_values_to_be_in_set", kwargs, name, "the column's type", found))
        else:
            rules.append(Rule("expect_column_to_exist", {"column": name}, name, "", found))
    return rules


def row_rules(rows: Rows, count: int, previous: int | None) -> list[Rule]:
    """Expectations on the number of rows."""
    rules = [number_rule("row_count", count, rows.min, None)]
    if previous and (rows.min_ratio is not None or rows.max_ratio is not None):
        note = f"the last current snapshot has {previous} rows"
        rules.append(number_rule("row_count_to_last", count / previous, rows.min_ratio, rows.max_ratio, note))
    return rules


def number_rule(
    name: str, value: float | None, low: float | None, high: float | None, note: str = "", error: str = ""
) -> Rule:
    """An expectation on one number; null passes unless there was an error."""
    kwargs = {"column": name, "min_value": low, "max_value": high}
    return Rule("expect_column_values_to_be_between", kwargs, name, note, value, [], error)


def validate(frame: pd.DataFrame, rules: list[Rule]) -> list[Any]:
    """Run rules on a frame; Great Expectations' results, in the order of the rules."""
    from great_expectations import ExpectationSuite
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    if not rules:
        return []
    suite = ExpectationSuite(name="gate")
    for number, rule in enumerate(rules):
        configuration = ExpectationConfiguration(type=rule.type, kwargs=dict(rule.kwargs), meta={"number": number})
        suite.expectations.append(configuration.to_domain_obj())
    result_format = {"result_format": "SUMMARY", "partial_unexpected_count": SHOWN_ROWS}
    outcome = _batch_definition().get_batch({"dataframe": frame}).validate(suite, result_format=result_format)
    # Those that raised come first in the outcome.
    by_number = {result.expectation_config.meta["number"]: result for result in outcome.results}
    return [by_number[number] for number in range(len(rules))]


def validate_values(rules: list[Rule]) -> list[Outcome]:
    """Run rules on single values: each on its column of a frame of one row."""
    import pandas as pd

    present = [rule for rule in rules if rule.value != "missing"]
    frame = pd.DataFrame({rule.column: [rule.value] for rule in present}, index=[0])
    numbers = [rule.column for rule in present if not isinstance(rule.value, str)]
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    return [Outcome(rule, result) for rule, result in zip(rules, validate(frame, rules), strict=True)]


def failing_sample(frame: pd.DataFrame, rule: Rule, result: Any, ids: list[str]) -> pd.DataFrame:
    """The first failing rows of a rule on rows: ids and the columns that it looked at."""
    kwargs = rule.kwargs
    shown = [*ids, *(kwargs.get("column_list") or [kwargs["column"]])]
    known = [name for name in dict.fromkeys(shown) if name in frame.columns]
    numbers = list((result.result or {}).get("partial_unexpected_index_list") or [])[:SHOWN_ROWS]
    return frame.loc[numbers, known]


def as_row(number: int, outcome: Outcome) -> dict[str, Any]:
    """One result as a JSON-able row, as the ledger keeps it."""
    rule, result = outcome.rule, outcome.result
    found = result.result or {}
    error = rule.error or _exception(result.exception_info)
    passed = bool(result.success) and not error
    rows: list[dict[Any, Any]]
    if outcome.sample is None:
        observed, rows = {"value": rule.value}, rule.failing_rows
        failing = int(rule.value) if rows else None
    else:
        rows = [dict(row) for row in outcome.sample.to_dict("records")]
        keys = ("element_count", "missing_count", "unexpected_count", "unexpected_percent")
        observed = {key: found[key] for key in keys if found.get(key) is not None}
        failing = found.get("unexpected_count")
    if error:
        observed["error"] = error
    return {
        "number": number,
        "expectation": rule.type,
        "column_name": rule.column,
        "passed": passed,
        "failing": _plain(failing),
        "observed": _plain(observed),
        "kwargs": _plain({**rule.kwargs, **({"note": rule.note} if rule.note else {})}),
        "failing_rows": [] if passed else _plain(rows),
    }


def _value_rules(name: str, column: Column) -> list[Rule]:
    rules = []
    if column.unique:
        rules.append(Rule("expect_column_values_to_be_unique", {"column": name}, name))
    if column.nulls is not None:
        mostly = {"mostly": 1 - column.nulls} if column.nulls else {}
        rules.append(Rule("expect_column_values_to_not_be_null", {"column": name, **mostly}, name))
    mostly = {"mostly": column.mostly} if column.mostly < 1 else {}
    if column.between is not None:
        low, high = column.between
        limits = {"min_value": low, "max_value": high}
        rules.append(Rule("expect_column_values_to_be_between", {"column": name, **limits, **mostly}, name))
    if column.among is not None:
        values = {"value_set": list(column.among)}
        rules.append(Rule("expect_column_values_to_be_in_set", {"column": name, **values, **mostly}, name))
    if column.matches is not None:
        pattern = {"regex": column.matches}
        rules.append(Rule("expect_column_values_to_match_regex", {"column": name, **pattern, **mostly}, name))
    return rules


@lru_cache(maxsize=1)
def _batch_definition() -> Any:
    """Great Expectations in memory: no project folder, no telemetry, no progress bars. 6 s to import, once."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    return (
        context.data_sources.add_pandas("lake").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    )


def _exception(info: Any) -> str:
    """The message of an exception that Great Expectations caught, in either of the shapes that it gives."""
    if not isinstance(info, Mapping):
        return ""
    if info.get("raised_exception"):
        return str(info.get("exception_message") or "the expectation raised an exception")
    nested = (_exception(value) for value in info.values() if isinstance(value, Mapping))
    return next((message for message in nested if message), "")


def _plain(value: Any) -> Any:
    """NumPy and pandas values as JSON has them; NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return None if str(value) in ("<NA>", "NaT") else str(value)
