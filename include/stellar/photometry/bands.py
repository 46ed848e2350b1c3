"""The table of photometric bands, `config/bands.yaml`: zero points, wavelengths, saturation and extinction."""

from __future__ import annotations

from functools import cache
from typing import Literal

from pydantic import Field, model_validator

from stellar.checked_yaml import Section, load_yaml
from stellar.errors import InputError
from stellar.settings import CONFIG

#: Flux of AB magnitude 0 in Jy: 10**(-48.60 / 2.5) erg/s/cm2/Hz (Oke & Gunn 1983, ApJ 266, 713) to its usual digits.
AB_ZERO_JY = 3631.0
TERMS = 10


class Band(Section):
    """One band. Wavelengths in Angstrom, fluxes in Jy; where each number is from is a key of `BandTable.sources`."""

    id: str
    name: str
    system: Literal["AB", "Vega"]
    pivot_angstrom: float = Field(gt=0)
    effective_angstrom: float = Field(gt=0)
    vega_jy: float = Field(gt=0)
    ab_offset_mag: float | None = None
    zero_point_jy: float | None = Field(None, gt=0)
    zero_point_error_mag: float = Field(gt=0)
    zero_point_source: str
    error_source: str
    asinh_softening: float | None = Field(None, gt=0)
    saturation_mag: float | None = None
    saturation_source: str | None = None
    extinction_per_ebv: float | None = Field(None, gt=0)
    extinction_source: str | None = None

    @model_validator(mode="after")
    def _one_zero_point(self) -> Band:
        if (self.ab_offset_mag is None) == (self.zero_point_jy is None):
            raise ValueError(f"band {self.id}: give `ab_offset_mag` or `zero_point_jy`, one of them")
        if (self.saturation_mag is None) != (self.saturation_source is None):
            raise ValueError(f"band {self.id}: `saturation_mag` and `saturation_source` belong together")
        if (self.extinction_per_ebv is None) != (self.extinction_source is None):
            raise ValueError(f"band {self.id}: `extinction_per_ebv` and `extinction_source` belong together")
        return self

    @property
    def zero_jy(self) -> float:
        """Flux of the survey's magnitude 0."""
        if self.zero_point_jy is not None:
            return self.zero_point_jy
        return float(AB_ZERO_JY * 10.0 ** (-0.4 * (self.ab_offset_mag or 0.0)))


class GaiaLaw(Section):
    """Extinction in Gaia's broad bands as a function of the star's colour and of the extinction itself."""

    source: str
    a0_per_ebv: float = Field(gt=0)
    colour_range: tuple[float, float]
    a0_range: tuple[float, float]
    coefficients: dict[str, list[float]]

    @model_validator(mode="after")
    def _ten_terms(self) -> GaiaLaw:
        for band, terms in self.coefficients.items():
            if len(terms) != TERMS:
                raise ValueError(f"gaia_law: {band} has {len(terms)} coefficients, the law has {TERMS}")
        return self


class BandTable(Section):
    """`config/bands.yaml`."""

    sources: dict[str, str]
    bands: list[Band]
    gaia_law: GaiaLaw

    @model_validator(mode="after")
    def _joints(self) -> BandTable:
        ids = [one.id for one in self.bands]
        if twice := sorted({one for one in ids if ids.count(one) > 1}):
            raise ValueError(f"band {', '.join(twice)} is given twice; keep one")
        if unknown := sorted(set(self.gaia_law.coefficients) - set(ids)):
            raise ValueError(f"gaia_law: no such band {', '.join(unknown)}")
        for band in self.bands:
            named = (band.zero_point_source, band.error_source, band.saturation_source, band.extinction_source)
            for source in (one for one in named if one is not None):
                if source not in self.sources:
                    raise ValueError(f"band {band.id}: `sources` has no {source}")
            if (band.extinction_per_ebv is None) != (band.id in self.gaia_law.coefficients):
                raise ValueError(f"band {band.id}: its extinction is in `extinction_per_ebv` or in `gaia_law`")
        return self


@cache
def load_bands() -> BandTable:
    """The table; raises `InputError` with file and line."""
    return load_yaml(CONFIG / "bands.yaml", BandTable)


@cache
def band(name: str) -> Band:
    """The band of an SVO identifier, for example `GAIA/GAIA3.G`.

    Raises
    ------
    InputError
        When there is no such band.
    """
    found = next((one for one in load_bands().bands if one.id == name), None)
    if found is None:
        known = ", ".join(one.id for one in load_bands().bands)
        raise InputError(f"there is no band {name!r} in config/bands.yaml; the bands are {known}")
    return found
