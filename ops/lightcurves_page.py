"""Write docs/lightcurves.md from the features' definitions and docs/lightcurves.json.

`--check` fails when the page is stale; `--measure` measures the recovery of periods anew (some minutes; needs the real
data, `STELLAR_DATA` or ../shared/real) and keeps it in docs/lightcurves.json.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "include")]
PAGE, FIGURES = ROOT / "docs" / "lightcurves.md", ROOT / "docs" / "lightcurves.json"

HEAD = """# Features of light curves

Written by `ops/lightcurves_page.py`; a test fails when it is stale.

`stellar.features.lightcurves` makes them, for curves of any survey: fluxes (space telescopes) or magnitudes (from the
ground), in lists of times, values, errors and quality bits. A table of curves is worked on in blocks; `threads` of
`lightcurve_features` spreads the blocks over the cores, and the values do not depend on it. `docs/benchmarks.md` tells
how fast.

1. **Cleaning** (`variability.clean`): points that are not finite, have no positive error or a quality bit of their
   mission set, or an error of five times the usual one; of space curves also single points far from both neighbours.
   Nothing is clipped by its distance from the mean, so eclipses and flares stay. Space curves lose a parabola over the
   whole span, fitted robustly; its height is the column `trend`.
2. **Period** (`periodogram`, `aliases`, `folding`, `boxes`): a generalised Lomb-Scargle periodogram of ln flux
   (magnitudes) or relative flux, from one cycle in the span up to `fmax_per_day`, the peak measured on the points. From
   the ground, peaks that are daily aliases of the highest are compared with four harmonics, and the best fit is taken.
   The period is multiplied while its cycles are not alike. Where a box near a multiple of the highest peaks explains
   more than the Fourier series, the star is taken for an eclipsing one with the box's period.
3. **Shape**: Fourier series, folded minima, prewhitened frequencies, statistics.

**Several sectors or quarters of one star** are one curve where a profile says `stitch: true` for a feature dataset, or
where a table of curves has a list `segment` (`segments`, `stitching`). Rows of one object and one mission are put
together. Each segment is moved as a whole: fluxes are multiplied, magnitudes get something added, so that amplitudes
stay. Where segments overlap in time, they are moved so that they agree there; else their medians are made equal, and
variation slower than a segment is lost. `segment_how` and `segment_moved` tell it for each segment, `segment_lc_id`
which curves they are; all are null for a curve of one segment, whose other features are what they are without `stitch`.
Each segment loses a parabola of its own.

**What may be asked for** (`params` of the step; none of it is on by default):

- `detrend_window_d`: a robust cubic spline in the place of the parabola (`detrending.trend`), with a knot every so many
  days, Tukey's biweight, and nothing carried across a gap of half a day or into another segment. With a window of
  three periods or more a sinusoid of 0.2% or more keeps its amplitude to 3%; eclipses of up to a sixteenth of the
  window keep their depth, and flares their height, to 2% and the noise; of a trend of some per cent 0.2% is left at
  most (property tests on curves of a sector with its gap, noise 0.03%).
- `clip_brighter`, `clip_fainter`: lone points beyond so many standard deviations go, each side with its own limit
  (`detrending.lone_outliers`). Three neighbours beyond 3 sigma stay, so eclipses and flares do.

A column is null where it cannot be measured: dips and flares of curves from the ground, lags longer than the curve.

Several bands of one star (`multiband.multiband_peak`) share a frequency; each has a mean, an amplitude and a phase of
its own.
"""


def share(value: float) -> str:
    return f"{100 * value:.1f}%"


def table(header: list[str], lines: list[list[object]]) -> str:
    rows = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    return "\n".join([*rows, *("| " + " | ".join(map(str, line)) + " |" for line in lines)])


def recovery(figures: dict) -> str:
    """How often known periods come back."""
    simulated = table(
        ["class", "curves", "to 1%", "to 1%, half or double", "highest peak, to 1%"],
        [
            [name, one["curves"], share(one["exact"]), share(one["half_or_double"]), share(one["peak"])]
            for name, one in figures["simulated"].items()
        ],
    )
    stripe82 = table(
        ["bands", "stars", "0.2 to 1 day", "to 1% as five bands"],
        [
            ["five at once" if name == "all" else name, one["stars"], share(one["within"]), share(one["as_all"])]
            for name, one in figures["stripe82"].items()
        ],
    )
    asas = table(
        ["class", "stars", "days", "within", "within, or half"],
        [
            [
                name,
                one["stars"],
                f"{one['shortest_d']:g} to {one['longest_d']:g}",
                share(one["within"]),
                share(one["within_or_half"]),
            ]
            for name, one in figures["asas"].items()
        ],
    )
    return f"""## Known periods

Measured by `ops/lightcurves_page.py --measure`.

**Made TESS curves** (one sector with its gaps, `stellar.archive.variables`), those whose variation stands 20 times
above the noise (its root mean square over that of a point, times the root of the number of points). A contact binary
whose two minima are alike, EW, is found at half its period: nothing in the curve tells it from a star of that period.
Spots that come and go (ROT) do not hold a period to 1% within a sector.

{simulated}

**RR Lyrae of Stripe 82** (Sesar et al. 2010), some 60 points a band in eight years. The literature's periods are not
in the archive; the table gives the stars with a period of the class's range, and how many single bands agree with all
five.

{stripe82}

**ASAS stars**: those whose `period_d`, or twice it, is one that the definition of their class allows (GCVS, Samus et
al. 2017).

{asas}
"""


def page() -> str:
    """The whole page."""
    from stellar.features.lightcurve_columns import FEATURES, source_of

    rows = ["| column | unit | what it is | source |", "|---|---|---|---|"]
    rows += [f"| `{one.name}` | {one.unit or ''} | {one.description} | {source_of(one.name)} |" for one in FEATURES]
    parts = [HEAD]
    if FIGURES.exists():
        parts.append(recovery(json.loads(FIGURES.read_text())))
    parts.append(
        "## Columns\n\nAmplitudes and depths are in ln flux of curves in magnitudes, in relative flux of others.\n"
        + "The statistics of light-curve and the minima are of the relative flux of both.\n\n"
        + "\n".join(rows)
        + "\n"
    )
    return "\n".join(parts)


def main() -> None:
    if "--measure" in sys.argv:
        from benchmarks.period_recovery import measure

        real = Path(os.environ.get("STELLAR_DATA") or ROOT.parent / "shared" / "real")
        FIGURES.write_text(json.dumps(measure(real), indent=1) + "\n")
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text() != page():
            sys.exit(f"{PAGE.relative_to(ROOT)} is stale: run .venv/bin/python ops/lightcurves_page.py and commit it")
        return
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
