"""The training frame: one row per labelled example, taken by SQL from pinned snapshots of features and labels."""

from __future__ import annotations

import difflib
import functools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.engine.engine import Context
from stellar.errors import InputError
from stellar.expressions import row_values
from stellar.lake.sql import LakeConnection, connect
from stellar.lake.write import write_partition
from stellar.models.correction import TemperatureCorrection
from stellar.models.preparation import derive, nulled
from stellar.registry.bundle import Meaning, band_of
from stellar.training.checks import reads
from stellar.training.config import ModelConfig, Target


@dataclass(frozen=True)
class Frame:
    """Examples sorted by id, the snapshots that they came from, and the hash of what they say."""

    table: pa.Table
    snapshots: dict[str, str]
    sha256: str
    dropped: dict[str, int]
    """Rows left out, by the declared rule that did it."""
    corrections: dict[str, TemperatureCorrection] = field(default_factory=dict)
    """What was done to targets, by their names."""


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
    table, corrections, lost = prepare_examples(config, table)
    table = table.sort_by([(config.example, "ascending")])
    _refuse_duplicates(table, config)
    table, dropped = _apply_class_rule(table, config)
    if table.num_rows < config.min_examples:
        raise NotTrainableError(
            f"{config.name}: cannot train: {table.num_rows} labelled examples in "
            f"{config.features}, and the config asks for at least {config.min_examples} (min_examples)"
        )
    sha256 = _content_hash(table, config.example)
    return Frame(table, dict(snapshots), sha256, {**lost, **dropped}, corrections)


def _query(connection: LakeConnection, config: ModelConfig) -> pa.Table:
    sources = ", ".join(
        f"{name} as ({_from(connection, config, dataset)})" for name, dataset in config.datasets.items()
    )
    there = connection.catalogs[config.features].schema.names if config.features in connection.catalogs else ()
    inner = config.frame or _joined(config, there)
    needed: dict[str, tuple[str | int, ...]] = {}
    for at, name in reads(config):
        needed.setdefault(name, at)
    # in this order, since the frame's hash is of its columns as they stand
    first = [*config.keys, *(part.column for part in config.slices), *config.watch, *config.inputs_read]
    first += [*(target.name for target in config.targets), *([config.split.column] if config.split.column else [])]
    wanted = dict.fromkeys([*config.keys, *(name for name in first if name in needed), *needed])
    try:
        table = connection.arrow(f"with {sources} select * from ({inner}) as frame")  # noqa: S608 - names are checked
    except duckdb.Error as fault:
        raise InputError(f"{config.name}: frame: the SQL failed: {fault}") from None
    if missing := [column for column in wanted if column not in table.column_names]:
        near = difflib.get_close_matches(missing[0], table.column_names, n=1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        said = (
            f"the SQL gives no column {', '.join(missing)}; {hint}add it to the select, or take it out "
            f"of `columns`/`slices`/`report`. It gives: {', '.join(table.column_names)}"
        )
        raise config.fault(f"frame: {said}", *needed.get(missing[0], ("example",)))
    if shadowed := sorted(set(config.derived) & set(table.column_names)):
        raise config.fault("the frame has a column of this name; choose another", "derived", shadowed[0])
    return table.select(list(wanted))


def _from(connection: LakeConnection, config: ModelConfig, dataset: str) -> str:
    """SQL of a dataset; of a source, with the platform's names of a star's id and position beside its own."""
    source = config.source
    if source is None or dataset != config.features:
        return f"from {dataset}"
    there = {name.lower(): name for name in connection.catalogs[dataset].schema.names}
    own = {"object_id": f'cast("{source.id}" as varchar)', "ra": f'"{source.ra}"', "dec": f'"{source.dec}"'}
    if "object_id" in there:
        own["object_id"] = f'cast("{there["object_id"]}" as varchar)'
    made = {name: sql for name, sql in own.items() if sql != f'"{name}"'}
    left = [f'"{there[name]}"' for name in made if name in there]
    star = f"* exclude ({', '.join(left)})" if left else "*"
    terms = ", ".join([star, *(f"{sql} as {name}" for name, sql in made.items())])
    return f"select {terms} from {dataset}"  # noqa: S608 - names of columns that are there


def prepare_examples(
    config: ModelConfig, table: pa.Table
) -> tuple[pa.Table, dict[str, TemperatureCorrection], dict[str, int]]:
    """Examples with sentinels as null, derived and corrected columns; and how many were left out, by rule.

    A correction is fitted on all examples that have both temperatures, whichever part they come to: it says what is
    true of a star, for the test as for the training.

    Parameters
    ----------
    table : pa.Table
        With the columns that `stellar.training.checks.reads` names, and the config's keys.

    Raises
    ------
    NotTrainableError
        When too few examples have both temperatures of a correction.
    """
    origin = f"{config.file or config.name}: derived"
    if config.missing.sentinels or config.derived or config.filters or config.target.correction:
        columns = [name for name in table.column_names if name not in config.keys]
        table = nulled(table, columns, config.missing.sentinels)
    table = derive(table, config.derived, origin)
    for key, name in config.report.named.items():
        if not is_numeric(table.schema.field(name).type):
            raise config.fault(f"{name} is not a column of numbers; name another, or none", "report", key)
    corrections = {}
    for target in config.targets:
        if target.correction:
            table, corrections[target.name] = _corrected(config, target, table)
    usable = functools.reduce(pc.or_, (is_known(table[target.truth]) for target in config.targets))
    if config.needs:
        usable = pc.and_(usable, functools.reduce(pc.or_, (is_known(table[name]) for name in config.needs)))
    for key in config.keys:
        usable = pc.and_(usable, pc.is_valid(table[key]))
    table = table.filter(usable)
    dropped = {}
    for number, one in enumerate(config.filters):
        at = ("filters", number, "where")
        kept = row_values(table, {"kept": one.where}, f"{config.file or config.name}: {'.'.join(map(str, at))}")["kept"]
        if not pa.types.is_boolean(kept.type):
            raise config.fault(f"`{one.where}` is {kept.type}, not true or false", *at)
        left = table.filter(kept)  # what is not known to pass does not
        dropped[one.rule], table = len(table) - len(left), left
    if config.missing.rule == "drop":
        known = [is_known(table[name]) for name in config.columns if not pa.types.is_nested(table[name].type)]
        left = table.filter(functools.reduce(pc.and_, known)) if known else table
        dropped["an input is missing"], table = len(table) - len(left), left
    return table, corrections, dropped


def _corrected(config: ModelConfig, target: Target, table: pa.Table) -> tuple[pa.Table, TemperatureCorrection]:
    about = target.correction
    assert about is not None
    given = numbers(table, target.name)
    try:
        found = TemperatureCorrection.fit(
            given, numbers(table, about.reference), threshold=about.threshold, degree=about.degree, blend=about.blend
        )
    except InputError as fault:
        raise NotTrainableError(f"{config.name}: cannot train: target.correction: {fault}") from None
    return table.append_column(target.truth, pa.array(found.apply(given), from_pandas=True)), found


def _joined(config: ModelConfig, there: Sequence[str]) -> str:
    """Features joined to the best label of their object, of each target: the one with the smallest error."""
    joins, values = [], []
    for number, target in enumerate(config.targets):
        if target.column == target.name:
            continue
        if target.column:
            if target.column not in there:
                near = difflib.get_close_matches(target.column, there, n=1)
                hint = f"did you mean `{near[0]}`?" if near else f"it has {', '.join(there)}"
                raise _fault_of(config, target, f"{config.features} has no column {target.column}; {hint}", "column")
            if target.name in there:
                said = f"{config.features} has another column {target.name}; call the target otherwise"
                raise _fault_of(config, target, said, "name")
            values.append(f'features."{target.column}" as {target.name}')
            continue
        value = "value_string" if target.kind == "class" else "value_float"
        label = (target.label or target.name).replace("'", "''")
        values.append(f"label{number}.{value} as {target.name}")
        joins.append(f"""
            left join (
                select object_id, {value} from labels where target = '{label}' and {value} is not null
                qualify row_number() over
                    (partition by object_id order by error_float nulls last, survey, survey_id) = 1
            ) as label{number} using (object_id)""")  # noqa: S608 - identifiers are checked, the label is quoted
    known = " or ".join(
        f"features.{target.name} is not null" if target.column == target.name else f"{target.name} is not null"
        for target in config.targets
    )
    terms = ", ".join(["features.*", *values])
    return f"select * from (select {terms} from features {' '.join(joins)}) as features where {known}"  # noqa: S608


def _fault_of(config: ModelConfig, target: Target, said: str, key: str) -> InputError:
    number = config.targets.index(target)
    return config.fault(said, *(("target",) if not number else ("further_targets", number - 1)), key)


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


def is_known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which cells say something: neither null nor, of a number, NaN or infinite."""
    if not pa.types.is_floating(column.type):
        return pc.is_valid(column)
    return pc.fill_null(pc.is_finite(column), False)


def is_numeric(kind: pa.DataType) -> bool:
    """Whether a column holds one number a row."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def numbers(table: pa.Table, name: str) -> np.ndarray:
    """A numeric column as float64[n], nulls as NaN."""
    return pc.fill_null(table[name].cast(pa.float64()), float("nan")).to_numpy()


def true_classes(meaning: Meaning, table: pa.Table, truth: str | None = None) -> np.ndarray:
    """Class names of the examples as an object array, None where unknown; `truth` is the column, the target's own
    where not given.
    """
    if meaning.kind == "class":
        return np.asarray(table[meaning.target].to_pylist(), dtype=object)
    names = np.asarray(list(meaning.bands), dtype=object)
    values = numbers(table, truth or meaning.target)
    found = names[band_of(values, meaning.bands)]
    found[~np.isfinite(values)] = None
    return found
