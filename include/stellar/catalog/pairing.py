"""What a match of two catalogues is asked for, as JSON has it, and the columns that it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

from stellar.errors import InputError
from stellar.lake.schema import INDEX_FIELD, field
from stellar.sky.healpix import INDEX_COLUMN

How = Literal["inner", "left", "outer"]
HOWS = ("inner", "left", "outer")
#: Share of the radius that counts as the combined error of a pair (one axis) where neither side says one: the radius
#: is taken for the circle that holds 98.9% of the true pairs.
DEFAULT_SIGMA = 1 / 3
LARGEST_RADIUS = 90 * 3600.0


@dataclass(frozen=True)
class Side:
    """How one of the two catalogues is read.

    Attributes
    ----------
    id : str
        Column that identifies a row.
    columns : tuple of str
        Columns that the result has of it, beside the id.
    ra, dec : str
        Position, degrees.
    epoch_yr : float or None
        Epoch of all positions, Julian year.
    epoch_column : str or None
        Column of epochs instead: Julian years, or Modified Julian Dates where `epoch_is_mjd`.
    motion : tuple of str
        Columns pmra (with cos dec) and pmdec, mas/yr; then parallax, mas, and radial velocity, km/s; may be empty.
    sigma_arcsec : float or None
        Error of all positions, one axis.
    sigma_column : str or None
        Column of errors instead, in units of `sigma_unit` arcsec.
    """

    id: str
    columns: tuple[str, ...]
    ra: str = "ra"
    dec: str = "dec"
    epoch_yr: float | None = None
    epoch_column: str | None = None
    epoch_is_mjd: bool = False
    motion: tuple[str, ...] = ()
    sigma_arcsec: float | None = None
    sigma_column: str | None = None
    sigma_unit: float = 1.0

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns to read, each once, `_healpix_29` first."""
        others = [self.id, self.ra, self.dec, self.epoch_column, *self.motion, self.sigma_column, *self.columns]
        return tuple(dict.fromkeys([INDEX_COLUMN, *(name for name in others if name is not None)]))

    @property
    def has_epoch(self) -> bool:
        return self.epoch_yr is not None or self.epoch_column is not None

    @property
    def has_sigma(self) -> bool:
        return self.sigma_arcsec is not None or self.sigma_column is not None

    def checked(self, schema: pa.Schema, who: str) -> Side:
        """Itself, once every column is there and can be what it is taken for.

        Raises
        ------
        InputError
            Naming side and column, and which columns there are.
        """
        optional = [name for name in (self.epoch_column, self.sigma_column) if name is not None]
        numbers = [self.ra, self.dec, *self.motion, *optional]
        for name in (self.id, *self.columns, *numbers):
            if name not in schema.names:
                raise InputError(f"{who} has no column {name!r}; it has {', '.join(schema.names)}")
        for name in numbers:
            kind = schema.field(name).type
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise InputError(f"{who}: column {name!r} is {kind}, where numbers are needed")
        kind = schema.field(self.id).type
        if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise InputError(f"{who}: id column {self.id!r} is {kind}; ids are integers or strings")
        if "id" in self.columns and self.id != "id":
            raise InputError(
                f"{who} has a column 'id' beside its id column {self.id!r}, and both would be named the same in the "
                "result; name the other one with --id-…, or choose the columns without 'id' with --columns-…"
            )
        return self


@dataclass(frozen=True)
class Pairing:
    """What a match is asked for.

    Attributes
    ----------
    radius_arcsec : float
        Largest separation, inclusive.
    k : int
        How many nearest right rows a left row gets at most.
    how : {"inner", "left", "outer"}
        Whether left rows, or rows of either side, come out without a partner too.
    mutual : bool
        Whether a pair counts only where the left row is the nearest one of the right row.
    min_arcsec : float
        Rows nearer than this are no candidates.
    """

    left: Side
    right: Side
    radius_arcsec: float
    k: int = 1
    how: How = "inner"
    mutual: bool = False
    min_arcsec: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.radius_arcsec <= LARGEST_RADIUS:
            raise InputError(f"radius {self.radius_arcsec} arcsec: give more than 0 and at most {LARGEST_RADIUS:g}")
        if not 0 <= self.min_arcsec <= self.radius_arcsec:
            raise InputError(f"least separation {self.min_arcsec} arcsec: give 0 to the radius, {self.radius_arcsec}")
        if self.k < 1:
            raise InputError(f"k is {self.k}; a left row gets at least 1 partner")
        if self.how not in HOWS:
            raise InputError(f"how is {self.how!r}; it is one of {', '.join(HOWS)}")

    @property
    def moves(self) -> bool:
        """Whether any row may move: both sides have an epoch, and one has proper motions."""
        return self.left.has_epoch and self.right.has_epoch and bool(self.left.motion or self.right.motion)

    @property
    def position(self) -> tuple[str, str]:
        """Columns of the result that say where on the sky a row lies."""
        return ("ra", "dec") if self.how == "outer" else (f"{self.left.ra}_left", f"{self.left.dec}_left")

    @property
    def id_columns(self) -> tuple[str, ...]:
        """Columns of the result that tell its rows apart and are never null."""
        if self.how == "outer":
            return ("pair_id",)
        return ("id_left", "id_right") if self.k > 1 and self.how == "inner" else ("id_left",)

    def reaches(self, motion_arcsec: float = 0.0) -> tuple[float, float]:
        """How far beyond a cell left and right rows matter to it, arcsec; no row moves more than `motion_arcsec`.

        A left row's partners lie within one reach. Whether a right row is mutual, or has no partner, is decided by the
        left rows around it; and whether those left rows have a nearer partner, by the right rows around them.
        """
        reach = self.radius_arcsec + motion_arcsec
        left = 2 * reach if self.mutual else reach if self.how == "outer" else 0.0
        right = 2 * reach if self.how == "outer" else reach
        return left, right

    def to_params(self) -> dict[str, Any]:
        """As JSON, for a step's key."""
        sides = {
            name: {**asdict(side), "motion": list(side.motion), "columns": list(side.columns)}
            for name, side in (("left", self.left), ("right", self.right))
        }
        return {**asdict(self), **sides}

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Pairing:
        """The inverse of `to_params`."""
        left, right = (
            Side(**{**params[name], "motion": tuple(params[name]["motion"]), "columns": tuple(params[name]["columns"])})
            for name in ("left", "right")
        )
        return cls(**{**params, "left": left, "right": right})

    def schema(self, left: pa.Schema, right: pa.Schema) -> pa.Schema:
        """Columns of the result, from those of the two sides."""
        columns = [
            left.field(self.left.id).with_name("id_left").with_nullable(True),
            right.field(self.right.id).with_name("id_right").with_nullable(True),
            *MEASURES,
            *(left.field(name).with_name(f"{name}_left") for name in self.left.columns if name != "id"),
            *(right.field(name).with_name(f"{name}_right") for name in self.right.columns if name != "id"),
            RUNNER_UP,
            *(EITHER if self.how == "outer" else ()),
            INDEX_FIELD,
        ]
        return pa.schema(columns)


MEASURES = (
    field("separation_arcsec", pa.float64(), unit="arcsec", ucd="pos.angDistance", description="At a common epoch"),
    field(
        "match_probability",
        pa.float64(),
        ucd="stat.probability",
        description="That the right row is the left one's counterpart, by separation, errors and local density",
    ),
    field("n_candidates", pa.int32(), ucd="meta.number", description="Right rows within the radius of the left row"),
)
RUNNER_UP = field(
    "runner_up_arcsec",
    pa.float64(),
    unit="arcsec",
    ucd="pos.angDistance",
    description="Separation of the left row's second nearest right row within the radius",
)
#: What an outer match has besides, since neither side's id and position is in every row.
EITHER = (
    field("pair_id", pa.string(), ucd="meta.id", description="id_left|id_right, empty where there is none"),
    field("ra", pa.float64(), unit="deg", ucd="pos.eq.ra;meta.main", description="Of the left row, else the right"),
    field("dec", pa.float64(), unit="deg", ucd="pos.eq.dec;meta.main", description="Of the left row, else the right"),
)
