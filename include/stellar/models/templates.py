"""Spectral types by comparison with template spectra.

Each spectrum is compared with every template in the fine structure that is left after division by a running mean, for
several widths of that mean. The type is the mean of the types of the templates that fit best: neighbouring templates
differ by less than their own faults, so that the single best one is a matter of chance.

Libraries of templates disagree by several subtypes. One of them can be named the `reference`: its templates are typed
with the others, and where those come out on average earlier or later, the others' types are moved by as much. Spectra
without type take no part, so that the scale is fixed before the first of them is seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from scipy.ndimage import uniform_filter1d
from scipy.special import ndtr

from stellar.errors import InputError
from stellar.models.base import Labels, Model, labels_of, merge_params
from stellar.models.mk_types import USED, subtype_name, subtype_numbers
from stellar.models.spectra import SEQUENCES, Spectra, spectra_of

FILE = "templates.npz"
DEFAULTS: dict[str, Any] = {
    # the grid of features.spectra, which `flux`, `ivar` and `mask` are on
    "first_angstrom": 3850.0,
    "step_dex": 3e-4,
    # widths of the running mean: 80 to 320 bins, 330 to 1,300 Angstrom at 6000. Narrower ones take the bands of M
    # stars and the wings of the Balmer lines away, and templates type templates worse.
    "widths_dex": [0.024, 0.048, 0.096],
    "range_angstrom": [3850.0, 9150.0],
    # telluric bands: O2 B, H2O, O2 A, H2O (Kirkpatrick et al. 1991, ApJS 77, 417, table 5, with their wings)
    "exclude_angstrom": [[6860.0, 6970.0], [7160.0, 7340.0], [7580.0, 7720.0], [8120.0, 8360.0]],
    "mismatch": 0.05,  # how far a template differs from a star of its type, relative to the continuum
    "neighbours": 0.14,  # share of a library's templates that a type is the mean of
    "min_neighbours": 5,
    "sharpness": 1.0,  # a template (or library) counts by its mean squared deviation to minus this power
    "library_column": "library",  # of the training frame: which library an example is of; absent: all are of one
    "reference": None,  # library whose types are the scale
    "voters": None,  # libraries whose templates give the type; None: all
    "scale_bandwidth": 8.0,  # subtypes over which the difference between two scales is averaged
    "scale_prior": 0.3,  # weight, in templates, of "no difference"
}
CLIP = 3.0  # beyond this many continua a bin is an emission line or a fault
SMOOTHINGS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # subtypes; candidates for the width of a template's type
BATCH = 2048


def fine_structure(spectra: Spectra, width: int) -> Spectra:
    """Flux over its running mean of `width` bins; masked bins take no part in the mean.

    The mean is over the good bins within the window, so that a gap neither pulls it nor widens.
    """
    good = spectra.ivar > 0
    share = uniform_filter1d(good.astype(np.float64), width, axis=1, mode="nearest")
    total = uniform_filter1d(np.where(good, spectra.flux, 0.0), width, axis=1, mode="nearest")
    mean = total / np.maximum(share, 1e-3)
    good &= (share > 1e-3) & (mean > 0.02)
    safe = np.where(good, mean, 1.0)
    return Spectra(
        np.where(good, np.clip(spectra.flux / safe, 0, CLIP), 1.0), np.where(good, spectra.ivar * safe**2, 0.0)
    )


def deviations(spectra: Spectra, templates: Spectra, mismatch: float) -> np.ndarray:
    """Mean squared deviation of each spectrum from each template, float64[n, m], over bins that both have.

    Bins are weighted by 1 / (variance + mismatch^2): beyond a certain signal to noise the templates' own faults decide,
    and more signal must not make them count more. Where no bin is common it is infinite.
    """
    good = spectra.ivar > 0
    weight = good / (1 / np.where(good, spectra.ivar, 1.0) + mismatch**2)
    there = (templates.ivar > 0).astype(np.float64)
    value = templates.flux * there
    common = weight @ there.T
    total = (weight * spectra.flux**2) @ there.T - 2 * (weight * spectra.flux) @ value.T + weight @ (value**2).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(common > 0, np.maximum(total, 1e-12 * common) / common, np.inf)


def neighbour_weights(deviation: np.ndarray, neighbours: int, sharpness: float, importance: np.ndarray) -> np.ndarray:
    """Weight of each template for each spectrum, float64[n, m]; 0 but for the best, rows summing to 1 or 0."""
    count = min(neighbours, deviation.shape[1])
    best = np.argpartition(deviation, count - 1, axis=1)[:, :count]
    weights = np.zeros_like(deviation)
    found = np.take_along_axis(deviation, best, axis=1)
    lowest = found.min(axis=1, keepdims=True)
    relative = np.divide(lowest, found, out=np.zeros_like(found), where=np.isfinite(found))
    np.put_along_axis(weights, best, relative**sharpness * importance[best], axis=1)
    total = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)


def scale_difference(
    found: np.ndarray, own: np.ndarray, at: np.ndarray, bandwidth: float, prior: float, rounds: int = 5
) -> np.ndarray:
    """How much later than the reference a library types, as a function of the library's type, float64[len(at)].

    Parameters
    ----------
    found, own : float64[m]
        Types of the reference's templates, by the library and by the reference itself.
    at : float64[k]
        Types of the library to know it at.
    bandwidth, prior : float
        Width of the Gaussian kernel in subtypes; weight of a difference of 0, in templates.
    rounds : int
        Of reweighting with Tukey's biweight (Cleveland 1979, J. Am. Stat. Assoc. 74, 829), since some templates'
        types are wrong by whole letters (metal-poor stars typed by colour).
    """
    difference, robust = found - own, np.ones(len(found))

    def smooth(where: np.ndarray) -> np.ndarray:
        kernel = np.exp(-0.5 * ((where[:, None] - found[None, :]) / bandwidth) ** 2) * robust
        return (kernel @ difference) / (kernel.sum(axis=1) + prior)

    for _ in range(rounds):
        residual = np.abs(difference - smooth(found))
        limit = 4.685 * 1.4826 * np.median(residual)
        if not limit > 0:
            break
        robust = (1 - np.minimum(residual / limit, 1) ** 2) ** 2
    return smooth(at)


class TemplateMatch(Model):
    """Type as the mean over the best of many templates, with its distribution.

    Parameters are `DEFAULTS`. `features` are `flux`, `ivar` and `mask` on the grid of features.spectra. Labels are MK
    types (`G2`, `A5V`, `dM0`); the classes are all types between the earliest and the latest one.
    """

    architecture = "template_match"
    family = "spectra"
    kind = "sequence"
    libraries = ("numpy", "scipy")

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        if sorted(self.features) != sorted(SEQUENCES):
            raise InputError(f"{self.architecture}: features must be {', '.join(SEQUENCES)}, not {self.features}")
        self.settings = merge_params(self.architecture, DEFAULTS, self.params)
        self.widths = [max(3, round(width / self.settings["step_dex"])) for width in self.settings["widths_dex"]]
        self._library = np.zeros(0, dtype=int)  # of each voting template
        self._types, self._importance = np.zeros(0), np.zeros(0)
        self._templates: list[Spectra] = []  # fine structure, per width
        self._smoothing = 1.0
        self._bins = 0

    # -- comparison --------------------------------------------------------------------------------------------------
    def _used_bins(self, bins: int) -> np.ndarray:
        settings = self.settings
        wave = settings["first_angstrom"] * 10 ** (settings["step_dex"] * (np.arange(bins) + 0.5))
        low, high = settings["range_angstrom"]
        used = (wave > low) & (wave < high)
        for start, end in settings["exclude_angstrom"]:
            used &= ~((wave > start) & (wave < end))
        if not used.any():
            raise InputError(f"{self.architecture}: range_angstrom and exclude_angstrom leave none of {bins} bins")
        return used

    def _prepared(self, spectra: Spectra) -> list[Spectra]:
        used = self._used_bins(spectra.flux.shape[1])
        structures = (fine_structure(spectra, width) for width in self.widths)
        return [Spectra(one.flux[:, used], one.ivar[:, used]) for one in structures]

    def _weights(self, prepared: Sequence[Spectra], leave_out: bool = False) -> np.ndarray:
        """Weight of each voting template for each spectrum, float64[n, m]: the mean over libraries and widths.

        With `leave_out` the spectra are the templates themselves, and none counts for itself.
        """
        settings, total = self.settings, np.zeros((len(prepared[0]), len(self._types)))
        for spectra, templates in zip(prepared, self._templates, strict=True):
            deviation = deviations(spectra, templates, settings["mismatch"])
            if leave_out:
                np.fill_diagonal(deviation, np.inf)
            weights, share = np.zeros_like(deviation), np.zeros(len(deviation))
            for one in np.unique(self._library):
                rows = np.flatnonzero(self._library == one)
                own = deviation[:, rows]
                found = neighbour_weights(
                    own, self._neighbours(len(rows)), settings["sharpness"], self._importance[rows]
                )
                with np.errstate(divide="ignore"):
                    trust = np.where(np.isfinite(own.min(axis=1)), own.min(axis=1) ** -settings["sharpness"], 0.0)
                weights[:, rows] = found * trust[:, None]
                share += trust
            total += np.divide(weights, share[:, None], out=np.zeros_like(weights), where=share[:, None] > 0)
        return total / len(self._templates)

    def _neighbours(self, templates: int) -> int:
        return max(self.settings["min_neighbours"], round(self.settings["neighbours"] * templates))

    # -- learning ----------------------------------------------------------------------------------------------------
    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        """Take the examples as templates. Nothing is drawn at random and nothing stops early: `validation` is not read.

        Raises
        ------
        InputError
            When a label is no MK type, a named library has no template, or fewer than two types vote.
        """
        self.seed = seed
        (target,) = self.targets
        names = labels_of(y, target, self.targets, X.num_rows).astype(object)
        types = subtype_numbers(None if name is None else str(name) for name in names)
        if not np.isfinite(types).all():
            row = int(np.argmin(np.isfinite(types)))
            raise InputError(f"{self.architecture}: label {names[row]!r} of example {row} is no MK type; leave it out")
        spectra = spectra_of(X)
        self._bins = spectra.flux.shape[1]
        libraries = self._libraries(X)
        importance = np.ones(len(types)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        reference, voters = self.settings["reference"], self.settings["voters"]
        parts, report = [], {}
        for name in sorted(set(libraries.tolist())) if voters is None else voters:
            rows = np.flatnonzero(libraries == name)
            moved = types[rows]
            if reference is not None and name != reference:
                moved = self._on_scale(spectra, types, importance, rows, np.flatnonzero(libraries == reference))
            parts.append((rows, moved))
            report[name] = {"templates": len(rows), "moved_by": round(float(np.mean(moved - types[rows])), 3)}
        self._vote(spectra, importance, parts)
        if self._types.max() - self._types.min() < 1:
            raise InputError(f"{self.architecture}: all templates are of one type; two types are the least")
        self._smoothing, residual = self._spread()
        ends = subtype_numbers(subtype_name(end) for end in (self._types.min(), self._types.max()))
        used = USED[(ends[0] <= USED) & (ends[1] >= USED)]
        self.classes = {self.targets[0]: tuple(subtype_name(k) for k in used)}
        self.history = {"libraries": report, "smoothing_subtypes": self._smoothing, "leave_one_out_error": residual}
        return self

    def _libraries(self, X: pa.Table) -> np.ndarray:
        column = self.settings["library_column"]
        named = [self.settings["reference"], *(self.settings["voters"] or [])]
        if column not in X.column_names:
            if any(named):
                raise InputError(f"{self.architecture}: the frame lacks column {column}, which names the libraries")
            return np.full(X.num_rows, "templates")
        libraries = np.asarray(X.column(column).to_pylist(), dtype=object).astype(str)
        lacking = sorted({name for name in named if name} - set(libraries.tolist()))
        if lacking:
            there = ", ".join(sorted(set(libraries.tolist())))
            raise InputError(f"{self.architecture}: no template of {', '.join(lacking)}; the frame has {there}")
        return libraries

    def _vote(self, spectra: Spectra, importance: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        rows = np.concatenate([part for part, _ in parts])
        self._types = np.concatenate([types for _, types in parts])
        self._library = np.repeat(np.arange(len(parts)), [len(part) for part, _ in parts])
        self._importance = importance[rows]
        self._templates = self._prepared(spectra.take(rows))

    def _on_scale(
        self, spectra: Spectra, types: np.ndarray, importance: np.ndarray, rows: np.ndarray, reference: np.ndarray
    ) -> np.ndarray:
        """Types of the templates `rows` on the scale of the templates `reference`; per width, then averaged."""
        self._vote(spectra, importance, [(rows, types[rows])])
        found = self._weights(self._prepared(spectra.take(reference))) @ types[rows]
        settings = self.settings
        later = scale_difference(
            found, types[reference], types[rows], settings["scale_bandwidth"], settings["scale_prior"]
        )
        return types[rows] - later

    def _spread(self) -> tuple[float, float]:
        """Width of a template's type that makes the others' types likeliest, and the mean error of typing them so."""
        weights = self._weights(self._templates, leave_out=True)
        apart = self._types[:, None] - self._types[None, :]
        likelihood = [
            np.log((weights * np.exp(-0.5 * (apart / s) ** 2) / s).sum(axis=1) + 1e-6).sum() for s in SMOOTHINGS
        ]
        error = np.abs(weights @ self._types - self._types).mean()
        return SMOOTHINGS[int(np.argmax(likelihood))], round(float(error), 3)

    # -- answers -----------------------------------------------------------------------------------------------------
    def _votes(self, X: pa.Table) -> np.ndarray:
        if not self._templates:
            raise InputError(f"{self.architecture}: not fitted yet")
        if not X.num_rows:
            return np.zeros((0, len(self._types)))
        spectra = spectra_of(X)
        if spectra.flux.shape[1] != self._bins:
            raise InputError(f"spectra have {spectra.flux.shape[1]} bins, the templates {self._bins}: another grid")
        prior = self._importance / self._importance.sum()
        found = []
        for start in range(0, len(spectra), BATCH):
            weights = self._weights(self._prepared(spectra.take(slice(start, start + BATCH))))
            # a spectrum without a bin in common with any template may be anything
            weights[weights.sum(axis=1) <= 0] = prior
            found.append(weights / weights.sum(axis=1, keepdims=True))
        return np.concatenate(found)

    def predict_subtype(self, X: pa.Table) -> np.ndarray:
        """Mean type, float64[n], as a number (`mk_types`)."""
        return self._votes(X) @ self._types

    def predict_class(self, X: pa.Table, target: str | None = None) -> list[str]:
        """The best answer for each row: the type nearest to the mean, which errs less than the likeliest one."""
        self._class_target(target)
        return [subtype_name(number) for number in self.predict_subtype(X)]

    def predict_proba(self, X: pa.Table, target: str | None = None) -> np.ndarray:
        names = self.classes[self._class_target(target)]
        types = subtype_numbers(names)
        edges = np.concatenate([[-np.inf], (types[1:] + types[:-1]) / 2, [np.inf]])
        below = ndtr((edges[None] - self._types[:, None]) / self._smoothing)
        return self._votes(X) @ np.diff(below, axis=1)

    # -- files -------------------------------------------------------------------------------------------------------
    def _write(self, folder: Path) -> dict[str, Any]:
        if not self._templates:
            raise InputError(f"{self.architecture}: cannot save, it is not fitted yet")
        arrays: dict[str, Any] = {"types": self._types, "library": self._library, "importance": self._importance}
        for number, one in enumerate(self._templates):
            arrays |= {f"flux_{number}": one.flux, f"good_{number}": one.ivar > 0}
        np.savez(folder / FILE, **arrays)
        return {"bins": self._bins, "smoothing": self._smoothing}

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        with np.load(folder / FILE, allow_pickle=False) as arrays:
            self._types, self._library = arrays["types"], arrays["library"]
            self._importance = arrays["importance"]
            self._templates = [
                Spectra(arrays[f"flux_{k}"], arrays[f"good_{k}"].astype(np.float64)) for k in range(len(self.widths))
            ]
        self._bins, self._smoothing = int(state["bins"]), float(state["smoothing"])
