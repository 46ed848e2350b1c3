"""The training frame: one row per labelled example, taken by SQL from pinned snapshots of features and labels."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.engine.engine import Context
from stellar.errors import InputError
from stellar.lake.sql import LakeConnection, connect
from stellar.lake.write import write_partition
from stellar.registry.bundle import Meaning, band_of
from stellar.training.config import ModelConfig


@dataclass(frozen=True)
class Frame:
    """Examples sorted by id, the snapshots that they came from, and the hash of what they say."""

    table: pa.Table
    snapshots: dict[str, str]
    sha256: str
    dropped: dict[str, int]
    """Rows left out, by the declared rule that did it."""


class NotTrainableError(InputError):
    """There is too little to learn from; a result to report, not a fault of the program."""


def build_frame(ctx: Context, config: ModelConfig, snapshots: Mapping[str, str]) -> Frame:
    """Rows of the config's frame from the given snapshots (dataset -> key).

    Raises
    ------
    NotTrainableError
        If there are fewer examples than the config asks for, or fewer than two classes.
    InputError
        If the SQL fails, or does not give the columns that the config names, or gives an example twice.
    """
    with connect(ctx.settings, ctx.engine, dict(snapshots)) as connection:
        table = _query(connection, config)
    table = table.sort_by([(config.example, "ascending")])
    _refuse_duplicates(table, config)
    table, dropped = _apply_class_rule(table, config)
    if table.num_rows < config.min_examples:
        raise NotTrainableError(
            f"{config.name}: cannot train: {table.num_rows} labelled examples in "
            f"{config.features}, and the config asks for at least {config.min_examples} (min_examples)"
        )
    return Frame(table, dict(snapshots), _content_hash(table, config.example), dropped)


def _query(connection: LakeConnection, config: ModelConfig) -> pa.Table:
    sources = ", ".join(f"{name} as (from {dataset})" for name, dataset in config.datasets.items())
    inner = config.frame or _joined(config)
    sliced = [*(part.column for part in config.slices), *config.report.columns]
    dealt = [config.split.column] if config.split.column else []
    targets = [one.name for one in config.targets]
    wanted = dict.fromkeys([*config.keys, *sliced, *config.watch, *config.inputs_read, *targets, *dealt])
    try:
        table = connection.arrow(f"with {sources} select * from ({inner}) as frame")  # noqa: S608 - names are checked
    except duckdb.Error as fault:
        raise InputError(f"{config.name}: frame: the SQL failed: {fault}") from None
    missing = [column for column in wanted if column not in table.column_names]
    if missing:
        raise InputError(
            f"{config.name}: frame: the SQL gives no column {', '.join(missing)}; add it to the select, or take it out "
            f"of `columns`/`slices`/`report`. It gives: {', '.join(table.column_names)}"
        )
    table = table.select(list(wanted))
    if texts := [name for name in config.report.columns if not is_numeric(table.schema.field(name).type)]:
        raise InputError(f"{config.name}: report: {', '.join(texts)}: not a column of numbers; name another, or none")
    usable = functools.reduce(pc.or_, (pc.is_valid(table[name]) for name in targets))
    for key in config.keys:
        usable = pc.and_(usable, pc.is_valid(table[key]))
    return table.filter(usable)


def _joined(config: ModelConfig) -> str:
    """Features joined to the best label of their object, of each target: the one with the smallest error."""
    joins, values = [], []
    for number, target in enumerate(config.targets):
        value = "value_string" if target.kind == "class" else "value_float"
        label = (target.label or target.name).replace("'", "''")
        values.append(f"label{number}.{value} as {target.name}")
        joins.append(f"""
            left join (
                select object_id, {value} from labels where target = '{label}' and {value} is not null
                qualify row_number() over
                    (partition by object_id order by error_float nulls last, survey, survey_id) = 1
            ) as label{number} using (object_id)""")  # noqa: S608 - identifiers are checked, the label is quoted
    known = " or ".join(f"{value.partition(' as ')[0]} is not null" for value in values)
    return f"select features.*, {', '.join(values)} from features {' '.join(joins)} where {known}"  # noqa: S608


def _refuse_duplicates(table: pa.Table, config: ModelConfig) -> None:
    counts = pc.value_counts(table[config.example].combine_chunks())
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise InputError(
            f"{config.name}: frame: {len(twice)} examples stand in it more than once, the first is "
            f"{twice.field('values')[0]}; let the SQL choose one label per {config.example} (qualify row_number() …)"
        )


def _apply_class_rule(table: pa.Table, config: ModelConfig) -> tuple[pa.Table, dict[str, int]]:
    """Drop or merge the classes that have too few members to learn and to test."""
    target = config.target
    if target.kind != "class":
        return table, {}
    column = table[target.name].cast(pa.string())
    counts = {
        row["values"].as_py(): row["counts"].as_py() for row in pc.value_counts(column.drop_null().combine_chunks())
    }
    rare = sorted(name for name, count in counts.items() if count < target.min_count and name != target.rare)
    at = table.schema.get_field_index(target.name)
    if not rare and len(counts) > 1:
        return table.set_column(at, target.name, column), {}
    is_rare = pc.is_in(column, value_set=pa.array(rare, pa.string()))
    if target.rare != "drop":
        column = pc.if_else(is_rare, pa.scalar(target.rare), column)
        report = {f"{name} merged into {target.rare}": counts[name] for name in rare}
        table = table.set_column(at, target.name, column)
        if (left := pc.sum(pc.equal(column, target.rare)).as_py()) < target.min_count:
            table = table.filter(pc.not_equal(column, target.rare))
            report[f"{target.rare} dropped: under {target.min_count} examples"] = left
    else:
        report = {f"{name} dropped: under {target.min_count} examples": counts[name] for name in rare}
        table = table.set_column(at, target.name, column).filter(pc.invert(is_rare))
    classes = pc.count_distinct(table[target.name]).as_py()
    if classes < 2:
        raise NotTrainableError(
            f"{config.name}: cannot train: {classes} class has {target.min_count} or more examples (target.min_count); "
            f"found {', '.join(f'{name}: {count}' for name, count in sorted(counts.items())) or 'no labels'}"
        )
    return table, report


def _content_hash(table: pa.Table, example: str) -> str:
    """SHA-256 of the frame as the lake would write it: its pinned writer gives the same bytes for the same rows."""
    with tempfile.TemporaryDirectory() as folder:
        return write_partition(table, Path(folder) / "frame.parquet", id_column=example).sha256


def is_numeric(kind: pa.DataType) -> bool:
    """Whether a column holds one number a row."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def numbers(table: pa.Table, name: str) -> np.ndarray:
    """A numeric column as float64[n], nulls as NaN."""
    return pc.fill_null(table[name].cast(pa.float64()), float("nan")).to_numpy()


def true_classes(meaning: Meaning, table: pa.Table) -> np.ndarray:
    """Class names of the examples as an object array, None where unknown."""
    if meaning.kind == "class":
        return np.asarray(table[meaning.target].to_pylist(), dtype=object)
    names = np.asarray(list(meaning.bands), dtype=object)
    values = numbers(table, meaning.target)
    found = names[band_of(values, meaning.bands)]
    found[~np.isfinite(values)] = None
    return found
