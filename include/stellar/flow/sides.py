"""The two sides of a cross-match as users name them: a dataset or a folder, and options like `mjd:COL`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from stellar.catalog.epochs import julian_year
from stellar.catalog.pairing import Side
from stellar.engine.context import Context
from stellar.engine.outside import look_outside
from stellar.errors import InputError
from stellar.lake.names import full_name
from stellar.lake.read import Catalog
from stellar.ledger import snapshots
from stellar.sky.healpix import INDEX_COLUMN

#: Layer under which the lineage names catalogues outside the lake.
OUTSIDE = "outside"
MOTION = ("pmra", "pmdec")
SPACE_MOTION = ("parallax", "radial_velocity")
_ARCSEC = {"arcsec": 1.0, "mas": 1e-3, "uas": 1e-6, "deg": 3600.0}


@dataclass(frozen=True)
class Source:
    """A catalogue to match: its name, where it lies, and what is kept with it.

    Attributes
    ----------
    who : str
        ``left`` or ``right``.
    dataset : str
        Its name; ``outside.<its own name>`` of a folder outside the lake.
    folder : str or None
        Absolute path of a folder outside the lake.
    id_column : str or None
        As the ledger knows it.
    margin_arcsec : float
        Width of the margins that are kept with it; 0 for none.
    snapshot : str or None
        Key of the dataset's snapshot that this is.
    """

    who: str
    dataset: str
    folder: str | None
    catalog: Catalog
    id_column: str | None
    margin_arcsec: float
    snapshot: str | None = None

    @property
    def named(self) -> str:
        """The name by which the user knows it."""
        return self.folder or self.dataset


def open_source(ctx: Context, who: str, given: str | Path) -> Source:
    """Find a catalogue: with a `/` it is a folder (or file:// URL) outside the lake, else a dataset's name.

    Raises
    ------
    InputError
        When there is no such dataset or folder, or its rows have no place on the sky.
    """
    text = str(given)
    if "/" in text or text.startswith("~"):
        return _outside(ctx, who, text)
    dataset = full_name(text)
    found = snapshots.current(ctx.engine, dataset)
    if found is None or found.path is None:
        there = ", ".join(sorted(snapshots.current_keys(ctx.engine))) or "none yet"
        raise InputError(
            f"{who}: there is no current dataset {dataset}; there are {there}. A folder is named with a /, for example "
            f"./{text}"
        )
    catalog = Catalog(ctx.settings.lake / found.path)
    if not catalog.is_hats:
        raise InputError(f"{who}: {dataset} has no rows with a place on the sky, so it cannot be matched")
    with ctx.engine.connect() as connection:
        id_column = snapshots.about(connection, dataset)["id_column"]
    return Source(who, dataset, None, catalog, id_column, found.margin_arcsec, found.key)


def _outside(ctx: Context, who: str, text: str) -> Source:
    scheme, _, rest = text.rpartition("://")
    if scheme not in ("", "file"):
        raise InputError(f"{who}: {text}: only folders on disk can be matched; copy it here first")
    folder = Path(rest if scheme else text).expanduser().resolve()
    if not folder.exists():
        raise InputError(f"{who}: {folder} does not exist; a dataset of the lake is named without a /")
    folder = folder if folder.is_dir() else folder.parent
    found = look_outside(ctx.settings, folder)
    catalog = Catalog(folder)
    name = re.sub(r"[^a-z0-9]+", "_", catalog.properties.get("obs_collection", folder.name).lower()).strip("_")
    dataset = f"{OUTSIDE}.{name if name[:1].isalpha() else f'n_{name}'}"
    return Source(who, dataset, str(folder), catalog, None, found.margin_arcsec)


def side_of(
    source: Source,
    *,
    id_column: str | None = None,
    columns: Sequence[str] | None = None,
    epoch: str | float | None = None,
    motion: Sequence[str] | None = None,
    sigma: str | float | None = None,
    with_position: bool = False,
    both_have_epochs: bool = False,
) -> Side:
    """How a source is read, from what the user said of it.

    Parameters
    ----------
    source : Source
    id_column : str, optional
        The dataset's own when not given; ``id`` of a folder outside the lake that has such a column.
    columns : sequence of str, optional
        Columns of the result; all when not given.
    epoch : str or float, optional
        Julian year, or a column of them; with ``mjd:`` in front, Modified Julian Dates.
    motion : sequence of str, optional
        Columns pmra, pmdec, and parallax and radial velocity; found by those names when not given and both sides have
        epochs. Empty for none.
    sigma : str or float, optional
        Error of a position, one axis: arcsec, or a column, whose unit is told by its metadata or by ``mas:``,
        ``arcsec:`` or ``deg:`` in front.
    with_position : bool
        Whether the result has the position in any case.

    Raises
    ------
    InputError
        Naming side, option and what is wrong with it.
    """
    schema, catalog, who = source.catalog.schema, source.catalog, source.who
    id_column = id_column or source.id_column or ("id" if "id" in schema.names else None)
    if id_column is None:
        raise InputError(
            f"{who}: {source.named} does not say which column identifies a row; name it with --id-{who} "
            f"(it has {', '.join(schema.names)})"
        )
    position = [catalog.ra_column, catalog.dec_column]
    wanted = [name for name in schema.names if name != INDEX_COLUMN] if columns is None else list(columns)
    if with_position:
        wanted += [name for name in position if name not in wanted]
    epoch_yr, epoch_column, is_mjd = _epoch(who, epoch)
    sigma_arcsec, sigma_column, unit = _sigma(who, schema, sigma)
    side = Side(
        id=id_column,
        columns=tuple(dict.fromkeys(wanted)),
        ra=position[0],
        dec=position[1],
        epoch_yr=epoch_yr,
        epoch_column=epoch_column,
        epoch_is_mjd=is_mjd,
        motion=_motion(who, schema, motion) if both_have_epochs else (),
        sigma_arcsec=sigma_arcsec,
        sigma_column=sigma_column,
        sigma_unit=unit,
    )
    return side.checked(schema, f"{who} ({source.named})")


def _number(text: str | float) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _epoch(who: str, given: str | float | None) -> tuple[float | None, str | None, bool]:
    """Julian year, or column; and whether the column holds Modified Julian Dates."""
    if given is None:
        return None, None, False
    text = str(given)
    is_mjd, text = text.startswith("mjd:"), text.removeprefix("mjd:")
    number = _number(text)
    if number is None:
        return None, text, is_mjd
    year = float(julian_year(number)) if is_mjd else number
    if not 1000 <= year <= 3000:
        raise InputError(
            f"--epoch-{who} {given}: give a Julian year like 2016.0, an MJD like mjd:57388, or a column "
            "of either (COL or mjd:COL)"
        )
    return year, None, False


def _sigma(who: str, schema: pa.Schema, given: str | float | None) -> tuple[float | None, str | None, float]:
    """Arcsec, or column and its unit in arcsec."""
    if given is None:
        return None, None, 1.0
    unit, colon, column = str(given).partition(":")
    if not colon:
        column, unit = unit, ""
    number = _number(column)
    if colon and unit not in _ARCSEC:
        raise InputError(f"--sigma-{who} {given}: {unit!r} is no unit; there are {', '.join(_ARCSEC)}")
    if number is not None:
        sigma = number * _ARCSEC.get(unit, 1.0)
        if not sigma > 0:
            raise InputError(f"--sigma-{who} {given}: an error is more than 0 arcsec")
        return sigma, None, 1.0
    if not colon and column in schema.names:
        said = (schema.field(column).metadata or {}).get(b"unit", b"arcsec").decode()
        if said not in _ARCSEC:
            raise InputError(
                f"--sigma-{who} {given}: the column's unit is {said!r}; say which it is, for example mas:{column}"
            )
        unit = said
    return None, column, _ARCSEC[unit or "arcsec"]


def _motion(who: str, schema: pa.Schema, given: Sequence[str] | None) -> tuple[str, ...]:
    """Columns of proper motion, those that the user names or those of the usual names."""
    if given is None:
        found = MOTION if set(MOTION) <= set(schema.names) else ()
        return found + (SPACE_MOTION if found and set(SPACE_MOTION) <= set(schema.names) else ())
    names = tuple(name.strip() for name in given if name.strip())
    if len(names) not in (0, 2, 4):
        raise InputError(
            f"--pm-{who} {','.join(given)}: name two columns, PMRA,PMDEC (mas/yr, pmra with cos dec), or four, "
            "PMRA,PMDEC,PARALLAX,RV (mas, km/s)"
        )
    return names
