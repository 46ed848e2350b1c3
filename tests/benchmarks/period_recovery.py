"""How often known periods come back: made TESS curves of known period, RR Lyrae of Stripe 82, ASAS stars by class."""

import csv
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from stellar.archive import tess, variables
from stellar.features.lightcurves import MAGNITUDES, lightcurve_features
from stellar.features.multiband import Band, multiband_peak

SEED = 20260101
SIMULATED = ("EA", "EB", "EW", "RRab", "RRc", "DSCT", "ROT")
TOLERANCE = 0.01
LEAST_SIGNAL = 20.0
RR_LYRAE = (0.2, 1.0)
#: Periods in days that the definitions of the GCVS (Samus et al. 2017) give to classes of ASAS.
ASAS_RANGES = {
    "RR_Lyrae_FM": (0.3, 1.2),
    "RR_Lyrae_FO": (0.2, 0.5),
    "Delta_Scuti": (0.01, 0.3),
    "Beta_Cephei": (0.1, 0.6),
    "Classical_Cepheid": (1.0, 135.0),
    "Mira": (80.0, 1000.0),
    "RV_Tauri": (30.0, 150.0),
    "Beta_Persei": (0.2, 10_000.0),
    "W_Ursae_Maj": (0.2, 1.0),
}


def simulated(count: int) -> dict[str, np.ndarray]:
    """`count` curves of each class of `SIMULATED` over one TESS sector with its gaps, white noise of 0.03% to 3%.

    Returns
    -------
    dict of arrays
        `var_class`, `period_d`, `signal` (rms of the variation over the noise, times the root of the points) and the
        features' `period_d` as `found_d`, `period_ls_d` as `peak_d`.
    """
    rng = np.random.default_rng(SEED)
    names = np.repeat(SIMULATED, count)
    n = len(names)
    teff = rng.uniform(5000, 7500, n)
    sky = {
        "ra": rng.uniform(0, 360, n),
        "dec": rng.uniform(-60, 60, n),
        "var_class": names,
        "teff_k": teff,
        "logg_dex": np.full(n, 4.2),
        "mass_msun": np.full(n, 1.6),
        "radius_rsun": rng.uniform(1.6, 2.6, n),
    }
    variables.draw_parameters(sky, rng)
    sector = 40
    seen = ~tess.gap_mask(sector)
    time = tess.cadence_times(sector)[seen]
    flux, noise = np.empty((n, len(time))), 10 ** rng.uniform(-3.5, -1.5, n)
    for name in SIMULATED:
        mine = names == name
        stars = {key: value[mine] for key, value in sky.items()}
        flux[mine] = variables.relative_flux(name, stars, tess.cadence_times(sector), rng)[:, seen]
    signal = flux.std(axis=1) / noise * np.sqrt(len(time))
    flux = 1000 * (flux + noise[:, None] * rng.normal(size=flux.shape))
    lists = {"time_btjd": np.broadcast_to(time, flux.shape), "flux": flux}
    lists["flux_err"] = np.broadcast_to(1000 * noise[:, None], flux.shape)
    ids = pa.chunked_array([[str(i) for i in range(n)]])
    columns = {name: pa.array(list(values), pa.list_(pa.float64())) for name, values in lists.items()}
    plain = {"columns": {"time": "time_btjd", "value": "flux", "error": "flux_err"}, "carry": []}
    found, _, _ = lightcurve_features(pa.table({"lc_id": ids, **columns}), ids, plain, threads=2)
    return {
        "var_class": names,
        "period_d": sky["period_d"],
        "signal": signal,
        "found_d": found["period_d"].to_numpy(),
        "peak_d": found["period_ls_d"].to_numpy(),
    }


def recovered(found: np.ndarray, true: np.ndarray, factors: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """Whether each period is the true one times one of the factors, to `TOLERANCE`."""
    return np.any([np.abs(found / (true * factor) - 1) < TOLERANCE for factor in factors], axis=0)


def stripe82(archive: Path, every: int = 1) -> Iterator[list[Band]]:
    """Bands u, g, r, i, z of each RR Lyrae with 20 points or more in g; `-99` and errors over half a magnitude go."""
    with tarfile.open(archive) as files:
        names = sorted(name for name in files.getnames() if name.endswith(".dat"))
        for name in names[::every]:
            rows = np.loadtxt(files.extractfile(name))
            bands = []
            for band in range(5):
                time, mag, err = rows[:, 2 + 3 * band : 5 + 3 * band].T
                good = (time > 0) & (mag > 0) & (mag < 40) & (err > 0) & (err < 0.5)
                order = np.argsort(time[good])
                bands.append(Band(time[good][order], mag[good][order], err[good][order]))
            if len(bands[1].time) >= 20:
                yield bands


def stripe82_periods(archive: Path, every: int = 1) -> dict[str, np.ndarray]:
    """Periods of each star: `all` from five bands at once, and `g`, `r`, `i` from the features of one band."""
    stars = list(stripe82(archive, every))
    search = {"fmax": 5.0, "samples_per_peak": 5}
    periods = {"all": np.array([1 / multiband_peak(bands, **search).frequency for bands in stars])}
    ids = pa.chunked_array([[str(i) for i in range(len(stars))]])
    for name, band in (("g", 1), ("r", 2), ("i", 3)):
        lists = {
            "time_d": [bands[band].time for bands in stars],
            "mag": [bands[band].value for bands in stars],
            "mag_err": [bands[band].error for bands in stars],
        }
        columns = {key: pa.array(values, pa.list_(pa.float64())) for key, values in lists.items()}
        settings = MAGNITUDES | {"fmax_per_day": 5.0, "min_points": 10, "boxes": False}
        table, _, _ = lightcurve_features(pa.table({"lc_id": ids, **columns}), ids, settings, threads=2)
        one = np.full(len(stars), np.nan)
        one[[int(i) for i in table["lc_id"].to_pylist()]] = table["period_ls_d"].to_numpy()
        periods[name] = one
    return periods


def asas_periods(folder: Path, most: int | None = None) -> dict[str, np.ndarray]:
    """Class and `period_d` of the ASAS stars whose class has a range of periods, at most so many of each."""
    with (folder / "classes.csv").open() as file:
        classes = {row["asas_id"]: row["class"] for row in csv.DictReader(file)}
    rows, taken = [], dict.fromkeys(ASAS_RANGES, 0)
    with tarfile.open(folder / "lightcurves.tar.gz") as archive:
        for member in sorted(archive.getmembers(), key=lambda one: one.name):
            star = member.name.rpartition("/")[2].removesuffix(".dat")
            name = classes.get(star)
            if name not in taken or (most is not None and taken[name] >= most):
                continue
            taken[name] += 1
            time, mag, err = np.genfromtxt(io.BytesIO(archive.extractfile(member).read()), delimiter=",").T
            rows.append({"lc_id": star, "time_d": time, "mag": mag, "mag_err": err})
    table = pa.Table.from_pylist(rows)
    found, _, _ = lightcurve_features(table, table["lc_id"], MAGNITUDES, threads=2)
    names = np.array([classes[star] for star in found["lc_id"].to_pylist()])
    return {"class": names, "period_d": found["period_d"].to_numpy()}


def measure(real: Path, count: int = 100) -> dict:
    """All shares, for the page."""
    made = simulated(count)
    clear = made["signal"] > LEAST_SIGNAL
    figures: dict = {"simulated": {}, "asas": {}}
    for name in (*SIMULATED, "all"):
        mine = clear & ((made["var_class"] == name) | (name == "all"))
        figures["simulated"][name] = {"curves": int(mine.sum())} | {
            key: float(recovered(made[column][mine], made["period_d"][mine], factors).mean())
            for key, column, factors in (
                ("exact", "found_d", (1.0,)),
                ("half_or_double", "found_d", (0.5, 1.0, 2.0)),
                ("peak", "peak_d", (1.0,)),
            )
        }
    periods = stripe82_periods(real / "s82_rrlyrae" / "table1.tar.gz")
    within = {name: (one > RR_LYRAE[0]) & (one < RR_LYRAE[1]) for name, one in periods.items()}
    figures["stripe82"] = {
        name: {
            "stars": int(np.isfinite(periods[name]).sum()),
            "within": float(within[name].mean()),
            "as_all": float(recovered(periods[name], periods["all"]).mean()),
        }
        for name in periods
    }
    stars = asas_periods(real / "asas")
    for name, (shortest, longest) in ASAS_RANGES.items():
        period = stars["period_d"][stars["class"] == name]
        inside = (period >= shortest) & (period <= longest)
        either = inside | ((2 * period >= shortest) & (2 * period <= longest))
        figures["asas"][name] = {
            "stars": len(period),
            "shortest_d": shortest,
            "longest_d": longest,
            "within": float(inside.mean()),
            "within_or_half": float(either.mean()),
        }
    return figures
