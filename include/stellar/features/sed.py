"""Features of the spectral energy distribution: photometry, colours, parallax and latitude of objects, with errors."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from stellar.checked_yaml import Section, load_yaml
from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.expressions import evaluate, words
from stellar.features.sed_corrections import ASTROMETRY, MIN_PARALLAX_SNR, corrected, corrected_fields
from stellar.lake.schema import field
from stellar.photometry.bands import load_bands
from stellar.profile import Profile
from stellar.settings import CONFIG

VERSION = 2
ORIGIN = "config/features/sed.yaml"
# Rotation from ICRS to galactic, ESA SP-1200 (Hipparcos) vol. 1, eq. 1.5.11; third row: direction of the galactic pole.
_POLE = np.array([-0.8676661490190047, -0.1980763734312015, +0.4559837761750669])
_CENTRE = np.array([-0.0548755604162154, -0.8734370902348850, -0.4838350155487132])
_EAST = np.array([+0.4941094278755837, -0.4448296299600112, +0.7469822444972189])


class Origin(Section):
    survey: str
    value: str
    error: str | None = None
    where: str | None = None


class Value(Section):
    name: str
    unit: str | None = None
    description: str = ""
    band: str | None = Field(None, description="Band of `config/bands.yaml` that the magnitude is of")
    sources: list[Origin] = Field(alias="from")


class Flag(Section):
    name: str
    survey: str
    value: str
    description: str = ""


class SedConfig(Section):
    """`config/features/sed.yaml`."""

    values: list[Value]
    photometry: list[str]
    colours: dict[str, tuple[str, str]]
    flags: list[Flag] = Field([])
    astrometry: list[Value] = Field([], description="What the parallax's zero point depends on; not written")

    @property
    def bands(self) -> dict[str, str]:
        """Magnitude -> band."""
        return {value.name: value.band for value in self.values if value.band}


@cache
def load_sed() -> SedConfig:
    """The configuration; raises `InputError` with file and line."""
    return load_yaml(CONFIG / "features" / "sed.yaml", SedConfig)


def galactic(ra: npt.ArrayLike, dec: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Galactic longitude (0 to 360) and latitude of ICRS positions, degrees, shape (n,)."""
    a, d = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    xyz = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)
    x, y, z = xyz @ _CENTRE, xyz @ _EAST, xyz @ _POLE
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def schema(config: SedConfig) -> pa.Schema:
    """Schema of `features.sed`."""
    fields = [
        field("object_id", pa.string(), ucd="meta.id;meta.main"),
        field("ra", pa.float64(), unit="deg", ucd="pos.eq.ra"),
        field("dec", pa.float64(), unit="deg", ucd="pos.eq.dec"),
    ]
    for value in config.values:
        fields.append(field(value.name, pa.float64(), unit=value.unit, description=value.description))
        fields.append(field(f"{value.name}_err", pa.float64(), unit=value.unit, ucd="stat.error"))
    for name, (blue, red) in config.colours.items():
        fields.append(field(name, pa.float64(), unit="mag", ucd="phot.color", description=f"{blue} - {red}"))
        fields.append(field(f"{name}_err", pa.float64(), unit="mag", ucd="stat.error;phot.color"))
    fields += [
        field("g_abs_mag", pa.float64(), unit="mag", ucd="phys.magAbs", description="G + 5 log10(parallax / 100 mas)"),
        field("g_abs_mag_err", pa.float64(), unit="mag", ucd="stat.error;phys.magAbs"),
        field("galactic_lon_deg", pa.float64(), unit="deg", ucd="pos.galactic.lon"),
        field("galactic_lat_deg", pa.float64(), unit="deg", ucd="pos.galactic.lat"),
        *corrected_fields(config.colours, config.bands),
    ]
    return pa.schema([*fields, *(field(f.name, pa.bool_(), description=f.description) for f in config.flags)])


def sed_features(objects: pa.Table, tables: dict[str, pa.Table], ids: dict[str, str], config: SedConfig) -> StepResult:
    """Features of each object with any photometry.

    Parameters
    ----------
    objects
        `object_id, ra, dec` and the `<survey>_id` of each survey, shape (n,).
    tables
        Curated rows by survey, those of the margin included.
    ids
        Id column by survey.
    """
    target, n = schema(config), len(objects)
    told = {s: _told(s, _member_rows(objects, s, table, ids[s]), config) for s, table in tables.items()}
    columns: dict[str, Any] = {c: objects[c].combine_chunks() for c in ("object_id", "ra", "dec")}
    origin = {}
    for value in config.values:
        columns[value.name], columns[f"{value.name}_err"], origin[value.name] = _value(value, told, n)
    for name, (blue, red) in config.colours.items():
        columns[name] = pc.subtract(columns[blue], columns[red])
        columns[f"{name}_err"] = _quadrature(columns[f"{blue}_err"], columns[f"{red}_err"])
    columns["g_abs_mag"], columns["g_abs_mag_err"] = _absolute(columns)
    columns["galactic_lon_deg"], columns["galactic_lat_deg"] = map(pa.array, galactic(columns["ra"], columns["dec"]))
    astrometry = {one: pa.nulls(n, pa.float64()) for one in ASTROMETRY}
    astrometry |= {value.name: _value(value, told, n)[0] for value in config.astrometry}
    whence = origin.get("ebv", pa.nulls(n, pa.string()))
    columns |= corrected(columns, astrometry, whence, config.colours, config.bands)
    for flag in config.flags:
        columns[flag.name] = told.get(flag.survey, {}).get(f"f_{flag.name}", pa.nulls(n, pa.bool_()))
    table = pa.table([columns[name] for name in target.names], schema=target)
    seen = pc.is_valid(pc.coalesce(*(columns[name] for name in config.photometry)))
    kept = table.filter(seen)
    dark = n - len(kept)
    return StepResult(kept, Accounting(n, len(kept), filtered={"no_photometry": dark} if dark else {}))


def _member_rows(objects: pa.Table, survey: str, table: pa.Table, id_column: str) -> pa.Table:
    """The survey's row of each object, nulls where it has none, shape (n,)."""
    place = pc.index_in(
        objects[f"{survey}_id"].combine_chunks(),
        value_set=table[id_column].cast(pa.string()).combine_chunks(),
        skip_nulls=True,
    )
    return table.take(place)


def _told(survey: str, rows: pa.Table, config: SedConfig) -> dict[str, pa.Array]:
    """All that the configuration takes from one survey's rows, in one query: `v_`, `e_`, `w_` and `f_` of each name."""
    wanted = {f"f_{flag.name}": (flag.value, "bool") for flag in config.flags if flag.survey == survey}
    for value in (*config.values, *config.astrometry):
        for origin in (o for o in value.sources if o.survey == survey):
            wanted[f"v_{value.name}"] = (origin.value, "float64")
            wanted[f"e_{value.name}"] = (origin.error or "null", "float64")
            wanted[f"w_{value.name}"] = (f"coalesce(({origin.where or 'true'}), false)", "bool")
    return evaluate(rows, wanted, ORIGIN)


def _value(value: Value, told: dict[str, dict[str, pa.Array]], n: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """The first value that there is, the error that belongs to it (not that of another survey), and the survey."""
    best, best_error, whence = pa.nulls(n, pa.float64()), pa.nulls(n, pa.float64()), pa.nulls(n, pa.string())
    for origin in (o for o in value.sources if o.survey in told):
        found, error, usable = (told[origin.survey][f"{kind}_{value.name}"] for kind in "vew")
        take = pc.and_(pc.is_null(best), pc.and_(pc.is_valid(found), usable))
        best, best_error = pc.if_else(take, found, best), pc.if_else(take, error, best_error)
        whence = pc.if_else(take, origin.survey, whence)
    return best, best_error, whence


def _quadrature(one: pa.Array, other: pa.Array) -> pa.Array:
    return pc.sqrt(pc.add(pc.multiply(one, one), pc.multiply(other, other)))


def _absolute(columns: dict[str, pa.Array]) -> tuple[pa.Array, pa.Array]:
    """Absolute G and its error: that of G and 5 / ln 10 times the parallax's relative error."""
    parallax, error = columns["parallax_mas"], columns["parallax_mas_err"]
    sure = pc.fill_null(pc.greater(pc.divide(parallax, error), MIN_PARALLAX_SNR), False)
    parallax = pc.if_else(sure, parallax, pa.scalar(None, pa.float64()))
    magnitude = pc.add(columns["g_mag"], pc.multiply(5.0, pc.log10(pc.divide(parallax, 100.0))))
    relative = pc.multiply(5.0 / np.log(10.0), pc.divide(error, parallax))
    return magnitude, _quadrature(pc.fill_null(columns["g_mag_err"], 0.0), relative)


def run(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Step function; `params["sed"]` is the configuration, `params["ids"]` the id column of each survey."""
    config = SedConfig.model_validate(params["sed"])
    tables = {}
    for survey in params["ids"]:
        parts = [t for t in (inputs[survey].rows, inputs[survey].margin) if len(t)]
        if parts:
            tables[survey] = pa.concat_tables(parts)
    objects = inputs["objects"].rows
    if not len(objects):
        return StepResult(schema(config).empty_table(), Accounting(0, 0))
    return sed_features(objects, tables, params["ids"], config)


def sed_step(profile: Profile) -> Step:
    """The step that makes `features.sed` from the objects and the curated datasets that have photometry."""
    config = load_sed()
    values = (*config.values, *config.astrometry)
    origins = [(o.survey, text) for v in values for o in v.sources for text in (o.value, o.error, o.where) if text]
    origins += [(f.survey, f.value) for f in config.flags]
    surveys = {c.dataset: c for c in profile.on_sky() if any(c.dataset == survey for survey, _ in origins)}
    inputs = {"objects": Input("curated.objects", columns=("object_id", "ra", "dec", *(f"{s}_id" for s in surveys)))}
    for name, curated in surveys.items():
        named = words(text for survey, text in origins if survey == name)
        read = (curated.id, *(c.name for c in curated.columns if c.keep and c.name in named and c.name != curated.id))
        inputs[name] = Input(f"curated.{name}", profile.chain_arcsec, read, optional=True)
    return Step(
        dataset="features.sed",
        name="sed",
        version=VERSION,
        inputs=inputs,
        params={
            "sed": config.model_dump(mode="json", by_alias=True),
            # not read from there, but what comes out depends on them
            "bands": load_bands().model_dump(mode="json"),
            "ids": {name: curated.id for name, curated in surveys.items()},
        },
        run=run,
        id_column="object_id",
        layout="inherit",
        primary="objects",
        description="Magnitudes, colours, parallax and galactic latitude of objects, with errors",
    )
