"""Values of the spectral energy distribution without reddening, and absolute magnitudes by the corrected parallax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stellar.lake.schema import field
from stellar.photometry.bands import band
from stellar.photometry.extinction import dereddened, intrinsic_colour, per_ebv
from stellar.photometry.parallax import ecliptic_latitude, zero_point

Floats = npt.NDArray[np.float64]
#: The magnitude that absolute magnitudes are of, and the colour that Gaia's extinction goes by.
G, COLOUR = "g_mag", "bp_rp"
#: A distance from a parallax below this S/N is not worth its name: the absolute magnitude is null there.
MIN_PARALLAX_SNR = 3.0
ASTROMETRY = ("solved", "nu_eff", "pseudocolour")


def corrected_colours(colours: Mapping[str, tuple[str, str]], bands: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Those colours both of whose magnitudes have a band, and so a known extinction."""
    return {name: pair for name, pair in colours.items() if all(one in bands for one in pair)}


def corrected_fields(colours: Mapping[str, tuple[str, str]], bands: Mapping[str, str]) -> list[pa.Field]:
    """Fields of `corrected`.

    Parameters
    ----------
    colours
        Name -> the two magnitudes.
    bands
        Magnitude -> band of `config/bands.yaml`.
    """
    fields = [
        field("ebv_source", pa.string(), description="Dataset that E(B-V) is from"),
        *_with_error("g_mag_0", "phot.mag;em.opt", "Gaia G without extinction"),
    ]
    for name, (blue, red) in corrected_colours(colours, bands).items():
        fields += _with_error(f"{name}_0", "phot.color", f"{blue} - {red} without reddening")
    whence = "lindegren2021, or global: the median of the quasars"
    limits = "A magnitude is brighter than where its band's detectors saturate"
    return [
        *fields,
        field("parallax_zero_point_mas", pa.float64(), unit="mas", description="To be subtracted from the parallax"),
        field("parallax_zero_point_source", pa.string(), description=whence),
        field(
            "parallax_corrected_mas",
            pa.float64(),
            unit="mas",
            ucd="pos.parallax.trig",
            description="Less its zero point; its error is parallax_mas_err",
        ),
        *_with_error("g_abs_mag_corrected", "phys.magAbs", "By the corrected parallax"),
        *_with_error("g_abs_mag_0", "phys.magAbs", "By the corrected parallax, without extinction"),
        field("is_saturated", pa.bool_(), ucd="meta.code.qual", description=limits),
    ]


def _with_error(name: str, ucd: str, text: str) -> list[pa.Field]:
    return [
        field(name, pa.float64(), unit="mag", ucd=ucd, description=text),
        field(f"{name}_err", pa.float64(), unit="mag", ucd=f"stat.error;{ucd}"),
    ]


def corrected(
    columns: Mapping[str, pa.Array],
    astrometry: Mapping[str, pa.Array],
    ebv_source: pa.Array,
    colours: Mapping[str, tuple[str, str]],
    bands: Mapping[str, str],
) -> dict[str, Any]:
    """Columns of `corrected_fields`, shape (n,) each.

    Parameters
    ----------
    columns
        `ra, dec`, and the values and colours with their errors; `ebv`, `ebv_err`, `parallax_mas`, `g_mag` and `bp_rp`
        where the configuration has them.
    astrometry
        `solved`, `nu_eff`, `pseudocolour` of the object's Gaia row.
    """
    n = len(columns["ra"])

    def values(name: str) -> Floats:
        return _numbers(columns[name]) if name in columns else np.full(n, np.nan)

    ebv, ebv_err = values("ebv"), values("ebv_err")
    intrinsic = intrinsic_colour(values(COLOUR), ebv)
    factor = {name: per_ebv(one, intrinsic, ebv) for name, one in bands.items()}
    found: dict[str, Any] = {"ebv_source": ebv_source}
    nothing = np.full(n, np.nan)
    g, g_err = dereddened(values(G), values(f"{G}_err"), factor.get(G, nothing), ebv, ebv_err)
    found["g_mag_0"], found["g_mag_0_err"] = _column(g), _column(np.where(np.isnan(g), np.nan, g_err))
    for name, (blue, red) in corrected_colours(colours, bands).items():
        value, error = dereddened(values(name), values(f"{name}_err"), factor[blue] - factor[red], ebv, ebv_err)
        found[f"{name}_0"], found[f"{name}_0_err"] = _column(value), _column(np.where(np.isnan(value), np.nan, error))
    parallax, parallax_err = values("parallax_mas"), values("parallax_mas_err")
    latitude = ecliptic_latitude(columns["ra"], columns["dec"])
    solved, nu_eff, pseudocolour = (_numbers(astrometry[one]) for one in ASTROMETRY)
    offset, source = zero_point(values(G), solved, nu_eff, pseudocolour, latitude)
    unknown = np.isnan(parallax)
    found["parallax_zero_point_mas"] = pa.array(offset, mask=unknown)
    found["parallax_zero_point_source"] = pa.array(source.astype(object), pa.string(), mask=unknown)
    found["parallax_corrected_mas"] = _column(parallax - offset)
    for name, magnitude, error in (
        ("g_abs_mag_corrected", values(G), values(f"{G}_err")),
        ("g_abs_mag_0", g, g_err),
    ):
        found[name], found[f"{name}_err"] = map(_column, absolute(magnitude, error, parallax - offset, parallax_err))
    found["is_saturated"] = _saturated({name: values(name) for name in bands}, bands, n)
    return found


def absolute(magnitude: Floats, error: Floats, parallax: Floats, parallax_err: Floats) -> tuple[Floats, Floats]:
    """Absolute magnitude and its error, float64[n] each: m + 5 log10(parallax / 100 mas).

    The error is that of the magnitude (0 where unknown) and 5 / ln 10 times the parallax's relative error. NaN where
    the parallax is not `MIN_PARALLAX_SNR` times its error.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        sure = (parallax / parallax_err > MIN_PARALLAX_SNR) & (parallax > 0)
        value = np.where(sure, magnitude + 5.0 * np.log10(np.where(sure, parallax, 1.0) / 100.0), np.nan)
        spread = np.hypot(np.where(np.isnan(error), 0.0, error), 5.0 / np.log(10.0) * parallax_err / parallax)
    return value, np.where(np.isnan(value), np.nan, spread)


def _saturated(magnitudes: Mapping[str, Floats], bands: Mapping[str, str], n: int) -> pa.Array:
    """Whether any magnitude is brighter than its band's limit; null where no magnitude has one."""
    limits = {name: band(one).saturation_mag for name, one in bands.items()}
    judged, bright = np.zeros(n, bool), np.zeros(n, bool)
    for name, limit in limits.items():
        if limit is not None:
            judged |= np.isfinite(magnitudes[name])
            bright |= magnitudes[name] < limit
    return pa.array(bright, mask=~judged)


def _numbers(values: pa.Array) -> Floats:
    return values.cast(pa.float64()).to_numpy(zero_copy_only=False)


def _column(values: Floats) -> pa.Array:
    return pa.array(values, from_pandas=True)
