"""What a network reads: rows of an Arrow table, made into small batches of arrays as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from stellar.models.base import numeric_matrix
from stellar.models.spectra import list_matrix

Arrays = dict[str, np.ndarray]


class Batch(NamedTuple):
    """Inputs of the network by name, and what else it is to predict from them: target and weight by output."""

    inputs: Arrays
    aims: dict[str, tuple[np.ndarray, np.ndarray]]


class Examples(Protocol):
    """Rows ready to become batches; raw values are held once, channels are made batch by batch."""

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
        """Batch of the rows; with a generator they are changed at random as in training."""
        ...


def batches(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Runs of at most `size` rows."""
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


class Scalars:
    """Columns of single numbers, standardised; a missing one stands for the mean. Those in `log` are taken as log10."""

    REACH = 5.0  # standard deviations beyond which a value says nothing more

    def __init__(self, names: Sequence[str], log: Sequence[str] = ()) -> None:
        self.names, self.log = tuple(names), [position for position, name in enumerate(names) if name in log]
        self.centre, self.scale = np.zeros(len(self.names)), np.ones(len(self.names))

    def learn(self, X: pa.Table) -> None:
        """Mean and spread of the training rows; a constant or empty column is left as it is."""
        if not self.names:
            return
        raw = self.read(X).astype(np.float64)
        known = np.isfinite(raw)
        count = np.maximum(known.sum(axis=0), 1)
        self.centre = np.where(known, raw, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, raw - self.centre, 0.0) ** 2).sum(axis=0) / count)
        self.scale = np.where(spread > 0, spread, 1.0)

    def read(self, X: pa.Table) -> np.ndarray:
        """Float32[n, s] of the columns, NaN where missing (or, for a logarithm, not above 0)."""
        raw = numeric_matrix(X, self.names) if self.names else np.zeros((X.num_rows, 0), np.float32)
        for position in self.log:
            raw[:, position] = np.log10(np.where(raw[:, position] > 0, raw[:, position], np.nan))
        return raw

    def standard(self, raw: np.ndarray) -> np.ndarray:
        """Float32[n, s], within `REACH`."""
        return np.clip(np.nan_to_num((raw - self.centre) / self.scale), -self.REACH, self.REACH).astype(np.float32)

    def state(self) -> dict[str, Any]:
        return {"centre": self.centre.tolist(), "scale": self.scale.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.centre, self.scale = np.asarray(state["centre"]), np.asarray(state["scale"])


class Spectra:
    """Spectra on one grid as two channels: depth below the continuum times weight, and weight.

    The weight ivar / (ivar + noise_scale^-2) shrinks a bin towards "no line" where its noise is larger than a line
    could be (the posterior mean of a depth with a Gaussian prior of width `noise_scale`); beside it, the network can
    tell "no line" from "not seen".
    """

    def __init__(self, X: pa.Table, scalars: Scalars, settings: Mapping[str, Any], augment: Any = None) -> None:
        self.flux, self.ivar = list_matrix(X, "flux"), list_matrix(X, "ivar")
        seen = ~list_matrix(X, "mask", bool) & np.isfinite(self.flux) & np.isfinite(self.ivar) & (self.ivar > 0)
        self.flux, self.ivar = np.where(seen, self.flux, 1), np.where(seen, self.ivar, 0)
        self.scalars, self.raw = scalars, scalars.read(X)
        self.settings, self.augment = settings, augment
        self.patch = settings.get("patch", 0)
        self.hidden_share = settings.get("reconstruct_share", 0) if settings.get("reconstruct", 0) > 0 else 0

    def __len__(self) -> int:
        return len(self.flux)

    @property
    def bins(self) -> int:
        return self.flux.shape[1]

    def batch(self, rows: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
        flux, ivar = self.flux[rows], self.ivar[rows]
        if rng is not None and self.augment is not None:
            flux, ivar = self.augment(flux, ivar, rng)
        weight = ivar / (ivar + np.float32(self.settings["noise_scale"] ** -2))
        clip = self.settings["clip"]
        depth = np.clip(flux - 1, -clip, clip)
        inputs, aims = {}, {}
        if self.patch:
            weight = pad_to(weight, self.patch)
            depth = pad_to(depth, self.patch)
            tokens = weight.shape[1] // self.patch
            patches = weight.reshape(len(rows), tokens, self.patch)
            shown = patches.any(axis=2)
            if self.hidden_share:
                hide = np.zeros_like(shown)
                if rng is not None:
                    hide = shown & (rng.random(shown.shape) < self.hidden_share)
                bins = np.repeat(hide, self.patch, axis=1)
                # bins weigh by their inverse variance, and only those that were hidden count
                aims["reconstruction"] = (depth, np.where(bins, weight, 0).astype(np.float32))
                weight, shown = np.where(bins, 0, weight).astype(np.float32), shown & ~hide
            inputs["seen"] = shown.astype(np.float32)
            inputs["position"] = np.broadcast_to(np.arange(tokens, dtype=np.int32), shown.shape)
        inputs["spectrum"] = np.stack([depth * weight, weight], axis=2).astype(np.float32)
        if self.scalars.names:
            inputs["scalars"] = self.scalars.standard(self.raw[rows])
        return Batch(inputs, aims)


def pad_to(matrix: np.ndarray, multiple: int) -> np.ndarray:
    """Zeros added at the end of each row, up to a multiple of a length."""
    short = -matrix.shape[1] % multiple
    return np.pad(matrix, ((0, 0), (0, short))) if short else matrix
