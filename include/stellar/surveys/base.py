"""What a survey is: the scope asked for, the units of work it names, and what one fetch brings."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stellar.errors import InputError
from stellar.settings import Settings

SURVEYS = ("gaia", "sdss", "tess", "labels", "files")


@dataclass(frozen=True)
class Region:
    """A cone on the sky: centre in degrees ICRS, radius in degrees."""

    ra: float
    dec: float
    radius_deg: float

    def __post_init__(self) -> None:
        if not (0 <= self.ra < 360 and -90 <= self.dec <= 90 and 0 < self.radius_deg <= 180):
            raise InputError(
                f"region ra={self.ra} dec={self.dec} radius_deg={self.radius_deg}: "
                "give 0 <= ra < 360, -90 <= dec <= 90 and 0 < radius_deg <= 180"
            )


@dataclass(frozen=True)
class Scope:
    """What to bring: regions or HEALPix cells (a row in any of them counts; none of both is the whole survey).

    Parameters
    ----------
    regions
        Cones on the sky.
    release
        The survey's release; None takes the one of the survey's configuration.
    magnitude_limit
        Faintest magnitude in the survey's main band (Gaia G, SDSS r, TESS T); None is no limit.
    row_cap
        Most rows per dataset; units beyond it are not planned.
    cells
        Nested HEALPix cells as (order, pixel).
    """

    regions: tuple[Region, ...] = ()
    release: str | None = None
    magnitude_limit: float | None = None
    row_cap: int | None = None
    cells: tuple[tuple[int, int], ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scope:
        """Scope from a profile's YAML or a DAG's params; regions as {ra, dec, radius_deg}, cells as [order, pixel]."""
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise InputError(f"scope: unknown keys {sorted(unknown)}; known: {sorted(cls.__dataclass_fields__)}")
        return cls(
            regions=tuple(r if isinstance(r, Region) else Region(**r) for r in values.get("regions") or ()),
            release=values.get("release"),
            magnitude_limit=values.get("magnitude_limit"),
            row_cap=values.get("row_cap"),
            cells=tuple((int(order), int(pixel)) for order, pixel in values.get("cells") or ()),
        )

    def to_dict(self) -> dict[str, Any]:
        """The scope as JSON-able values; `from_dict` reads it back."""
        return asdict(self)

    @property
    def everywhere(self) -> bool:
        """Whether the scope has no limit on the sky."""
        return not self.regions and not self.cells

    def contains(self, ra: npt.ArrayLike, dec: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which positions (degrees ICRS, shape (n,)) lie in the scope: bool, shape (n,)."""
        from stellar.sky.healpix import Cell, spatial_index
        from stellar.sky.separation import separation_arcsec

        ra, dec = np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float))
        if self.everywhere:
            return np.ones(len(ra), bool)
        inside = np.zeros(len(ra), bool)
        for region in self.regions:
            inside |= separation_arcsec(ra, dec, region.ra, region.dec) <= region.radius_deg * 3600
        if self.cells:
            index = spatial_index(ra, dec)
            for order, pixel in self.cells:
                inside |= Cell(order, pixel).contains(index)
        return inside


@dataclass(frozen=True)
class WorkUnit:
    """One piece of a survey that is fetched, recorded and superseded as a whole.

    Parameters
    ----------
    unit
        Name of the piece, stable over time.
    sign
        The survey's own sign of the piece's content; another sign means that it changed and is fetched again.
    params
        Everything that `fetch` needs, JSON only.
    expected_rows
        Rows that the service counted when the unit was planned; None when it cannot say.
    """

    survey: str
    dataset: str
    release: str
    unit: str
    sign: str
    params: dict[str, Any] = field(default_factory=dict)
    expected_rows: int | None = None


@dataclass(frozen=True)
class Fetched:
    """One unit's rows and where they came from: service URL, exact query, parameters, SHA-256 of the answers."""

    table: pa.Table
    service: str
    query: str
    params: dict[str, Any]
    response_sha256: str


class Survey(Protocol):
    """A source of work units. `datasets` are subjects (`gaia` for `raw.gaia`); `id_columns` names each one's row id."""

    name: str
    datasets: tuple[str, ...]
    id_columns: Mapping[str, str]

    def plan(self, scope: Scope, done: Mapping[tuple[str, str], str]) -> list[WorkUnit]:
        """Units of the scope whose sign differs from that in `done` ((dataset, unit) -> sign)."""
        ...

    def fetch(self, unit: WorkUnit) -> Fetched:
        """Bring one unit; raises `ServiceError` naming service and unit."""
        ...


def open_survey(name: str, settings: Settings, profile: Mapping[str, Any] | None = None) -> Survey:
    """The survey called `name`, with the profile's own options for it over those of `config/surveys/<name>.yaml`."""
    if name not in SURVEYS:
        raise InputError(f"unknown survey {name!r}; known: {', '.join(SURVEYS)}")
    return importlib.import_module(f"stellar.surveys.{name}").open_survey(settings, profile)


def missing(units: list[WorkUnit], done: Mapping[tuple[str, str], str]) -> list[WorkUnit]:
    """Those units that were never done or whose sign changed since."""
    return [unit for unit in units if done.get((unit.dataset, unit.unit)) != unit.sign]


def digest(*parts: Any) -> str:
    """First 16 hex digits of the SHA-256 of the parts' canonical JSON: a short, stable sign of their values."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
