"""Light-curve features: ours beside astropy's Lomb-Scargle, nifty-ls and light-curve's extractor, on the same curves.

Run as a process in the platform's environment: `.venv/bin/python tests/benchmarks/lightcurves.py` prints one line of
JSON: milliseconds a curve of each tool, round by round, the tools taking turns, so that what else the machine does
falls on all of them. With a tool's name it runs only that, for its memory.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa

CURVES, POINTS, FREQUENCIES, SEED = 256, 1200, 20_000, 20260101
SAMPLES_PER_PEAK = 4
ROUNDS = 7
CORES, PARTITIONS = 2, 8


def curves() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Magnitudes from the ground: three seasons of nights of eight hours, a third lost to clouds; errors by magnitude.

    A half are pulsators with three harmonics, the others eclipsing or slow and irregular.
    """
    rng = np.random.default_rng(SEED)
    made = []
    for number in range(CURVES):
        nights = np.concatenate([365 * season + np.flatnonzero(rng.random(200) < 0.67) for season in range(3)])
        time_d = np.sort(rng.choice(nights, POINTS) * 0.99727 + rng.uniform(0, 8 / 24, POINTS))
        period, error = 10 ** rng.uniform(-0.7, 1.5), 0.01 * 10 ** rng.uniform(0, 0.8)
        phase = time_d / period
        if number % 2:
            shape = sum(rng.uniform(0.3, 1) ** k * np.cos(2 * np.pi * (k * phase + rng.random())) for k in (1, 2, 3))
        elif number % 4:
            shape = 2.0 * (np.abs(phase % 1 - 0.5) < 0.05) + 1.0 * (np.abs((phase + 0.5) % 1 - 0.5) < 0.05)
        else:
            shape = np.cumsum(rng.normal(size=POINTS)) / 10
        errors = error * rng.uniform(0.7, 1.6, POINTS)
        made.append((time_d, 14 + 0.2 * shape + errors * rng.normal(size=POINTS), errors))
    return made


KEPT: list[pa.Table] = []  # what the processes inherit, as they would read their partitions from the lake


def measured(number: int, settings: dict) -> pa.Table:
    """Features of one partition, in a process."""
    from stellar.features.lightcurves import lightcurve_features

    return lightcurve_features(KEPT[number], KEPT[number]["lc_id"], settings)[0]


def tools() -> dict[str, tuple[Callable[[], None], int]]:
    """What to run, and on how many curves."""
    import light_curve as lc
    import nifty_ls
    from astropy.timeseries import LombScargle

    from stellar.features.lightcurve_columns import extractor
    from stellar.features.lightcurves import MAGNITUDES, lightcurve_features

    made = curves()
    span = max(time_d[-1] - time_d[0] for time_d, _, _ in made)
    step = 1 / (SAMPLES_PER_PEAK * span)
    first, last = 1 / span, 1 / span + (FREQUENCIES - 1) * step
    grid = first + step * np.arange(FREQUENCIES)
    lists = [pa.array([list(one[i]) for one in made], pa.list_(pa.float64())) for i in range(3)]
    ids = pa.chunked_array([[str(number) for number in range(CURVES)]])
    table = pa.table({"lc_id": ids, "time_d": lists[0], "mag": lists[1], "mag_err": lists[2]})
    few = made[:24]
    with_period = lc.Extractor(extractor(), lc.Periodogram(peaks=1))

    def astropy() -> None:
        for one in few:
            LombScargle(*one).power(grid, method="fast", assume_regular_frequency=True)

    def nifty() -> None:
        for time_d, mag, error in few:
            nifty_ls.lombscargle(
                time_d - time_d[0], mag, error, fmin=first, fmax=last, Nf=FREQUENCIES, backend="finufft", nthreads=1
            )

    def light_curve() -> None:
        for one in few:
            with_period(*one, sorted=True, check=False, fill_value=np.nan)

    def ours(threads: int, boxes: bool = False) -> Callable[[], None]:
        settings = MAGNITUDES | {"samples_per_peak": SAMPLES_PER_PEAK, "fmax_per_day": last, "boxes": boxes}

        def run() -> None:
            found, _, _ = lightcurve_features(table, ids, settings, threads=threads)
            if found.num_rows != CURVES:
                raise SystemExit(f"{CURVES - found.num_rows} curves were left out")

        return run

    def in_processes() -> Callable[[], None]:
        """As a build does it: partitions dealt to processes that stay, results brought back."""
        settings = MAGNITUDES | {"samples_per_peak": SAMPLES_PER_PEAK, "fmax_per_day": last, "boxes": False}
        KEPT.extend(table.slice(k * CURVES // PARTITIONS, CURVES // PARTITIONS) for k in range(PARTITIONS))
        pool = ProcessPoolExecutor(CORES, mp_context=get_context("fork"))

        def run() -> None:
            found = pool.map(measured, range(PARTITIONS), [settings] * PARTITIONS)
            if (rows := sum(one.num_rows for one in found)) != CURVES:
                raise SystemExit(f"{CURVES - rows} curves were left out")

        return run

    return {
        "astropy": (astropy, len(few)),
        "nifty-ls": (nifty, len(few)),
        "light-curve": (light_curve, len(few)),
        "stellar": (ours(1), CURVES),
        "stellar, both cores": (in_processes(), CURVES),
        "stellar, two threads": (ours(CORES), CURVES),
        "stellar, with boxes": (ours(1, boxes=True), CURVES),
    }


def main(only: str | None) -> None:
    wanted = tools()
    if only:
        wanted[only][0]()
        print(json.dumps({}))
        return
    for run, _ in wanted.values():  # compiles, imports, plans
        run()
    took: dict[str, list[float]] = {name: [] for name in wanted}
    for _ in range(ROUNDS):
        for name, (run, count) in wanted.items():
            started = time.perf_counter()
            run()
            took[name].append(1000 * (time.perf_counter() - started) / count)
    print(json.dumps({"curves": CURVES, "points": POINTS, "frequencies": FREQUENCIES, "ms": took}))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
