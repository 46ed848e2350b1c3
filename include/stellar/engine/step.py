"""A step: a plain function with a name and a version that turns input snapshots into one output snapshot."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import pyarrow as pa

from stellar.errors import InputError
from stellar.sky.healpix import Cell

Layout = Literal["rows", "inherit", "cover", "union", "plain"]

_CELL = re.compile(r"Norder=(\d+)/Npix=(\d+)")
_BUCKET = re.compile(r"bucket=(\d+)")
_DATASET = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


@dataclass(frozen=True, order=True)
class Partition:
    """What one call of a step makes: the rows of a HEALPix cell, or of a hash bucket of the id.

    Attributes
    ----------
    name : str
        ``Norder=K/Npix=N`` or ``bucket=NNN``.
    buckets : int
        How many buckets the dataset has; 0 for a cell.
    """

    name: str
    buckets: int = 0

    @classmethod
    def of_cell(cls, cell: Cell) -> Partition:
        return cls(f"Norder={cell.order}/Npix={cell.pixel}")

    @classmethod
    def of_bucket(cls, number: int, buckets: int) -> Partition:
        return cls(f"bucket={number:03d}", buckets)

    @property
    def cell(self) -> Cell | None:
        """The HEALPix cell, None for a bucket."""
        found = _CELL.fullmatch(self.name)
        return Cell(int(found[1]), int(found[2])) if found else None

    @property
    def bucket(self) -> int | None:
        """The bucket's number, None for a cell."""
        found = _BUCKET.fullmatch(self.name)
        return int(found[1]) if found else None

    @property
    def file_name(self) -> str:
        """The name without a slash, for staged files."""
        return self.name.replace("/", "-")


@dataclass(frozen=True)
class Input:
    """One dataset that a step reads.

    Attributes
    ----------
    dataset : str
        ``layer.subject``.
    margin_arcsec : float
        How far beyond the partition's cell rows are wanted too, arcseconds.
    columns : tuple of str or None
        Columns to read; None for all. Columns that the snapshot lacks are left out.
    optional : bool
        Whether the dataset may have no snapshot (a survey that was never synced).
    batches : tuple of str or None
        Ids of staged batches (`stellar.engine.staging`) that are read instead of a snapshot of the dataset.
    folder : str or None
        A HATS folder outside the lake that is read instead of a snapshot of the dataset: absolute path.
    """

    dataset: str
    margin_arcsec: float = 0
    columns: tuple[str, ...] | None = None
    optional: bool = False
    batches: tuple[str, ...] | None = None
    folder: str | None = None


@dataclass(frozen=True)
class PartitionInput:
    """What a step gets of one input: rows in the partition, and rows outside it but within the margin.

    Inputs that cannot be cut like the output are given whole in every partition: a plain or position-less raw
    dataset for an output of cells, a dataset without the id column for an output of buckets.
    """

    rows: pa.Table
    margin: pa.Table
    absent: bool = False


@dataclass(frozen=True)
class Accounting:
    """Where the rows of the primary input went: ``rows_in = rows_out + merged + filtered + quarantined``.

    `filtered` counts rows by the name of the declared rule that took them out.
    """

    rows_in: int
    rows_out: int
    merged: int = 0
    filtered: Mapping[str, int] = field(default_factory=dict)
    quarantined: int = 0

    @property
    def filtered_total(self) -> int:
        return sum(self.filtered.values())

    @property
    def gap(self) -> int:
        """Rows in that nothing accounts for (negative: rows from nowhere)."""
        return self.rows_in - self.rows_out - self.merged - self.filtered_total - self.quarantined

    def __add__(self, other: Accounting) -> Accounting:
        rules = sorted({*self.filtered, *other.filtered})
        return Accounting(
            self.rows_in + other.rows_in,
            self.rows_out + other.rows_out,
            self.merged + other.merged,
            {rule: self.filtered.get(rule, 0) + other.filtered.get(rule, 0) for rule in rules},
            self.quarantined + other.quarantined,
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "merged": self.merged,
            "filtered": dict(sorted(self.filtered.items())),
            "quarantined": self.quarantined,
        }


@dataclass(frozen=True)
class StepResult:
    """What a step made of one partition. `quarantine` holds the refused input rows plus `reason` and `batch_id`."""

    table: pa.Table
    accounting: Accounting
    quarantine: pa.Table | None = None

    @classmethod
    def by_reason(
        cls, rows: pa.Table, table: pa.Table, filtered: Mapping[str, int], reasons: Sequence[str | None]
    ) -> StepResult:
        """Result of a step that says of each input row why it is refused, or None.

        Parameters
        ----------
        rows : pa.Table
            The primary input; refused rows go to quarantine with their reason.
        filtered : mapping
            Rows taken out by each declared rule.
        reasons : sequence of str or None
            One per row of `rows`.
        """
        refused = [row for row, reason in enumerate(reasons) if reason is not None]
        whys = pa.array([reasons[row] for row in refused], pa.string())
        quarantine = rows.take(pa.array(refused, pa.int64())).append_column("reason", whys)
        accounting = Accounting(rows.num_rows, table.num_rows, filtered=filtered, quarantined=len(refused))
        return cls(table, accounting, quarantine)


class ColumnSource(NamedTuple):
    """A column that an output column is made of: the input's role, the column in it, and what is done ('' for nothing).

    A column `*` stands for what the star of the output column's pattern stood for.
    """

    role: str
    column: str
    how: str = ""


StepFunction = Callable[[Partition, dict[str, PartitionInput], dict[str, Any]], StepResult]


@dataclass(frozen=True)
class Step:
    """How one dataset is made.

    Attributes
    ----------
    dataset : str
        Output, ``layer.subject``.
    name, version : str, int
        Identity of `run`'s code; raise the version whenever its output may differ.
    inputs : dict
        Role -> `Input`.
    params : dict
        JSON only; enters the key.
    run : callable
        Module-level pure function ``run(partition, inputs, params) -> StepResult``.
    id_column : str or tuple of str
        The output's id; rows of a partition are sorted by (_healpix_29, id).
    layout : str
        ``rows``: from the positions (`ra`, `dec`) of the primary input; ``inherit``: the primary input's cells;
        ``cover``: these, and what the other inputs' cells have beyond them; ``union``: from the rows of all inputs that
        are HATS catalogues; ``plain``: hash buckets of `id_column`.
    primary : str or None
        Role of the input that the accounting counts: its rows are `rows_in`, each in exactly one partition, and a
        commit is refused when the sum differs. None: `rows_in` is what the step says.
    quarantine : str or None
        Second output, ``quarantine.<subject>``.
    models : dict
        Role -> model version key; enters the key and the lineage.
    position : tuple of str
        Columns of the output that hold right ascension and declination, degrees.
    margin_arcsec : float
        Width of the margins that are kept with an output on the sky; 0 for none.
    keeps_index : bool
        Whether the rows come out with the `_healpix_29` that they have: then it is not computed anew.
    adds_rows : bool
        Whether more rows may come out than the primary input has (a row with several partners): then they are counted
        in too, and `rows_in` is at least the primary's rows.
    threads : bool
        Whether partitions are best built in threads: `run` spends its time where the GIL is released.
    for_partition : callable or None
        Parameters that decide one partition, of all of the step's: a parameter that concerns a few rows then changes
        the keys of their partitions alone.
    columns : dict
        Output column, or a pattern with one `*` for those not named, -> what it is made of. It is told, not used, so
        it does not enter the key.
    """

    dataset: str
    name: str
    version: int
    inputs: dict[str, Input]
    params: dict[str, Any]
    run: StepFunction
    id_column: str | tuple[str, ...]
    layout: Layout
    primary: str | None = None
    quarantine: str | None = None
    models: dict[str, str] = field(default_factory=dict)
    description: str = ""
    position: tuple[str, str] = ("ra", "dec")
    margin_arcsec: float = 0
    keeps_index: bool = False
    threads: bool = False
    adds_rows: bool = False
    for_partition: Callable[[Partition, dict[str, Any]], dict[str, Any]] | None = None
    columns: Mapping[str, Sequence[ColumnSource]] = field(default_factory=dict)

    @property
    def id_columns(self) -> tuple[str, ...]:
        """The output's id as a tuple of columns."""
        return (self.id_column,) if isinstance(self.id_column, str) else self.id_column

    def params_of(self, partition: Partition) -> dict[str, Any]:
        """Parameters that `run` gets for one partition; they are in its key."""
        return self.for_partition(partition, self.params) if self.for_partition else self.params

    def __post_init__(self) -> None:
        for dataset in (self.dataset, self.quarantine, *(one.dataset for one in self.inputs.values())):
            if dataset is not None and not _DATASET.fullmatch(dataset):
                raise InputError(f"step {self.name}: dataset {dataset!r} is not layer.subject in lower case")
        if self.primary is not None and self.primary not in self.inputs:
            raise InputError(f"step {self.name}: primary {self.primary!r} is none of its inputs {sorted(self.inputs)}")
        if self.layout in ("rows", "inherit", "cover") and self.primary is None:
            raise InputError(f"step {self.name}: layout {self.layout!r} needs a primary input")
        if self.layout not in get_args(Layout):
            raise InputError(f"step {self.name}: layout {self.layout!r} is none of {', '.join(get_args(Layout))}")
