"""What happens to the rows of a frame before a model sees them, in one place for training and for prediction.

In this order: sentinels to null; derived columns; missing values; polynomials; clusters. What is learned on the way
(medians, clusters) comes from the training rows alone and is kept as JSON with the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations, combinations_with_replacement
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.errors import InputError
from stellar.expressions import columns_of, row_values
from stellar.models.mixture import Mixture

Rule = Literal["keep", "drop", "median", "value"]


@dataclass(frozen=True)
class Preparation:
    """A recipe and, once fitted, what it learned; an empty one hands tables through as they are.

    Attributes
    ----------
    inputs : tuple of str
        Columns that the model is declared to see: of the table, or derived.
    watch : tuple of str
        Further columns whose range is watched; they may be derived too.
    sentinels : tuple of float
        Numbers that stand for a missing value in the numeric columns that are read.
    derived : dict of str to str
        Name -> SQL over the table's columns and the names before it.
    rule : str
        For missing values of numeric inputs: `keep` and `drop` leave them (a row to predict is not dropped), `median`
        and `value` fill them.
    value : float or None
        With `value`, what is filled in.
    indicators : bool
        Whether each numeric input gets a column `<name>_missing`.
    powers : tuple of tuple of str
        Products of columns, each the factors of one: (`a`, `a`) is `a_pow2`, (`a`, `b`) is `a_x_b`.
    clusters : tuple of str
        Columns of the mixture; none where empty.
    components : int
    numeric : tuple of str
        Learned: the inputs that are numbers, which alone the rule and the indicators are for.
    medians : dict of str to float
    mixture : Mixture or None
    """

    inputs: tuple[str, ...] = ()
    watch: tuple[str, ...] = ()
    sentinels: tuple[float, ...] = ()
    derived: dict[str, str] = field(default_factory=dict)
    rule: Rule = "keep"
    value: float | None = None
    indicators: bool = False
    powers: tuple[tuple[str, ...], ...] = ()
    clusters: tuple[str, ...] = ()
    components: int = 0
    numeric: tuple[str, ...] = ()
    medians: dict[str, float] = field(default_factory=dict)
    mixture: Mixture | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do: then `apply` gives back the table that it got."""
        return not (
            self.sentinels or self.derived or self.rule in ("median", "value") or self.indicators or self.powers
            or self.clusters
        )  # fmt: skip

    @property
    def columns(self) -> tuple[str, ...]:
        """What the model sees: its inputs, then what is made beside them. Indicators are known once it is fitted."""
        made = [f"{name}_missing" for name in self.numeric] if self.indicators else []
        return tuple(dict.fromkeys([*self.inputs, *made, *map(power_name, self.powers), *self._clusters()]))

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that a table to predict for must have."""
        wanted = [*self.inputs, *(name for factors in self.powers for name in factors), *self.clusters, *self.watch]
        return tuple(dict.fromkeys(name for one in wanted for name in source_columns(one, self.derived)))

    def fit(self, table: pa.Table, seed: int) -> Self:
        """With what it learns from the rows to train on.

        Parameters
        ----------
        table : pa.Table
            Training rows alone, as they come from the frame.
        seed : int
        """
        if self.is_empty:
            return self
        rows = self.with_derived(table)
        made = replace(self, numeric=tuple(name for name in self.inputs if _is_number(rows, name)))
        # what polynomials and clusters read is filled as the inputs are
        filled = made._filled_names()
        if self.rule == "median":
            medians = {name: _median(rows, name) for name in filled}
            if empty := [name for name, value in medians.items() if value is None]:
                raise InputError(
                    f"missing: {', '.join(empty)}: no training row has a value, so there is no median; take the column "
                    "out"
                )
            made = replace(made, medians={name: float(value) for name, value in medians.items() if value is not None})
        if self.clusters:
            mixture = Mixture.fit(_matrix(made._filled(rows), self.clusters, "clusters"), self.components, seed)
            made = replace(made, mixture=mixture)
        return made

    def apply(self, table: pa.Table) -> pa.Table:
        """What the model sees of each row, in the rows' order; columns that are not read stay as they are."""
        return table if self.is_empty else self.completed(self.with_derived(table))

    def with_derived(self, table: pa.Table) -> pa.Table:
        """The first half of `apply`: sentinels to null, and derived columns."""
        if not (self.sentinels or self.derived):
            return table
        return derive(nulled(table, self.needed, self.sentinels), self._used(), "derived")

    def completed(self, table: pa.Table) -> pa.Table:
        """The second half of `apply`: missing values, polynomials, clusters; of what `with_derived` gave."""
        if self.is_empty:
            return table
        missing = {f"{name}_missing": pc.invert(_known(table[name])) for name in self.numeric if self.indicators}
        table = self._filled(table)
        for name, column in missing.items():
            table = _put(table, name, column)
        for factors in self.powers:
            product = np.prod([_numbers(table, name, "polynomials") for name in factors], axis=0)
            table = _put(table, power_name(factors), _floats(product))
        if self.mixture is not None:
            shares = self.mixture.predict_proba(_matrix(table, self.clusters, "clusters"))
            for k, name in enumerate(self._clusters()):
                table = _put(table, name, _floats(shares[:, k]))
        return table

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready. Derived columns are a list, so that they keep their order."""
        plain = {one: getattr(self, one) for one in self.__dataclass_fields__ if one not in ("derived", "mixture")}
        return {
            **asdict(replace(self, mixture=None)), **plain,
            "derived": [[name, sql] for name, sql in self.derived.items()],
            "mixture": self.mixture.to_dict() if self.mixture else None,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        lists = {one: tuple(stored[one]) for one in ("inputs", "watch", "sentinels", "clusters", "numeric")}
        return cls(**{
            **stored, **lists,
            "derived": {name: sql for name, sql in stored["derived"]},
            "powers": tuple(tuple(factors) for factors in stored["powers"]),
            "mixture": Mixture.from_dict(stored["mixture"]) if stored["mixture"] else None,
        })  # fmt: skip

    def _used(self) -> dict[str, str]:
        """Derived columns that the model's own are made of; others (of filters alone) need not be had to predict."""
        wanted = [*self.inputs, *(name for factors in self.powers for name in factors), *self.clusters, *self.watch]
        used: set[str] = set()
        while wanted:
            if (name := wanted.pop()) in self.derived and name not in used:
                used.add(name)
                wanted += columns_of(self.derived[name])
        return {name: sql for name, sql in self.derived.items() if name in used}

    def _clusters(self) -> list[str]:
        return [f"cluster_{k + 1}" for k in range(self.components)] if self.clusters else []

    def _filled_names(self) -> list[str]:
        return list(dict.fromkeys([*self.numeric, *(name for one in self.powers for name in one), *self.clusters]))

    def _filled(self, table: pa.Table) -> pa.Table:
        if self.rule not in ("median", "value"):
            return table
        for name in self._filled_names():
            value = self.medians[name] if self.rule == "median" else self.value
            numbers = _numbers(table, name, "missing")
            table = _put(table, name, pa.array(np.where(np.isfinite(numbers), numbers, value)))
        return table


def products(columns: Sequence[str], degree: int, *, interaction_only: bool) -> tuple[tuple[str, ...], ...]:
    """Factors of each product of 2 to `degree` of the columns, as scikit-learn's `PolynomialFeatures` orders them."""
    choose = combinations if interaction_only else combinations_with_replacement
    return tuple(factors for d in range(2, degree + 1) for factors in choose(columns, d))


def power_name(factors: Sequence[str]) -> str:
    """Column of a product: (`a`, `a`, `b`) gives `a_pow2_x_b`."""
    counts = {name: list(factors).count(name) for name in factors}
    return "_x_".join(name if count == 1 else f"{name}_pow{count}" for name, count in counts.items())


def source_columns(name: str, derived: Mapping[str, str]) -> list[str]:
    """Columns of the table that a column is made from: itself where it is not derived."""
    if name not in derived:
        return [name]
    found = [inner for one in sorted(columns_of(derived[name])) for inner in source_columns(one, derived)]
    return list(dict.fromkeys(found))


def nulled(table: pa.Table, columns: Sequence[str], sentinels: Sequence[float]) -> pa.Table:
    """The table with null in the place of NaN and of sentinels, in those of `columns` that are numbers.

    A sentinel is compared in the column's own type: -9999.9 is found in single precision too.
    """
    for name in columns:
        if name not in table.column_names or not _is_number(table, name):
            continue
        column = table[name]
        if pa.types.is_null(column.type):
            continue
        if pa.types.is_decimal(column.type) or pa.types.is_float16(column.type):  # which few functions know
            column = column.cast(pa.float64())
            table = _put(table, name, column)
        is_float = pa.types.is_floating(column.type)
        usable = [one for one in sentinels if is_float or _holds(column.type, one)]
        wrong = pc.is_nan(column) if is_float else None
        if usable:
            among = pc.is_in(column, value_set=pa.array(usable, pa.float64()).cast(column.type, safe=False))
            wrong = among if wrong is None else pc.or_kleene(wrong, among)
        if wrong is not None and pc.any(wrong).as_py():
            table = _put(table, name, pc.if_else(wrong, pa.scalar(None, column.type), column))
    return table


def _holds(kind: pa.DataType, value: float) -> bool:
    """Whether a type of whole numbers has the value; a cast would turn -999 into another number of a narrow type."""
    limits = np.iinfo(kind.to_pandas_dtype())
    return float(value).is_integer() and limits.min <= value <= limits.max


def derive(table: pa.Table, derived: Mapping[str, str], origin: str) -> pa.Table:
    """The table with each derived column; one that it has already is made anew."""
    if not derived:
        return table
    table = table.drop_columns([name for name in derived if name in table.column_names])
    for name, column in row_values(table, derived, origin).items():
        table = table.append_column(name, column)
    return table


def _is_number(table: pa.Table, name: str) -> bool:
    if name not in table.column_names:
        raise InputError(f"there is no column {name}, which the model reads; there are {', '.join(table.column_names)}")
    kind = table[name].type
    kinds = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_null)
    return any(is_kind(kind) for is_kind in kinds)


def _numbers(table: pa.Table, name: str, section: str) -> np.ndarray:
    """A numeric column as float64[n], nulls and infinities as NaN."""
    if not _is_number(table, name) and not pa.types.is_boolean(table[name].type):
        raise InputError(f"{section}: {name} is {table[name].type}; it takes columns of numbers")
    values = pc.fill_null(table[name].cast(pa.float64()), float("nan")).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)


def _matrix(table: pa.Table, columns: Sequence[str], section: str) -> np.ndarray:
    return np.column_stack([_numbers(table, name, section) for name in columns])


def _known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.is_finite(column.cast(pa.float64())), False)


def _median(table: pa.Table, name: str) -> float | None:
    values = _numbers(table, name, "missing")
    return None if np.isnan(values).all() else float(np.nanmedian(values))


def _floats(values: np.ndarray) -> pa.Array:
    return pa.array(values, from_pandas=True)  # NaN is null


def _put(table: pa.Table, name: str, column: Any) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.append_column(name, column) if at < 0 else table.set_column(at, name, column)
