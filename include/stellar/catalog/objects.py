"""Objects: one row per source on the sky, with the ids of every survey and what is commonly asked of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from stellar.checked_yaml import Section, load_yaml
from stellar.engine.step import Accounting, ColumnSource, Input, Partition, PartitionInput, Step, StepResult
from stellar.errors import InputError
from stellar.expressions import evaluate, words
from stellar.lake.schema import field
from stellar.profile import Curated, Profile
from stellar.settings import CONFIG

VERSION = 1


class Source(Section):
    survey: str
    expr: str


class Value(Section):
    """A number that an object takes from the first of `sources` that has it."""

    name: str
    unit: str | None = None
    ucd: str | None = None
    description: str = ""
    sources: list[Source] = Field(alias="from")


class ObjectsConfig(Section):
    """`config/objects.yaml`."""

    classes: list[Source]
    values: list[Value]


@cache
def load_objects() -> ObjectsConfig:
    """What objects take from their members; raises `InputError` with file and line."""
    return load_yaml(CONFIG / "objects.yaml", ObjectsConfig)


def schema(surveys: list[str], config: ObjectsConfig) -> pa.Schema:
    """Schema of `curated.objects` for these surveys, best first."""
    fields = [
        field("object_id", pa.string(), ucd="meta.id;meta.main", description="Best survey's prefix and id"),
        field("ra", pa.float64(), unit="deg", ucd="pos.eq.ra;meta.main", description="ICRS, of the best survey"),
        field("dec", pa.float64(), unit="deg", ucd="pos.eq.dec;meta.main", description="ICRS, of the best survey"),
        field("epoch_yr", pa.float64(), unit="yr", ucd="time.epoch", description="Of the position, Julian year"),
        field("best_survey", pa.string(), description="Survey that names the object"),
        field("n_sources", pa.int32(), ucd="meta.number", description="Rows of all surveys"),
        field("class", pa.string(), ucd="src.class", description="STAR, GALAXY, QSO, ... where a survey says so"),
    ]
    fields += [field(v.name, pa.float64(), unit=v.unit, ucd=v.ucd, description=v.description) for v in config.values]
    for survey in surveys:
        fields.append(field(f"{survey}_id", pa.string(), ucd="meta.id", description=f"Nearest row of {survey}"))
        fields.append(field(f"n_{survey}", pa.int32(), ucd="meta.number", description=f"Rows of {survey}"))
    return pa.schema(fields)


def unify(
    associations: pa.Table, tables: dict[str, pa.Table], curated: list[Curated], config: ObjectsConfig
) -> tuple[pa.Table, Accounting]:
    """One row per object of `associations`.

    Parameters
    ----------
    tables
        Curated rows by survey, those of the partition's margin included: a member may lie across the edge.
    curated
        The surveys' configs, best first.

    Returns
    -------
    table, accounting
        Members of an object beyond its first are `merged`.
    """
    surveys = [c.dataset for c in curated]
    target = schema(surveys, config)
    if not len(associations):
        return target.empty_table(), Accounting(0, 0)
    names, objects = np.unique(np.asarray(associations["object_id"].to_pylist(), dtype=str), return_inverse=True)
    first = np.zeros(len(names), np.int64)
    first[objects[::-1]] = np.arange(len(objects))[::-1]
    columns: dict[str, Any] = {
        "object_id": pa.array(names, pa.string()),
        "ra": associations["ra"].take(pa.array(first)),
        "dec": associations["dec"].take(pa.array(first)),
        "n_sources": pa.array(np.bincount(objects, minlength=len(names)), pa.int32()),
    }
    members = {c.dataset: _members(associations, objects, len(names), c, tables.get(c.dataset)) for c in curated}
    for survey in surveys:
        columns[f"{survey}_id"], columns[f"n_{survey}"] = members[survey]["id"], members[survey]["n"]
    present = [pc.if_else(pc.is_valid(members[s]["id"]), s, pa.scalar(None, pa.string())) for s in surveys]
    columns["best_survey"] = pc.coalesce(*present)
    columns["epoch_yr"] = pc.coalesce(*(_values(members[s], "epoch_yr", pa.float64()) for s in surveys))
    columns["class"] = _first_of(config.classes, "class", members, pa.string(), len(names))
    for value in config.values:
        columns[value.name] = _first_of(value.sources, value.name, members, pa.float64(), len(names))
    table = pa.table([columns[name] for name in target.names], schema=target)
    return table, Accounting(len(associations), len(table), merged=len(associations) - len(table))


def _members(
    associations: pa.Table, objects: np.ndarray, n: int, config: Curated, rows: pa.Table | None
) -> dict[str, Any]:
    """Of one survey: nearest member's id per object (null where none), number of members, and its row's values."""
    mine = np.flatnonzero(np.asarray(pc.equal(associations["survey"], config.dataset)))
    member_ids = np.asarray(associations["survey_id"].to_pylist(), dtype=str)[mine]
    separation = associations["separation_arcsec"].to_numpy()[mine]
    order = np.lexsort((member_ids, separation, objects[mine]))
    first = np.ones(len(order), bool)
    first[1:] = objects[mine][order][1:] != objects[mine][order][:-1]
    chosen = order[first]
    nearest = np.full(n, -1)
    nearest[objects[mine][chosen]] = chosen
    index = pa.array(nearest, mask=nearest < 0)
    found = pa.array(member_ids, pa.string()).take(index)
    counts = pa.array(np.bincount(objects[mine], minlength=n), pa.int32())
    if rows is None or not len(rows):
        return {"id": found, "n": counts, "rows": None}
    place = pc.index_in(found, value_set=rows[config.id].cast(pa.string()).combine_chunks(), skip_nulls=True)
    if pc.sum(pc.is_null(place)).as_py() != pc.sum(pc.is_null(found)).as_py():
        lost = found.filter(pc.and_(pc.is_null(place), pc.is_valid(found)))[0]
        raise InputError(
            f"curated.associations names {config.dataset} {lost}, which is not within the margin of its object: "
            "the curated datasets are not those that the associations were made of; build the associations again"
        )
    return {"id": found, "n": counts, "rows": rows.take(place)}


def _values(member: dict[str, Any], name: str, kind: pa.DataType) -> pa.Array:
    rows = member["rows"]
    if rows is None or name not in rows.column_names:
        return pa.nulls(len(member["id"]), kind)
    return rows[name].combine_chunks().cast(kind)


def _first_of(sources: list[Source], name: str, members: dict[str, Any], kind: pa.DataType, n: int) -> pa.Array:
    found = [_values(members[s.survey], f"_{name}", kind) for s in sources if s.survey in members]
    return pc.coalesce(*found) if found else pa.nulls(n, kind)


def _evaluated(table: pa.Table, survey: str, config: ObjectsConfig) -> pa.Table:
    """The survey's rows with what `config` takes from them as columns `_<name>`."""
    classes = [s.expr for s in config.classes if s.survey == survey]
    wanted = {"_class": (f"coalesce({', '.join(classes)})", "string")} if classes else {}
    wanted |= {f"_{v.name}": (s.expr, "float64") for v in config.values for s in v.sources if s.survey == survey}
    for name, values in evaluate(table, wanted, "config/objects.yaml").items():
        table = table.append_column(name, values)
    return table


def columns_read(config: Curated, objects: ObjectsConfig) -> tuple[str, ...]:
    """Columns of a curated dataset that its expressions in `config/objects.yaml` name, and its id and epoch."""
    expressions = [s.expr for s in objects.classes if s.survey == config.dataset]
    expressions += [s.expr for v in objects.values for s in v.sources if s.survey == config.dataset]
    named = words(expressions)
    used = [c.name for c in config.columns if c.keep and c.name in named]
    return tuple(dict.fromkeys((config.id, "epoch_yr", *used)))


def run(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Step function; `params` hold the part of `config/objects.yaml` in use and the surveys' configs, best first."""
    config = ObjectsConfig.model_validate(params["objects"])
    curated = [Curated.model_validate(c) for c in params["curated"]]
    tables = {}
    for one in curated:
        given = inputs[one.dataset]
        parts = [t for t in (given.rows, given.margin) if len(t)]
        if parts:
            tables[one.dataset] = _evaluated(pa.concat_tables(parts), one.dataset, config)
    return StepResult(*unify(inputs["associations"].rows, tables, curated, config))


def column_sources(curated: list[Curated], objects: ObjectsConfig) -> dict[str, list[ColumnSource]]:
    """What each column of `curated.objects` is made of, by the expressions of `config/objects.yaml`."""
    found = {name: [ColumnSource("associations", name)] for name in ("object_id", "ra", "dec")}
    members = ColumnSource("associations", "survey", "of the object's members")
    found["n_sources"] = [ColumnSource("associations", "object_id", "count")]
    found["best_survey"] = [members]
    found["epoch_yr"] = [ColumnSource(one.dataset, "epoch_yr", "of the best survey") for one in curated]
    by_name = {one.dataset: one for one in curated}
    for name, sources in {"class": objects.classes, **{one.name: one.sources for one in objects.values}}.items():
        found[name] = [
            ColumnSource(source.survey, column.name, "" if source.expr == column.name else source.expr)
            for source in sources
            if source.survey in by_name
            for column in by_name[source.survey].columns
            if column.keep and column.name in words([source.expr])
        ]
    for one in curated:
        nearest = ColumnSource("associations", "survey_id", "of the nearest member")
        found[f"{one.dataset}_id"] = [nearest, ColumnSource(one.dataset, one.id, "as text")]
        found[f"n_{one.dataset}"] = [ColumnSource("associations", "survey", "count")]
    return found


def objects_step(profile: Profile) -> Step:
    """The step that makes `curated.objects` from the associations and the curated datasets."""
    config, curated = load_objects(), profile.on_sky()
    read = {c.dataset: columns_read(c, config) for c in curated}
    inputs = {
        c.dataset: Input(f"curated.{c.dataset}", profile.chain_arcsec, read[c.dataset], optional=True) for c in curated
    }
    inputs["associations"] = Input("curated.associations")
    known = {c.dataset for c in curated}
    used = {
        "classes": [s.model_dump() for s in config.classes if s.survey in known],
        "values": [
            v.model_dump(mode="json", exclude={"sources"})
            | {"from": [s.model_dump() for s in v.sources if s.survey in known]}
            for v in config.values
        ],
    }
    slim = [
        c.model_dump(mode="json", include={"dataset", "source", "id", "object_key"})
        | {"columns": [{"name": n, "type": c.column(n).type} for n in dict.fromkeys((c.id, "ra", "dec", "epoch_yr"))]}
        for c in curated
    ]
    return Step(
        dataset="curated.objects",
        name="objects",
        version=VERSION,
        inputs=inputs,
        params={"objects": used, "curated": slim},
        run=run,
        id_column="object_id",
        layout="inherit",
        primary="associations",
        description="One row per source on the sky, with the ids of every survey",
        columns=column_sources(curated, config),
    )
