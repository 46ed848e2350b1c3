"""Which columns of a frame say how bright, how red and how hot its stars are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stellar.training.config import ModelConfig
from stellar.training.frame import is_numeric, numbers

# Names that the surveys' tables and ours use, the surest first.
USUAL: dict[str, tuple[str, ...]] = {
    "magnitude": ("g_mag", "phot_g_mean_mag", "gaia_g_mag", "r_mag", "i_mag", "tmag", "v_mag", "magnitude", "mag"),
    "colour": ("bp_rp", "g_r", "g_i", "bp_g", "g_rp", "b_v", "j_ks", "j_h"),
    "absolute_magnitude": ("g_abs_mag", "abs_g_mag", "absolute_magnitude", "abs_mag"),
    "extinction": ("ebv", "e_bv", "ebv_sfd", "extinction_r", "extinction_g", "a_v", "av", "a_g"),
    "temperature": ("teff_k", "teff", "teff_gspphot"),
}
PARALLAX = ("parallax_mas", "parallax")


@dataclass(frozen=True)
class Columns:
    """Names of columns of a frame, None where it has none of a kind."""

    magnitude: str | None = None
    colour: str | None = None
    absolute_magnitude: str | None = None
    extinction: str | None = None
    temperature: str | None = None
    parallax: str | None = None

    @classmethod
    def of(cls, config: ModelConfig, schema: pa.Schema) -> Columns:
        """The columns that the config names, and else the first one of a usual name that holds numbers."""
        there = {one.name for one in schema if is_numeric(one.type)}
        said = config.report.model_dump()
        found = {kind: said[kind] or next((one for one in names if one in there), None)
                 for kind, names in USUAL.items()}  # fmt: skip
        return cls(**found, parallax=next((one for one in PARALLAX if one in there), None))


def absolute_magnitude(columns: Columns, table: pa.Table) -> tuple[str, np.ndarray] | None:
    """Name and values of the absolute magnitude; from parallax and magnitude where no column has it, or None.

    M = m + 5 lg(parallax / mas) - 10, without extinction; NaN where the parallax is not positive.
    """
    if columns.absolute_magnitude:
        return columns.absolute_magnitude, numbers(table, columns.absolute_magnitude)
    if not (columns.parallax and columns.magnitude):
        return None
    parallax = numbers(table, columns.parallax)
    distance = np.log10(parallax, where=parallax > 0, out=np.full(len(parallax), np.nan))
    return f"{columns.magnitude} + 5 lg {columns.parallax} − 10", numbers(table, columns.magnitude) + 5 * distance - 10
