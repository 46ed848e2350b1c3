"""Numbers of a star (Teff, log g, [Fe/H]) from its spectrum, learnt from few labelled spectra or from thousands.

Each target is a weighted mean of several Gaussian processes that see the spectrum in different ways (as it is, freed of
slow trends, with scalars such as colours beside it), by how good each is and, if wanted, how sure it is of the star.
Reference libraries may teach beside the survey; each has an offset and a trend of its own, so that the predictions are
on the survey's scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from scipy.optimize import nnls

from stellar.errors import InputError
from stellar.models.base import Labels, Model, Quantiles, labels_of, merge_params, numeric_matrix
from stellar.models.gaussian_process import SURVEY, Examples, Process, condition, search, squared_distances
from stellar.models.residual_spread import ResidualSpread
from stellar.models.spectra import SEQUENCES, Spectra, spectra_of
from stellar.models.spectral_basis import SpectralBasis, degraded

WEIGHTS_FILE = "processes.npz"
FEWEST_EXAMPLES = 10
BATCH = 2000  # spectra predicted at once; bounds memory at about 200 MB
LEVELS = (0.025, 0.05, 0.1, 0.16, 0.25, 0.5, 0.75, 0.84, 0.9, 0.95, 0.975)
DEFAULTS: dict[str, Any] = {
    "members": [{}, {"scalars": True}],  # each on top of MEMBER
    "log_targets": ["teff_k"],
    "domain": None,  # string column that names the library of a row
    "survey": None,  # value of that column for the survey's own rows; null and a lacking column mean the same
    "degrade_libraries": True,  # give the libraries' spectra the survey's noise; else their finest detail is trusted
    "levels": list(LEVELS),
    "min_good_fraction": 0.1,  # a spectrum with fewer good bins is not looked at
    "max_rows": 2000,  # work grows with the third power; beyond it rows are drawn at random, the survey's first
    "search_rows": 400,  # for the hyper-parameters
    "iterations": 60,
    "stacking": 3.0,  # pull of the members' shares to equal ones, in mean squared errors; the higher, the more equal
    "by_precision": False,  # a member's share in a star grows with how sure it is of it; slower with many examples
}
MEMBER: dict[str, Any] = {
    "scalars": False,  # or true for all, or a list of names
    "libraries": True,  # or false to learn from the survey's rows alone
    "high_pass_bins": 0,
    "noise_scale": 0.1,
    "weight_power": 2.0,
    "clip": 1.5,
    "components": 300,
}


@dataclass
class _Member:
    """One view of the spectra and, by target, the process on it."""

    params: dict[str, Any]
    columns: list[int]
    basis: SpectralBasis
    centre: np.ndarray
    width: np.ndarray
    processes: dict[str, Process]

    def examples(self, spectra: Spectra, scalars: np.ndarray, library: np.ndarray, noise: np.ndarray) -> Examples:
        own = scalars[:, self.columns]
        seen = np.isfinite(own)
        # a scalar that is missing stands for the median; half of them must be there for the others to count
        has = (seen.mean(axis=1) >= 0.5).astype(np.float64) if self.columns else np.zeros(len(own))
        scaled = np.clip(np.where(seen, (own - self.centre) / self.width, 0.0), -5, 5)
        return Examples(self.basis.scores(spectra), scaled / np.sqrt(max(len(self.columns), 1)), has, library, noise)


@dataclass
class _Target:
    """Scale of a target and how far predictions miss it."""

    centre: float
    scale: float
    lowest: float
    highest: float
    shares: np.ndarray  # of each member in the prediction
    spread: ResidualSpread
    fallback: np.ndarray  # quantiles of the labels, for a spectrum that shows nothing


class SpectralRegression(Model):
    """Several numbers from a spectrum.

    Parameters are `DEFAULTS`; `members` are mappings on top of `MEMBER`. `features` must hold `flux`, `ivar` and
    `mask`; any other but the domain is a scalar, and its values may be missing. A row counts for the targets that it
    has labels for. Predictions are on the survey's scale whatever library a row is of. `validation` is not used:
    nothing is stopped early.
    """

    architecture = "spectral_regression"
    family = "spectra"
    kind = "sequence"
    libraries = ("numpy", "scipy")

    def __init__(self, *, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        super().__init__(features, targets, params)
        lacking = [name for name in SEQUENCES if name not in self.features]
        if lacking:
            raise InputError(f"{self.architecture}: features lack {', '.join(lacking)}")
        self.settings = merge_params(self.architecture, DEFAULTS, self.params)
        self.scalars = tuple(name for name in self.features if name not in (*SEQUENCES, self.settings["domain"]))
        self._plans = [merge_params(f"{self.architecture} member", MEMBER, one) for one in self.settings["members"]]
        if not self._plans:
            raise InputError(f"{self.architecture}: `members` is empty; name one view of the spectra or more")
        self._columns = [self._scalar_columns(plan["scalars"]) for plan in self._plans]
        levels = np.asarray(self.settings["levels"], dtype=np.float64)
        if not len(levels) or (np.diff(levels) <= 0).any() or levels[0] <= 0 or levels[-1] >= 1:
            raise InputError(f"{self.architecture}: levels must increase within 0 and 1; they are {levels.tolist()}")
        self._levels = levels
        self._members: list[_Member] = []
        self._targets: dict[str, _Target] = {}
        self._bins, self._noise = 0, 1.0

    def _scalar_columns(self, wanted: Any) -> list[int]:
        names = list(self.scalars) if wanted is True else list(wanted or [])
        if unknown := [name for name in names if name not in self.scalars]:
            raise InputError(f"{self.architecture}: a member reads {', '.join(unknown)}, not among the features")
        return [self.scalars.index(name) for name in names]

    # -- inputs ------------------------------------------------------------------------------------------------------
    def _library(self, X: pa.Table) -> np.ndarray:
        """Number of each row's library, int64[n], by the sorted names; `SURVEY` for the survey's own."""
        domain, survey = self.settings["domain"], self.settings["survey"]
        if domain is None or domain not in X.column_names:
            return np.full(X.num_rows, SURVEY, dtype=np.int64)
        names = X.column(domain).to_pylist()
        index = {name: number for number, name in enumerate(sorted({str(n) for n in names} - {"None", str(survey)}))}
        return np.array([index.get(str(name), SURVEY) for name in names], dtype=np.int64)

    def _scalar_matrix(self, X: pa.Table) -> np.ndarray:
        return numeric_matrix(X, self.scalars).astype(np.float64) if self.scalars else np.zeros((X.num_rows, 0))

    def _relative_noise(self, spectra: Spectra) -> np.ndarray:
        noise = spectra.noise() / self._noise
        return np.clip(np.where(np.isfinite(noise), noise, 1.0), 1e-3, 1e3)

    def _readable(self, spectra: Spectra) -> np.ndarray:
        return spectra.good.mean(axis=1) >= self.settings["min_good_fraction"]

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
        weight = np.ones(X.num_rows) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        labels = {target: self._labels_of(y, target, X.num_rows) for target in self.targets}
        spectra, library, scalars = spectra_of(X), self._library(X), self._scalar_matrix(X)
        if len(weight) != X.num_rows or not np.isfinite(weight).all() or (weight < 0).any():
            raise InputError(f"{self.architecture}: sample_weight must be {X.num_rows} numbers, none negative")
        usable = self._readable(spectra) & (weight > 0)
        if (count := int((usable & (library == SURVEY)).sum())) < FEWEST_EXAMPLES:
            raise InputError(
                f"{self.architecture}: {count} readable spectra of the survey {self.settings['survey'] or ''}; "
                f"it takes {FEWEST_EXAMPLES} (its name is `survey`, in the column that `domain` names)"
            )
        self._bins, self.seed = spectra.flux.shape[1], seed
        self._noise = float(np.median(spectra.noise()[usable & (library == SURVEY)]))
        noise = self._relative_noise(spectra)
        rng = np.random.default_rng(seed)
        rows = self._drawn(np.flatnonzero(usable), library, self.settings["max_rows"], rng)
        shown = Spectra(spectra.flux[rows], spectra.ivar[rows])
        if self.settings["degrade_libraries"]:
            shown = degraded(shown, library[rows] == SURVEY, rng)
        self._members, whole = [], []
        for plan, columns in zip(self._plans, self._columns, strict=True):
            basis = SpectralBasis.fit(shown, library[rows] == SURVEY, plan)
            centre, width = _scales(scalars[np.ix_(rows[library[rows] == SURVEY], columns)])
            member = _Member(plan, columns, basis, centre, width, {})
            self._members.append(member)
            whole.append(member.examples(shown, scalars[rows], library[rows], noise[rows]))
        self.history = {"rows": len(rows), "rows_not_drawn": int(usable.sum()) - len(rows)}
        self._targets = {
            target: self._learn(target, labels[target][rows], weight[rows], whole, rng) for target in self.targets
        }
        return self

    def _labels_of(self, y: Labels, target: str, rows: int) -> np.ndarray:
        values = labels_of(y, target, self.targets, rows).astype(np.float64)
        if target not in self.settings["log_targets"]:
            return values
        if len(wrong := np.flatnonzero(values <= 0)):
            raise InputError(f"{target}: row {wrong[0]} has {values[wrong[0]]}; a target of log_targets is positive")
        return np.log10(values)

    def _drawn(self, rows: np.ndarray, library: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
        """At most `most` of the rows, in order; libraries take at most half, unless the survey leaves more."""
        if len(rows) <= most:
            return rows
        own, others = rows[library[rows] == SURVEY], rows[library[rows] != SURVEY]
        share = max(most // 2, most - len(own)) if len(others) else 0
        others = others if len(others) <= share else rng.choice(others, share, replace=False)
        own = own if len(own) <= most - len(others) else rng.choice(own, most - len(others), replace=False)
        return np.sort(np.concatenate([own, others]))

    def _learn(
        self, target: str, values: np.ndarray, weight: np.ndarray, whole: list[Examples], rng: np.random.Generator
    ) -> _Target:
        survey = whole[0].library == SURVEY
        own = np.flatnonzero(np.isfinite(values) & survey)
        if len(own) < FEWEST_EXAMPLES:
            raise InputError(f"{target}: {len(own)} labelled spectra of the survey; it takes {FEWEST_EXAMPLES}")
        centre, scale = float(values[own].mean()), float(values[own].std()) or 1.0
        z = (values - centre) / scale
        left_out = np.empty((len(self._members), len(own)))
        variance = np.empty_like(left_out)
        for number, (member, examples) in enumerate(zip(self._members, whole, strict=True)):
            rows = np.flatnonzero(np.isfinite(values)) if member.params["libraries"] else own
            tried = self._drawn(rows, examples.library, self.settings["search_rows"], rng)
            theta = search(examples.take(tried), z[tried], weight[tried], iterations=self.settings["iterations"])
            known = examples.take(rows)
            member.processes[target], others = condition(theta, known, z[rows], weight[rows])
            left_out[number] = others.mean[known.library == SURVEY]
            variance[number] = others.variance[known.library == SURVEY]
        lowest, highest = float(np.nanmin(z)), float(np.nanmax(z))
        left_out = np.clip(left_out, lowest, highest)
        shares = stacked(left_out, z[own], self.settings["stacking"])
        signs = self._signs(left_out, whole[0].take(own), target, itself=True)
        residual = z[own] - self._pooled(shares, left_out, variance)
        spread = ResidualSpread.fit(residual, signs, weight[own])
        fallback = np.quantile(z[own], self._levels)
        error = float(np.abs(residual).mean() * scale)
        about = {f"share_{number + 1}": round(float(share), 4) for number, share in enumerate(shares)}
        self.history[target] = {"examples": len(own), "left_out_error": error, **about}
        return _Target(centre, scale, lowest, highest, shares, spread, fallback)

    def _pooled(self, shares: np.ndarray, predicted: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """One number per star of its members', float64[m, n] with their variances; float64[n]."""
        if not self.settings["by_precision"]:
            return shares @ predicted
        weight = shares[:, None] / variance
        return (weight * predicted).sum(axis=0) / weight.sum(axis=0)

    def _signs(self, predicted: np.ndarray, shown: Examples, target: str, *, itself: bool) -> np.ndarray:
        """What tells how far a prediction may be off, float64[n, 4].

        The spectrum's noise, the value itself, how far the members are apart, and how far the nearest five examples
        are (`itself`: each row is an example, and is not its own neighbour).
        """
        known = self._members[0].processes[target].known
        own = known.spectrum[known.library == SURVEY]
        distance = squared_distances(shown.spectrum, own)
        if itself:
            np.fill_diagonal(distance, np.inf)
        near = np.partition(distance, 4, axis=1)[:, :5].mean(axis=1)
        return np.column_stack(
            [
                0.5 * np.log(shown.noise),
                predicted.mean(axis=0),
                np.log(predicted.std(axis=0) + 0.02),
                0.5 * np.log(near + 1e-4),
            ]
        )

    # -- prediction --------------------------------------------------------------------------------------------------
    def predict_dist(self, X: pa.Table, target: str | None = None) -> Quantiles:
        name = self.targets[0] if target is None and len(self.targets) == 1 else target
        if name not in self.targets:
            raise InputError(f"{self.architecture}: no target {target!r}; it has {', '.join(self.targets)}")
        if name not in self._targets:
            raise InputError(f"{self.architecture}: not fitted yet")
        about = self._targets[str(name)]
        values = np.tile(about.fallback, (X.num_rows, 1))
        if X.num_rows:
            spectra = spectra_of(X, self._bins)
            scalars = self._scalar_matrix(X)
            readable = np.flatnonzero(self._readable(spectra))
            for start in range(0, len(readable), BATCH):
                rows = readable[start : start + BATCH]
                shown = Spectra(spectra.flux[rows], spectra.ivar[rows])
                values[rows] = self._standardised(shown, scalars[rows], str(name), about)
        values = values * about.scale + about.centre
        return Quantiles(self._levels, 10**values if name in self.settings["log_targets"] else values)

    def _standardised(self, spectra: Spectra, scalars: np.ndarray, target: str, about: _Target) -> np.ndarray:
        library = np.full(len(scalars), SURVEY, dtype=np.int64)
        noise = self._relative_noise(spectra)
        predicted, variance = np.ones((2, len(self._members), len(scalars)))
        first: Examples | None = None
        for number, member in enumerate(self._members):
            shown = member.examples(spectra, scalars, library, noise)
            first = shown if first is None else first
            predicted[number] = member.processes[target].mean(shown)
            if self.settings["by_precision"]:
                variance[number] = member.processes[target].variance(shown)
        assert first is not None
        # beyond the labels a linear trend means little: a star there is reported at their edge
        predicted = np.clip(predicted, about.lowest, about.highest)
        width = about.spread.width(self._signs(predicted, first, target, itself=False))
        value = self._pooled(about.shares, predicted, variance)
        return value[:, None] + width[:, None] * about.spread.quantiles(self._levels)[None, :]

    # -- files -------------------------------------------------------------------------------------------------------
    def _write(self, folder: Path) -> dict[str, Any]:
        if not self._targets:
            raise InputError(f"{self.architecture}: cannot save, it is not fitted yet")
        arrays: dict[str, np.ndarray] = {}
        for number, member in enumerate(self._members):
            basis = member.basis
            arrays |= {
                f"{number}.mean": basis.mean,
                f"{number}.weight": basis.weight,
                f"{number}.components": basis.components,
                f"{number}.scale": np.array(basis.scale),
                f"{number}.scalar_centre": member.centre,
                f"{number}.scalar_width": member.width,
            }
            for target in self.targets:
                at, process = f"{number}.{target}", member.processes[target]
                arrays |= {f"{at}.theta": process.theta, f"{at}.alpha": process.alpha, f"{at}.label": process.noise}
                arrays |= {f"{at}.{name}": getattr(process.known, name) for name in Examples.__dataclass_fields__}
        for target, about in self._targets.items():
            numbers = [about.centre, about.scale, about.lowest, about.highest]
            arrays |= {f"{target}.scale": np.array(numbers), f"{target}.fallback": about.fallback}
            arrays |= {f"{target}.shares": about.shares}
            arrays |= {f"{target}.spread.{name}": part for name, part in about.spread.arrays().items()}
        with (folder / WEIGHTS_FILE).open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]
        return {"bins": self._bins, "noise": self._noise}

    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        self._bins, self._noise = int(state["bins"]), float(state["noise"])
        with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        self._members = []
        for number, (plan, columns) in enumerate(zip(self._plans, self._columns, strict=True)):
            mean, weight, components, size = (
                arrays[f"{number}.{name}"] for name in ("mean", "weight", "components", "scale")
            )
            basis = SpectralBasis(
                int(plan["high_pass_bins"]), float(plan["clip"]), mean, weight, components, float(size)
            )
            scaling = arrays[f"{number}.scalar_centre"], arrays[f"{number}.scalar_width"]
            member = _Member(plan, columns, basis, *scaling, {})
            for target in self.targets:
                at = f"{number}.{target}"
                known = Examples(**{name: arrays[f"{at}.{name}"] for name in Examples.__dataclass_fields__})
                alpha = arrays[f"{at}.alpha"]
                # what was written before the members told how sure they are is not asked for it
                noise = arrays.get(f"{at}.label", np.zeros_like(alpha))
                member.processes[target] = Process(arrays[f"{at}.theta"], known, alpha, noise)
            self._members.append(member)
        for target in self.targets:
            spread = {name: arrays[f"{target}.spread.{name}"] for name in ResidualSpread.NAMES}
            centre, scale, lowest, highest = (float(number) for number in arrays[f"{target}.scale"])
            self._targets[target] = _Target(
                centre, scale, lowest, highest, arrays[f"{target}.shares"], ResidualSpread(**spread),
                arrays[f"{target}.fallback"],
            )  # fmt: skip


def stacked(left_out: np.ndarray, truth: np.ndarray, pull: float | None) -> np.ndarray:
    """Share of each member, float64[m], adding up to 1: stacked regressions (Breiman 1996, Machine Learning 24, 49).

    Parameters
    ----------
    left_out : float64[m, n]
        Each member's prediction of each example that it did not see.
    truth : float64[n]
    pull : float or None
        Weight of the squared distance from equal shares beside the mean squared error, in units of the members' mean
        squared error; None for equal shares.
    """
    members = len(left_out)
    equal = np.full(members, 1 / members)
    error = float(((left_out - truth) ** 2).mean())
    if pull is None or members == 1 or error == 0:
        return equal
    # the last row holds the sum at 1
    ridge, firm = np.sqrt(pull * error * len(truth)), 1e3 * np.sqrt(len(truth))
    rows = np.vstack([left_out.T, ridge * np.eye(members), np.full((1, members), firm)])
    shares, _ = nnls(rows, np.concatenate([truth, ridge * equal, [firm]]))
    return shares / shares.sum()


def _scales(scalars: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and robust standard deviation of each column, 0 and 1 where there is nothing to measure."""
    centre, width = np.zeros(scalars.shape[1]), np.ones(scalars.shape[1])
    for position, column in enumerate(scalars.T):
        seen = column[np.isfinite(column)]
        if len(seen):
            centre[position] = np.median(seen)
            width[position] = 1.4826 * np.median(np.abs(seen - centre[position])) or np.std(seen) or 1.0
    return centre, width
