"""Curation: raw rows of one survey to typed, de-duplicated rows without sentinels, every row accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.catalog.released import RELEASED, Overruled, Releases, of_partition
from stellar.engine.rows import bucket_of
from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.expressions import evaluate, query
from stellar.lake.schema import field
from stellar.profile import Column, Curated
from stellar.sky.healpix import spatial_index
from stellar.sky.match import match_all
from stellar.sky.separation import separation_arcsec
from stellar.surveys.readers.parse import to_type

FAULT = "fault"
VERSION = 1
CONTRADICTION_ARCSEC = 60.0  # rows of one id up to this far apart are seen together wherever the sky is cut


@dataclass(frozen=True)
class Typed:
    """Curated columns of all rows before any row is left out, and each row's first fault (null where none)."""

    columns: dict[str, pa.Array]
    fault: pa.Array


def schema(config: Curated) -> pa.Schema:
    """Schema of the curated table, with unit, UCD and description of each column."""
    fields = [
        field(c.name, c.arrow_type, unit=c.unit, ucd=c.ucd, description=c.description) for c in config.columns if c.keep
    ]
    if config.dedup.count:
        fields.append(field(config.dedup.count, pa.int32(), description="Raw rows of this id merged into this one"))
    if config.object_key:
        fields.append(field("object_key", pa.string(), description="Id of the object when no better survey knows it"))
    fields.append(field("batch_id", pa.string(), description="Batch that brought the row"))
    return pa.schema(fields)


def curate(
    rows: pa.Table,
    margin: pa.Table,
    config: Curated,
    partition: Partition | None = None,
    released: Sequence[Mapping[str, Any]] = (),
) -> StepResult:
    """Curate `rows`; `margin` rows only take part in the choice among rows of one id.

    Each row ends in exactly one place: a rule of `filters` takes it out, a fault sends it to quarantine, another row of
    its id absorbs it (`dedup`), or it is written.

    Parameters
    ----------
    rows, margin
        Raw columns as the survey publishes them, with `batch_id`; a column that a whole raw table lacks is null.

    partition
        Of a dataset without positions: rows whose id falls into another bucket are not this partition's.
    released
        Rows that a person let out of quarantine (`stellar.catalog.released`): their reasons do not hold.

    Returns
    -------
    StepResult
        `schema(config)`; quarantine with the raw columns, `reason` and `batch_id`.
    """
    if not len(rows):
        return StepResult(schema(config).empty_table(), Accounting(0, 0), None)
    raw = _together(rows, margin)
    typed, verdict = _judged(raw, config, Releases(released, config))
    own = np.arange(len(raw)) < len(rows)
    if partition is not None and partition.bucket is not None:
        own &= bucket_of(typed.columns[config.id], partition.buckets) == partition.bucket
    filtered, fault, rank, absorbed = (verdict[name].to_numpy() for name in ("filter", "fault", "rank", "absorbed"))
    fault = _contradictions(typed, config, filtered, fault, rank, verdict["winner"].to_numpy())
    is_filtered = own & np.array([f is not None for f in filtered], bool)
    is_bad = own & ~is_filtered & np.array([f is not None for f in fault], bool)
    kept = own & ~is_filtered & ~is_bad & (rank == 1)
    merged = own & ~is_filtered & ~is_bad & (rank > 1)
    table = _output(typed, raw, np.flatnonzero(kept), absorbed[kept], config)
    quarantine = None
    if is_bad.any():
        bad = np.flatnonzero(is_bad)
        quarantine = _with_batch(raw.take(pa.array(bad))).append_column("reason", pa.array(fault[bad], pa.string()))
    names, counts = np.unique(filtered[is_filtered].astype(str), return_counts=True)
    accounting = Accounting(
        rows_in=int(own.sum()),
        rows_out=int(kept.sum()),
        merged=int(merged.sum()),
        filtered={str(n): int(c) for n, c in zip(names, counts, strict=True)},
        quarantined=int(is_bad.sum()),
    )
    return StepResult(table, accounting, quarantine)


def _judged(raw: pa.Table, config: Curated, releases: Releases) -> tuple[Typed, dict[str, pa.ChunkedArray]]:
    """Typed rows and the verdict on each; a released row is judged again without the reasons that are overruled."""
    overruled: Overruled = {}
    while True:
        typed = _typed(raw, config, overruled)
        verdict = _verdicts(typed, _batch(raw), config, overruled)
        more = releases.overruled(raw, verdict["fault"], overruled)
        if more == overruled:
            return typed, verdict
        overruled = more


def places(raw: pa.Table, config: Curated) -> tuple[list[str | None], list[int | None]]:
    """Id of each raw row as text, and its HEALPix index of order 29; None where it has none."""
    typed = _typed(raw.combine_chunks(), config)
    ids = typed.columns[config.id].cast(pa.string()).to_pylist()
    if config.layout == "plain":
        return ids, [None] * len(raw)
    ra, dec = (np.asarray(typed.columns[name].to_numpy(zero_copy_only=False), np.float64) for name in ("ra", "dec"))
    with np.errstate(invalid="ignore"):
        good = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90)
    found: list[int | None] = [None] * len(raw)
    for row, index in zip(np.flatnonzero(good), spatial_index(ra[good], dec[good]), strict=True):
        found[row] = int(index)
    return ids, found


def curate_each(raw: pa.Table, config: Curated) -> tuple[pa.Table, list[str | None], list[str | None]]:
    """Curated columns of every raw row, in its order: none is merged, filtered or quarantined.

    Returns
    -------
    rows : pa.Table
        Columns of `schema(config)`; cells that cannot be read are null.
    filtered : list of str or None
        The rule of `filters` that would take the row out, with what it says.
    fault : list of str or None
        What is wrong with the row, which curation would put into quarantine.
    """
    raw = raw.combine_chunks()
    if not len(raw):
        return schema(config).empty_table(), [], []
    typed = _typed(raw, config)
    verdict = _verdicts(typed, _batch(raw), config)
    rows = _output(typed, raw, np.arange(len(raw)), np.ones(len(raw), dtype=np.int64), config)
    said = {rule.rule: f"{rule.rule}: {rule.description}" if rule.description else rule.rule for rule in config.filters}
    filtered = [None if rule is None else said[rule] for rule in verdict["filter"].to_pylist()]
    return rows, filtered, verdict["fault"].to_pylist()


def _together(rows: pa.Table, margin: pa.Table) -> pa.Table:
    if not len(margin):
        return rows.combine_chunks()
    return pa.concat_tables([rows, margin], promote_options="permissive").combine_chunks()


def _batch(raw: pa.Table) -> pa.Array:
    if "batch_id" not in raw.column_names:
        return pa.array([""] * len(raw), pa.string())
    return to_type(raw["batch_id"], pa.string())[0]


def _with_batch(raw: pa.Table) -> pa.Table:
    return raw if "batch_id" in raw.column_names else raw.append_column("batch_id", _batch(raw))


def _typed(raw: pa.Table, config: Curated, overruled: Overruled | None = None) -> Typed:
    """Columns in their types, sentinels null, expressions evaluated; the first fault of each row."""
    faults: list[pa.Array] = [to_type(raw[FAULT], pa.string())[0]] if FAULT in raw.column_names else []
    columns: dict[str, pa.Array] = {}
    published = {name.lower(): name for name in raw.column_names}
    for column in (c for c in config.columns if not c.expr):
        source = published.get((column.source or column.name).lower())
        if source is None:
            columns[column.name] = pa.nulls(len(raw), column.arrow_type)
        else:
            values, bad = to_type(raw[source], column.arrow_type)
            columns[column.name] = values
            if bad.any():
                faults.append(_fault_where(bad, raw[source], f"{source}: cannot be read as {column.type}"))
        faults += _clean(columns, column, overruled or {})
    expressions = [c for c in config.columns if c.expr]
    if config.object_key:
        expressions.append(Column(name="object_key", type="string", expr=config.object_key))
    columns |= evaluate(pa.table(columns), {c.name: (c.expr or "", c.type) for c in expressions}, _origin(config))
    for column in expressions:
        faults += _clean(columns, column, overruled or {})
    faults += _identity_faults(columns, config)
    first = pc.coalesce(*faults) if faults else pa.nulls(len(raw), pa.string())
    return Typed(columns, first)


def _fault_where(bad: np.ndarray, cells: pa.ChunkedArray, what: str) -> pa.Array:
    texts: list[str | None] = [None] * len(bad)
    for i in np.flatnonzero(bad):
        texts[i] = f"{what} ({str(cells[int(i)].as_py())[:40]!r})"
    return pa.array(texts, pa.string())


def _clean(columns: dict[str, pa.Array], column: Column, overruled: Overruled) -> list[pa.Array]:
    """Sentinels, NaN and impossible values of one column to null, in place; the faults found.

    A value whose range was overruled stays as it was published.
    """
    values = columns[column.name]
    if pa.types.is_list(values.type):
        return [_absent(values, column)] if column.required else []
    null = pa.scalar(None, values.type)
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.fill_null(pc.is_finite(values), False), values, null)
    if column.missing:
        sentinels = pa.array(column.missing).cast(values.type)
        values = pc.if_else(pc.fill_null(pc.is_in(values, sentinels), False), null, values)
    faults = []
    if column.minimum is not None or column.maximum is not None:
        kind = values.type if pa.types.is_integer(values.type) else pa.float64()  # ids are beyond a float's integers
        tests = [pc.less(values, pa.scalar(column.minimum).cast(kind))] if column.minimum is not None else []
        tests += [pc.greater(values, pa.scalar(column.maximum).cast(kind))] if column.maximum is not None else []
        outside = pc.fill_null(reduce(pc.or_, tests), False)
        if column.outside == "quarantine" and pc.any(outside).as_py():
            low, high = ("" if limit is None else f"{limit:g}" for limit in (column.minimum, column.maximum))
            what = f"{column.name}: outside {low}..{high}"
            found = _fault_where(np.asarray(outside), pa.chunked_array([values]), what)
            holds = _holding(found, overruled)
            faults.append(pc.if_else(holds, found, pa.scalar(None, pa.string())))
            outside = pc.and_(outside, holds)
        values = pc.if_else(outside, null, values)
    columns[column.name] = values
    return [*faults, _absent(values, column)] if column.required else faults


def _holding(faults: pa.Array, overruled: Overruled) -> pa.Array:
    """Per row, whether its fault is not one that was overruled."""
    holds = np.ones(len(faults), bool)
    for row, reasons in overruled.items():
        holds[row] = faults[row].as_py() not in reasons
    return pa.array(holds)


def _absent(values: pa.Array, column: Column) -> pa.Array:
    return pc.if_else(pc.is_null(values), pa.scalar(f"{column.name}: is missing"), pa.scalar(None, pa.string()))


def _identity_faults(columns: dict[str, pa.Array], config: Curated) -> list[pa.Array]:
    """No id, no position or an impossible one: such a row cannot be a row of the catalogue."""
    nothing = pa.scalar(None, pa.string())
    faults = [pc.if_else(pc.is_null(columns[config.id]), pa.scalar(f"{config.id}: is missing"), nothing)]
    if config.layout == "plain":
        return faults
    ra, dec = columns["ra"], columns["dec"]
    missing = pc.or_(pc.is_null(ra), pc.is_null(dec))
    inside = pc.and_(
        pc.and_(pc.greater_equal(ra, 0.0), pc.less_equal(ra, 360.0)),
        pc.and_(pc.greater_equal(dec, -90.0), pc.less_equal(dec, 90.0)),
    )
    outside = pc.invert(pc.fill_null(inside, True))
    columns["ra"] = pc.if_else(pc.equal(ra, 360.0), pa.scalar(0.0), ra)
    faults.append(pc.if_else(missing, pa.scalar("ra, dec: position is missing"), nothing))
    faults.append(pc.if_else(outside, pa.scalar("ra, dec: position out of range"), nothing))
    return faults


def _verdicts(
    typed: Typed, batch: pa.Array, config: Curated, overruled: Overruled | None = None
) -> dict[str, pa.ChunkedArray]:
    """Per row: the filter that takes it out, its fault, its rank among the rows of its id, the winner's place."""
    scalars = {n: a for n, a in typed.columns.items() if not pa.types.is_list(a.type)}
    table = pa.table(scalars | {"_row": np.arange(len(batch)), "_batch": batch, "_fault": typed.fault})
    table = table.append_column("_source", _source_keys(table, typed, config))
    filters = " ".join(f"when ({rule.where}) then '{_quoted(rule.rule)}'" for rule in config.filters)
    rejects = " ".join(
        f"when ({rule.where}){_but(rule.rule, overruled or {})} then '{_quoted(rule.rule)}'" for rule in config.reject
    )
    place = ["ra", "dec"] if config.layout == "rows" else []
    order = ", ".join([*config.dedup.prefer, "_batch", *place, "_row"])
    sql = f"""
        with judged as (
            select *,
                case {filters or "when false then ''"} end as _filter,
                coalesce(_fault, case {rejects or "when false then ''"} end) as _reason
            from t),
        ranked as (
            select *, _filter is null and _reason is null as _eligible from judged)
        select _row, _filter as filter, _reason as fault,
            row_number() over same as rank,
            first_value(_row) over same as winner,
            count(*) over (partition by _source, _eligible) as absorbed
        from ranked
        window same as (partition by _source, _eligible order by {order})
        order by _row"""  # noqa: S608 the project's own YAML
    found = query(sql, table, _origin(config))
    return {name: found[name] for name in ("filter", "fault", "rank", "winner", "absorbed")}


def _but(rule: str, overruled: Overruled) -> str:
    """SQL that leaves out the rows for which a rule was overruled."""
    rows = sorted(row for row, reasons in overruled.items() if rule in reasons)
    return f" and _row not in ({', '.join(map(str, rows))})" if rows else ""


def _source_keys(table: pa.Table, typed: Typed, config: Curated) -> pa.Array:
    """What names the source of each row: its id, or the lowest id among rows marked as listed twice that lie there."""
    names = typed.columns[config.id].cast(pa.string())
    if not config.dedup.doubles:
        return names
    marked = query(f"select coalesce(({config.dedup.doubles}), false) as marked from t", table, _origin(config))  # noqa: S608
    usable = pc.and_(marked["marked"].combine_chunks(), pc.is_null(typed.fault))
    rows = np.flatnonzero(np.asarray(usable))
    ra, dec = (typed.columns[n].to_numpy(zero_copy_only=False)[rows] for n in ("ra", "dec"))
    near = match_all(ra, dec, ra, dec, config.dedup.doubles_arcsec)
    keys = np.asarray(names.to_pylist(), dtype=object)
    own_names = keys[rows]
    for left, right in zip(near.left_index, near.right_index, strict=True):
        keys[rows[left]] = min(keys[rows[left]], own_names[right])
    return pa.array(keys, pa.string())


def _contradictions(
    typed: Typed, config: Curated, filtered: np.ndarray, fault: np.ndarray, rank: np.ndarray, winner: np.ndarray
) -> np.ndarray:
    """Faults, with those added of rows that share an id with a better row but lie elsewhere."""
    fault = fault.astype(object)
    if config.layout == "plain":
        return fault
    free = np.array([f is None and g is None for f, g in zip(filtered, fault, strict=True)], bool)
    losers = np.flatnonzero(free & (rank > 1))
    if not len(losers):
        return fault
    ra, dec = (typed.columns[n].to_numpy(zero_copy_only=False) for n in ("ra", "dec"))
    apart = separation_arcsec(ra[losers], dec[losers], ra[winner[losers]], dec[winner[losers]])
    for i, distance in zip(losers, apart, strict=True):
        if distance > config.dedup.within_arcsec:
            fault[i] = f"{config.id}: another row of this id lies {distance:.1f} arcsec away"
    return fault


def _output(typed: Typed, raw: pa.Table, kept: np.ndarray, absorbed: np.ndarray, config: Curated) -> pa.Table:
    index, target = pa.array(kept), schema(config)
    columns = dict(typed.columns) | {"batch_id": _batch(raw)}
    arrays = {name: columns[name].take(index) for name in target.names if name in columns}
    if config.dedup.count:
        arrays[config.dedup.count] = pa.array(absorbed, pa.int32())
    return pa.table([arrays[name] for name in target.names], schema=target)


def _origin(config: Curated) -> str:
    return f"config/catalog/{config.dataset}.yaml"


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def run(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Step function; `params["config"]` is the dataset's config as JSON."""
    raw = inputs["raw"]
    config = Curated.model_validate(params["config"])
    return curate(raw.rows, raw.margin, config, partition, params.get(RELEASED, ()))


def for_partition(partition: Partition, params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of one partition: released rows elsewhere are none of its."""
    return of_partition(partition, params, _reach_arcsec(params["config"]["dedup"]["within_arcsec"]))


def _reach_arcsec(within_arcsec: float) -> float:
    return max(within_arcsec, CONTRADICTION_ARCSEC)


def curate_step(config: Curated, released: Sequence[Mapping[str, Any]] = ()) -> Step:
    """The step that makes `curated.<dataset>` from its raw dataset, with the rows that were let out of quarantine."""
    margin = _reach_arcsec(config.dedup.within_arcsec) if config.layout == "rows" else 0
    let_out = {RELEASED: [dict(one) for one in released]} if released else {}
    return Step(
        dataset=f"curated.{config.dataset}",
        name="curate",
        version=VERSION,
        inputs={"raw": Input(f"raw.{config.source}", margin, optional=True)},
        params={"config": config.model_dump(mode="json"), **let_out},
        run=run,
        for_partition=for_partition,
        id_column=config.id,
        layout=config.layout,
        primary="raw",
        quarantine=f"quarantine.{config.dataset}",
        description=config.description or f"raw.{config.source}, typed, without sentinels and duplicates",
    )
