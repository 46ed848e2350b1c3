"""Made skies for the benchmarks: the same files from the same seed, one file in memory at a time.

LEFT has ids 0 to n - 1 in no order; RIGHT has a scattered copy of some LEFT rows (the true pairs, with LEFT's id) and
rows of its own (ids from 10^9 on). Columns: id, ra, dec (degrees), f0 to f3 (any four numbers).
"""

import functools
import math
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20260101
SCATTER_DEG = 0.2 / 3600
OWN_IDS = 1_000_000_000  # ids of RIGHT's own rows start here
ID_STEP = 15_485_863  # a prime: i * ID_STEP modulo n visits every id once and leaves them in no order
PIXELS_29 = 12 * 4**29


@dataclass(frozen=True)
class Sky:
    """Two catalogues over a part of the sky.

    Attributes
    ----------
    left, right, pairs : int
        Rows of each catalogue, and how many RIGHT rows are scattered LEFT rows.
    files : int
        Files on each side. The k-th RIGHT file holds the pairs of the k-th LEFT file.
    box : tuple of float, optional
        ra_min, ra_max, dec_min, dec_max in degrees; the whole sky without it.
    in_sky_order : bool
        Each file covers a contiguous range of HEALPix cells, one after the other.
    """

    name: str
    left: int
    right: int
    pairs: int
    files: int
    box: tuple[float, float, float, float] | None = None
    in_sky_order: bool = False

    def rows(self, count: int, file: int) -> range:
        """Which of `count` rows lie in a file."""
        return range(count * file // self.files, count * (file + 1) // self.files)


PATCH = Sky("2m", 2_000_000, 1_000_000, 600_000, 8, box=(100.0, 160.0, -20.0, 20.0))
WHOLE = Sky("20m", 20_000_000, 10_000_000, 6_000_000, 20)
ORDERED = Sky("20m-ordered", 20_000_000, 10_000_000, 6_000_000, 100, in_sky_order=True)


def growing(left_millions: int) -> Sky:
    """The whole sky with so many million LEFT rows and half as many RIGHT rows, a million LEFT rows a file."""
    n = left_millions * 1_000_000
    return Sky(f"whole-{left_millions}m", n, n // 2, n * 3 // 10, left_millions)


def positions(sky: Sky, rng: np.random.Generator, count: int, file: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` positions in degrees, even over the area of the sky that the file covers."""
    if sky.in_sky_order:
        from cdshealpix.nested import healpix_to_lonlat

        low, high = PIXELS_29 * file // sky.files, PIXELS_29 * (file + 1) // sky.files
        lon, lat = healpix_to_lonlat(rng.integers(low, high, count, dtype=np.int64), 29)
        return lon.deg, lat.deg
    ra_min, ra_max, dec_min, dec_max = sky.box or (0.0, 360.0, -90.0, 90.0)
    low, high = math.sin(math.radians(dec_min)), math.sin(math.radians(dec_max))
    return rng.uniform(ra_min, ra_max, count), np.degrees(np.arcsin(rng.uniform(low, high, count)))


def _table(rng: np.random.Generator, ids: np.ndarray, ra: np.ndarray, dec: np.ndarray) -> pa.Table:
    values = {f"f{k}": rng.normal(15.0, 2.0, len(ids)) for k in range(4)}
    return pa.table({"id": ids, "ra": ra % 360.0, "dec": np.clip(dec, -90.0, 90.0), **values})


def _left_places(sky: Sky, file: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray, np.ndarray]:
    rows = sky.rows(sky.left, file)
    rng = np.random.default_rng([SEED, sky.left, file, 0])
    ra, dec = positions(sky, rng, len(rows), file)
    ids = np.arange(rows.start, rows.stop, dtype=np.int64) * ID_STEP % sky.left
    return rng, ids, ra, dec


def left_rows(sky: Sky, file: int) -> pa.Table:
    """The rows of a LEFT file."""
    return _table(*_left_places(sky, file))


def right_rows(sky: Sky, file: int) -> pa.Table:
    """The rows of a RIGHT file: pairs with the LEFT file of the same number, and its own."""
    _, left_ids, left_ra, left_dec = _left_places(sky, file)
    rng = np.random.default_rng([SEED, sky.left, file, 1])
    paired = len(sky.rows(sky.pairs, file))
    own = sky.rows(sky.right - sky.pairs, file)
    chosen = rng.choice(len(left_ids), paired, replace=False)
    scatter = rng.normal(0.0, SCATTER_DEG, (2, paired))
    ra, dec = positions(sky, rng, len(own), file)
    ra = np.concatenate([left_ra[chosen] + scatter[0] / np.cos(np.radians(left_dec[chosen])), ra])
    dec = np.concatenate([left_dec[chosen] + scatter[1], dec])
    ids = np.concatenate([left_ids[chosen], OWN_IDS + np.arange(own.start, own.stop, dtype=np.int64)])
    order = rng.permutation(len(ids))
    return _table(rng, ids[order], ra[order], dec[order])


SIDES: dict[str, Callable[[Sky, int], pa.Table]] = {"left": left_rows, "right": right_rows}


def _write(sky: Sky, folder: Path, file: int) -> None:
    for side, rows in SIDES.items():
        pq.write_table(rows(sky, file), folder / f"{side}_{file:03d}.parquet")


def make(sky: Sky, cache: Path) -> Path:
    """Write a sky's files under `cache` unless they are there; return their folder."""
    folder = cache / f"sky-{sky.name}"
    if folder.is_dir():
        return folder
    building = cache / f"sky-{sky.name}.building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(functools.partial(_write, sky, building), range(sky.files), chunksize=1)
    building.rename(folder)
    return folder


def files(folder: Path, side: str) -> list[Path]:
    """The files of one side, in order."""
    return sorted(folder.glob(f"{side}_*.parquet"))


def as_fits(folder: Path, side: str) -> Path:
    """One side as a FITS table beside its Parquet files, which is what STILTS reads best."""
    from astropy.io import fits

    path = folder / f"{side}.fits"
    if not path.exists():
        table = pa.concat_tables([pq.ParquetFile(file).read() for file in files(folder, side)])
        columns = [
            fits.Column(name, "K" if pa.types.is_integer(table.schema.field(name).type) else "D", array=table[name])
            for name in table.column_names
        ]
        building = path.with_suffix(".building")
        fits.BinTableHDU.from_columns(columns).writeto(building, overwrite=True)
        building.rename(path)
    return path
