"""A Gaussian mixture as features: which cluster of colour space a star belongs to, as probabilities.

scikit-learn fits it (expectation maximisation: Dempster, Laird & Rubin 1977); what is kept is its numbers, and the
probabilities are computed from these, so that nothing has to be unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from stellar.errors import InputError

MOST_ROWS = 200_000  # a mixture of a few components is no better for more, and the fit goes with their number
CHUNK = 1 << 18  # rows whose distances are held at once
REGULARISATION = 1e-6  # added to the variances of standardised columns


@dataclass(frozen=True)
class Mixture:
    """Components in standardised columns.

    Attributes
    ----------
    centre, scale : float64[d]
        Mean and standard deviation of each column over the rows that it was fitted on.
    weights : float64[k]
    means : float64[k, d]
    precisions : float64[k, d, d]
        Upper Cholesky factors of the inverse covariances, as in scikit-learn's `precisions_cholesky_`.
    """

    centre: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    precisions: np.ndarray

    @classmethod
    def fit(cls, matrix: np.ndarray, components: int, seed: int) -> Self:
        """Mixture of full covariances.

        Parameters
        ----------
        matrix : float64[n, d]
            Rows with a NaN are left out; of more than 200,000 every so-manieth is taken.
        components : int
        seed : int

        Raises
        ------
        InputError
            When fewer rows than ten a component are complete.
        """
        from sklearn.mixture import GaussianMixture

        known = matrix[np.isfinite(matrix).all(axis=1)]
        if len(known) < 10 * components:
            raise InputError(
                f"{len(known)} training rows have all columns of `clusters`, and {components} components need "
                f"{10 * components}; fewer components, or other columns"
            )
        known = known[:: -(-len(known) // MOST_ROWS)]
        centre, scale = known.mean(axis=0), known.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        made = GaussianMixture(components, random_state=seed, max_iter=300, reg_covar=REGULARISATION)
        made.fit((known - centre) / scale)
        order = np.lexsort((*made.means_.T[::-1],))  # the numbers of the clusters follow their first column
        return cls(centre, scale, made.weights_[order], made.means_[order], made.precisions_cholesky_[order])

    def predict_proba(self, matrix: np.ndarray) -> np.ndarray:
        """Probability of each component, float64[n, k]; NaN in rows that lack a column.

        log p(x, c) = log w_c + log |L_c| - |(x - m_c) L_c|^2 / 2 + const, with L_c of `precisions`.
        """
        found = np.empty((len(matrix), len(self.weights)))
        determinant = np.log(np.diagonal(self.precisions, axis1=1, axis2=2)).sum(axis=1)
        for begin in range(0, len(matrix), CHUNK):
            x = (matrix[begin : begin + CHUNK] - self.centre) / self.scale
            part = found[begin : begin + CHUNK]
            for c, (mean, factor) in enumerate(zip(self.means, self.precisions, strict=True)):
                part[:, c] = -0.5 * ((x @ factor - mean @ factor) ** 2).sum(axis=1)
            part += np.log(self.weights) + determinant
            part -= part.max(axis=1, keepdims=True)
            np.exp(part, out=part)
            part /= part.sum(axis=1, keepdims=True)
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the numbers come back to the last bit."""
        return {name: value.tolist() for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(**{name: np.array(value, dtype=np.float64) for name, value in stored.items()})
