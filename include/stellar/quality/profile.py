"""What a snapshot holds, in numbers: DuckDB counts over all rows in bounded memory, and a fixed sample for the rest.

Counts, shares, ends and the sky are of every row. Quantiles, histograms and frequent values are of a sample of rows
that the hash of their id chooses, so that the same snapshot gives the same numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from stellar.lake.read import Catalog
from stellar.lake.schema import describe
from stellar.lake.sql_text import literal, quoted, scan
from stellar.sky.healpix import INDEX_COLUMN, INDEX_ORDER, spatial_index

SAMPLE_ROWS = 200_000
MEMORY = "1GB"
LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS = 40
TAILS = 0.005  # of a column that its histogram leaves out at each end
FREQUENT = 8
MOST_GROUPS = 12  # surveys
MOST_STEPS = 9  # of magnitude
SKY_ORDER, NEAR_ORDER = 6, 9
NEAR_SHARE = 0.02  # of the sky: a footprint up to so large is shown nearer, too
SURVEYS = ("survey", "surveys", "source_survey", "release")
# Apparent magnitudes by name; errors, absolute ones and what is no brightness are told apart by their other words.
_BAND = re.compile(r"(^|_)[a-z0-9]*mag(nitude)?(_[a-z0-9]+)?$", re.IGNORECASE)
_NO_BAND = re.compile(r"err|abs|flag|percent|ratio|amp|count|num|n_obs|sigma|zero|limit|range|std", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """One column. `quantiles`, `histogram` (counts, edges) and `frequent` are of the sample."""

    about: dict[str, str]
    missing: float
    low: Any = None
    high: Any = None
    distinct: int | None = None
    quantiles: tuple[float, ...] = ()
    histogram: tuple[np.ndarray, np.ndarray] | None = None
    frequent: tuple[tuple[str, int], ...] = ()

    @property
    def name(self) -> str:
        return self.about["name"]


@dataclass(frozen=True)
class Shares:
    """Share of rows with a value of each band, float64[band, group], in groups of the rows along `along`."""

    along: str
    groups: tuple[str, ...]
    rows: tuple[int, ...]
    values: np.ndarray


@dataclass(frozen=True)
class Profile:
    """Everything that is shown of a snapshot; `sky` maps HEALPix orders to (pixels, rows)."""

    rows: int
    sample_rows: int
    sample_every: int
    columns: tuple[Column, ...]
    bands: tuple[str, ...] = ()
    coverage: tuple[Shares, ...] = ()
    sky: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    sky_is_sample: bool = False


def profile(root: Path, *, id_column: str | None, spill: Path, threads: int = 2) -> Profile:
    """Measure a snapshot.

    Parameters
    ----------
    root : Path
        The snapshot's folder.
    id_column : str or None
        Column whose hash chooses the sample; where it has none, all columns' together.
    spill : Path
        Folder for what does not fit into `MEMORY`.
    """
    catalog = Catalog(root)
    with _connection(spill, threads) as db:
        return _Measure(db, catalog, id_column).all()


@contextmanager
def _connection(spill: Path, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    spill.mkdir(parents=True, exist_ok=True)
    db = duckdb.connect(config={"memory_limit": MEMORY, "threads": str(threads)})
    try:
        db.execute("SET TimeZone = 'UTC'")
        db.execute(f"SET temp_directory = {literal(str(spill))}")
        yield db
    finally:
        db.close()


class _Measure:
    """The queries over one snapshot."""

    def __init__(self, db: duckdb.DuckDBPyConnection, catalog: Catalog, id_column: str | None) -> None:
        self.db, self.catalog, self.source = db, catalog, scan(catalog)
        self.schema = catalog.schema
        # not what is computed when the rows are read
        there = {row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {self.source}").fetchall()}  # noqa: S608 - quoted
        self.about = [one for one in describe(self.schema) if one["name"] in there]
        self.types = {one["name"]: self.schema.field(one["name"]).type for one in self.about}
        self.has_index = INDEX_COLUMN in there
        self.rows = int(self._one("SELECT count(*) FROM {source}")[0])
        self.every = max(1, -(-self.rows // SAMPLE_ROWS))
        self.id_column = id_column if id_column in there else None

    def _one(self, sql: str) -> Sequence[Any]:
        found = self.db.execute(sql.replace("{source}", self.source)).fetchone()
        assert found is not None
        return found

    def all(self) -> Profile:
        sampled = self._sample()
        columns = tuple(self._columns())
        bands = self._bands()
        coverage = tuple(one for one in (self._by_survey(bands), self._by_magnitude(bands, columns)) if one)
        sky, is_sample = self._sky()
        return Profile(self.rows, sampled, self.every, columns, bands, coverage, sky, is_sample)

    def _sample(self) -> int:
        scalar = [quoted(name) for name, kind in self.types.items() if not pa.types.is_nested(kind)]
        key = quoted(self.id_column) if self.id_column else ", ".join(scalar)
        where = f"WHERE hash({key}) % {self.every} = 0" if self.every > 1 else ""
        self.db.execute(f"CREATE TEMP TABLE picked AS SELECT {', '.join(scalar)} FROM {self.source} {where}")  # noqa: S608
        return int(self._one("SELECT count(*) FROM picked")[0])

    def _columns(self) -> Iterator[Column]:
        """Every column, from one scan of all rows and the sample."""
        wanted: list[str] = []
        for name, kind in self.types.items():
            column = quoted(name)
            if pa.types.is_floating(kind):
                finite = f"FILTER (WHERE isfinite({column}))"
                wanted += [f"count({column}) {finite}", f"min({column}) {finite}", f"max({column}) {finite}", "NULL"]
            elif pa.types.is_nested(kind) or pa.types.is_binary(kind):
                wanted += [f"count({column})", "NULL", "NULL", "NULL"]
            elif pa.types.is_string(kind):
                wanted += [f"count({column})", "NULL", "NULL", f"approx_count_distinct({column})"]
            else:
                wanted += [f"count({column})", f"min({column})", f"max({column})", "NULL"]
        found = self._one(f"SELECT {', '.join(wanted)} FROM {{source}}") if wanted else []  # noqa: S608
        for number, one in enumerate(self.about):
            known, low, high, distinct = found[4 * number : 4 * number + 4]
            missing = 1 - known / self.rows if self.rows else 0.0
            yield self._column(one, missing, low, high, distinct)

    def _column(self, about: dict[str, str], missing: float, low: Any, high: Any, distinct: int | None) -> Column:
        name, kind = about["name"], self.types[about["name"]]
        if pa.types.is_string(kind) or pa.types.is_boolean(kind):
            rows = self.db.execute(
                f"SELECT CAST({quoted(name)} AS VARCHAR) AS value, count(*) AS n FROM picked "  # noqa: S608 - quoted
                f"WHERE value IS NOT NULL GROUP BY 1 ORDER BY n DESC, value LIMIT {FREQUENT}"
            ).fetchall()
            few = pa.types.is_boolean(kind) or (distinct or 0) <= max(50, self.rows // 20)
            return Column(about, missing, distinct=distinct, frequent=tuple(rows) if few else ())
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            return Column(about, missing, *(None if end is None else str(end) for end in (low, high)))
        values = self._picked(name)
        if not len(values):
            return Column(about, missing, low, high)
        quantiles = tuple(float(one) for one in np.quantile(values, LEVELS))
        ends = [float(one) for one in np.quantile(values, [TAILS, 1 - TAILS])]
        if ends[0] == ends[1]:
            ends = [ends[0] - 0.5, ends[1] + 0.5]
        return Column(about, missing, low, high, None, quantiles, np.histogram(values, bins=BINS, range=tuple(ends)))

    def _picked(self, name: str) -> np.ndarray:
        """The sample's finite values of one column, float64."""
        found = self.db.execute(f"SELECT CAST({quoted(name)} AS DOUBLE) AS v FROM picked WHERE v IS NOT NULL")  # noqa: S608
        values = np.asarray(found.fetchnumpy()["v"], dtype=np.float64)
        return values[np.isfinite(values)]

    # -- magnitudes --------------------------------------------------------------------------------------------------
    def _bands(self) -> tuple[str, ...]:
        return tuple(
            one["name"] for one in self.about if is_band(one) and pa.types.is_floating(self.types[one["name"]])
        )

    def _shares(self, along: str, group: str, bands: Sequence[str], names: dict[Any, str] | None = None) -> Shares:
        """Share of rows with each band, by an expression over all rows."""
        known = ", ".join(f"count({quoted(name)}) FILTER (WHERE isfinite({quoted(name)}))" for name in bands)
        rows = self.db.execute(
            f"SELECT {group} AS part, count(*), {known} FROM {self.source} GROUP BY part ORDER BY part NULLS LAST"  # noqa: S608
        ).fetchall()
        values = np.array([[count / row[1] for count in row[2:]] for row in rows], dtype=np.float64).T
        groups = tuple("missing" if row[0] is None else (names or {}).get(row[0], str(row[0])) for row in rows)
        return Shares(along, groups, tuple(int(row[1]) for row in rows), values)

    def _by_survey(self, bands: Sequence[str]) -> Shares | None:
        for name in SURVEYS:
            if bands and name in self.types:
                group = f"CAST({quoted(name)} AS VARCHAR)"
                if int(self._one(f"SELECT count(DISTINCT {group}) FROM {{source}}")[0]) <= MOST_GROUPS:  # noqa: S608
                    return self._shares(name, group, bands)
        return None

    def _by_magnitude(self, bands: Sequence[str], columns: Sequence[Column]) -> Shares | None:
        """By steps of whole magnitudes of the band that most rows have."""
        have = {one.name: one for one in columns if one.name in bands and one.quantiles}
        if len(bands) < 2 or not have:
            return None
        reference = min(have.values(), key=lambda one: (one.missing, bands.index(one.name)))
        low, high = (int(np.floor(one)) for one in (reference.quantiles[0], reference.quantiles[-1]))
        step = max(1, -(-(high + 1 - low) // MOST_STEPS))
        last = max(1, (high - low) // step)
        column = quoted(reference.name)
        whole = f"CAST(least(greatest(floor(({column} - {low}) / {step}), 0), {last}) AS INTEGER)"
        names = {one: f"{low + one * step}–{low + (one + 1) * step}" for one in range(last + 1)}
        names |= {0: f"< {low + step}", last: f"≥ {low + last * step}"}
        return self._shares(reference.name, f"CASE WHEN isfinite({column}) THEN {whole} END", bands, names)

    # -- sky ---------------------------------------------------------------------------------------------------------
    def _sky(self) -> tuple[dict[int, tuple[np.ndarray, np.ndarray]], bool]:
        """Rows per HEALPix pixel; of the sample where the rows carry positions but no index."""
        positions = (self.catalog.ra_column, self.catalog.dec_column)
        if self.has_index:
            found = {SKY_ORDER: self._pixels(SKY_ORDER)}
            if 0 < len(found[SKY_ORDER][0]) <= NEAR_SHARE * 12 * 4**SKY_ORDER:
                found[NEAR_ORDER] = self._pixels(NEAR_ORDER)
            return found, False
        if not all(name in self.types and pa.types.is_floating(self.types[name]) for name in positions):
            return {}, False
        ra, dec = (quoted(name) for name in positions)
        rows = self.db.execute(
            f"SELECT {ra} AS ra, {dec} AS dec FROM picked "  # noqa: S608 - quoted
            f"WHERE isfinite({ra}) AND {dec} BETWEEN -90 AND 90"
        ).fetchnumpy()
        index = spatial_index(np.asarray(rows["ra"], float), np.asarray(rows["dec"], float))
        counted = {
            order: np.unique(index >> 2 * (INDEX_ORDER - order), return_counts=True)
            for order in (SKY_ORDER, NEAR_ORDER)
        }
        if not len(index):
            return {}, True
        if len(counted[SKY_ORDER][0]) > NEAR_SHARE * 12 * 4**SKY_ORDER:
            del counted[NEAR_ORDER]
        return counted, True

    def _pixels(self, order: int) -> tuple[np.ndarray, np.ndarray]:
        shift = 2 * (INDEX_ORDER - order)
        rows = self.db.execute(
            f"SELECT {quoted(INDEX_COLUMN)} >> {shift} AS pixel, count(*) AS n FROM {self.source} "  # noqa: S608
            f"WHERE {quoted(INDEX_COLUMN)} IS NOT NULL GROUP BY pixel ORDER BY pixel"
        ).fetchnumpy()
        return np.asarray(rows["pixel"], np.int64), np.asarray(rows["n"], np.int64)


def is_band(about: dict[str, str]) -> bool:
    """Whether a column's unit, UCD and name say that it is an apparent magnitude."""
    ucd = about.get("ucd", "")
    if about.get("unit") not in ("", None, "mag") or "stat" in ucd or "arith" in ucd or "phys.absorption" in ucd:
        return False
    return bool(_BAND.search(about["name"])) and not _NO_BAND.search(about["name"]) and "magAbs" not in ucd
