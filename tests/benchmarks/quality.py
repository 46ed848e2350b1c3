"""Completeness and purity of the cross-match on LINEAR's true pairs, by radius, through import and cross-match.

Each LINEAR star has a position by LINEAR and one by SDSS: two datasets with the same ids, so that a match is true when
both ids are one. LINEAR's stars stand 30 arcsec apart and more, too far for a wrong match; so a second series puts made
stars of the density of a crowded field around the SDSS positions.
"""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.pairs import of_parquet

if TYPE_CHECKING:
    from stellar.engine.context import Context

RADII_ARCSEC = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
FIELD_PER_SQUARE_DEGREE = 500_000
FIELD_ARCSEC = 15.0
FIELD_IDS = 1_000_000_000_000


class Quality(NamedTuple):
    """Matches within a radius against the true pairs.

    Attributes
    ----------
    matches, true : int
        Matches made, and those of them that are true pairs.
    within : int
        True pairs that are closer than the radius.
    pairs : int
        All true pairs.
    """

    radius_arcsec: float
    matches: int
    true: int
    within: int
    pairs: int

    @property
    def completeness(self) -> float:
        """True pairs found of all true pairs."""
        return self.true / self.pairs

    @property
    def found_within(self) -> float:
        """True pairs found of those closer than the radius."""
        return self.true / self.within if self.within else math.nan

    @property
    def purity(self) -> float:
        """Matches that are true pairs."""
        return self.true / self.matches if self.matches else math.nan


def linear(file: Path) -> tuple[pa.Table, pa.Table]:
    """LINEAR's and SDSS's positions of the same stars: id, ra, dec (degrees, J2000)."""
    star, *places = np.loadtxt(file, usecols=(0, 1, 2, 3, 4)).T
    ids = star.astype(np.int64)
    return tuple(pa.table({"id": ids, "ra": ra, "dec": dec}) for ra, dec in (places[:2], places[2:]))  # type: ignore[return-value]


def with_field(sdss: pa.Table, seed: int = 1) -> pa.Table:
    """SDSS's positions with made stars at random within FIELD_ARCSEC of each, FIELD_PER_SQUARE_DEGREE on average."""
    rng = np.random.default_rng(seed)
    ra, dec = sdss["ra"].to_numpy(), sdss["dec"].to_numpy()
    around = rng.poisson(FIELD_PER_SQUARE_DEGREE * math.pi * (FIELD_ARCSEC / 3600) ** 2, len(ra))
    center = np.repeat(np.arange(len(ra)), around)
    distance = FIELD_ARCSEC / 3600 * np.sqrt(rng.random(len(center)))
    angle = rng.uniform(0, 2 * np.pi, len(center))
    field = {
        "id": FIELD_IDS + np.arange(len(center)),
        "ra": (ra[center] + distance * np.cos(angle) / np.cos(np.radians(dec[center]))) % 360,
        "dec": dec[center] + distance * np.sin(angle),
    }
    return pa.concat_tables([sdss, pa.table(field)])


def measure_quality(
    ctx: "Context", left: pa.Table, right: pa.Table, radii_arcsec: Sequence[float] = RADII_ARCSEC
) -> list[Quality]:
    """Import both tables into a home and cross-match them at each radius; the first RIGHT rows are LEFT's partners."""
    from stellar.flow.matching import crossmatch
    from stellar.flow.tables import import_table
    from stellar.sky.separation import separation_arcsec

    stars = left.num_rows
    apart = separation_arcsec(*(side[name].to_numpy()[:stars] for side in (left, right) for name in ("ra", "dec")))
    with tempfile.TemporaryDirectory() as folder:
        for side, table in (("left", left), ("right", right)):
            file = Path(folder) / f"{side}.parquet"
            pq.write_table(table, file)
            import_table(ctx, [file], f"linear_{side}", id_column="id")
    found = []
    for radius in radii_arcsec:
        name = f"linear_{round(10 * radius):03d}"
        done = crossmatch(ctx, "linear_left", "linear_right", name, radius_arcsec=radius)
        pairs = of_parquet(Path(done["path"]))
        true = int(np.count_nonzero(pairs.left == pairs.right))
        found.append(Quality(radius, len(pairs.left), true, int((apart <= radius).sum()), stars))
    return found


def table(series: list[Quality]) -> str:
    """A Markdown table of one series."""
    lines = [
        "| radius (arcsec) | matches | true | true pairs within the radius | found of those | completeness | purity |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.radius_arcsec} | {one.matches:,} | {one.true:,} | {one.within:,} | {one.found_within:.2%}"
        f" | {one.completeness:.2%} | {one.purity:.2%} |"
        for one in series
    ]
    return "\n".join(lines)


def plot(alone: list[Quality], crowded: list[Quality], path: Path) -> None:
    """Completeness and purity by radius of both series, as SVG that is the same for the same figures."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "stellar"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for series, style, label in ((alone, "-", "LINEAR alone"), (crowded, "--", "in a crowded field")):
        radii = [one.radius_arcsec for one in series]
        axes.plot(
            radii, [100 * one.completeness for one in series], f"C0o{style}", ms=4, label=f"completeness, {label}"
        )
        axes.plot(radii, [100 * one.purity for one in series], f"C1s{style}", ms=4, label=f"purity, {label}")
    axes.set(xscale="log", xlabel="radius (arcsec)", ylabel="%", ylim=(0, 103))
    axes.set_xticks(RADII_ARCSEC, [str(radius) for radius in RADII_ARCSEC])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def page(alone: list[Quality], crowded: list[Quality], figure: str) -> str:
    """`docs/crossmatch_quality.md`."""
    return f"""# Quality of the cross-match

Written by `make bench BENCH=quality`. Truth: the LINEAR variables of astroML (`linear_targets.dat.gz`), each with a
position measured by LINEAR and one by SDSS; {alone[0].pairs:,} stars. Both sets go through `stellar import`, then
`stellar crossmatch` takes each LINEAR position's nearest SDSS position within the radius. A match is true when both
sides are the same star. *Completeness*: true pairs found of all true pairs. *Purity*: matches that are true pairs.

![Completeness and purity by radius]({figure})

## LINEAR alone

LINEAR's stars stand half an arcminute apart and more, so a wrong partner would be a fault of the matcher.

{table(alone)}

## In a crowded field

The same, with {FIELD_PER_SQUARE_DEGREE:,} made stars per square degree at random around each SDSS position. The
nearest star is then not always the true one, whatever the radius: this is what its choice costs and buys.

{table(crowded)}
"""
