"""Step `features.spectra`: every spectrum in its rest frame on one grid, continuum normalised, errors and mask kept.

Nothing is interpolated across a gap: a masked bin holds NaN flux, zero inverse variance and a true mask.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.features.bands import BANDS, COLOURS, band_sn, synthetic_colours
from stellar.features.libraries import ARRAYS
from stellar.features.line_indices import LINES, RATIOS, line_indices
from stellar.features.objects import ASSOCIATIONS, associations_input, object_ids
from stellar.features.ragged import Ragged, list_column, ragged
from stellar.features.rebin import Grid, fit_continuum, normalise, rebin
from stellar.features.velocity import DEFAULTS as VELOCITY
from stellar.features.velocity import VELOCITY_GRID, VelocityTemplates, velocities, velocity_templates
from stellar.features.wavelengths import spoilt_by_sky
from stellar.lake.schema import field
from stellar.profile import Curated

VERSION = 2
BATCH = 256  # spectra worked on at once; bounds memory at about 100 MB
# SPPIXMASK bits that spoil a pixel (https://www.sdss4.org/dr17/algorithms/bitmasks/#SPPIXMASK): BADTRACE 1, BADFLAT 2,
# BADARC 3, FULLREJECT 18, NOSKY 22, BRIGHTSKY 23, NODATA 24, COMBINEREJ 25, BADFLUXFACTOR 26, REDMONSTER 28.
BAD_BITS = (1, 2, 3, 18, 22, 23, 24, 25, 26, 28)
DEFAULTS: dict[str, Any] = {
    "grid": {"first_angstrom": 3850.0, "last_angstrom": 9150.0, "step_dex": 3e-4},
    "bad_bits": list(BAD_BITS),
    "min_good_fraction": 0.5,
    "max_abs_z": 0.005,
    "max_z_error": 0.0005,
    "continuum_degree": 7,
    "velocity": VELOCITY,
}
SOURCE_COLUMNS = ("spec_id", "ra", "dec", "epoch_yr", "class", "z", "zerr", "loglam", "flux", "ivar", "and_mask")


def grid_of(schema: pa.Schema) -> Grid:
    """Grid that a `features.spectra` schema was made on."""
    about = json.loads((schema.metadata or {})[b"stellar.grid"])
    return Grid(about["first_angstrom"], about["last_angstrom"], about["step_dex"])


def spectra_schema(grid: Grid) -> pa.Schema:
    """Columns of `features.spectra` with units and meaning, the grid in the schema's metadata."""
    fields = [
        field("spec_id", pa.string(), description="PLATE-MJD-FIBER of the spectrum"),
        field("object_id", pa.string(), ucd="meta.id;meta.main", description="Object that the spectrum belongs to"),
        field("ra", pa.float64(), "deg", "pos.eq.ra", "Position of the fibre, ICRS"),
        field("dec", pa.float64(), "deg", "pos.eq.dec", "Position of the fibre, ICRS"),
        field("epoch_yr", pa.float64(), "yr", "time.epoch", "Julian year of the position"),
        field("sn_median", pa.float32(), None, "stat.snr", "Median signal to noise of the good pixels, as observed"),
        field("good_fraction", pa.float32(), None, None, "Share of the grid's bins that are not masked"),
        field("z_applied", pa.float64(), None, "src.redshift", "Redshift taken out; 0 where none was reliable"),
        field("is_rest_frame", pa.bool_(), None, None, "Whether a reliable stellar velocity was taken out"),
        field("flux", pa.list_(pa.float32()), None, "phot.flux", "Flux over continuum on the grid; NaN where masked"),
        field("ivar", pa.list_(pa.float32()), None, "stat.weight", "Inverse variance of `flux`; 0 where masked"),
        field("mask", pa.list_(pa.bool_()), None, "meta.code.qual", "True where the bin must not be used"),
    ]
    fields += [
        field("sky", pa.list_(pa.bool_()), None, "meta.code.qual", "True where air absorbs or glows; not in `mask`"),
        field(
            "rv_km_s", pa.float64(), "km.s**-1", "spect.dopplerVeloc.opt", "Velocity by cross-correlation, as observed"
        ),
        field("rv_err_km_s", pa.float64(), "km.s**-1", "stat.error;spect.dopplerVeloc.opt", "Its error"),
        field("rv_r", pa.float32(), None, "stat.snr", "Height of the correlation's peak over its noise"),
        field("rv_template", pa.string(), None, "meta.id", "Template of the highest peak"),
    ]
    for band, (low, high) in BANDS.items():
        about = f"Median signal to noise per pixel in {band}, {low:g} to {high:g} Angstrom"
        fields.append(field(f"sn_{band}", pa.float32(), None, "stat.snr", about))
    for one, other in COLOURS:
        name = f"syn_{one}_{other}"
        fields.append(field(name, pa.float32(), "mag", "phot.color", "AB colour of the spectrum in box filters"))
        fields.append(field(f"{name}_err", pa.float32(), "mag", "stat.error;phot.color", "Its error, of noise alone"))
    for line in LINES:
        name = f"ew_{line.name}_angstrom"
        about = f"Equivalent width, absorption positive; {line.source}"
        fields.append(field(name, pa.float32(), "Angstrom", "spect.line.eqWidth", about))
        fields.append(field(f"{name}_err", pa.float32(), "Angstrom", "stat.error;spect.line.eqWidth", "Its error"))
    for ratio in RATIOS:
        fields.append(field(f"ratio_{ratio.name}", pa.float32(), None, "spect.index", f"Flux ratio; {ratio.source}"))
        fields.append(field(f"ratio_{ratio.name}_err", pa.float32(), None, "stat.error;spect.index", "Its error"))
    return pa.schema(fields, metadata={"stellar.grid": json.dumps(grid.to_dict(), sort_keys=True)})


def bad_pixels(
    flux: np.ndarray, ivar: np.ndarray, and_mask: np.ndarray, bits: tuple[int, ...] | list[int]
) -> np.ndarray:
    """Bool[m]: pixels without a finite flux, without weight, or with one of the bits in every exposure."""
    wanted = np.int64(sum(1 << bit for bit in bits))
    return ~np.isfinite(flux) | ~(np.isfinite(ivar) & (ivar > 0)) | ((and_mask.astype(np.int64) & wanted) != 0)


def reliable_redshift(table: pa.Table, max_abs_z: float, max_z_error: float) -> np.ndarray:
    """Redshift to take out, float64[n]: 0 for what is no star, or whose velocity is unlikely or unsure.

    0.005 is 1,500 km/s, beyond any star bound to the Galaxy; 0.0005 is 150 km/s, under a bin of the default grid. The
    spectra themselves are heliocentric already.
    """
    numbers = {name: table.column(name).cast(pa.float64()).fill_null(float("nan")).to_numpy() for name in ("z", "zerr")}
    star = pc.equal(table.column("class"), "STAR").fill_null(False).to_numpy()
    usable = star & (np.abs(numbers["z"]) <= max_abs_z) & (numbers["zerr"] > 0) & (numbers["zerr"] <= max_z_error)
    return np.where(usable, numbers["z"], 0.0)


def malformed(lists: Mapping[str, Ragged]) -> list[str | None]:
    """Reason why each row's arrays are no spectrum, None where they are."""
    lengths = np.stack([column.lengths for column in lists.values()])
    unequal = (lengths != lengths[0]).any(axis=0)
    loglam = lists["loglam"]
    reasons: list[str | None] = []
    for row in range(len(loglam)):
        wave = loglam[row]
        if unequal[row]:
            sizes = ", ".join(f"{name} {size}" for name, size in zip(lists, lengths[:, row], strict=True))
            reasons.append(f"arrays of different length: {sizes}")
        elif len(wave) < 3:
            reasons.append(f"only {len(wave)} pixels")
        elif not np.isfinite(wave).all() or not (np.diff(wave) > 0).all() or not 2 < wave[0] < wave[-1] < 6:
            reasons.append("loglam is not an increasing log10 wavelength in Angstrom")
        else:
            reasons.append(None)
    return reasons


def prepare(
    lists: Mapping[str, Ragged],
    rows: np.ndarray,
    redshift: np.ndarray,
    params: Mapping[str, Any],
    templates: VelocityTemplates | None = None,
) -> dict[str, Any]:
    """Spectra of `rows` on the grid.

    Returns
    -------
    dict
        `flux`, `ivar` (continuum normalised, float64[n, p]), `mask`, `sky`, `sn_median`, `good_fraction`, velocities
        (of `templates`, if any), and colours and indices, which are measured on the flux before normalisation.
    """
    grid = Grid(**params["grid"])
    observed: list[tuple[np.ndarray, np.ndarray]] = []
    bands: list[dict[str, float]] = []
    flux, ivar = np.full((len(rows), grid.size), np.nan), np.zeros((len(rows), grid.size))
    sn_median = np.full(len(rows), np.nan)
    for position, row in enumerate(rows):
        pixel_flux, pixel_ivar = lists["flux"][row], lists["ivar"][row]
        bad = bad_pixels(pixel_flux, pixel_ivar, lists["and_mask"][row], params["bad_bits"])
        weight = np.where(bad, 0.0, pixel_ivar)
        if not bad.all():
            sn_median[position] = np.median(pixel_flux[~bad] * np.sqrt(pixel_ivar[~bad]))
        bands.append(band_sn(10 ** lists["loglam"][row], pixel_flux, weight))
        if templates is not None:
            observed.append(rebin(lists["loglam"][row], np.where(bad, 0.0, pixel_flux), weight, VELOCITY_GRID))
        rest = lists["loglam"][row] - np.log10(1 + redshift[row])
        flux[position], ivar[position] = rebin(rest, np.where(bad, 0.0, pixel_flux), weight, grid)
    found: dict[str, Any] = line_indices(flux, ivar, grid) | synthetic_colours(flux, ivar, grid)
    found |= {f"sn_{band}": np.array([one[f"sn_{band}"] for one in bands], dtype=np.float64) for band in BANDS}
    found["sky"] = spoilt_by_sky(grid.wavelength_angstrom[None, :] * (1 + redshift[rows])[:, None])
    if templates is not None and len(rows):
        seen_flux, seen_ivar = (np.array(part) for part in zip(*observed, strict=True))
        found |= velocities(seen_flux, seen_ivar, templates, params["velocity"])
    continuum = fit_continuum(flux, ivar, degree=params["continuum_degree"])
    normal, normal_ivar = normalise(flux, ivar, continuum)
    mask = normal_ivar <= 0
    return found | {
        "flux": normal,
        "ivar": normal_ivar,
        "mask": mask,
        "sn_median": sn_median,
        "good_fraction": 1 - mask.mean(axis=1),
    }


def spectra_features(
    table: pa.Table,
    objects: pa.ChunkedArray,
    params: Mapping[str, Any] | None = None,
    libraries: Mapping[str, pa.Table] | None = None,
) -> tuple[pa.Table, np.ndarray, list[str | None]]:
    """Features of a table of curated spectra.

    Parameters
    ----------
    table : pa.Table
        `SOURCE_COLUMNS` of `curated.sdss_spectra`.
    objects : pa.ChunkedArray
        Object of each row, null where there is none.
    params : mapping, optional
        On top of `DEFAULTS`.
    libraries : mapping of str to pa.Table, optional
        Curated template libraries for velocities (`velocity_templates`); without them velocities are null.

    Returns
    -------
    features : pa.Table
        One row for each row that could be used, in the input's order.
    filtered : bool[n]
        Rows left out because too few bins of the grid are good.
    reasons : list of str or None
        Reason for quarantine per input row.
    """
    settings = {**DEFAULTS, **(params or {})}
    grid = Grid(**settings["grid"])
    schema = spectra_schema(grid)
    lists = {name: ragged(table, name, np.float64) for name in ("loglam", "flux", "ivar")}
    lists["and_mask"] = ragged(table, "and_mask", np.int64)
    reasons = malformed(lists)
    for row, object_id in enumerate(objects.to_pylist()):
        if reasons[row] is None and object_id is None:
            reasons[row] = "no object claims this spectrum"
    redshift = reliable_redshift(table, settings["max_abs_z"], settings["max_z_error"])
    templates = velocity_templates(libraries, settings["velocity"]) if libraries and table.num_rows else None
    filtered = np.zeros(table.num_rows, dtype=bool)
    whole = np.flatnonzero([reason is None for reason in reasons])
    parts = []
    for start in range(0, len(whole), BATCH):
        rows = whole[start : start + BATCH]
        found = prepare(lists, rows, redshift, settings, templates)
        good = found["good_fraction"] >= settings["min_good_fraction"]
        filtered[rows[~good]] = True
        found = {name: np.asarray(values, dtype=_dtype(values))[good] for name, values in found.items()}
        parts.append(_table(table, objects, rows[good], redshift, found, schema))
    return (pa.concat_tables(parts) if parts else schema.empty_table()), filtered, reasons


def _table(
    table: pa.Table,
    objects: pa.ChunkedArray,
    rows: np.ndarray,
    redshift: np.ndarray,
    found: Mapping[str, np.ndarray],
    schema: pa.Schema,
) -> pa.Table:
    columns: dict[str, Any] = {
        "object_id": objects.take(pa.array(rows)),
        "z_applied": redshift[rows],
        "is_rest_frame": redshift[rows] != 0,
    }
    for name in ("flux", "ivar"):
        columns[name] = list_column(found[name].astype(np.float32), pa.float32())
    for name in ("mask", "sky"):
        columns[name] = list_column(found[name], pa.bool_())
    arrays = []
    for one in schema:
        if one.name in columns:
            values = columns[one.name]
        elif one.name in found:
            values = pa.array(found[one.name], type=one.type, from_pandas=True)  # NaN (not measurable) becomes null
        elif one.name in table.column_names:
            values = table.column(one.name).take(pa.array(rows))
        else:
            values = pa.nulls(len(rows), one.type)  # no library to measure velocities with
        arrays.append(values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, type=one.type))
    return pa.table(arrays, schema=schema)


def _dtype(values: Any) -> Any:
    return object if isinstance(values, list) else None  # names, among them None


def run_spectra(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Run `spectra_features` on one partition."""
    rows = inputs["spectra"].rows
    if inputs["spectra"].absent:
        return StepResult(spectra_schema(Grid(**params["grid"])).empty_table(), Accounting(0, 0))
    objects = object_ids(rows.column("spec_id"), params["survey"], inputs["associations"])
    settings = {name: value for name, value in params.items() if name in DEFAULTS}
    known = {**VELOCITY, **params["velocity"]}["libraries"]
    libraries = {name: given.rows for name, given in inputs.items() if name in known}
    table, filtered, reasons = spectra_features(rows, objects, settings, libraries)
    return StepResult.by_reason(rows, table, {"too_few_good_bins": int(filtered.sum())}, reasons)


def spectra_step(
    dataset: str = "features.spectra",
    source: str = "curated.sdss_spectra",
    *,
    survey: str = "sdss_spectra",
    associations: str = ASSOCIATIONS,
    margin_arcsec: float = 240.0,
    libraries: Sequence[Curated] = (),
    params: Mapping[str, Any] | None = None,
) -> Step:
    """Step that makes `dataset` from the curated spectra of one survey; `params` on top of `DEFAULTS`.

    `margin_arcsec` is how far a spectrum's object may stand from it (`Profile.chain_arcsec`); `libraries` are curated
    template libraries (plain datasets, which every cell is given whole) to measure velocities with.
    """
    wanted = (*ARRAYS, "spectral_type", "luminosity", "is_peculiar", "feh_bin")
    templates = {
        one.dataset: Input(
            f"curated.{one.dataset}", columns=(one.id, *(name for name in wanted if one.has(name))), optional=True
        )
        for one in libraries
    }
    return Step(
        dataset=dataset,
        name="prepare_spectra",
        version=VERSION,
        inputs={
            "spectra": Input(source, columns=(*SOURCE_COLUMNS, "batch_id"), optional=True),
            "associations": associations_input(margin_arcsec, associations),
            **templates,
        },
        params={**DEFAULTS, **(params or {}), "survey": survey},
        run=run_spectra,
        id_column="spec_id",
        layout="inherit",
        primary="spectra",
        quarantine=f"quarantine.{dataset.partition('.')[2]}",
        description="Spectra in the rest frame on one log-wavelength grid, continuum normalised, with line indices",
    )
