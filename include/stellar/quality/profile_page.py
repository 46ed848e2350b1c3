"""A snapshot's profile as a page: where its rows lie, what its columns hold, which stars have which magnitudes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stellar.errors import InputError
from stellar.evaluation import plots_tables
from stellar.ledger import lineage, snapshots
from stellar.pages import Fact, Gallery, Page, Part, Picture, Section, Table, Text, render
from stellar.quality.profile import LEVELS, NEAR_ORDER, SKY_ORDER, TAILS, Column, Profile, Shares, profile
from stellar.sky.healpix import INDEX_COLUMN, INDEX_ORDER, spatial_index

if TYPE_CHECKING:
    import sqlalchemy as sa

    from stellar.settings import Settings

MOST_SHOWN = 60  # histograms; the table has all columns
MAP = (360, 720)  # cells of the map of the sky: half a degree each
NEAR = 240  # cells of the nearer map along its longer side
_SQUARE_DEGREES = 4 * np.pi * (180 / np.pi) ** 2  # of the whole sky


def write_profile(
    settings: Settings, engine: sa.Engine, dataset: str, *, key: str | None = None, out: Path | None = None
) -> Path:
    """Measure a dataset's snapshot and write its page.

    Parameters
    ----------
    key : str, optional
        Of a snapshot, or its beginning; the current one where not given.
    out : Path, optional
        In the home's cache, named by dataset and key, where not given.

    Raises
    ------
    InputError
        When there is no such snapshot with files, or no folder for `out`.
    """
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise InputError(f"--out {out}: give the name of a file in a folder that is there")
    if key is None:
        snapshot = snapshots.current(engine, dataset)
        if snapshot is None:
            raise InputError(f"{dataset}: no snapshot of it is current; `stellar datasets` lists what there is")
    else:
        snapshot = snapshots.get(engine, lineage.resolve(engine, key)[1])
    if snapshot.dataset != dataset:
        raise InputError(f"{snapshot.key[:16]} is a snapshot of {snapshot.dataset}, not of {dataset}")
    if not snapshot.committed or snapshot.path is None:
        raise InputError(
            f"{dataset}: the files of {snapshot.key[:16]} are gone or not complete; choose another snapshot"
        )
    with engine.connect() as connection:
        about = snapshots.about(connection, dataset)
    found = profile(
        settings.lake / snapshot.path,
        id_column=about["id_column"],
        spill=settings.cache / "duckdb",
        threads=settings.workers,
    )
    said = {name: getattr(snapshot, name) for name in ("key", "step", "partitions", "bytes", "content_hash")}
    if out is None:
        out = settings.cache / "profiles" / f"{dataset}-{snapshot.key[:16]}.html"
        out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(found, dataset, about["description"] or "", said), encoding="utf-8")
    return out


def page(found: Profile, dataset: str, description: str, snapshot: Mapping[str, Any]) -> str:
    """The page as HTML; the same profile of the same snapshot gives the same bytes.

    Parameters
    ----------
    snapshot : mapping
        `key`, `step`, `partitions`, `bytes`, `content_hash`; times are left out.
    """
    if found.sample_every > 1:
        sampled = (
            f"Counts, shares of missing values and ends are of all {found.rows:,} rows. Quantiles, histograms and "
            f"frequent values are of a sample of {found.sample_rows:,}: one row in {found.sample_every}, chosen by the "
            "hash of its id."
        )
    else:
        sampled = f"All figures are of all {found.rows:,} rows."
    facts = [Fact("Snapshot", str(snapshot["key"]))]
    for name, text in (
        ("step", "Made by"),
        ("partitions", "Partitions"),
        ("bytes", "Bytes"),
        ("content_hash", "Content"),
    ):
        if snapshot.get(name) is not None:
            value = snapshot[name]
            facts.append(Fact(text, f"{value:,}" if isinstance(value, int) else str(value)))
    facts += [Fact("Rows", f"{found.rows:,}"), Fact("Columns", f"{len(found.columns):,}")]
    sections = [
        Section("Sky", _sky(found)),
        Section("Magnitudes", _magnitudes(found)),
        Section("Columns", _columns(found)),
        Section("Distributions", _distributions(found)),
        Section("Values", _values(found)),
    ]
    return render(Page(dataset, f"{description} {sampled}".strip(), facts, sections))


def _sky(found: Profile) -> list[Part]:
    if not found.sky or not len(found.sky[SKY_ORDER][0]):
        return []
    rows = found.sample_rows if found.sky_is_sample else found.rows
    height, width = MAP
    dec = -90 + (np.arange(height) + 0.5) * 180 / height
    ra = (180 - (np.arange(width) + 0.5) * 360 / width) % 360
    pictures = [plots_tables.sky_map(_density(found.sky, SKY_ORDER, ra, dec), rows)]
    if NEAR_ORDER in found.sky:
        pictures.append(_near(found))
    made: list[Part] = [Gallery(pictures)]
    if found.sky_is_sample:
        made.append(Text(f"The maps are of the sample of {found.sample_rows:,} rows."))
    return made


def _density(
    sky: Mapping[int, tuple[np.ndarray, np.ndarray]], order: int, ra: np.ndarray, dec: np.ndarray
) -> np.ndarray:
    """Rows per square degree at each declination and right ascension, float64[dec, ra]."""
    pixels, counts = sky[order]
    grid_ra, grid_dec = np.meshgrid(ra, dec)
    at = spatial_index(grid_ra.ravel(), grid_dec.ravel()) >> 2 * (INDEX_ORDER - order)
    place = np.minimum(np.searchsorted(pixels, at), len(pixels) - 1)
    rows = np.where(pixels[place] == at, counts[place], 0).reshape(grid_ra.shape)
    return rows * (12 * 4**order) / _SQUARE_DEGREES


def _near(found: Profile) -> Picture:
    """The footprint alone: a frame about the pixels with rows, of cells no smaller than a pixel."""
    import healpy

    pixels = found.sky[NEAR_ORDER][0]
    ra, dec = healpy.pix2ang(2**NEAR_ORDER, pixels, nest=True, lonlat=True)
    turn = np.radians(ra)
    centre = float(np.degrees(np.arctan2(np.sin(turn).mean(), np.cos(turn).mean())))
    away = (ra - centre + 180) % 360 - 180
    air = 0.25
    ends = (centre + away.min() - air, centre + away.max() + air)
    heights = (max(-90.0, dec.min() - air), min(90.0, dec.max() + air))
    step = max(ends[1] - ends[0], heights[1] - heights[0]) / NEAR
    across, up = (np.linspace(*pair, max(2, int((pair[1] - pair[0]) / step)) + 1) for pair in (ends, heights))
    # a frame much wider than a pixel would miss most of them: it is looked at in pixels as wide as its cells
    order = NEAR_ORDER
    while order > SKY_ORDER and 58.6 / 2**order < step / 2:
        order -= 1
    sky = {order: _coarser(*found.sky[NEAR_ORDER], NEAR_ORDER - order)}
    middle_ra, middle_dec = (across[1:] + across[:-1]) / 2 % 360, (up[1:] + up[:-1]) / 2
    return plots_tables.sky_zoom(_density(sky, order, middle_ra, middle_dec), across, up)


def _coarser(pixels: np.ndarray, counts: np.ndarray, orders: int) -> tuple[np.ndarray, np.ndarray]:
    wide, place = np.unique(pixels >> 2 * orders, return_inverse=True)
    return wide, np.bincount(place, weights=counts).astype(np.int64)


def _magnitudes(found: Profile) -> list[Part]:
    if not found.bands:
        return []
    missing = {one.name: one.missing for one in found.columns}
    rows = [(name, f"{1 - missing[name]:.1%}") for name in found.bands]
    made: list[Part] = [Table(("magnitude", "rows with a value"), rows, f"Of {found.rows:,} rows")]
    pictures = [_shares(one, found.bands) for one in found.coverage if one.groups]
    if pictures:
        made.insert(0, Gallery(pictures))
    return made


def _shares(one: Shares, bands: tuple[str, ...]) -> Picture:
    columns = [f"{group}" for group in one.groups]
    return plots_tables.shares(one.values, bands, columns, f"Rows with each magnitude by {one.along}", one.along)


def _columns(found: Profile) -> list[Part]:
    header = ("column", "type", "unit", "UCD", "missing", "lowest", "median", "highest", "description")
    middle = LEVELS.index(0.5)
    rows = [
        (
            one.name,
            one.about["type"],
            one.about["unit"],
            one.about["ucd"],
            f"{one.missing:.2%}",
            one.low,
            one.quantiles[middle] if one.quantiles else None,
            one.high,
            one.about["description"],
        )
        for one in found.columns
    ]
    return [Table(header, rows, "Every column; lowest and highest are of all rows")] if rows else []


def _distributions(found: Profile) -> list[Part]:
    numeric = [one for one in found.columns if one.histogram is not None and one.name != INDEX_COLUMN]
    pictures = [_histogram(one) for one in numeric[:MOST_SHOWN]]
    if not pictures:
        return []
    made: list[Part] = [Text(f"Without the outermost {TAILS:.1%} at each end."), Gallery(pictures, small=True)]
    if len(numeric) > MOST_SHOWN:
        made.append(
            Text(f"Pictures of the first {MOST_SHOWN} of {len(numeric)} columns of numbers; the table has all.")
        )
    header = ("column", *(f"{100 * level:g}%" for level in LEVELS))
    made.append(Table(header, [(one.name, *one.quantiles) for one in numeric], "Quantiles"))
    return made


def _histogram(one: Column) -> Picture:
    assert one.histogram is not None
    return plots_tables.histogram(*one.histogram, one.name, one.about["unit"], f"missing: {one.missing:.1%}")


def _values(found: Profile) -> list[Part]:
    rows = [
        (
            one.name,
            f"about {one.distinct:,}" if one.distinct is not None else "",
            "; ".join(f"{value} ({count / max(found.sample_rows, 1):.1%})" for value, count in one.frequent),
        )
        for one in found.columns
        if one.distinct is not None or one.frequent
    ]
    return [Table(("column", "different values", "most frequent"), rows, "Texts and yes or no")] if rows else []
