"""Running a dataset's suite before its snapshot may become current."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stellar.lake.read import Catalog
from stellar.sky.healpix import INDEX_COLUMN, Cell, spatial_index

from .docs import write_page
from .expectations import (
    SHOWN_ROWS,
    Outcome,
    Rule,
    as_row,
    column_rules,
    failing_sample,
    number_rule,
    row_rules,
    schema_rules,
    validate,
    validate_values,
)

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from .suites import Suite

#: Columns are loaded together as long as they are expected to need less than this.
FRAME_BYTES = 256 << 20


@dataclass(frozen=True)
class GateResult:
    """What a gate found.

    `expectations` holds one JSON-able row per expectation (number, expectation, column_name, passed, failing,
    observed, kwargs, failing_rows); `failing_rows` the samples of all that failed, as a table of expectation,
    column_name and row; `docs_path` the page written for people.
    """

    dataset: str
    passed: bool
    rows: int
    expectations: list[dict[str, Any]]
    failing_rows: pa.Table | None = None
    docs_path: Path | None = None

    def reasons(self) -> list[str]:
        """One line for each expectation that failed."""
        return [_reason(row) for row in self.expectations if not row["passed"]]


def run_gate(
    dataset: str,
    root: Path,
    *,
    kind: str = "hats",
    suite: Suite,
    previous_rows: int | None = None,
    references: Mapping[str, Path] | None = None,
    docs: Path | None = None,
) -> GateResult:
    """Check a snapshot against its suite with Great Expectations.

    Memory is bounded: rows are read a few columns at a time, what needs several datasets is done by DuckDB.

    Parameters
    ----------
    dataset : str
        `layer.subject`.
    root : Path
        The snapshot's folder.
    kind : {"hats", "plain", "raw"}
        How it is laid out; in HATS every row must lie in its partition's cell.
    suite : Suite
        From `load_suite(dataset)`.
    previous_rows : int, optional
        Rows of the snapshot that is current now.
    references : mapping of str to Path, optional
        Folders of the snapshots that the suite's SQL reads (`suite.references`). One that is missing counts as empty.
    docs : Path, optional
        Folder for the page of results: `<docs>/<dataset>/<snapshot folder's name>.html`.

    Returns
    -------
    GateResult
        An expectation that raises an exception has failed, and so has the gate.
    """
    catalog = Catalog(root)
    schema = {column.name: str(column.type) for column in catalog.schema}
    ids = suite.id or [name for name in schema if name != INDEX_COLUMN][:1]
    outcomes = validate_values(schema_rules(suite, ids, schema))
    outcomes += validate_values(_number_rules(catalog, suite, ids, previous_rows, references or {}, kind))
    outcomes += _value_outcomes(catalog, column_rules(suite, ids, set(schema)), ids)
    rows = [as_row(number, outcome) for number, outcome in enumerate(outcomes, start=1)]
    result = GateResult(dataset, all(row["passed"] for row in rows), catalog.rows, rows, _failing_table(rows))
    if docs is None:
        return result
    page = docs / _safe(dataset) / f"{_safe(root.name)}.html"
    write_page(page, dataset, root.name, result.passed, rows, [outcome.result for outcome in outcomes])
    return replace(result, docs_path=page)


def _number_rules(
    catalog: Catalog,
    suite: Suite,
    ids: list[str],
    previous_rows: int | None,
    references: Mapping[str, Path],
    kind: str,
) -> list[Rule]:
    """Row counts, geometry, metrics and checks: each a rule on one number."""
    rules = row_rules(suite.rows, catalog.rows, previous_rows)
    if INDEX_COLUMN in catalog.schema.names and kind != "raw":
        count, failing = _misplaced(catalog, ids)
        note = "rows whose index or cell is not that of ra and dec"
        rules.append(_check_rule("misplaced_rows", count, 0, note, failing))
    with _duckdb(catalog, suite, references) as connection:
        for name, metric in suite.metrics.items():
            value, error = _scalar(connection, metric.sql)
            rules.append(number_rule(name, value, metric.min, metric.max, metric.description, error))
        for name, check in suite.checks.items():
            found, failing, error = _failing(connection, check.failing)
            rules.append(_check_rule(name, found, check.max, check.description, failing, error))
    return rules


def _value_outcomes(catalog: Catalog, rules: list[Rule], ids: list[str]) -> list[Outcome]:
    """Rules on rows, a few columns at a time; in the order of the rules."""
    outcomes: dict[int, Outcome] = {}
    for group in _groups(rules, catalog):
        columns = {name for number in group for name in _columns_of(rules[number])}
        frame = _frame(catalog.read_all([*dict.fromkeys([*ids, *sorted(columns)])]))
        results = validate(frame, [rules[number] for number in group])
        for number, result in zip(group, results, strict=True):
            sample = failing_sample(frame, rules[number], result, ids)
            outcomes[number] = Outcome(rules[number], result, sample)
    return [outcomes[number] for number in sorted(outcomes)]


def _groups(rules: list[Rule], catalog: Catalog) -> Iterator[list[int]]:
    """Numbers of rules whose columns are loaded together."""
    largest = max(1, FRAME_BYTES // max(1, 16 * catalog.rows))
    group: list[int] = []
    columns: set[str] = set()
    for number in sorted(range(len(rules)), key=lambda n: _columns_of(rules[n])):
        needed = set(_columns_of(rules[number]))
        if group and len(columns | needed) > largest:
            yield group
            group, columns = [], set()
        group.append(number)
        columns |= needed
    if group:
        yield group


def _columns_of(rule: Rule) -> list[str]:
    return list(rule.kwargs.get("column_list") or [rule.kwargs["column"]])


def _frame(table: pa.Table) -> pd.DataFrame:
    """Rows for Great Expectations; integers with nulls stay integers."""
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
    return table.to_pandas(types_mapper=nullable.get)


def _misplaced(catalog: Catalog, ids: list[str]) -> tuple[int, list[dict[str, Any]]]:
    """Rows whose `_healpix_29` is not that of their position, or outside their cell: how many, and the first."""
    count = 0
    failing: list[dict[str, Any]] = []
    for partition in catalog.partitions:
        position = (catalog.ra_column, catalog.dec_column)
        table = catalog.read(partition, [*dict.fromkeys([INDEX_COLUMN, *position, *ids])])
        index = table[INDEX_COLUMN].to_numpy()
        ra, dec = (table[name].to_numpy(zero_copy_only=False) for name in position)
        on_sky = np.isfinite(ra) & (np.abs(dec) <= 90)
        wrong = ~on_sky
        wrong[on_sky] = spatial_index(ra[on_sky], dec[on_sky]) != index[on_sky]
        if isinstance(partition, Cell):
            wrong |= ~partition.contains(index)
        if wrong.any():
            count += int(wrong.sum())
            failing += table.filter(pa.array(wrong)).slice(0, SHOWN_ROWS - len(failing)).to_pylist()
    return count, failing


def _check_rule(
    name: str, count: float | None, largest: int, note: str, failing: list[dict[str, Any]], error: str = ""
) -> Rule:
    return replace(number_rule(name, count, 0, largest, note, error), failing_rows=failing[:SHOWN_ROWS])


def _duckdb(catalog: Catalog, suite: Suite, references: Mapping[str, Path]) -> duckdb.DuckDBPyConnection:
    """DuckDB with the view `gated` and one per reference; closed by its `with`."""
    import duckdb

    connection = duckdb.connect(config={"python_enable_replacements": "false"})
    _view(connection, "gated", catalog)
    for dataset, columns in suite.references.items():
        schema, subject = dataset.split(".")
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        name = f'"{schema}"."{subject}"'
        if dataset in references:
            _view(connection, name, Catalog(references[dataset]))
        else:
            nothing = ", ".join(f'NULL::VARCHAR AS "{column}"' for column in columns)
            connection.execute(f"CREATE VIEW {name} AS SELECT {nothing} WHERE false")
    return connection


def _view(connection: duckdb.DuckDBPyConnection, name: str, catalog: Catalog) -> None:
    common = catalog.common_metadata
    paths = [*([common] if common.exists() else []), *catalog.files]
    files = ", ".join("'" + os.fspath(path).replace("'", "''") + "'" for path in paths)
    options = "hive_partitioning = false" + ("" if catalog.is_hats else ", union_by_name = true")  # as in lake.sql
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{files}], {options})")  # noqa: S608


def _scalar(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[float | None, str]:
    import duckdb

    try:
        row = connection.execute(sql).fetchone()
        return (None if row is None or row[0] is None else float(row[0])), ""
    except (duckdb.Error, ValueError, TypeError) as error:
        return None, f"{type(error).__name__}: {error}"


def _failing(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[float | None, list[dict[str, Any]], str]:
    """How many rows a check's SQL returns, and the first of them."""
    import duckdb

    try:
        count = connection.execute(f"SELECT count(*) FROM ({sql})").fetchone()[0]  # type: ignore[index] # noqa: S608
        if not count:
            return 0.0, [], ""
        cursor = connection.execute(f"SELECT * FROM ({sql}) LIMIT {SHOWN_ROWS}")  # noqa: S608
        names = [column[0] for column in cursor.description]
        return float(count), [dict(zip(names, row, strict=True)) for row in cursor.fetchall()], ""
    except duckdb.Error as error:
        return None, [], f"{type(error).__name__}: {error}"


def _failing_table(rows: list[dict[str, Any]]) -> pa.Table | None:
    samples = [
        (row["number"], row["column_name"], json.dumps(sample, sort_keys=True))
        for row in rows
        if not row["passed"]
        for sample in row["failing_rows"]
    ]
    if not samples:
        return None
    return pa.table(list(map(list, zip(*samples, strict=True))), names=["expectation", "column_name", "row"])


def _reason(row: Mapping[str, Any]) -> str:
    observed, kwargs = row["observed"], row["kwargs"]
    limits = {key: value for key, value in kwargs.items() if key not in ("column", "column_list", "note")}
    what = row["expectation"].removeprefix("expect_").replace("_", " ")
    told = observed.get("error") or (
        f"{row['failing']} failing" if row["failing"] is not None else f"it is {observed.get('value')}"
    )
    none = kwargs.get("min_value") == kwargs.get("max_value") == 0 and kwargs.get("note") and row["failing"]
    if none:  # how many of what there may not be
        told = f"{row['failing']:,} {kwargs['note']}"
    if row["failing_rows"]:
        told += f", for example {row['failing_rows'][0]}"
    if none:
        return f"{row['column_name']}: {told}"
    shown = " ".join(f"{key}={value}" for key, value in limits.items() if value is not None)
    note = f" ({kwargs['note']})" if kwargs.get("note") else ""
    return f"{row['column_name']}: {what} {shown}{note}: {told}".replace("  ", " ")


def _safe(name: str) -> str:
    """A name that is a file name and nothing else."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".") or "_"
