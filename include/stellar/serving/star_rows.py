"""Rows of one star in the datasets of the lake, by their ids."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from stellar.errors import InputError, IntegrityError
from stellar.lake.home import Lake
from stellar.lake.ids import id_column_of
from stellar.lake.search import searchable

if TYPE_CHECKING:
    import sqlalchemy as sa

    from stellar.settings import Settings

Row = dict[str, Any]
OBJECTS, ASSOCIATIONS = "curated.objects", "curated.associations"


class Rows:
    """The lake as it is current, to find rows of a star in.

    Parameters
    ----------
    settings : Settings
    engine : sqlalchemy.Engine
        On the ledger.
    """

    def __init__(self, settings: Settings, engine: sa.Engine) -> None:
        self.lake = Lake(settings, engine)
        self.engine = engine

    @cached_property
    def datasets(self) -> list[str]:
        """Names of the current datasets."""
        return self.lake.datasets()

    def layer(self, layer: str) -> list[str]:
        """Names of one layer's datasets."""
        return [name for name in self.datasets if name.startswith(f"{layer}.")]

    def schema(self, dataset: str) -> pa.Schema:
        """A dataset's columns."""
        return self.lake.catalog(dataset).schema

    def id_column(self, dataset: str) -> str | None:
        """The column that identifies a dataset's rows."""
        try:
            return id_column_of(searchable(self.lake.folder(dataset)))
        except (InputError, IntegrityError):
            return None

    def by_id(
        self, dataset: str, ids: list[str], columns: list[str] | None = None, id_column: str | None = None
    ) -> list[Row]:
        """Rows with some ids (as texts), as plain values; none where the dataset is missing or has other ids."""
        column = id_column or (self.id_column(dataset) if dataset in self.datasets else None)
        if not ids or column is None or dataset not in self.datasets:
            return []
        type_ = self.schema(dataset).field(column).type
        wanted: list[Any] = list(ids)
        if pa.types.is_integer(type_):
            wanted = [int(one) for one in ids if one.lstrip("-").isdigit() and -(2**63) <= int(one) < 2**63]
        if not wanted:
            return []
        return self.lake.by_id(dataset, wanted, columns, id_column=column).to_pylist()

    def of_star(self, dataset: str, object_id: str, sources: list[Row], columns: list[str] | None = None) -> list[Row]:
        """A dataset's rows of a star: under the object's id, or under the ids of surveys that have the same id column.

        Parameters
        ----------
        dataset : str
        object_id : str
        sources : list of dict
            The star's rows of `curated.associations`.
        columns : list of str, optional
        """
        column = self.id_column(dataset)
        if column is None:
            return []
        if column == "object_id":
            return self.by_id(dataset, [object_id], columns)
        ids = [
            str(one["survey_id"])
            for one in sources
            if f"curated.{one['survey']}" in self.datasets and self.id_column(f"curated.{one['survey']}") == column
        ]
        # one number may be an id of two surveys: rows that name their object must name this one
        named = "object_id" in self.schema(dataset).names
        wanted = (
            None if columns is None else [*columns, *(["object_id"] if named and "object_id" not in columns else [])]
        )
        rows = self.by_id(dataset, ids, wanted)
        return [row for row in rows if not named or row["object_id"] in (None, object_id)]


def plain(value: Any) -> Any:
    """A value as JSON and JavaScript hold it: NaN as null, integers beyond 2**53 as texts, times as ISO texts."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) <= 2**53 else str(value)
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def about_columns(schema: pa.Schema) -> dict[str, dict[str, str]]:
    """Unit and description of each column that has some."""
    found = {}
    for column in schema:
        metadata = column.metadata or {}
        told = {key: metadata[key.encode()].decode() for key in ("unit", "description") if key.encode() in metadata}
        if told:
            found[column.name] = told
    return found
