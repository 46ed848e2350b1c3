"""Training labels: what the surveys say of an object's temperature, class or variability, in long form."""

from __future__ import annotations

from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from stellar.checked_yaml import Section, load_yaml
from stellar.engine.rows import bucket_of
from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.expressions import evaluate, words
from stellar.lake.schema import field
from stellar.profile import Curated, Profile
from stellar.settings import CONFIG

VERSION = 1
ORIGIN = "config/features/labels.yaml"


class Teller(Section):
    """A curated dataset that tells a target: a quantity by `value`, or a class by `class`."""

    survey: str
    value: str | None = None
    error: str | None = None
    class_: str | None = Field(None, alias="class")
    where: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Teller:
        if (self.value is None) == (self.class_ is None):
            raise ValueError("give `value` for a quantity or `class` for a class, one of them")
        return self


class Target(Section):
    name: str
    tellers: list[Teller] = Field(alias="from")


class LabelsConfig(Section):
    """`config/features/labels.yaml`."""

    targets: list[Target]


@cache
def load_labels() -> LabelsConfig:
    """The configuration; raises `InputError` with file and line."""
    return load_yaml(CONFIG / "features" / "labels.yaml", LabelsConfig)


_FIELDS = [
    field("label_id", pa.string(), description="target:survey:survey_id"),
    field("object_id", pa.string(), ucd="meta.id"),
    field("target", pa.string(), description="What is told: teff_k, spectral_class, variability_class, ..."),
    field("value_float", pa.float64(), description="Of a quantity, in the unit that ends the target's name"),
    field("value_string", pa.string(), description="Of a class"),
    field("error_float", pa.float64(), description="One sigma of value_float"),
    field("survey", pa.string(), description="Curated dataset that tells it"),
    field("survey_id", pa.string(), description="Row of it: of spectra the spec_id"),
]
_POSITION = [
    field("ra", pa.float64(), unit="deg", ucd="pos.eq.ra", description="Of the object"),
    field("dec", pa.float64(), unit="deg", ucd="pos.eq.dec", description="Of the object"),
]
SCHEMA = pa.schema([*_FIELDS, *_POSITION])
PLAIN_SCHEMA = pa.schema(_FIELDS)


def told(table: pa.Table, id_column: str, survey: str, config: LabelsConfig) -> tuple[pa.Table, int]:
    """Labels of one curated table's rows without their objects, and how many (row, target) pairs were asked."""
    columns = [f.name for f in _FIELDS if f.name != "object_id"]
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    parts, asked = [schema.empty_table()], 0
    row_ids = table[id_column].cast(pa.string()).combine_chunks()
    for target in config.targets:
        for teller in (t for t in target.tellers if t.survey == survey):
            asked += len(table)
            found = evaluate(
                table,
                {
                    "value_float": (teller.value or "null", "float64"),
                    "error_float": (teller.error or "null", "float64"),
                    "value_string": (teller.class_ or "null", "string"),
                    "usable": (f"coalesce(({teller.where or 'true'}), false)", "bool"),
                },
                ORIGIN,
            )
            said = pc.or_(pc.is_valid(found["value_float"]), pc.is_valid(found["value_string"]))
            names = pa.array([f"{target.name}:{survey}"] * len(table), pa.string())
            values = {
                "label_id": pc.binary_join_element_wise(names, row_ids, ":"),
                "target": pa.array([target.name] * len(table), pa.string()),
                "survey": pa.array([survey] * len(table), pa.string()),
                "survey_id": row_ids,
                **found,
            }
            full = pa.table([values[name] for name in columns], schema=schema)
            parts.append(full.filter(pc.and_(said, found["usable"])))
    return pa.concat_tables(parts), asked


def join_objects(labels: pa.Table, associations: pa.Table) -> pa.Table:
    """Labels of rows that belong to these associations' objects, with object and position."""
    theirs = pc.binary_join_element_wise(*(associations[c].combine_chunks() for c in ("survey", "survey_id")), ":")
    mine = pc.binary_join_element_wise(*(labels[c].combine_chunks() for c in ("survey", "survey_id")), ":")
    place = pc.index_in(mine, value_set=theirs)
    known = pc.is_valid(place)
    labels, place = labels.filter(known), place.filter(known)
    values = {name: labels[name] for name in labels.column_names}
    values |= {name: associations[name].take(place) for name in ("object_id", "ra", "dec")}
    return pa.table([values[name] for name in SCHEMA.names], schema=SCHEMA)


def run(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Step function; `params["labels"]` is the configuration, `params["ids"]` the id column of each survey.

    Accounting: each association is asked once for each target that its survey may tell; where it says nothing, or a
    quality flag forbids to listen, it is filtered by the rule `no_label`.
    """
    config = LabelsConfig.model_validate(params["labels"])
    associations = inputs["associations"].rows
    parts, asked = [SCHEMA.empty_table()], 0
    for survey, id_column in params["ids"].items():
        mine = associations.filter(pc.equal(associations["survey"], survey)) if len(associations) else associations
        targets = sum(t.survey == survey for target in config.targets for t in target.tellers)
        asked += len(mine) * targets
        tables = [t for t in (inputs[survey].rows, inputs[survey].margin) if len(t)]
        if len(mine) and tables:
            parts.append(join_objects(told(pa.concat_tables(tables), id_column, survey, config)[0], mine))
    table = pa.concat_tables(parts)
    return StepResult(table, _account(asked, len(table)))


def run_plain(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """As `run`, for datasets without positions, whose rows are their own objects."""
    config = LabelsConfig.model_validate(params["labels"])
    parts, asked = [PLAIN_SCHEMA.empty_table()], 0
    for survey, id_column in params["ids"].items():
        rows = inputs[survey].rows
        if not len(rows):
            continue
        rows = rows.filter(pa.array(bucket_of(rows[id_column], partition.buckets) == partition.bucket))
        found, questions = told(rows, id_column, survey, config)
        objects = found["survey_id"]
        parts.append(found.add_column(1, PLAIN_SCHEMA.field("object_id"), objects).select(PLAIN_SCHEMA.names))
        asked += questions
    table = pa.concat_tables([p.cast(PLAIN_SCHEMA) for p in parts])
    return StepResult(table, _account(asked, len(table)))


def _account(asked: int, answered: int) -> Accounting:
    return Accounting(asked, answered, filtered={"no_label": asked - answered} if asked > answered else {})


def _params_and_inputs(curated: list[Curated], margin: float) -> tuple[dict[str, Any], dict[str, Input]]:
    targets = load_labels().targets
    tellers = [teller for target in targets for teller in target.tellers]
    tell = [c for c in curated if any(t.survey == c.dataset for t in tellers)]
    inputs = {}
    for one in tell:
        texts = [(t.value, t.error, t.class_, t.where) for t in tellers if t.survey == one.dataset]
        named = words(text for group in texts for text in group if text)
        read = (one.id, *(c.name for c in one.columns if c.keep and c.name in named and c.name != one.id))
        inputs[one.dataset] = Input(f"curated.{one.dataset}", margin, read, optional=True)
    known = {c.dataset for c in tell}
    told_by = {
        t.name: [o.model_dump(mode="json", by_alias=True) for o in t.tellers if o.survey in known] for t in targets
    }
    used = [{"name": name, "from": those} for name, those in told_by.items()]
    return {"labels": {"targets": used}, "ids": {c.dataset: c.id for c in tell}}, inputs


def labels_step(profile: Profile) -> Step:
    """The step that makes `features.labels` from the associations and the curated datasets that tell a target."""
    params, inputs = _params_and_inputs(profile.on_sky(), profile.chain_arcsec)
    columns = ("object_id", "survey", "survey_id", "ra", "dec")
    return Step(
        dataset="features.labels",
        name="labels",
        version=VERSION,
        inputs={"associations": Input("curated.associations", columns=columns), **inputs},
        params=params,
        run=run,
        id_column="label_id",
        layout="union",
        description="What models learn from: temperatures, classes, variability types, by object",
    )


def plain_labels_step(profile: Profile) -> Step | None:
    """The step that makes `features.labels_plain` from datasets without positions; None where none tells anything."""
    params, inputs = _params_and_inputs([c for c in profile.configs() if c.layout == "plain"], 0.0)
    if not inputs:
        return None
    return Step(
        dataset="features.labels_plain",
        name="labels_plain",
        version=VERSION,
        inputs=inputs,
        params=params,
        run=run_plain,
        id_column="object_id",
        layout="plain",
        description="Labels of light curves without positions (ASAS), by the survey's own id",
    )
