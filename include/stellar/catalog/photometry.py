"""Photometry: one row per object, survey and band, as magnitude and as flux, with what is known of its quality."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stellar.checked_yaml import Section, load_yaml
from stellar.engine.step import Accounting, Input, Partition, PartitionInput, Step, StepResult
from stellar.expressions import evaluate, words
from stellar.lake.schema import field
from stellar.photometry.bands import Band, load_bands
from stellar.photometry.flux import flux_jy, per_angstrom
from stellar.profile import Profile
from stellar.settings import CONFIG

VERSION = 1
ORIGIN = "config/photometry.yaml"
ID = ("object_id", "survey", "band")
_FLAGS = ("saturated", "blended", "clean")
_MARKS = ("saturated", "blended", "not clean")
# what the marks say, by the sum of the bits of those that are set
_WORDS = pa.array(
    [", ".join(m for bit, m in enumerate(_MARKS) if code >> bit & 1) or None for code in range(8)], pa.string()
)

SCHEMA = pa.schema(
    [
        field("object_id", pa.string(), ucd="meta.id;meta.main"),
        field("ra", pa.float64(), unit="deg", ucd="pos.eq.ra;meta.main", description="Of the object"),
        field("dec", pa.float64(), unit="deg", ucd="pos.eq.dec;meta.main", description="Of the object"),
        field("survey", pa.string(), description="Curated dataset"),
        field("survey_id", pa.string(), ucd="meta.id", description="Id of the row in it"),
        field("band", pa.string(), ucd="instr.bandpass", description="Filter of the SVO Filter Profile Service"),
        field("mag", pa.float64(), unit="mag", ucd="phot.mag", description="As published"),
        field("mag_err", pa.float64(), unit="mag", ucd="stat.error;phot.mag"),
        field("system", pa.string(), ucd="meta.code", description="Of the magnitude: Vega or AB"),
        field("flux_jy", pa.float64(), unit="Jy", ucd="phot.flux.density"),
        field("flux_jy_err", pa.float64(), unit="Jy", ucd="stat.error;phot.flux.density"),
        field(
            "flux_cgs",
            pa.float64(),
            unit="erg.s**-1.cm**-2.Angstrom**-1",
            ucd="phot.flux.density;em.wl",
            description="At the band's pivot wavelength",
        ),
        field(
            "flux_cgs_err",
            pa.float64(),
            unit="erg.s**-1.cm**-2.Angstrom**-1",
            ucd="stat.error;phot.flux.density;em.wl",
        ),
        field(
            "is_saturated",
            pa.bool_(),
            ucd="meta.code.qual",
            description="By the survey's flag or the band's limit; null where neither is known",
        ),
        field(
            "is_blended", pa.bool_(), ucd="meta.code.qual", description="By the survey's flag; null where it has none"
        ),
        field(
            "is_clean",
            pa.bool_(),
            ucd="meta.code.qual",
            description="Not known to be saturated, blended or otherwise bad",
        ),
        field("quality", pa.string(), ucd="meta.code.qual", description="What is known against it, in words"),
        field("is_preferred", pa.bool_(), description="The one to take of the surveys that have the band"),
    ]
)


class Measurement(Section):
    """A magnitude of one band; flags where they differ from those of the source."""

    band: str
    mag: str
    error: str | None = None
    saturated: str | None = None
    blended: str | None = None
    clean: str | None = None


class Source(Section):
    """The magnitudes of one curated dataset."""

    survey: str
    asinh: bool = False
    saturated: str | None = None
    blended: str | None = None
    clean: str | None = None
    quality: str | None = None
    measurements: list[Measurement]

    def flag(self, name: str, of: Measurement) -> str:
        """SQL of a flag: the measurement's own, else the source's, else null."""
        return getattr(of, name) or getattr(self, name) or "null"

    def expressions(self) -> list[str]:
        """All SQL of the source."""
        own = [getattr(self, name) for name in (*_FLAGS, "quality")]
        each = [getattr(one, name) for one in self.measurements for name in ("mag", "error", *_FLAGS)]
        return [text for text in (*own, *each) if text]


class PhotometryConfig(Section):
    """`config/photometry.yaml`."""

    sources: list[Source]


@cache
def load_photometry() -> PhotometryConfig:
    """Which dataset measures which bands; raises `InputError` with file and line."""
    return load_yaml(CONFIG / "photometry.yaml", PhotometryConfig)


def photometry(
    objects: pa.Table, tables: dict[str, pa.Table], ids: dict[str, str], config: PhotometryConfig, bands: list[Band]
) -> StepResult:
    """Every magnitude of every object.

    Parameters
    ----------
    objects
        `object_id, ra, dec` and the `<survey>_id` of each survey, shape (n,).
    tables
        Curated rows by survey, those of the margin included.
    ids
        Id column by survey.
    bands
        Those that the configuration names, at least.

    Returns
    -------
    StepResult
        An object with several magnitudes counts in as many times as it comes out.
    """
    known = {one.id: one for one in bands}
    parts, rank = [], 0
    for source in config.sources:
        if source.survey in tables:
            rows, place = _members(objects, source.survey, tables[source.survey], ids[source.survey])
            told = evaluate(rows, _wanted(source), ORIGIN)
            for number, one in enumerate(source.measurements):
                parts.append(_measured(source, number, known[one.band], told, place, rank))
                rank += 1
    table = _together(objects, parts)
    measured = len(pc.unique(table["object_id"]))
    dark = len(objects) - measured
    filtered = {"no_photometry": dark} if dark else {}
    return StepResult(table, Accounting(len(table) + dark, len(table), filtered=filtered))


def _members(objects: pa.Table, survey: str, table: pa.Table, id_column: str) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Rows of the survey that are objects' members, shape (m,), and the object of each."""
    names = table[id_column].cast(pa.string()).combine_chunks()
    place = pc.index_in(objects[f"{survey}_id"].combine_chunks(), value_set=names, skip_nulls=True)
    found = np.flatnonzero(place.is_valid().to_numpy(zero_copy_only=False))
    return table.take(place.drop_null()).append_column("__survey_id", names.take(place.drop_null())), found


def _wanted(source: Source) -> dict[str, tuple[str, str]]:
    wanted = {"survey_id": ("__survey_id", "string"), "quality": (source.quality or "null", "string")}
    for number, one in enumerate(source.measurements):
        wanted[f"mag_{number}"] = (one.mag, "float64")
        wanted[f"error_{number}"] = (one.error or "null", "float64")
        wanted |= {f"{name}_{number}": (source.flag(name, one), "bool") for name in _FLAGS}
    return wanted


def _measured(
    source: Source, number: int, band: Band, told: dict[str, pa.Array], place: npt.NDArray[np.int64], rank: int
) -> dict[str, Any]:
    """Columns of one band of one survey, of the objects that have it; `__place` is the object, `__rank` the order."""
    has = told[f"mag_{number}"].is_valid()
    mag, error, saturated, blended, clean, quality, survey_id = (
        told[name].filter(has)
        for name in (f"mag_{number}", f"error_{number}", *(f"{f}_{number}" for f in _FLAGS), "quality", "survey_id")
    )
    magnitudes, errors = (one.to_numpy(zero_copy_only=False) for one in (mag, error))
    jy, jy_err = flux_jy(magnitudes, errors, band, asinh=source.asinh)
    if band.saturation_mag is not None:
        saturated = pc.or_(pc.fill_null(saturated, False), pc.less(mag, band.saturation_mag))
    marks = (pc.fill_null(saturated, False), pc.fill_null(blended, False), pc.invert(pc.fill_null(clean, True)))
    code = sum(mark.to_numpy(zero_copy_only=False).astype(np.int8) << bit for bit, mark in enumerate(marks))
    against = _WORDS.take(pa.array(code))
    n = len(mag)
    return {
        "survey": pa.repeat(source.survey, n),
        "survey_id": survey_id,
        "band": pa.repeat(band.id, n),
        "mag": mag,
        "mag_err": error,
        "system": pa.repeat(band.system, n),
        "flux_jy": pa.array(jy, from_pandas=True),
        "flux_jy_err": pa.array(jy_err, from_pandas=True),
        "flux_cgs": pa.array(per_angstrom(jy, band), from_pandas=True),
        "flux_cgs_err": pa.array(per_angstrom(jy_err, band), from_pandas=True),
        "is_saturated": saturated,
        "is_blended": blended,
        "is_clean": pa.array(code == 0),
        "quality": pc.coalesce(pc.binary_join_element_wise(against, quality, ", "), against, quality),
        "__place": pa.array(place[has.to_numpy(zero_copy_only=False)]),
        "__rank": pa.repeat(rank, n),
    }


def _together(objects: pa.Table, parts: list[dict[str, Any]]) -> pa.Table:
    """All rows, by object, band and preference, with the object's id and position and the preferred ones marked."""
    tables = [pa.table(part) for part in parts if len(part["mag"])]
    if not tables:
        return SCHEMA.empty_table()
    rows = pa.concat_tables(tables).combine_chunks()
    shunned = pc.fill_null(rows["is_saturated"], False)
    rows = rows.append_column("__shunned", pc.cast(shunned, pa.int8()))
    order = pc.sort_indices(rows, [(one, "ascending") for one in ("__place", "band", "__shunned", "__rank")])
    rows = rows.take(order)
    place, code = rows["__place"].to_numpy(), pc.dictionary_encode(rows["band"]).combine_chunks().indices.to_numpy()
    first = np.ones(len(rows), bool)
    first[1:] = (place[1:] != place[:-1]) | (code[1:] != code[:-1])
    columns = {name: rows[name] for name in SCHEMA.names if name in rows.column_names}
    columns |= {name: objects[name].combine_chunks().take(pa.array(place)) for name in ("object_id", "ra", "dec")}
    columns["is_preferred"] = pa.array(first)
    return pa.table([columns[name].cast(SCHEMA.field(name).type) for name in SCHEMA.names], schema=SCHEMA)


def run(partition: Partition, inputs: dict[str, PartitionInput], params: dict[str, Any]) -> StepResult:
    """Step function; `params` hold the sources and bands in use and the id column of each survey."""
    objects = inputs["objects"].rows
    if not len(objects):
        return StepResult(SCHEMA.empty_table(), Accounting(0, 0))
    tables = {}
    for survey in params["ids"]:
        parts = [t for t in (inputs[survey].rows, inputs[survey].margin) if len(t)]
        if parts:
            tables[survey] = pa.concat_tables(parts)
    config = PhotometryConfig.model_validate(params["photometry"])
    return photometry(objects, tables, params["ids"], config, [Band.model_validate(one) for one in params["bands"]])


def photometry_step(profile: Profile) -> Step:
    """The step that makes `curated.photometry` from the objects and the curated datasets that have magnitudes."""
    on_sky = {c.dataset: c for c in profile.on_sky()}
    sources = [one for one in load_photometry().sources if one.survey in on_sky]
    surveys = {one.survey: on_sky[one.survey] for one in sources}
    inputs = {"objects": Input("curated.objects", columns=("object_id", "ra", "dec", *(f"{s}_id" for s in surveys)))}
    for one in sources:
        curated, named = surveys[one.survey], words(one.expressions())
        read = (curated.id, *(c.name for c in curated.columns if c.keep and c.name in named and c.name != curated.id))
        inputs[one.survey] = Input(f"curated.{one.survey}", profile.chain_arcsec, read, optional=True)
    used = {each.band for one in sources for each in one.measurements}
    return Step(
        dataset="curated.photometry",
        name="photometry",
        version=VERSION,
        inputs=inputs,
        params={
            "photometry": {"sources": [one.model_dump(mode="json") for one in sources]},
            "bands": [one.model_dump(mode="json") for one in load_bands().bands if one.id in used],
            "ids": {name: curated.id for name, curated in surveys.items()},
        },
        run=run,
        id_column=ID,
        layout="inherit",
        primary="objects",
        adds_rows=True,
        description="One row per object, survey and band: magnitude, flux density and quality",
    )
