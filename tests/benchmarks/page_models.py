"""Sections of the page on features and models."""

from statistics import median

from benchmarks.figures import faster, rows, state, times

LIGHTCURVE_TOOLS = {
    "astropy": "astropy `LombScargle(method='fast')` alone",
    "nifty-ls": "nifty-ls (finufft) alone",
    "light-curve": "light-curve: the same 20 statistics and its own coarser periodogram",
    "stellar": "ours: every feature and the period, without boxes",
    "stellar, both cores": "the same on both cores, in processes as a build runs",
    "stellar, two threads": "the same on two threads of one process",
    "stellar, with boxes": "with box least squares, one thread",
}


def lightcurves(part: dict) -> list[str]:
    """Features of light curves."""
    lines = [
        [
            label,
            f"{median(part['ms'][name]):.2f} ms",
            f"{min(part['ms'][name]):.2f} ms",
            times(faster(part, name)),
            f"{part['peak_bytes'][name] / 2**20:,.0f} MiB",
        ]
        for name, label in LIGHTCURVE_TOOLS.items()
    ]
    header = ["a curve", "median", "fastest round", "faster than astropy", "peak memory"]
    return [
        f"Measured {part['date']}; {part['curves']} curves from the ground with gaps of days and seasons, "
        f"{part['points']:,} points and {part['frequencies']:,} frequencies each; {len(part['ms']['astropy'])} rounds "
        "in which the tools take turns, one thread each unless said. Ratios are of the same round, the median of them.",
        rows(header, lines),
    ]


def spectra(part: dict) -> list[str]:
    """Spectra prepared, learned from and predicted."""
    lines = [[name, f"{median(rates):,.0f}"] for name, rates in part["per_second"].items()]
    return [
        f"Measured {part['date']}; {part['spectra']:,} simulated SDSS spectra of some 3,800 pixels, prepared on one "
        "thread; networks use two. What a network learns from is counted once an epoch. Peak memory of all in one "
        f"process: {part['peak_bytes'] / 2**20:,.0f} MiB.",
        rows(["work", "spectra a second"], lines),
    ]


def photometry(part: dict) -> list[str]:
    """Temperatures of eclipsing binaries."""
    ours, forest, speed = part["ours"], part["forest"], speeds(part)
    theirs = forest["figures"]
    pairs = (("mae", "mae_k"), ("rmse", "rmse_k"), ("r2", "r2"), ("within_10_percent", "within_10"), ("crps", "crps_k"),
             ("pit_mean", "pit_mean"), ("pit_std", "pit_std"))  # fmt: skip
    lines = [[own, f"{ours['figures'][own]:.4g}", f"{theirs[other]:.4g}"] for own, other in pairs]
    lines += [
        ["90% intervals cover", f"{ours['figures']['interval_coverage']:.1%}", ""],
        ["fit, seconds", f"{ours['seconds']['fit']:.0f}", f"{speed['forest fit']:,.0f}"],
        [
            "predict all rows, seconds",
            f"{median(ours['seconds']['file to file']):.1f}",
            f"{speed['forest predict']:,.0f}",
        ],
        ["model, MB", f"{ours['model_bytes'] / 1e6:.1f}", "1,200 to 2,100 (published)"],
    ]
    rising = sorted(ours["coverage"].items(), key=lambda one: float(one[0][1:].partition(",")[0]))
    bins = "; ".join(f"{name}: {value:.1%}" for name, value in rising)
    return [
        f"Measured {part['date']}; {ours['rows']:,} simulated eclipsing binaries ([what is simulated]"
        "(eclipsing_binaries.md)), tested on the fifth of those with a catalogue temperature that a hash of the id "
        f"picks: {forest['n_test']:,}, neither side having learned from them. Ours is `photometric-teff-eb` with Gaia, "
        "Pan-STARRS and 2MASS colours, parallax and E(B-V), from file to file, its fit with evaluation and report; the "
        "forest is the published recipe: scikit-learn, depth 20, six Gaia magnitudes and colours, two jobs, arrays in "
        f"memory. It was timed on {forest['trees']} trees, and its seconds are scaled to 300; its CRPS would be about "
        "3% smaller with as many.",
        rows(["", "ours", "forest"], lines),
        f"From file to file at {speed['of estimator']:.0%} of the speed of the model's own trees on an array in memory "
        f"(rounds taking turns); the whole command `stellar predict` took {ours['seconds']['predict']:.1f} s, "
        f"`stellar train` with the import of the file {ours['seconds']['train']:.0f} s.",
        f"Coverage of the 90% intervals by predicted temperature (K): {bins}.",
    ]


def speeds(part: dict) -> dict[str, float]:
    """Seconds of the forest at its published size, and our speed beside that of our own estimator."""
    ours, forest = part["ours"]["seconds"], part["forest"]
    scale = 300 / forest["trees"]
    return {
        "forest fit": forest["seconds"]["fit"] * scale,
        "forest predict": forest["seconds"]["predict"] * scale * part["ours"]["rows"] / forest["n_test"],
        "of estimator": median(a / b for a, b in zip(ours["array"], ours["file to file"], strict=True)),
    }


def photometry_asked(part: dict) -> list[str]:
    """What is asked of the temperatures."""
    own, forest, speed, seconds = (
        part["ours"]["figures"],
        part["forest"]["figures"],
        speeds(part),
        part["ours"]["seconds"],
    )
    mae, crps = own["mae"] / forest["mae_k"], own["crps"] / (0.97 * forest["crps_k"])
    worst = max((abs(value - 0.9) for value in part["ours"]["coverage"].values()), default=1.0)
    faster = {
        "training": (speed["forest fit"] / seconds["fit"], 10),
        "scoring": (speed["forest predict"] / median(seconds["file to file"]), 10),
    }
    return [
        state(mae <= 0.97, f"temperatures: MAE {mae:.3f} of the forest's (at most 0.97)"),
        state(crps <= 0.85, f"CRPS {crps:.3f} of the forest's, taken 3% smaller for its 300 trees (at most 0.85)"),
        state(
            abs(own["pit_std"] - 0.289) <= 0.015 and abs(own["pit_mean"] - 0.5) <= 0.01,
            f"PIT {own['pit_mean']:.4f} +- {own['pit_std']:.4f} (0.50 +- 0.01, 0.289 +- 0.015)",
        ),
        state(0.89 <= own["interval_coverage"] <= 0.91, f"coverage {own['interval_coverage']:.1%} (89 to 91%)"),
        state(worst <= 0.05, f"coverage by predicted temperature within {worst:.1%} of 90% (5%)"),
        *(state(value >= least, f"{name} {times(value)} the forest (at least {least})")
          for name, (value, least) in faster.items()),
        state(part["ours"]["model_bytes"] <= 50e6, f"model {part['ours']['model_bytes'] / 1e6:.1f} MB (at most 50)"),
        state(speed["of estimator"] >= 0.7, f"file to file at {speed['of estimator']:.0%} of the trees' speed (70%)"),
    ]  # fmt: skip
