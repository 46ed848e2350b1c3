"""What the training examples' inputs looked like, and how unlike them a row is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtri

from stellar.errors import InputError
from stellar.kernels import kernel

RANGE_PERCENTILES = (0.1, 99.9)
RARELY_MISSING = 0.01  # an input that under 1% of the training examples lacked is expected to be there
KNOTS = 33  # of each input's distribution
SHRINKAGE = 0.05  # of the correlations towards none (Ledoit & Wolf 2004 give the idea; a fixed one keeps it invertible)
SIZES = 1001
SAMPLE = 200_000  # rows that are enough for a distribution


def numeric_column(table: pa.Table, name: str) -> np.ndarray | None:
    """A numeric column as float64[n], nulls as NaN; None for a column that is absent or of another kind."""
    if name not in table.column_names:
        return None
    column = table[name]
    if pa.types.is_null(column.type):  # an empty column of a text file
        return np.full(table.num_rows, np.nan)
    numeric = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean)
    if not any(is_kind(column.type) for is_kind in numeric):
        return None
    return pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()


class Columns:
    """The numeric columns of a table as arrays, each made once.

    Asking for one that is absent or of another kind is an `InputError`.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table, self.rows, self._held = table, table.num_rows, dict[str, np.ndarray]()

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._held:
            values = numeric_column(self.table, name)
            if values is None:
                raise InputError(f"the features have no numeric column {name}, which the model was trained with")
            self._held[name] = values
        return self._held[name]


@dataclass(frozen=True)
class InputRanges:
    """Central 99.8% range of each numeric input over the training examples, and how often it was missing."""

    lower: dict[str, float]
    upper: dict[str, float]
    missing: dict[str, float]

    @classmethod
    def of(cls, table: pa.Table, columns: Sequence[str]) -> InputRanges:
        lower, upper, missing = {}, {}, {}
        for name in columns:
            values = numeric_column(table, name)
            if values is None:
                continue
            present = values[np.isfinite(values)]
            missing[name] = 1 - len(present) / max(len(values), 1)
            if len(present):
                lower[name], upper[name] = (float(edge) for edge in np.percentile(present, RANGE_PERCENTILES))
        return cls(lower, upper, missing)

    def flags(self, columns: Columns) -> tuple[np.ndarray, pa.Array]:
        """Whether each row's inputs are unlike the training examples', and which: `bp_rp<min;missing:g_mag`."""
        found: list[np.ndarray] = []
        notes: list[str] = []
        for name, share in self.missing.items():
            values = columns[name]
            found += [values < self.lower.get(name, -np.inf), values > self.upper.get(name, np.inf)]
            notes += [f"{name}<min", f"{name}>max"]
            if share < RARELY_MISSING:
                found.append(~np.isfinite(values))
                notes.append(f"missing:{name}")
        return _noted(found, notes, columns.rows)


def _noted(found: Sequence[np.ndarray], notes: Sequence[str], n: int) -> tuple[np.ndarray, pa.Array]:
    """Rows with any of the signs, and each row's signs as text; each combination is written once."""
    unlike = np.zeros(n, dtype=bool)
    for sign in found:
        unlike |= sign
    rows = np.flatnonzero(unlike)
    if not len(rows):
        return unlike, pa.array([""]).take(pa.array(np.zeros(n, dtype=np.int32)))
    bits = np.packbits(np.stack([sign[rows] for sign in found], axis=1), axis=1)
    combinations, which = np.unique(bits.view(np.dtype((np.void, bits.shape[1]))).ravel(), return_inverse=True)
    signs = np.unpackbits(combinations.view(np.uint8).reshape(len(combinations), -1), axis=1)[:, : len(notes)]
    texts = ["", *(";".join(notes[k] for k in np.flatnonzero(one)) for one in signs)]
    index = np.zeros(n, dtype=np.int32)
    index[rows] = which + 1
    return unlike, pa.array(texts).take(pa.array(index))


@dataclass(frozen=True)
class Novelty:
    """How far a row's inputs lie from the middle of the training examples', as the share of these that lie nearer.

    Each input is made normal by its own distribution (its normal score), so that no unit and no long tail counts for
    more; the distance is Mahalanobis's (1936) with the correlations of the normal scores. A missing input counts as an
    ordinary one: what is missing against custom is said by the flags.

    Attributes
    ----------
    knots : dict of str to list of float
        Quantiles of each input over the training examples at even probabilities.
    precision : list of list of float
        Inverse of the shrunken correlations.
    sizes : list of float
        Quantiles of the training examples' distances at even probabilities.
    """

    knots: dict[str, list[float]]
    precision: list[list[float]]
    sizes: list[float]

    @classmethod
    def of(cls, table: pa.Table, columns: Sequence[str]) -> Novelty | None:
        """Of the numeric ones of some columns; None where there is none."""
        if table.num_rows > SAMPLE:
            table = table.take(np.linspace(0, table.num_rows - 1, SAMPLE).astype(np.int64))
        knots = {}
        for name in columns:
            values = numeric_column(table, name)
            if values is None or not np.isfinite(values).any() or table.column(name).type == pa.bool_():
                continue
            knots[name] = np.quantile(values[np.isfinite(values)], np.linspace(0, 1, KNOTS)).tolist()
        if not knots:
            return None
        scores = _scores(Columns(table), knots)
        correlation = np.cov(scores, rowvar=False, ddof=0).reshape(len(knots), -1)
        shrunken = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(knots))
        precision = np.linalg.inv(shrunken)
        sizes = np.quantile(_distances(scores, precision), np.linspace(0, 1, SIZES))
        return cls(knots, precision.tolist(), sizes.tolist())

    def shares(self, columns: Columns) -> np.ndarray:
        """Share of the training examples that lie nearer to their middle than each row, float64[n]."""
        distances = _distances(_scores(columns, self.knots), np.array(self.precision))
        return np.interp(distances, self.sizes, np.linspace(0, 1, len(self.sizes)))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, about: Mapping[str, Any]) -> Novelty:
        """What `to_dict` wrote."""
        return cls(**about)


def _scores(columns: Columns, knots: Mapping[str, Sequence[float]]) -> np.ndarray:
    """Normal scores, float64[n, k]; 0 where a value is missing, and beyond the knots as far out as the slope there."""
    scores = np.empty((columns.rows, len(knots)), order="F")
    normal = ndtri((np.arange(KNOTS) + 0.5) / KNOTS)
    for k, (name, edges) in enumerate(knots.items()):
        _normal_scores(columns[name], np.asarray(edges), normal, scores[:, k])
    return scores


@kernel
def _normal_scores(values: np.ndarray, edges: np.ndarray, normal: np.ndarray, scores: np.ndarray) -> None:
    """Score of each value by linear interpolation between the knots; written into `scores`."""
    last = len(edges) - 1
    width = max(edges[last] - edges[0], 1e-30) / (2 * normal[last])
    for i in range(len(values)):
        value = values[i]
        if not np.isfinite(value):
            scores[i] = 0.0
        elif value < edges[0]:
            scores[i] = normal[0] - (edges[0] - value) / width
        elif value > edges[last]:
            scores[i] = normal[last] + (value - edges[last]) / width
        else:
            low, step = 0, (last + 1) // 2
            while step > 0:  # without a branch that depends on the value; the knots are a power of two and one
                low += step * (edges[low + step] <= value)
                step //= 2
            low = min(low, last - 1)
            gap = edges[low + 1] - edges[low]
            share = (value - edges[low]) / gap if gap > 0 else 0.5
            scores[i] = normal[low] + share * (normal[low + 1] - normal[low])


def _distances(scores: np.ndarray, precision: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", scores @ precision, scores))
