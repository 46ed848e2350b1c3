"""Whether two tools matched the same pairs, and whether where they differ there was a tie."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import sky as skies

TIE_ARCSEC = 1e-9  # separations closer than this are the same: float64 degrees at RA 360 resolve 2e-10 arcsec


@dataclass(frozen=True)
class Pairs:
    """Matched ids, one row a pair."""

    left: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class Difference:
    """Two sets of pairs compared; `ties` and `at_the_radius` explain LEFT rows that differ, `wrong` are the others."""

    ours: int
    theirs: int
    equal: int
    ties: int
    at_the_radius: int
    wrong: int


def data_files(folder: Path) -> list[Path]:
    """The partitions of a HATS catalogue or of a snapshot (a collection; without its margins), or a folder's files."""
    for below in (folder / "catalog" / "dataset", folder / "dataset"):
        if below.is_dir():
            return sorted(below.rglob("Npix=*.parquet"))
    return sorted(folder.glob("*.parquet"))


def of_parquet(folder: Path, left: str = "id_left", right: str = "id_right") -> Pairs:
    """Pairs in the Parquet files of a folder, as `data_files` finds them."""
    table = pa.concat_tables([pq.ParquetFile(file).read(columns=[left, right]) for file in data_files(folder)])
    return Pairs(table[left].to_numpy(), table[right].to_numpy())


def of_fits(file: Path, left: str = "id_1", right: str = "id_2") -> Pairs:
    """Pairs in a FITS table."""
    from astropy.io import fits

    with fits.open(file, memmap=False) as content:
        data = content[1].data
        return Pairs(data[left].astype(np.int64), data[right].astype(np.int64))


class Places:
    """Positions of a sky's rows by id."""

    def __init__(self, folder: Path) -> None:
        self.sides = {side: self._read(folder, side) for side in ("left", "right")}

    @staticmethod
    def _read(folder: Path, side: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        columns = ["id", "ra", "dec"]
        table = pa.concat_tables([pq.ParquetFile(file).read(columns) for file in skies.files(folder, side)])
        order = np.argsort(table["id"].to_numpy())
        return tuple(table[name].to_numpy()[order] for name in columns)  # type: ignore[return-value]

    def of(self, side: str, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Degrees of the rows with these ids."""
        known, ra, dec = self.sides[side]
        row = np.searchsorted(known, ids)
        return ra[row], dec[row]

    def separation_arcsec(self, pairs: Pairs) -> np.ndarray:
        """Great-circle distance (haversine, exact for small angles) of each pair, with differences taken in degrees."""
        (ra1, dec1), (ra2, dec2) = self.of("left", pairs.left), self.of("right", pairs.right)
        d_ra, d_dec = np.radians(ra2 - ra1), np.radians(dec2 - dec1)
        hav = np.sin(d_dec / 2) ** 2 + np.cos(np.radians(dec1)) * np.cos(np.radians(dec2)) * np.sin(d_ra / 2) ** 2
        return np.degrees(2 * np.arcsin(np.sqrt(hav))) * 3600


def compare(ours: Pairs, theirs: Pairs, places: Places, radius_arcsec: float) -> Difference:
    """Compare two one-to-nearest matches of the same sky."""
    sides = []
    for pairs in (ours, theirs):
        order = np.argsort(pairs.left)
        sides.append(Pairs(pairs.left[order], pairs.right[order]))
    one, two = sides
    both, in_one, in_two = np.intersect1d(one.left, two.left, assume_unique=False, return_indices=True)
    same = one.right[in_one] == two.right[in_two]
    apart = [places.separation_arcsec(Pairs(both, side.right[at])) for side, at in ((one, in_one), (two, in_two))]
    tie = ~same & (np.abs(apart[0] - apart[1]) <= TIE_ARCSEC)
    lonely = [Pairs(np.delete(side.left, at), np.delete(side.right, at)) for side, at in ((one, in_one), (two, in_two))]
    edge = [np.abs(places.separation_arcsec(pairs) - radius_arcsec) <= TIE_ARCSEC for pairs in lonely]
    at_edge = sum(int(mask.sum()) for mask in edge)
    alone = sum(len(pairs.left) for pairs in lonely)
    return Difference(
        ours=len(ours.left),
        theirs=len(theirs.left),
        equal=int(same.sum()),
        ties=int(tie.sum()),
        at_the_radius=at_edge,
        wrong=int((~same & ~tie).sum()) + alone - at_edge,
    )


def check(data: Path, work: Path, ours: Path) -> dict[str, dict]:
    """Our pairs against those of every peer that left some in `work`."""
    places, mine = Places(data), of_parquet(ours)
    theirs = {}
    if (work / "stilts" / "matched.fits").exists():
        theirs["STILTS"] = of_fits(work / "stilts" / "matched.fits")
    if (work / "astropy" / "pairs.parquet").exists():
        theirs["astropy"] = of_parquet(work / "astropy")
    if (work / "lsdb" / "matched").exists():
        theirs["LSDB"] = of_parquet(work / "lsdb" / "matched")
    return {name: asdict(compare(mine, pairs, places, 1.0)) for name, pairs in theirs.items()}
