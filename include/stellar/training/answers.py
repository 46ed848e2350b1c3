"""Answers of several bundles put together, as if one model had given them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stellar.models.base import Quantiles
from stellar.registry.bundle import Answers


@dataclass(frozen=True)
class Shown:
    """What the bundles said of the examples that they were tested on, and the columns that they would write."""

    answers: Answers
    table: pa.Table


def joined(parts: Sequence[Answers], classes: Sequence[str] | None = None) -> Answers:
    """Answers of the parts' rows one after another.

    Parameters
    ----------
    parts : sequence of Answers
        Of bundles of one kind of model; their class lists may differ, since a fold can lack a rare class.
    classes : sequence of str, optional
        Columns of the result; all classes of the parts where not given. A class that a part does not know has
        probability 0 there, and one that is not among `classes` is left out.
    """
    first = parts[0]
    names = tuple(classes) if classes is not None else tuple(sorted({name for one in parts for name in one.classes}))
    return Answers(
        {
            name: Quantiles(one.levels, np.concatenate([part.quantiles[name].values for part in parts]))
            for name, one in first.quantiles.items()
        },
        names,
        np.concatenate([_columns(one.raw, one.classes, names) for one in parts]),
        np.concatenate([_columns(one.probabilities, one.classes, names) for one in parts]),
        np.concatenate([one.best for one in parts]),
        None
        if any(one.inside is None for one in parts)
        else np.concatenate([_columns(one.inside, one.classes, names) for one in parts if one.inside is not None]),
        None
        if any(one.method is None for one in parts)
        else pa.concat_arrays([one.method for one in parts if one.method is not None]),
    )


def _columns(values: np.ndarray, classes: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """The columns of `values`, which are of `classes`, in the order of `wanted`."""
    index = {name: k for k, name in enumerate(classes)}
    found = np.zeros((len(values), len(wanted)), dtype=values.dtype)
    for k, name in enumerate(wanted):
        if name in index:
            found[:, k] = values[:, index[name]]
    return found
