"""Writes the simulated catalogue of eclipsing binaries in chunks, each a pure function of seed and chunk number.

`write_catalogue(path, truth=…)` streams row groups of 100,000 rows, so that memory stays that of one chunk. The first
n rows are the same whatever the number of rows asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stellar.archive.eclipsing import constants as c
from stellar.archive.eclipsing import galaxy, parameters, photometry, schema, systems
from stellar.archive.gaia import SOURCE_ID_STEP, astrometric_error
from stellar.archive.population import Sky, concatenate
from stellar.errors import InputError

# Gaia's running numbers have 25 bits above 7 of the component; an odd factor scatters row numbers over all of them.
_RUNNING_BITS, _SCATTER = 25, 0x9E3779B1
ROWS_MAX = 1 << _RUNNING_BITS
# Draws beyond what is wanted: fainter than the limit behind a cloud, or too shallow to be found.
_DRAWN = 1.5


@lru_cache(maxsize=2)
def _sightlines(seed: int) -> galaxy.Sightlines:
    return galaxy.sightlines(seed)


def chunk(seed: int, number: int) -> tuple[Sky, Sky]:
    """Rows `number * CHUNK_ROWS` and following of the catalogue of a seed: columns of the catalogue, of the truth.

    Parameters
    ----------
    seed : int
        Not negative.
    number : int
        Of the chunk, from 0.
    """
    rng = np.random.default_rng([seed, 2, number])
    tables = _sightlines(seed)
    pool = _pool(tables, rng)
    weight = np.cumsum(pool["weight"])
    found, have = [], 0
    while have < c.CHUNK_ROWS:
        wanted = int(_DRAWN * (c.CHUNK_ROWS - have)) + 1000
        pick = np.searchsorted(weight, rng.random(wanted) * weight[-1], side="right")
        pair = systems.varied({name: values[pick] for name, values in pool.items()}, rng)
        part = _observe(tables, pair, rng)
        found.append(part)
        have += len(part["ra"])
    rows = {name: values[: c.CHUNK_ROWS] for name, values in concatenate(found).items()}
    running = ((number * c.CHUNK_ROWS + np.arange(c.CHUNK_ROWS)) * _SCATTER) % ROWS_MAX
    source_id = (rows["index_29"] >> 34) * SOURCE_ID_STEP + running * 128
    return _catalogue(rows, source_id), _truth(rows, source_id)


def _pool(tables: galaxy.Sightlines, rng: np.random.Generator) -> Sky:
    pools = []
    for k, component in enumerate(c.POPULATION):
        pool = systems.pool(component, c.POOL_SIZE, rng)
        pool["component"] = np.full(len(pool["teff1"]), k)
        pool["weight"] = pool["weight"] * tables.weight(k, pool["abs_g"])
        pools.append(pool)
    return concatenate(pools)


def _observe(tables: galaxy.Sightlines, pair: Sky, rng: np.random.Generator) -> Sky:
    """Pairs placed on the sky and measured, those that Gaia found to be eclipsing only."""
    rows = pair | galaxy.place(tables, pair["component"], pair["abs_g"], rng)
    smooth = galaxy.smooth_extinction(rows["l"], rows["b"], rows["distance_pc"])
    rows["a_v"] = smooth * galaxy.cloudiness(tables.clouds, rows["index_29"])
    absolute = photometry.absolute_magnitudes(rows, rng)
    rows["bp_rp_0"] = absolute["bp"] - absolute["rp"]
    true = photometry.reddened(absolute, rows["a_v"], rows["distance_pc"])
    rows |= {f"true_{name}": value for name, value in true.items()}
    rows |= photometry.gaia(true, rows["depth"], rows["fill"], np.sin(np.radians(rows["b"])), rng)
    rows["depth_mag"] = -2.5 * np.log10(1.0 - rows["depth"])
    found = (rows["g"] < c.FAINT_LIMIT_G) & (
        rows["depth_mag"] > np.hypot(c.DEPTH_FLOOR_MAG, c.DEPTH_AT_G20_MAG * 10.0 ** (0.3 * (rows["g"] - 20.0)))
    )
    rows = {name: values[found] for name, values in rows.items()}
    return _measure(tables, rows, rng)


def _measure(tables: galaxy.Sightlines, rows: Sky, rng: np.random.Generator) -> Sky:
    """The other surveys and the derived columns of pairs that are in the catalogue."""
    n = len(rows["ra"])
    true = {name: rows[f"true_{name}"] for name in (*photometry.PS_BANDS, *photometry.BANDS_2MASS)}
    rows |= photometry.pan_starrs(true, rows["depth"], rows["fill"], rows["dec"], rng)
    rows |= photometry.two_mass(true, rows["depth"], rows["fill"], rng)
    rows["true_parallax"] = 1000.0 / rows["distance_pc"]
    rows["parallax_error"] = astrometric_error(rows["g"]) * np.exp(0.15 * rng.standard_normal(n))
    # Zero point of -0.03 mas (Lindegren et al. 2021, A&A 649, A4).
    rows["parallax"] = rows["true_parallax"] - 0.03 + rows["parallax_error"] * rng.standard_normal(n)
    rows["teff"] = parameters.composite_teff(rows)
    rows |= parameters.catalogue_parameters(rows, rows["teff"], rows["a_v"], rows, rows, rng)
    total = galaxy.smooth_extinction(rows["l"], rows["b"], np.full(n, galaxy.DISTANCES_PC[-1]))
    total = total * galaxy.cloudiness(tables.clouds, rows["index_29"], finest=c.MAP_ORDER)
    rows["ebv"], rows["ebv_error"] = parameters.mapped_reddening(total, rng)
    rows["teff_reference"] = parameters.reference_teff(rows["teff"], rows["g"], rng)
    rows["morph_coeff"] = systems.morphology(rows["fill"], rng)
    return rows


def _catalogue(rows: Sky, source_id: np.ndarray) -> Sky:
    g, bp, rp = (np.round(rows[band], 4) for band in ("g", "bp", "rp"))
    out = {
        name: rows[name] for name in ("ra", "dec", "parallax", "parallax_error", "teff_gaia", "logg_gaia", "mh_gaia")
    }
    out |= {"source_id": source_id, "g": g, "bp": bp, "rp": rp, "bp_rp": bp - rp, "g_bp": g - bp, "g_rp": g - rp}
    out |= {f"{band}_error": rows[f"{band}_error"] for band in ("g", "bp", "rp")}
    for band in photometry.PS_BANDS:
        out[f"{band}PSFMag"], out[f"{band}PSFMagErr"] = rows[band], rows[f"{band}_error"]
    for band in photometry.BANDS_2MASS:
        out[f"{band}_m"], out[f"{band}_msigcom"] = rows[band], rows[f"{band}_error"]
    out |= {name: rows[name] for name in ("ebv", "ebv_error", "teff_reference", "morph_coeff")}
    return out | {"period": rows["period_d"], "primary_depth": rows["depth_mag"]}


def _truth(rows: Sky, source_id: np.ndarray) -> Sky:
    names = np.array([component.name for component in c.POPULATION])
    return {
        "source_id": source_id,
        "component": names[rows["component"]],
        "distance": rows["distance_pc"],
        "ebv": rows["a_v"] / c.R_V,
        "teff": rows["teff"],
        "teff_primary": rows["teff1"],
        "teff_secondary": rows["teff2"],
        "logg": rows["logg1"],
        "logg_secondary": rows["logg2"],
        "feh": rows["feh"],
        "mass_primary": rows["mass1"],
        "mass_secondary": rows["mass2"],
        "age": rows["age_gyr"],
        "bp_rp_unreddened": rows["bp_rp_0"],
    }


def chunks(seed: int, rows: int) -> Iterator[tuple[Sky, Sky]]:
    """The chunks of the first `rows` rows; the last one is cut to them."""
    for number in range(-(-rows // c.CHUNK_ROWS)):
        kept = min(c.CHUNK_ROWS, rows - number * c.CHUNK_ROWS)
        catalogue, truth = chunk(seed, number)
        yield ({k: v[:kept] for k, v in catalogue.items()}, {k: v[:kept] for k, v in truth.items()})


def write_catalogue(
    path: Path,
    *,
    truth: Path | None = None,
    rows: int = c.ROWS,
    seed: int = c.SEED,
    tell: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> None:
    """Write the catalogue, and beside it what the stars really are.

    The same seed and rows give the same bytes on one machine. Files are complete or not there.

    Parameters
    ----------
    path : Path
        Parquet file of the columns `schema.CATALOGUE`.
    truth : Path, optional
        Parquet file of the columns `schema.TRUTH`, row by row as the catalogue.
    rows : int
        1 to 2**25.
    seed : int
        Of everything random, not negative.
    tell : callable
        Told what is done, how much of it, of how much.

    Raises
    ------
    InputError
        When `rows` or `seed` is out of range, both files are the same, or a file cannot be written.
    """
    if not 1 <= rows <= ROWS_MAX:
        raise InputError(f"rows is {rows}: ask for 1 to {ROWS_MAX:,}, as many as the identifiers tell apart")
    if seed < 0:
        raise InputError(f"seed is {seed}: it must not be negative")
    if truth is not None and truth.resolve() == path.resolve():
        raise InputError(f"the catalogue and its truth are both to go to {path}; name two files")
    about = {"simulated": f"stellar.archive.eclipsing version {c.VERSION}, seed {seed}"}
    targets = [(path, schema.CATALOGUE)] + ([(truth, schema.TRUTH)] if truth is not None else [])
    partial = [target.with_name(f".{target.name}.partial") for target, _ in targets]
    try:
        with ExitStack() as stack:
            writers = []
            for place, (_, columns) in zip(partial, targets, strict=True):
                arrow = schema.arrow_schema(columns, about)
                writers.append(stack.enter_context(pq.ParquetWriter(place, arrow, compression="zstd")))
            done = 0
            for tables in chunks(seed, rows):
                for writer, arrays in zip(writers, tables, strict=False):
                    writer.write_table(_table(writer, arrays), row_group_size=c.CHUNK_ROWS)
                done += len(tables[0]["source_id"])
                tell("eclipsing binaries", done, rows)
        for place, (target, _) in zip(partial, targets, strict=True):
            place.replace(target)
    except OSError as error:
        raise InputError(f"the catalogue cannot be written to {path}: {error}") from error
    finally:
        for place in partial:
            place.unlink(missing_ok=True)


def _table(writer: pq.ParquetWriter, arrays: Sky) -> pa.Table:
    return schema.record_batch(writer.schema, arrays)
