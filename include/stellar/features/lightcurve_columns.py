"""What the light-curve features are: name, unit, definition and source, and the columns that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import pyarrow as pa

from stellar.lake.schema import field

#: Bins of the structure function, each from the end of the one before: name and end in days.
LAGS_D = {"7h": 0.3, "36h": 1.5, "5d": 5.0, "20d": 20.0, "60d": 60.0, "200d": 200.0}
CARRIED = {
    "ra": (pa.float64(), "deg", "Right ascension, ICRS"),
    "dec": (pa.float64(), "deg", "Declination, ICRS"),
    "epoch_yr": (pa.float64(), "yr", "Julian year of the position"),
    "ticid": (pa.int64(), None, "TESS Input Catalog id"),
    "sector": (pa.int32(), None, "TESS sector"),
    "tmag": (pa.float64(), "mag", "TESS magnitude"),
}


class Feature(NamedTuple):
    name: str
    unit: str | None
    description: str


def _with_errors(features: Iterable[tuple[str, str | None, str]]) -> Iterator[Feature]:
    for name, unit, description in features:
        yield Feature(name, unit, description)
        yield Feature(f"{name}_err", unit, f"{description}, error")


def _prewhitened() -> Iterator[Feature]:
    for n, of in ((1, "the curve"), (2, "the curve without f1"), (3, "the curve without f1 and f2")):
        yield Feature(f"f{n}_log10_frequency", None, f"log10 frequency (per day) of the highest peak of {of}")
        yield Feature(f"f{n}_power", None, f"Its power in {of}")
        yield Feature(f"f{n}_log10_amplitude", None, f"log10 amplitude at f{n}, of ln flux or relative flux")
        for k in (2, 3):
            yield Feature(f"f{n}_r{k}1", None, f"Amplitude {k} over amplitude 1 at f{n}")
        for k in (2, 3):
            yield Feature(f"f{n}_phi{k}1", "rad", f"Phase {k} minus {k} times phase 1 at f{n}")
        yield Feature(f"f{n}_residual", None, f"Share of the variance left after f{n} with four harmonics")


_EXTRACTED = (  # name, of the light-curve library (Malanchev et al. 2021), class and arguments
    Feature("amplitude", None, "Half of maximum minus minimum (light-curve: Amplitude)"),
    Feature("standard_deviation", None, "Standard deviation (StandardDeviation)"),
    Feature("median_absolute_deviation", None, "Median absolute deviation (MedianAbsoluteDeviation)"),
    Feature("inter_percentile_range_2", None, "98th minus 2nd percentile (InterPercentileRange)"),
    Feature("inter_percentile_range_10", None, "90th minus 10th percentile (InterPercentileRange)"),
    Feature("inter_percentile_range_25", None, "75th minus 25th percentile (InterPercentileRange)"),
    Feature("percent_amplitude", None, "Largest distance from the median (PercentAmplitude)"),
    Feature("magnitude_percentage_ratio_40_5", None, "Central 20% over central 90% (MagnitudePercentageRatio)"),
    Feature("magnitude_percentage_ratio_20_10", None, "Central 60% over central 80% (MagnitudePercentageRatio)"),
    Feature("median_buffer_range_percentage_10", None, "Share of points near the median (MedianBufferRange)"),
    Feature("beyond_1_std", None, "Share of points beyond one standard deviation (BeyondNStd)"),
    Feature("skew", None, "Skewness; below 0 for eclipses, above for flares (Skew)"),
    Feature("kurtosis", None, "Excess kurtosis (Kurtosis)"),
    Feature("anderson_darling_normal", None, "Anderson-Darling statistic against a normal (AndersonDarlingNormal)"),
    Feature("eta", None, "von Neumann: mean squared step over variance (Eta)"),
    Feature("cusum", None, "Range of the cumulative sum (Cusum)"),
    Feature("stetson_K", None, "Stetson (1996) K, 0.8 for a normal (StetsonK)"),
    Feature("chi2", None, "Reduced chi-square about the weighted mean (ReducedChi2)"),
    Feature("excess_variance", None, "Variance beyond the errors, relative (ExcessVariance)"),
    Feature("otsu_mean_diff", None, "Distance of the two levels of Otsu's split (OtsuSplit)"),
    Feature("otsu_std_lower", None, "Scatter of the lower level (OtsuSplit)"),
    Feature("otsu_std_upper", None, "Scatter of the upper level (OtsuSplit)"),
    Feature("otsu_lower_to_all_ratio", None, "Share of points in the lower level (OtsuSplit)"),
)
_OWN = (
    Feature("n_points", None, "Points used"),
    Feature("span_d", "d", "Time from first to last point"),
    Feature("cadence_d", "d", "Median time between points"),
    Feature("noise", None, "Point-to-point scatter, robust"),
    Feature("mean_error", None, "Median given error"),
    Feature("amplitude_snr", None, "Central 96% range over the noise"),
    Feature("trend", None, "Height of the parabola taken out"),
    Feature("flicker_8h", None, "Scatter faster than 8 hours beyond the noise (after Bastien et al. 2013)"),
    Feature(
        "period_ls_d", "d", "Period of the highest Lomb-Scargle peak, or of the daily alias of it that fits better"
    ),
    Feature("period_ls_err_d", "d", "Its error (Montgomery & O'Donoghue 1999)"),
    Feature(
        "period_d",
        "d",
        "Whole cycle: the multiple of period_ls_d whose cycles are alike, or the period of a box that fits better",
    ),
    Feature("period_err_d", "d", "Its error"),
    Feature("period_multiple", None, "period_d over period_ls_d"),
    Feature("fold_ratio", None, "Folded variance at period_d over that at period_ls_d"),
    Feature("ls_power", None, "Lomb-Scargle power, standard normalisation"),
    Feature("ls_log10_fap", None, "log10 false-alarm probability (Baluev 2008)"),
    Feature("ls_second_power", None, "Highest unrelated peak over the highest peak"),
    Feature("fourier_explained", None, "Share of variance in the Fourier series at period_d"),
    Feature("fourier_amplitude", None, "Amplitude of the first harmonic at period_ls_d"),
    Feature("fourier_amplitude_err", None, "Its error"),
    *_with_errors((f"r{k}1", None, f"Amplitude {k} over amplitude 1") for k in (2, 3, 4)),
    *_with_errors((f"phi{k}1", "rad", f"Phase {k} minus {k} times phase 1") for k in (2, 3)),
    Feature("rise_fraction", None, "Part of the cycle from minimum to maximum at period_ls_d"),
    Feature("primary_depth", None, "Depth of the deepest minimum of the curve folded at period_d"),
    Feature("primary_depth_err", None, "Its error"),
    Feature("primary_width", None, "Part of the cycle below half that depth"),
    Feature("secondary_depth", None, "Depth of the second minimum"),
    Feature("secondary_depth_err", None, "Its error"),
    Feature("secondary_phase", None, "Its distance from the primary, in cycles"),
    Feature("depth_ratio", None, "Second over first depth"),
    Feature("flare_count", None, "Runs of three points over 3 sigma with a peak over 6 sigma"),
    Feature("flare_amplitude", None, "Highest of them"),
    Feature("dip_count", None, "The same below"),
    Feature("dip_depth", None, "Deepest of them"),
    *(
        Feature(f"structure_{lag}", None, f"log10 of the structure function at lags of up to {lag}, over the variance")
        for lag in LAGS_D
    ),
    Feature("scatter_30d_means", None, "Scatter of means over 30 days, over the scatter of the points"),
    Feature("scatter_200d_means", None, "Scatter of means over 200 days, over the scatter of the points"),
    *(
        Feature(f"asymmetry_{p}", None, f"Share of the range from percentile {p} to {100 - p} that is below the median")
        for p in (2, 10, 25)
    ),
    Feature("slow_log10_frequency", None, "log10 frequency (per day) of the highest peak below 0.1 per day"),
    Feature("slow_power", None, "Its power"),
    Feature("fast_log10_frequency", None, "log10 frequency (per day) of the highest peak above 0.1 per day"),
    Feature("fast_power", None, "Its power"),
    *_prewhitened(),
    Feature("bls_period_d", "d", "Period of the best box (Kovacs et al. 2002) near multiples of the highest peaks"),
    Feature("bls_duration_d", "d", "Its length"),
    Feature("bls_depth", None, "Its depth, of ln flux or relative flux"),
    Feature("bls_depth_err", None, "Its error"),
    Feature("bls_power", None, "Share of the chi-square that the box takes away"),
)
BOXES = ("bls_period_d", "bls_duration_d", "bls_depth", "bls_depth_err", "bls_power")
FEATURES = _EXTRACTED + _OWN
MINIMA = (
    "primary_depth",
    "primary_depth_err",
    "primary_width",
    "secondary_depth",
    "secondary_depth_err",
    "secondary_phase",
    "depth_ratio",
)


_OURS = "this platform"
#: Where each definition comes from, by the start of the name; the longest start that fits counts.
SOURCES = {
    **{one.name: "Malanchev et al. (2021)" for one in _EXTRACTED},
    "stetson_K": "Stetson (1996), by Malanchev et al. (2021)",
    "eta": "von Neumann (1941), by Malanchev et al. (2021)",
    "otsu": "Otsu (1979), by Malanchev et al. (2021)",
    **dict.fromkeys(("n_points", "span_d", "cadence_d", "mean_error", "trend"), _OURS),
    **dict.fromkeys(("noise", "amplitude_snr"), "median absolute step, scaled to a normal's standard deviation"),
    "flicker_8h": "after Bastien et al. (2013)",
    "period_ls": "Zechmeister & Kuerster (2009)",
    "period_ls_err_d": "Montgomery & O'Donoghue (1999), eq. 14",
    "period_d": _OURS,
    "period_err_d": "Montgomery & O'Donoghue (1999), eq. 14",
    "period_multiple": _OURS,
    "fold_ratio": "Stellingwerf (1978)",
    "ls_power": "Zechmeister & Kuerster (2009), eq. 5",
    "ls_log10_fap": "Baluev (2008)",
    "ls_second_power": _OURS,
    **dict.fromkeys(("fourier", "r21", "r31", "r41", "phi21", "phi31"), "Simon & Lee (1981)"),
    "rise_fraction": "Simon & Lee (1981)",
    **dict.fromkeys(("primary", "secondary", "depth_ratio"), _OURS),
    **dict.fromkeys(("flare", "dip"), _OURS),
    "structure": "Simonetti, Cordes & Heeschen (1985)",
    **dict.fromkeys(("scatter", "asymmetry"), _OURS),
    **dict.fromkeys(("slow", "fast"), "Zechmeister & Kuerster (2009)"),
    **dict.fromkeys(("f1", "f2", "f3"), "prewhitening as Debosscher et al. (2007); Simon & Lee (1981)"),
    "bls": "Kovacs, Zucker & Mazeh (2002)",
}


def source_of(name: str) -> str:
    """Where a feature's definition comes from."""
    return SOURCES[max((start for start in SOURCES if name.startswith(start)), key=len)]


@cache
def extractor() -> Any:
    """The library's extractor of the first `FEATURES`, in their order; made once, importing late."""
    import light_curve as lc

    return lc.Extractor(
        lc.Amplitude(),
        lc.StandardDeviation(),
        lc.MedianAbsoluteDeviation(),
        lc.InterPercentileRange(0.02),
        lc.InterPercentileRange(0.10),
        lc.InterPercentileRange(0.25),
        lc.PercentAmplitude(),
        lc.MagnitudePercentageRatio(0.40, 0.05),
        lc.MagnitudePercentageRatio(0.20, 0.10),
        lc.MedianBufferRangePercentage(0.10),
        lc.BeyondNStd(1.0),
        lc.Skew(),
        lc.Kurtosis(),
        lc.AndersonDarlingNormal(),
        lc.Eta(),
        lc.Cusum(),
        lc.StetsonK(),
        lc.ReducedChi2(),
        lc.ExcessVariance(),
        lc.OtsuSplit(),
    )


def lightcurve_schema(carry: list[str], *, magnitudes: bool, segments: bool = False) -> pa.Schema:
    """Columns of a light-curve feature table with units and definitions; `segments` of curves that were stitched."""
    fields = [
        field("lc_id", pa.string(), description="Id of the light curve"),
        field("object_id", pa.string(), ucd="meta.id;meta.main", description="Object that it belongs to"),
        *(field(name, CARRIED[name][0], CARRIED[name][1], None, CARRIED[name][2]) for name in carry),
    ]
    if magnitudes:
        fields.append(field("mag_median", pa.float32(), "mag", "phot.mag", "Median magnitude"))
    fields += [field(one.name, pa.float32(), one.unit, None, one.description) for one in FEATURES[: len(_EXTRACTED)]]
    # a period needs more than 7 digits where thousands of cycles are counted
    fields += [
        field(one.name, pa.float64() if one.unit == "d" else pa.float32(), one.unit, None, one.description)
        for one in _OWN
    ]
    if segments:
        about = "What was done with each segment: reference, overlap, median, refused; null for a curve of one"
        told = "Ids of the light curves that were put together, by their first times; null for a curve of one"
        fields.append(field("segment_lc_id", pa.list_(pa.string()), None, "meta.id", told))
        fields.append(field("segment_how", pa.list_(pa.string()), None, "meta.note", about))
        about = "By what each segment was multiplied (fluxes), or what was added to it (magnitudes)"
        fields.append(field("segment_moved", pa.list_(pa.float64()), None, "arith.factor", about))
    return pa.schema(fields)
