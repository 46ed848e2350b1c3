"""The peers, each in a process of its own: `.venv-bench/bin/python tests/benchmarks/peers.py PEER …`.

Runs in the peers' environment, where the platform is not installed. Prints one line of JSON: the seconds of each phase.
Every peer is used as its documentation shows, with its defaults, on as many cores as this machine has (2 workers).
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORKERS = 2
RADIUS_ARCSEC = 1.0
MARGIN_ARCSEC = 10.0


class Phases(dict[str, float]):
    """Seconds by phase."""

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self[name] = round(time.perf_counter() - started, 4)


def hats_import(args: argparse.Namespace, phases: Phases) -> None:
    """Import both catalogues, then their margins, one after the other with the same workers."""
    from dask.distributed import Client
    from hats_import.catalog.arguments import ImportArguments
    from hats_import.margin_cache.margin_cache_arguments import MarginCacheArguments
    from hats_import.pipeline import pipeline_with_client

    with phases("workers"):
        client = Client(n_workers=WORKERS, threads_per_worker=1, local_directory=args.out / "dask")
    with client:
        for side in ("left", "right"):
            with phases(f"import_{side}"):
                wanted = ImportArguments(
                    ra_column="ra",
                    dec_column="dec",
                    input_file_list=sorted(args.data.glob(f"{side}_*.parquet")),
                    file_reader="parquet",
                    output_artifact_name=side,
                    output_path=args.out,
                    progress_bar=False,
                )
                pipeline_with_client(wanted, client)
        for side in ("left", "right"):
            with phases(f"margin_{side}"):
                margin = MarginCacheArguments(
                    input_catalog_path=args.out / side,
                    margin_threshold=MARGIN_ARCSEC,
                    output_path=args.out,
                    output_artifact_name=f"{side}_margin",
                    progress_bar=False,
                )
                pipeline_with_client(margin, client)


def lsdb_crossmatch(args: argparse.Namespace, phases: Phases) -> None:
    """Open what hats-import wrote, nearest within the radius, write the result."""
    import lsdb
    from dask.distributed import Client

    with phases("workers"):
        client = Client(n_workers=WORKERS, threads_per_worker=1, local_directory=args.out / "dask")
    with client:
        with phases("open"):
            left = lsdb.open_catalog(args.catalogs / "left", margin_cache=args.catalogs / "left_margin")
            right = lsdb.open_catalog(args.catalogs / "right", margin_cache=args.catalogs / "right_margin")
        with phases("crossmatch_and_write"):
            found = left.crossmatch(
                right,
                n_neighbors=1,
                radius_arcsec=RADIUS_ARCSEC,
                suffixes=("_left", "_right"),
                suffix_method="all_columns",
            )
            found.write_catalog(args.out / "matched", as_collection=False, progress_bar=False)


def _read(data: Path, side: str):
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.read_table(file) for file in sorted(data.glob(f"{side}_*.parquet"))])


def astropy_match(args: argparse.Namespace, phases: Phases) -> None:
    """Read both, `match_to_catalog_sky`; the pairs are written for the comparison after the clock has stopped."""
    import astropy.units as u
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from astropy.coordinates import SkyCoord

    with phases("read"):
        left, right = _read(args.data, "left"), _read(args.data, "right")
    with phases("match"):
        sky = [SkyCoord(table["ra"].to_numpy() * u.deg, table["dec"].to_numpy() * u.deg) for table in (left, right)]
        nearest, separation, _ = sky[0].match_to_catalog_sky(sky[1])
        near = np.flatnonzero(separation.arcsec <= RADIUS_ARCSEC)
    pairs = {"id_left": left["id"].take(near), "id_right": right["id"].take(nearest[near])}
    pq.write_table(pa.table(pairs), args.out / "pairs.parquet")


def scipy_match(args: argparse.Namespace, phases: Phases) -> None:
    """Unit vectors and a k-d tree on two threads: the match alone."""
    import numpy as np
    from scipy.spatial import cKDTree

    def unit(table) -> np.ndarray:
        ra, dec = np.radians(table["ra"].to_numpy()), np.radians(table["dec"].to_numpy())
        return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])

    with phases("read"):
        left, right = _read(args.data, "left"), _read(args.data, "right")
    with phases("match"):
        tree = cKDTree(unit(right))
        chord = 2 * np.sin(np.radians(RADIUS_ARCSEC / 3600) / 2)
        tree.query(unit(left), distance_upper_bound=chord, workers=WORKERS)


def floor(args: argparse.Namespace, phases: Phases) -> None:
    """Read both and write a table as large as the result, all columns of both sides: nothing can be faster."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with phases("read"):
        left, right = _read(args.data, "left"), _read(args.data, "right")
    left, right = left.slice(0, args.rows), right.slice(0, args.rows)
    columns = {f"{name}_left": left[name] for name in left.column_names}
    columns |= {f"{name}_right": right[name] for name in right.column_names}
    with phases("write"):
        pq.write_table(pa.table(columns), args.out / "floor.parquet")


def _timed(search, positions: list[tuple[float, float]]) -> tuple[list[float], list[int]]:
    """Milliseconds and rows found of each cone, after one that warms up."""
    search(*positions[0])
    took, rows = [], []
    for ra, dec in positions:
        started = time.perf_counter()
        rows.append(search(ra, dec))
        took.append(1000 * (time.perf_counter() - started))
    return took, rows


def lsdb_cones(args: argparse.Namespace, phases: Phases) -> dict:
    """Cones with LSDB on one catalogue, opened once."""
    import lsdb

    catalog = lsdb.open_catalog(args.catalogs)
    positions = json.loads(args.positions.read_text())
    took, rows = _timed(
        lambda ra, dec: len(catalog.cone_search(ra, dec, args.radius).compute(progress_bar=False)), positions
    )
    return {"ms": took, "rows": rows}


def duckdb_cones(args: argparse.Namespace, phases: Phases) -> dict:
    """Cones with DuckDB over all files, by the distance alone: nothing to prune by."""
    import duckdb

    session = duckdb.connect()
    positions = json.loads(args.positions.read_text())
    files = str(args.catalogs / "dataset" / "Norder=*" / "Dir=*" / "Npix=*.parquet")
    query = """
        select count(*) from read_parquet(?)
        where 2 * degrees(asin(sqrt(pow(sin(radians(dec - $2) / 2), 2)
              + cos(radians(dec)) * cos(radians($2)) * pow(sin(radians(ra - $3) / 2), 2)))) * 3600 <= $4
    """.replace("?", "$1")
    took, rows = _timed(lambda ra, dec: session.execute(query, [files, dec, ra, args.radius]).fetchone()[0], positions)
    return {"ms": took, "rows": rows}


PEERS = {
    "hats-import": hats_import,
    "lsdb": lsdb_crossmatch,
    "astropy": astropy_match,
    "scipy": scipy_match,
    "floor": floor,
    "lsdb-cones": lsdb_cones,
    "duckdb-cones": duckdb_cones,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--data", type=Path, help="folder of left_*.parquet and right_*.parquet")
    parser.add_argument("--catalogs", type=Path, help="folder of the catalogues that hats-import wrote")
    parser.add_argument("--out", type=Path, help="folder to write to")
    parser.add_argument("--rows", type=int, help="rows of the result, for the floor")
    parser.add_argument("--positions", type=Path, help="JSON file of [ra, dec] of cones")
    parser.add_argument("--radius", type=float, help="radius of the cones in arcsec")
    args = parser.parse_args()
    phases = Phases()
    result = PEERS[args.peer](args, phases)
    print(json.dumps({"seconds": phases} | (result or {})))


if __name__ == "__main__":
    main()
