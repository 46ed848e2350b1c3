"""A suite's lines as Great Expectations' own expectations, and their results as plain rows."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .suites import Column, Metric, Rows, Suite

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ROWS = 20


@dataclass(frozen=True)
class Rule:
    """One expectation: its Great Expectations type and arguments, and what people read."""

    type: str
    kwargs: Mapping[str, Any]
    column: str
    note: str = ""
    failing_rows: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""


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


def schema_rules(suite: Suite, ids: list[str], schema: Mapping[str, str]) -> tuple[list[Rule], dict[str, str]]:
    """Expectations on a one-row frame that holds each column's type, and that row."""
    wanted = {name: Column() for name in ids} | dict(suite.columns)
    rules, row = [], {}
    for name, column in wanted.items():
        if name not in schema and column.optional:
            continue
        row[name] = schema.get(name, "missing")
        allowed = [column.type] if column.type else sorted({*schema.values()} - {"missing"}) or ["any"]
        rules.append(Rule("expect_column_values_to_be_in_set", {"column": name, "value_set": allowed}, name, "type"))
    return rules, row


def row_rules(rows: Rows, count: int, previous: int | None) -> tuple[list[Rule], dict[str, float | None]]:
    """Expectations on the number of rows, and the values that they look at."""
    rules = [_metric_rule("row_count", Metric(sql="", min=rows.min))]
    values: dict[str, float | None] = {"row_count": count}
    if previous and (rows.min_ratio is not None or rows.max_ratio is not None):
        values["row_count_to_last"] = count / previous
        note = f"the last current snapshot has {previous} rows"
        metric = Metric(sql="", min=rows.min_ratio, max=rows.max_ratio, description=note)
        rules.append(_metric_rule("row_count_to_last", metric))
    return rules, values


def metric_rules(metrics: Mapping[str, Metric]) -> list[Rule]:
    return [_metric_rule(name, metric) for name, metric in metrics.items()]


def validate(frame: pd.DataFrame, rules: list[Rule]) -> list[Any]:
    """Run rules on a frame whose index names its rows; Great Expectations' results, in the order of the rules."""
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


def as_row(number: int, rule: Rule, result: Any, id_names: list[str]) -> dict[str, Any]:
    """One result as a JSON-able row, as the ledger keeps it."""
    found = result.result or {}
    error = rule.error or _exception(result.exception_info)
    observed: Any = {
        key: found[key]
        for key in ("element_count", "unexpected_count", "unexpected_percent", "missing_count")
        if found.get(key) is not None
    }
    if "observed_value" in found:
        observed["value"] = found["observed_value"]
    if error:
        observed["error"] = error
    rows = rule.failing_rows or _failing_rows(rule, found, id_names)
    passed = bool(result.success) and not error
    return {
        "number": number,
        "expectation": rule.type,
        "column_name": rule.column,
        "passed": passed,
        "failing": None if passed and not found else _plain(found.get("unexpected_count")),
        "observed": _plain(observed),
        "kwargs": _plain({**rule.kwargs, **({"note": rule.note} if rule.note else {})}),
        "failing_rows": [] if passed else _plain(rows[:SHOWN_ROWS]),
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


def _metric_rule(name: str, metric: Metric) -> Rule:
    kwargs = {"column": name, "min_value": metric.min, "max_value": metric.max}
    return Rule("expect_column_values_to_be_between", kwargs, name, metric.description)


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


def _failing_rows(rule: Rule, found: Mapping[str, Any], id_names: list[str]) -> list[dict[str, Any]]:
    ids, values = found.get("partial_unexpected_index_list") or [], found.get("partial_unexpected_list") or []
    rows = []
    for key, value in zip(ids, values, strict=False):
        parts = key if isinstance(key, tuple) else (key,)
        named = dict(zip(id_names, parts, strict=False)) if len(parts) == len(id_names) else {"row": key}
        rows.append({**named, **(value if isinstance(value, dict) else {"value": value})})
    if not rows and rule.column and values:
        rows = [{"value": value} for value in values]
    return rows


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
