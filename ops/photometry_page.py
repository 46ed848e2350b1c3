"""Write docs/photometry.md from config/bands.yaml and config/photometry.yaml.

`--check` fails when the page is stale.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "include")]
PAGE = ROOT / "docs" / "photometry.md"

HEAD = """# Photometry

Written by `ops/photometry_page.py`; a test fails when it is stale.

`curated.photometry` has one row per object, survey and band, of every survey that `config/photometry.yaml` names and
the profile holds: the magnitude as published with its error and system, the flux density in Jy (`flux_jy`) and in
erg/s/cm2/Angstrom at the pivot wavelength (`flux_cgs`), and what is known of its quality. `features.sed` takes one
value a band, with reddening and parallax corrected beside the values as published.

## What the columns mean

- **Fluxes**: F = F0 10**(-0.4 m), with F0 of the table below; `flux_cgs` = F c / pivot**2. SDSS's own magnitudes are
  inverse hyperbolic sines (Lupton, Gunn & Szalay 1999) and are taken so. The error of a flux is that of its magnitude
  and that of the zero point in quadrature; a magnitude without an error has a flux without one. No colour term is
  applied.
- **is_saturated**: the survey's own flag, or a magnitude brighter than the band's limit below; null where neither is
  known.
- **is_blended**: the survey's own flag; null where it has none. **is_clean**: the survey's own test of clean
  photometry, and neither saturated nor blended. **quality** says the marks in words.
- **is_preferred**: of several surveys of one band the first in `config/photometry.yaml` that is not saturated.
- **ebv**: E(B-V) on the scale of the map of Schlegel, Finkbeiner & Davis (1998), so that the coefficients below (of
  Schlafly & Finkbeiner 2011, who found the map 14% too high and included it) fit it: SDSS's extinction in r over
  2.285, which is that of the whole line of sight, with the map's error of 16%; else GSP-Phot's reddening of the star
  itself, without an error. `ebv_source` says which.
- **Dereddened** magnitudes and colours (`..._0`): less A = E(B-V) times the band's coefficient. Gaia's bands are so
  broad that theirs depends on the star's colour and on the extinction (`config/bands.yaml`, `gaia_law`); it needs BP
  and RP. Errors count that of E(B-V), not that of the law.
- **parallax_corrected_mas**: the parallax less its zero point by Lindegren et al. (2021), A&A 649, A4 (package
  gaiadr3-zeropoint, theirs), where a table has the wavenumber that Gaia's astrometry used; else less the quasars'
  median, -0.017 mas. `parallax_zero_point_source` says which: `lindegren2021` or `global`. The error is the
  parallax's.
- **g_abs_mag** is as it always was: the parallax as published, no extinction. **g_abs_mag_corrected** has the
  corrected parallax, **g_abs_mag_0** also the dereddened G. All three only where the parallax is above three times
  its error.

A value that a survey marks as missing (-999, -9999, 99, and 0 where it is none) is null in the lake.
`stellar export DATASET DIR --format csv --missing -999` (or `fits`, `votable`, `parquet`) writes such a marker again,
for programs that want one.
"""


def table(header: list[str], lines: list[list[object]], numbers: int) -> str:
    """A Markdown table whose columns from `numbers` on are aligned right."""
    rule = "|" + "---|" * numbers + "---:|" * (len(header) - numbers)
    return "\n".join(
        ["| " + " | ".join(header) + " |", rule, *("| " + " | ".join(map(str, one)) + " |" for one in lines)]
    )


def page() -> str:
    """The whole page."""
    from stellar.photometry.bands import load_bands
    from stellar.photometry.extinction import per_ebv
    from stellar.photometry.flux import per_angstrom

    bands = load_bands()
    rows = [
        [
            f"`{one.id}`",
            one.system,
            f"{one.pivot_angstrom:.2f}",
            f"{one.effective_angstrom:.2f}",
            f"{one.zero_jy:.2f}",
            one.zero_point_error_mag,
            f"{one.vega_jy:.2f}",
            f"{float(per_angstrom(one.zero_jy, one)):.3e}",
            "" if one.saturation_mag is None else one.saturation_mag,
            one.extinction_per_ebv or f"{per_ebv(one.id, [0.8], [0.1])[0]:.3f} *",
        ]
        for one in bands.bands
    ]
    header = ["band", "system", "pivot, A", "effective, A", "F0, Jy", "error, mag", "Vega, Jy"]
    header += ["F0, erg/s/cm2/A", "saturates brighter than, mag", "A / E(B-V)"]
    whence = [
        [
            f"`{one.id}`",
            one.zero_point_source,
            one.error_source,
            one.saturation_source or "",
            one.extinction_source or "gaia_law",
        ]
        for one in bands.bands
    ]
    law = bands.gaia_law
    law_rows = [[f"`{name}`", *(f"{value:.6g}" for value in terms)] for name, terms in law.coefficients.items()]
    terms = ["band", "1", "X", "X2", "X3", "A0", "A0^2", "A0^3", "X A0", "X2 A0", "X A0^2"]
    return "\n".join(
        [
            HEAD,
            "## Bands\n\nF0 is the flux of the survey's magnitude 0, `Vega` that of the SVO's Vega; * at (BP-RP)0",
            "= 0.8 and E(B-V) = 0.1, see below.\n",
            table(header, rows, 2) + "\n",
            "## Whence the numbers are\n\nWavelengths and the flux of Vega: svo.\n",
            table(["band", "zero point", "its error", "saturation", "extinction"], whence, 5) + "\n",
            *(f"- **{key}**: {text}" for key, text in bands.sources.items()),
            f"- **gaia_law**: {law.source}",
            "\n## Extinction in Gaia's bands\n",
            f"A = k A0, A0 = {law.a0_per_ebv} E(B-V), k the sum of these terms; X is the intrinsic BP - RP, between "
            f"{law.colour_range[0]} and {law.colour_range[1]}.\n",
            table(terms, law_rows, 1) + "\n",
            sources(),
        ]
    )


def sources() -> str:
    """Which columns of which survey are whose band."""
    from stellar.catalog.photometry import load_photometry

    lines = [
        [
            one.survey,
            f"`{each.band}`",
            f"`{each.mag}`",
            f"`{each.error}`" if each.error else "",
            "yes" if one.asinh else "",
        ]
        for one in load_photometry().sources
        for each in one.measurements
    ]
    return "## Sources\n\n" + table(["dataset", "band", "magnitude", "error", "asinh"], lines, 5) + "\n"


def main() -> None:
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text() != page():
            sys.exit(f"{PAGE.relative_to(ROOT)} is stale: run .venv/bin/python ops/photometry_page.py and commit it")
        return
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
