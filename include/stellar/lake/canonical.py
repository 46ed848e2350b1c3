"""The one form of some rows: their types, values and order, whatever order, chunks or kinds of text they came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stellar.errors import InputError
from stellar.sky.healpix import INDEX_COLUMN, spatial_index

from .schema import INDEX_FIELD, stored_schema

_INTEGERS: dict[pa.DataType, Any] = {
    pa.float16(): np.int16,
    pa.float32(): np.int32,
    pa.float64(): np.int64,
}


def canonical(
    table: pa.Table,
    *,
    id_column: str | Sequence[str],
    sky: bool | None = None,
    position: tuple[str, str] = ("ra", "dec"),
    keep_index: bool = False,
) -> pa.Table:
    """The table as `write_partition` stores it: types, values, `_healpix_29`, order of rows."""
    ids = [id_column] if isinstance(id_column, str) else list(id_column)
    for name in ids:
        if name not in table.column_names:
            raise InputError(f"no id column {name!r}; the table has {', '.join(table.column_names)}")
        if nulls := table.column(name).null_count:
            raise InputError(f"id column {name!r} is null in {nulls} of {table.num_rows} rows; ids are never null")
    wanted = stored_schema(table.schema)
    if not table.schema.equals(wanted, check_metadata=True):
        table = _cast(table, wanted)
    columns = [_one_form(column) for column in table.columns]
    if any(new is not old for new, old in zip(columns, table.columns, strict=True)):
        table = pa.table(columns, schema=wanted)
    if sky if sky is not None else set(position) <= set(table.column_names):
        if keep_index and INDEX_COLUMN in table.column_names:
            table = _typed_index(table)
        else:
            table = with_index(table, position)
    return _sorted(table, ids)


def with_index(table: pa.Table, position: tuple[str, str] = ("ra", "dec")) -> pa.Table:
    """The table with `_healpix_29` computed from its positions (degrees), as its first column."""
    if not set(position) <= set(table.column_names):
        raise InputError(
            f"no columns {' and '.join(position)} to make {INDEX_COLUMN} from; there are "
            f"{', '.join(table.column_names)}"
        )
    index = spatial_index(*(table.column(name).to_numpy() for name in position))
    if INDEX_COLUMN in table.column_names:
        table = table.drop_columns([INDEX_COLUMN])
    return table.add_column(0, INDEX_FIELD, pa.array(index, pa.int64()))


def _typed_index(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index(INDEX_COLUMN)
    if table.schema.field(at).equals(INDEX_FIELD, check_metadata=True):
        return table
    return table.set_column(at, INDEX_FIELD, table.column(at).cast(pa.int64()))


def _cast(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    columns = [
        column if column.type == field.type else _cast_column(column, field.type)
        for column, field in zip(table.columns, wanted, strict=True)
    ]
    return pa.table(columns, schema=wanted)


def _cast_column(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if pa.types.is_run_end_encoded(column.type):
        column = pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], column.type.value_type)
    if pa.types.is_list_view(column.type) or pa.types.is_large_list_view(column.type):
        # Arrow's own cast gives offsets that are cut short where rows are null.
        return pa.chunked_array([pa.array(chunk.to_pylist(), type_) for chunk in column.chunks], type_)
    return column.cast(type_)


def _one_form(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """A column whose floats have one NaN (outside lists and structs: null) and one zero; itself when it is so."""
    if not _has_floats(column.type) or all(_is_clean(chunk) for chunk in column.chunks):
        return column
    values = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(values, pa.ChunkedArray):  # too much text for one array
        return pa.chunked_array([_rewritten(chunk, nan_is_null=True) for chunk in values.chunks])
    return _rewritten(values, nan_is_null=True)


def _has_floats(type_: pa.DataType) -> bool:
    if pa.types.is_list(type_):
        return _has_floats(type_.value_type)
    if pa.types.is_struct(type_):
        return any(_has_floats(type_.field(i).type) for i in range(type_.num_fields))
    return pa.types.is_floating(type_)


def _is_clean(values: pa.Array) -> bool:
    """Whether there is certainly no NaN and no -0.0. What lies under nulls counts too, so it may be False in vain."""
    type_ = values.type
    if pa.types.is_struct(type_):
        fields = [values.field(i) for i in range(type_.num_fields)]
        return all(_is_clean(child) for child in fields if _has_floats(child.type))
    if pa.types.is_list(type_):
        # Null rows may hide values, which a reader would not see but the bytes of a file might.
        return not values.null_count and (not _has_floats(type_.value_type) or _is_clean(values.flatten()))
    numbers = _numbers(values)
    # The bits of -0.0 are those of the least integer, and the greatest float is NaN where there is one.
    integers = numbers.view(_INTEGERS[type_])
    return not len(numbers) or not (np.isnan(numbers.max()) or integers.min() == np.iinfo(integers.dtype).min)


def _numbers(values: pa.Array) -> NDArray[Any]:
    """The numbers of a float array as they lie in memory, nulls too."""
    width = values.type.bit_width // 8
    buffer = values.buffers()[1]
    if buffer is None:
        return np.empty(0, values.type.to_pandas_dtype())
    return np.frombuffer(buffer, values.type.to_pandas_dtype(), len(values), values.offset * width)


def _rewritten(values: pa.Array, *, nan_is_null: bool) -> pa.Array:
    type_ = values.type
    if pa.types.is_floating(type_):
        numbers = _numbers(values) + _numbers(values).dtype.type(0)  # 0.0 + -0.0 is 0.0; no other number changes
        lacking = np.isnan(numbers)
        numbers[lacking] = np.nan
        if not nan_is_null:
            lacking = np.zeros(len(numbers), bool)
        if values.null_count:
            lacking |= values.is_null().to_numpy(zero_copy_only=False)
        return pa.array(numbers, type_, mask=lacking)
    if pa.types.is_list(type_) and _has_floats(type_.value_type):
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        nulls = values.is_null() if values.null_count else None
        flat = _rewritten(values.flatten(), nan_is_null=False)
        return pa.ListArray.from_arrays(pa.array(offsets), flat, type=type_, mask=nulls)
    if pa.types.is_struct(type_):
        fields = [type_.field(i) for i in range(type_.num_fields)]
        children = [_rewritten(values.field(i), nan_is_null=False) for i in range(type_.num_fields)]
        return pa.StructArray.from_arrays(children, fields=fields, mask=values.is_null())
    return values


def _sorted(table: pa.Table, ids: list[str]) -> pa.Table:
    """Rows by `_healpix_29` where there is one, then the ids, then all that they hold."""
    keys = list(dict.fromkeys([*([INDEX_COLUMN] if INDEX_COLUMN in table.column_names else []), *ids]))
    if table.num_rows > 1:
        order = _order(table, keys)
        if order is not None:
            table = table.take(pa.array(order))
    return table.combine_chunks()


def _order(table: pa.Table, keys: list[str]) -> NDArray[np.int64] | None:
    """Which row comes where; None when all are in their places."""
    lead = table[keys[0]]
    if not pa.types.is_integer(lead.type) or lead.null_count:
        order = _sort_indices(table.select(keys), keys)
        tied = _equal_neighbours(table.select(keys).take(pa.array(order)), keys)
    else:
        values = lead.to_numpy()
        rising = values[1:] > values[:-1]
        if rising.all():
            return None
        if (rising | (values[1:] == values[:-1])).all():
            order = np.arange(len(values))
        else:
            order = np.argsort(values, kind="stable")  # quick where rows come in runs, as those of staged parts do
            values = values[order]
        tied = values[1:] == values[:-1]
    if tied.any():
        # Only rows that are next to an equal one change places, among themselves.
        places = np.flatnonzero(np.append(tied, False) | np.append(False, tied))
        order[places] = order[places][_settled(table.take(pa.array(order[places])), keys)]
    return None if (order == np.arange(len(order))).all() else order


def _settled(table: pa.Table, keys: list[str]) -> NDArray[np.int64]:
    """The order of rows some of whose first keys are equal.

    Equal ids are for the gate to find; here they only must not make the bytes depend on the order that came in, so
    that other columns, and at last the text of lists and the like, decide between them.
    """
    order = _sort_indices(table, keys)
    if not _equal_neighbours(table.take(pa.array(order)), keys).any():
        return order
    rest = [field.name for field in table.schema if field.name not in keys]
    plain = [name for name in rest if _has_order(table.schema.field(name).type)]
    other = [name for name in rest if name not in plain]
    words = {f"text {name}": _texts(table[name]) for name in other}
    numbered = table.select([*keys, *plain])
    for name, texts in words.items():
        numbered = numbered.append_column(name, pa.array(texts, pa.large_string()))
    return _sort_indices(numbered, numbered.column_names)


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Values as text, times as numbers: what Python holds of those depends on whether pandas is there."""
    wanted = _without_times(column.type)
    return [repr(value) for value in (column if wanted == column.type else column.cast(wanted)).to_pylist()]


def _without_times(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_list(type_):
        return pa.list_(_without_times(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([(one.name, _without_times(one.type)) for one in type_.fields])
    if pa.types.is_timestamp(type_) or pa.types.is_time(type_) or pa.types.is_duration(type_):
        return pa.int64() if type_.bit_width == 64 else pa.int32()
    return type_


def _has_order(type_: pa.DataType) -> bool:
    return not (pa.types.is_nested(type_) or pa.types.is_null(type_) or pa.types.is_float16(type_))


def _sort_indices(table: pa.Table, names: Sequence[str]) -> NDArray[np.int64]:
    order = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in names])
    return order.to_numpy().astype(np.int64)


def _equal_neighbours(table: pa.Table, names: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each row (but the last) has the same keys as the next one."""
    same = np.ones(max(table.num_rows - 1, 0), bool)
    for name in names:
        column = table.column(name)
        equal = pc.equal(column.slice(1), column.slice(0, table.num_rows - 1))
        same &= pc.fill_null(equal, False).to_numpy()
    return same
