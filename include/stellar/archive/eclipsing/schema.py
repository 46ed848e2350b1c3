"""Columns of the catalogue and of its truth: names of the published set, types, units, UCDs, descriptions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from stellar.archive.columns import Column, parse_columns

_PS = "\n".join(
    f"ps_{b}PSFMag f mag phot.mag;em.opt.{ucd} Pan-STARRS DR1 mean PSF magnitude in {b}; -999 where there is none\n"
    f"ps_{b}PSFMagErr f mag stat.error;phot.mag;em.opt.{ucd} Its standard error"
    for b, ucd in (("g", "B"), ("r", "R"), ("i", "I"), ("z", "I"), ("y", "I"))
)
_2MASS = "\n".join(
    f"{b}_m f mag phot.mag;em.IR.{b.upper()} 2MASS {b.upper()} magnitude, of one moment; -999 where there is none\n"
    f"{b}_msigcom f mag stat.error;phot.mag;em.IR.{b.upper()} Its standard error"
    for b in ("j", "h", "k")
)
_GAIA = "\n".join(
    f"{b} f mag phot.mag;em.opt{ucd} Gaia mean magnitude in {b.upper()}\n"
    f"{b}_error f mag stat.error;phot.mag;em.opt{ucd} Its standard error"
    for b, ucd in (("g", ""), ("bp", ".B"), ("rp", ".R"))
)

CATALOGUE: tuple[Column, ...] = parse_columns(f"""
source_id l - meta.id;meta.main Identifier as Gaia's: level-12 nested HEALPix pixel * 2**35 + running number
ra d deg pos.eq.ra;meta.main Right ascension, ICRS
dec d deg pos.eq.dec;meta.main Declination, ICRS
parallax f mas pos.parallax.trig Parallax
parallax_error f mas stat.error;pos.parallax.trig Its standard error
{_GAIA}
bp_rp f mag phot.color BP - RP
g_bp f mag phot.color G - BP
g_rp f mag phot.color G - RP
{_PS}
{_2MASS}
teff_gaia f K phys.temperature.effective GSP-Phot temperature, biased for hot stars; -999 where there is none
logg_gaia f log(cm.s**-2) phys.gravity GSP-Phot surface gravity; -999 where there is none
mh_gaia f - phys.abund.Z GSP-Phot [M/H] in dex; -999 where there is none
teff_reference f K phys.temperature.effective Spectroscopic temperature of some hot stars; -999 where there is none
ebv f mag phot.color.excess E(B-V) of a dust map: of the whole sightline, blurred and noisy
ebv_error f mag stat.error;phot.color.excess Its standard error
period f d time.period Orbital period
morph_coeff f - src.morph.param Morphology from 0 (wide) over 0.7 (contact) to 1
primary_depth f mag phot.mag;arith.diff Depth of the deeper eclipse in G
""")

TRUTH: tuple[Column, ...] = parse_columns("""
source_id l - meta.id;meta.main Identifier, as in the catalogue and in its order
component s - meta.code.class Part of the Galaxy: young, thin, thick or halo
distance f pc pos.distance Distance
ebv f mag phot.color.excess E(B-V) between the Sun and the pair
teff f K phys.temperature.effective What a perfect catalogue would have: mean of ln Teff by G flux
teff_primary f K phys.temperature.effective Of the hotter star
teff_secondary f K phys.temperature.effective Of the cooler star
logg f log(cm.s**-2) phys.gravity Of the hotter star
logg_secondary f log(cm.s**-2) phys.gravity Of the cooler star
feh f - phys.abund.Z [Fe/H] in dex
mass_primary f solMass phys.mass Of the hotter star
mass_secondary f solMass phys.mass Of the cooler star
age f Gyr time.age Age
bp_rp_unreddened f mag phot.color BP - RP without dust or noise
""")


def arrow_schema(columns: tuple[Column, ...], about: dict[str, str]) -> pa.Schema:
    """Arrow schema with `unit`, `ucd` and `description` of each column, as the lake keeps them, and `about` it."""
    fields = []
    for column in columns:
        given = {"description": column.description, "ucd": column.ucd, "unit": column.unit}
        fields.append(pa.field(column.name, column.type, metadata={k: v for k, v in given.items() if v}))
    return pa.schema(fields, metadata=about)


def record_batch(schema: pa.Schema, arrays: dict[str, np.ndarray]) -> pa.Table:
    """Arrays by name as a table of the schema.

    Raises
    ------
    KeyError
        When a column of the schema is not among the arrays.
    """
    return pa.Table.from_arrays([pa.array(arrays[f.name]).cast(f.type) for f in schema], schema=schema)


def as_markdown(columns: tuple[Column, ...]) -> str:
    """Table of the columns as `docs/eclipsing_binaries.md` shows it."""
    lines = [f"| `{one.name}` | {one.type} | {one.unit or '-'} | {one.ucd} | {one.description} |" for one in columns]
    return "\n".join(["| column | type | unit | UCD | what |", "|---|---|---|---|---|", *lines])
