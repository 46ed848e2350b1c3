"""The interface that every architecture keeps, so that training and scoring never know which one they hold.

Tables in, arrays out. A model is saved as files without pickles: `model.json` says what it is, the other files hold
weights in their library's own format.
"""

from __future__ import annotations

import difflib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa

from stellar.errors import InputError, IntegrityError

ARCHITECTURES = {
    "xgb_classifier": "stellar.models.xgb:XgbClassifier",
    "xgb_quantile": "stellar.models.xgb:XgbQuantile",
    "xgb_multitask": "stellar.models.xgb:XgbMultiTask",
    "xgb_distribution": "stellar.models.xgb_distribution:XgbDistribution",
    "forest_classifier": "stellar.models.forest:ForestClassifier",
    "random_forest_regressor": "stellar.models.forest_regressor:RandomForestRegressor",
    "tabular_network": "stellar.models.keras_tabular:TabularNetwork",
    "gp_regression": "stellar.models.gp_regression:GPRegression",
    "blend": "stellar.models.blend:Blend",
    "best_available": "stellar.models.best_available:BestAvailable",
    "perturbed": "stellar.models.perturbed:Perturbed",
    "chain": "stellar.models.chain:Chain",
    "template_match": "stellar.models.templates:TemplateMatch",
    "spectral_regression": "stellar.models.spectral_regression:SpectralRegression",
    "spectral_cnn": "stellar.models.keras_spectra:SpectralCNN",
    "spectral_transformer": "stellar.models.keras_spectra:SpectralTransformer",
    "spectral_multitask": "stellar.models.keras_spectra:SpectralMultiTask",
    "lightcurve_cnn": "stellar.models.keras_lightcurves:LightcurveCNN",
    "lightcurve_transformer": "stellar.models.keras_lightcurves:LightcurveTransformer",
    "lightcurve_multitask": "stellar.models.keras_lightcurves:LightcurveMultiTask",
}
MODEL_FILE = "model.json"
FORMAT = 1
_FIELDS = ("architecture", "features", "targets", "params", "classes", "seed", "libraries", "history", "state")

# Labels of one target, or of several by name. Missing labels (None, NaN) are allowed for models of several targets.
Labels = np.ndarray | Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Quantiles:
    """Predictive distributions as quantiles.

    Parameters
    ----------
    levels : float[q]
        Increasing probabilities in (0, 1).
    values : float[n, q]
        Quantile of each row at each level, non-decreasing along a row, in the target's unit.
    """

    levels: np.ndarray
    values: np.ndarray

    def at(self, level: float) -> np.ndarray:
        """Quantile at any level, float[n]: linear between levels, the outermost values beyond them."""
        position = np.interp(level, self.levels, np.arange(len(self.levels)))
        low = int(np.floor(position))
        high = min(low + 1, len(self.levels) - 1)
        share = position - low
        return (1 - share) * self.values[:, low] + share * self.values[:, high]

    @property
    def median(self) -> np.ndarray:
        return self.at(0.5)

    def interval(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper end of the central interval with probability 1 - alpha."""
        return self.at(alpha / 2), self.at(1 - alpha / 2)


class Model(ABC):
    """One estimator: hyper-parameters in, then `fit`, `predict_*`, `save`.

    Attributes
    ----------
    features : tuple of str
        Columns of the frame that the model reads; others are ignored, a missing one is an `InputError`.
    targets : tuple of str
        Names of what it predicts, in order. A model of one target may leave the name to its user ("target").
    classes : dict of str to tuple of str
        Class names per classified target, in the order of the columns of `predict_proba`; known after `fit`.
    history : dict
        What training saw (losses, rounds, best epoch), JSON only.
    methods : tuple of str
        Names of the ways to an answer that it chooses from, row by row; empty where there is but one.
    checkpoints : Path or None
        Folder in which a long training keeps its state, so that one that was killed goes on; set before `fit`.
    """

    architecture: ClassVar[str]
    family: ClassVar[str]
    kind: ClassVar[Literal["tabular", "sequence"]]
    libraries: tuple[str, ...]

    def __init__(self, features: Sequence[str], targets: Sequence[str], params: Mapping[str, Any]) -> None:
        if not features:
            raise InputError(f"{self.architecture}: `features` is empty; name the columns that the model reads")
        self.features, self.targets, self.params = tuple(features), tuple(targets), dict(params)
        self.classes: dict[str, tuple[str, ...]] = {}
        self.history: dict[str, Any] = {}
        self.seed: int | None = None
        self.checkpoints: Path | None = None
        self.methods: tuple[str, ...] = ()

    # -- what each architecture does ---------------------------------------------------------------------------------
    @abstractmethod
    def fit(
        self,
        X: pa.Table,
        y: Labels,
        *,
        sample_weight: np.ndarray | None = None,
        validation: tuple[pa.Table, Labels] | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn. `validation` decides only when to stop. The same inputs and seed give the same model."""

    def predict_proba(self, X: pa.Table, target: str | None = None) -> np.ndarray:
        """Probability of each class, float64[n, k], rows summing to 1, columns as `classes_`."""
        raise InputError(f"{self.architecture} predicts no classes" + (f" for {target}" if target else ""))

    def predict_class(self, X: pa.Table, target: str | None = None) -> Sequence[str] | None:
        """Name of each row's class, where it is not simply the likeliest one; None where it is."""
        return None

    def predict_dist(self, X: pa.Table, target: str | None = None) -> Quantiles:
        """Predictive distribution of a number, in the target's unit."""
        raise InputError(f"{self.architecture} predicts no distribution" + (f" for {target}" if target else ""))

    def predict_by(self, X: pa.Table, target: str | None = None) -> tuple[Quantiles, pa.Array | None]:
        """As `predict_dist`, and which of `methods` each row's distribution is of."""
        return self.predict_dist(X, target), None

    def use_threads(self, threads: int) -> None:  # noqa: B027 - most have no threads of their own
        """Predict on so many threads, where the library has its own; for callers that have theirs."""

    @abstractmethod
    def _write(self, folder: Path) -> dict[str, Any]:
        """Write weights into `folder`; return the JSON state that `_read` needs beside them."""

    @abstractmethod
    def _read(self, folder: Path, state: Mapping[str, Any]) -> None:
        """Bring the weights back."""

    # -- what all share ----------------------------------------------------------------------------------------------
    @property
    def classes_(self) -> tuple[str, ...]:
        """Classes of the only classified target."""
        return self.classes[self._class_target(None)]

    def _class_target(self, target: str | None) -> str:
        names = list(self.classes)
        if target is None and len(names) == 1:
            return names[0]
        if target in self.classes:
            return str(target)
        raise InputError(f"{self.architecture}: no class target {target!r}; it has {names or 'none (is it fitted?)'}")

    def save(self, folder: Path) -> None:
        """Write the model as files: `model.json` and the library's own weight files. The folder is made."""
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "format": FORMAT,
            "architecture": self.architecture,
            "family": self.family,
            "kind": self.kind,
            "params": self.params,
            "features": list(self.features),
            "targets": list(self.targets),
            "classes": {target: list(names) for target, names in self.classes.items()},
            "seed": self.seed,
            "libraries": {name: metadata.version(name) for name in self.libraries},
            "history": self.history,
            "state": self._write(folder),
        }
        text = json.dumps(about, indent=1, sort_keys=True, allow_nan=False)
        (folder / MODEL_FILE).write_text(text + "\n", encoding="utf-8")


def _architecture(name: str) -> type[Model]:
    if name not in ARCHITECTURES:
        raise InputError(f"architecture {name!r} is not known; known are {', '.join(sorted(ARCHITECTURES))}")
    module, _, attribute = ARCHITECTURES[name].partition(":")
    return getattr(import_module(module), attribute)


def create(architecture: str, *, features: Sequence[str], targets: Sequence[str] = ("target",), **params: Any) -> Model:
    """New, unfitted model.

    Parameters
    ----------
    architecture : str
        A key of `ARCHITECTURES`.
    features : sequence of str
        Columns of the frame that it reads.
    targets : sequence of str
        What it predicts.
    **params
        Hyper-parameters; an unknown one is an `InputError` that lists the known ones.
    """
    return _architecture(architecture)(features=features, targets=targets, params=params)  # type: ignore[call-arg]


def load_model(folder: Path) -> Model:
    """Model that `save` wrote into `folder`.

    Raises
    ------
    IntegrityError
        When `model.json` is missing, unreadable or of another format, lacks a field, or was written with another major
        version of a library that holds its weights.
    """
    path = folder / MODEL_FILE
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path}: not a saved model ({error}); train it again or restore the artifact") from error
    if about.get("format") != FORMAT:
        raise IntegrityError(f"{path}: format {about.get('format')!r}, this version reads {FORMAT}; train it again")
    if lacking := [name for name in _FIELDS if name not in about]:
        raise IntegrityError(f"{path}: lacks {', '.join(lacking)}; restore the artifact or train the model again")
    _check_libraries(path, about["libraries"])
    model = create(about["architecture"], features=about["features"], targets=about["targets"], **about["params"])
    model.classes = {target: tuple(names) for target, names in about["classes"].items()}
    model.seed, model.history = about["seed"], about["history"]
    model._read(folder, about["state"])
    return model


def _check_libraries(path: Path, recorded: Mapping[str, str]) -> None:
    """Weights may mean something else to another major version of the library that wrote them."""
    for name, version in recorded.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise IntegrityError(f"{path}: written with {name} {version}, which is not installed") from None
        if installed.partition(".")[0] != version.partition(".")[0]:
            raise IntegrityError(
                f"{path}: written with {name} {version}, and {installed} is installed; train the model again, or "
                f"install {name} {version.partition('.')[0]}.x"
            )


# -- helpers for architectures ---------------------------------------------------------------------------------------
class ParameterError(InputError):
    """A hyper-parameter that an architecture does not have or cannot take; `at` leads to it from `params` down."""

    def __init__(self, message: str, *at: str | int) -> None:
        super().__init__(message)
        self.at = at


def merge_params(architecture: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults with the given values on top.

    Raises
    ------
    ParameterError
        When a name is unknown, or a value is not of its default's type; a whole number will do for a fraction.
    """
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        near = difflib.get_close_matches(unknown[0], defaults, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        known = ", ".join(sorted(defaults))
        raise ParameterError(
            f"{architecture}: unknown parameter {', '.join(unknown)}; known are {known}{hint}", unknown[0]
        )
    for name, value in given.items():
        if (wanted := _kind(defaults[name])) and not _is_of(value, wanted):
            raise ParameterError(
                f"{architecture}: parameter {name} is {value!r}, and takes {wanted}, such as {defaults[name]!r}", name
            )
    return {**defaults, **given}


def _kind(default: Any) -> str | None:
    """What a parameter takes, by its default; None where the default tells nothing."""
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list",
             tuple: "a list", dict: "a mapping"}  # fmt: skip
    return kinds.get(type(default))


def _is_of(value: Any, kind: str) -> bool:
    types: dict[str, tuple[type, ...]] = {"a whole number": (int,), "a number": (int, float),
        "text": (str,), "a list": (list, tuple), "a mapping": (dict,)}  # fmt: skip
    if kind == "true or false":  # of some, `false` stands for none, and a list or mapping names what there is
        return isinstance(value, (bool, list, tuple, dict))
    return isinstance(value, types[kind]) and not isinstance(value, bool)


def numeric_matrix(X: pa.Table, features: Sequence[str]) -> np.ndarray:
    """Float32[n, f] of the named columns, nulls as NaN; booleans become 0 and 1."""
    missing = [name for name in features if name not in X.column_names]
    if missing:
        raise InputError(f"the frame lacks column {', '.join(missing)}; it has {', '.join(X.column_names)}")
    matrix = np.empty((X.num_rows, len(features)), dtype=np.float32)
    for position, name in enumerate(features):
        column = X.column(name)
        kind = column.type
        if pa.types.is_null(kind):  # an empty column of a text file
            matrix[:, position] = np.nan
            continue
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise InputError(f"column {name} is {kind}; a tabular model reads numbers and booleans")
        matrix[:, position] = column.cast(pa.float64()).fill_null(float("nan")).to_numpy()
    # an infinity (a colour of a zero flux) is a missing value to a tree, not a huge number
    matrix[~np.isfinite(matrix)] = np.nan
    return matrix


def labels_of(y: Labels, target: str, targets: Sequence[str], rows: int) -> np.ndarray:
    """Labels of one target, [rows]; those of a model of one target may come as a plain array.

    Raises
    ------
    InputError
        When they lack, or are not as many as the rows.
    """
    if isinstance(y, Mapping):
        if target not in y:
            raise InputError(f"labels lack target {target}; they have {', '.join(y)}")
        labels = np.asarray(y[target])
    elif len(targets) > 1:
        raise InputError(f"labels of {len(targets)} targets come as a mapping of target to array")
    else:
        labels = np.asarray(y)
    if len(labels) != rows:
        raise InputError(f"{target}: {len(labels)} labels for {rows} rows")
    return labels


def encode_labels(y: np.ndarray, classes: Sequence[str] | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class indices int64[n] (-1 where the label is missing or not one of `classes`) and the sorted class names."""
    labels = np.asarray(y, dtype=object)
    known = np.array([label is not None and label == label for label in labels], dtype=bool)
    names = tuple(sorted({str(label) for label in labels[known]})) if classes is None else tuple(classes)
    index = {name: position for position, name in enumerate(names)}
    codes = np.array([index.get(str(label), -1) if ok else -1 for label, ok in zip(labels, known, strict=True)])
    return codes.astype(np.int64), names
